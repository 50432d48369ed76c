//! Payload bytes: small ones inline, large ones shared.

use alloc::{string::String, vec::Vec};
use core::{fmt, ops::Deref};

use bytes::Bytes;

use crate::{mask::apply_mask, utf8};

/// Up to so many bytes live in the value itself, without an allocation.
const INLINE: usize = 32;
/// A slice of a read buffer that is shorter is copied where it is kept. A longer one keeps no more than
/// a few times itself alive.
const PINS_BELOW: usize = 16 * 1024;

/// Immutable bytes, cheap to clone and to move.
///
/// Opaque on purpose: small payloads are stored inline, large ones share a buffer.
#[derive(Clone)]
pub struct Payload(Repr);

#[derive(Clone)]
enum Repr {
    Inline {
        len: u32,
        bytes: Inline,
    },
    Shared(Bytes),
    /// Of a buffer that was read into, with what else was read.
    Slice(Bytes),
}

/// Aligned, so that moving a payload is a few wide loads and stores.
#[derive(Clone)]
#[repr(align(8))]
struct Inline([u8; INLINE]);

impl Payload {
    pub(crate) const INLINE: usize = INLINE;

    /// No bytes.
    pub const fn new() -> Self {
        Self(Repr::Inline { len: 0, bytes: Inline([0; INLINE]) })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => bytes.0.get(..*len as usize).unwrap_or_default(),
            Repr::Shared(bytes) | Repr::Slice(bytes) => bytes,
        }
    }

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Inline { len, .. } => *len as usize,
            Repr::Shared(bytes) | Repr::Slice(bytes) => bytes.len(),
        }
    }

    /// Whether there are no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An inline payload of the first `len` bytes of `data`, unmasked, if they are few enough.
    #[inline]
    pub(crate) fn inline(data: &[u8], len: usize, mask: Option<[u8; 4]>) -> Option<Self> {
        Some(Self::small(Self::unmask(data, len, mask)?, len))
    }

    /// An inline payload of the first `len` of `bytes`.
    #[inline]
    pub(crate) fn small(bytes: [u8; INLINE], len: usize) -> Self {
        Self(Repr::Inline { len: len as u32, bytes: Inline(bytes) })
    }

    /// The first `len` bytes of `data`, unmasked, if they are few enough. What lies behind them in
    /// the result means nothing.
    #[inline]
    pub(crate) fn unmask(data: &[u8], len: usize, mask: Option<[u8; 4]>) -> Option<[u8; INLINE]> {
        if len > INLINE {
            return None;
        }
        // A copy of constant length is a few instructions.
        let mut bytes = match data.first_chunk() {
            Some(bytes) => *bytes,
            None => {
                let mut bytes = [0; INLINE];
                bytes.get_mut(..len)?.copy_from_slice(data.get(..len)?);
                bytes
            }
        };
        if let Some(key) = mask {
            apply_mask(&mut bytes, key, 0);
        }
        Some(bytes)
    }

    /// The bytes in the value itself, if they are there, and how many of them count.
    #[inline]
    pub(crate) fn as_inline(&self) -> Option<(&[u8; INLINE], usize)> {
        match &self.0 {
            Repr::Inline { len, bytes } => Some((&bytes.0, *len as usize)),
            Repr::Shared(_) | Repr::Slice(_) => None,
        }
    }

    /// The shared buffer, if the bytes are not in the value itself.
    #[inline]
    pub(crate) fn as_shared(&self) -> Option<&Bytes> {
        match &self.0 {
            Repr::Inline { .. } => None,
            Repr::Shared(bytes) | Repr::Slice(bytes) => Some(bytes),
        }
    }

    /// A slice of a buffer that was read into.
    #[inline]
    pub(crate) fn slice(bytes: Bytes) -> Self {
        Self(Repr::Slice(bytes))
    }

    /// Whether the bytes would keep a buffer alive that is much larger.
    #[inline]
    pub(crate) fn pins(&self) -> bool {
        matches!(&self.0, Repr::Slice(bytes) if bytes.len() < PINS_BELOW)
    }

    /// Copies the bytes where they are a small part of a buffer that was read into, so that no more
    /// is kept alive than they are.
    ///
    /// A received payload of more than 500 bytes is not copied out of the buffer that it was read
    /// into, usually 64 KiB, which lives as long as the payload. That is the cheapest way for what is
    /// read and dropped, or sent on at once, and a dear one for what is kept: do this before. The
    /// queues of the engine and of the server do. Nothing happens to payloads of other origins, to
    /// those of 16 KiB and more, and to those that were detached before.
    #[inline]
    pub fn detach(&mut self) {
        if self.pins() {
            self.copy();
        }
    }

    /// As [`detach`](Self::detach), in an expression.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.detach();
        self
    }

    #[cold]
    #[inline(never)]
    fn copy(&mut self) {
        self.0 = Repr::Shared(Bytes::copy_from_slice(self));
    }

    /// The bytes from `at` on, and those before it.
    pub(crate) fn split_at(self, at: usize) -> (Self, Self) {
        let is_slice = matches!(self.0, Repr::Slice(_));
        let mut head: Bytes = self.into();
        let tail = head.split_off(at.min(head.len()));
        if is_slice { (Self::slice(head), Self::slice(tail)) } else { (head.into(), tail.into()) }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::new()
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Deref for Payload {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Payload {}

impl PartialEq<[u8]> for Payload {
    fn eq(&self, other: &[u8]) -> bool {
        self.as_slice() == other
    }
}

impl PartialEq<&[u8]> for Payload {
    fn eq(&self, other: &&[u8]) -> bool {
        self.as_slice() == *other
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for Payload {
    fn eq(&self, other: &&[u8; N]) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Bytes::copy_from_slice(self), f)
    }
}

impl From<Bytes> for Payload {
    /// Keeps the buffer, unless the bytes fit into the value itself.
    fn from(bytes: Bytes) -> Self {
        Self::inline(&bytes, bytes.len(), None).unwrap_or(Self(Repr::Shared(bytes)))
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::inline(&bytes, bytes.len(), None).unwrap_or_else(|| Self(Repr::Shared(bytes.into())))
    }
}

impl From<&[u8]> for Payload {
    /// Copies.
    fn from(bytes: &[u8]) -> Self {
        Self::inline(bytes, bytes.len(), None)
            .unwrap_or_else(|| Self(Repr::Shared(Bytes::copy_from_slice(bytes))))
    }
}

impl<const N: usize> From<&[u8; N]> for Payload {
    /// Copies.
    fn from(bytes: &[u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl From<&str> for Payload {
    /// Copies.
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<Payload> for Bytes {
    fn from(payload: Payload) -> Self {
        match payload.0 {
            Repr::Inline { .. } => Self::copy_from_slice(&payload),
            Repr::Shared(bytes) | Repr::Slice(bytes) => bytes,
        }
    }
}

impl From<Payload> for Vec<u8> {
    fn from(payload: Payload) -> Self {
        match payload.0 {
            Repr::Inline { .. } => payload.to_vec(),
            Repr::Shared(bytes) | Repr::Slice(bytes) => bytes.into(),
        }
    }
}

/// A payload that is valid UTF-8 by construction.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text(Payload);

impl Text {
    /// For payloads that were checked while they arrived.
    pub(crate) fn checked(payload: Payload) -> Self {
        Self(payload)
    }

    /// The text.
    ///
    /// The library has no unsafe code, so the bytes are looked at once more: some ten gigabytes a
    /// second. Code that passes text on without reading it pays nothing.
    pub fn as_str(&self) -> &str {
        // Always valid; the empty default stands where unsafe code would otherwise be.
        if self.0.len() < 128 {
            core::str::from_utf8(&self.0).unwrap_or_default()
        } else {
            simdutf8::basic::from_utf8(&self.0).unwrap_or_default()
        }
    }

    #[inline]
    pub(crate) fn payload(&self) -> &Payload {
        &self.0
    }

    #[inline]
    pub(crate) fn payload_mut(&mut self) -> &mut Payload {
        &mut self.0
    }

    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl From<&str> for Text {
    /// Copies.
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<Text> for Payload {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl From<Text> for Bytes {
    fn from(text: Text) -> Self {
        text.0.into()
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().into()
    }
}

/// The bytes were not UTF-8. They are given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUtf8(pub Payload);

impl fmt::Display for InvalidUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text message has to be valid UTF-8 (RFC 6455 §5.6)")
    }
}

impl core::error::Error for InvalidUtf8 {}

impl TryFrom<Payload> for Text {
    type Error = InvalidUtf8;
    fn try_from(payload: Payload) -> Result<Self, InvalidUtf8> {
        if utf8::is_valid(&payload) { Ok(Self(payload)) } else { Err(InvalidUtf8(payload)) }
    }
}

impl TryFrom<Bytes> for Text {
    type Error = InvalidUtf8;
    fn try_from(bytes: Bytes) -> Result<Self, InvalidUtf8> {
        Payload::from(bytes).try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::{INLINE, Payload, Text};
    use alloc::{string::String, vec, vec::Vec};
    use bytes::Bytes;

    #[test]
    fn payloads_of_all_sizes_around_the_inline_bound_keep_their_bytes() {
        for len in 0..3 * INLINE {
            let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
            assert_eq!(Payload::from(data.clone()).as_slice(), data);
            assert_eq!(Payload::from(data.as_slice()).as_slice(), data);
            assert_eq!(Bytes::from(Payload::from(Bytes::from(data.clone()))), data);
            assert_eq!(Vec::from(Payload::from(data.clone())), data);
            let (head, tail) = Payload::from(data.clone()).split_at(len / 2);
            assert_eq!([head.as_slice(), tail.as_slice()].concat(), data);
        }
    }

    #[test]
    fn large_payload_is_shared_not_copied() {
        let bytes = Bytes::from(vec![7; 1000]);
        let at = bytes.as_ptr();
        let back: Bytes = Payload::from(bytes).into();
        assert_eq!(back.as_ptr(), at);
    }

    // R6455-6.1-c
    #[test]
    fn text_is_utf8_by_construction() {
        assert_eq!(Text::try_from(Bytes::from_static(b"\xe2\x82")).unwrap_err().0.len(), 2);
        let long: String = "grüße ".repeat(100);
        assert_eq!(Text::from(long.clone()).as_str(), long);
        assert_eq!(Text::try_from(Bytes::from(long.clone())).unwrap(), *long);
    }
}
