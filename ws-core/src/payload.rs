//! Payload bytes: small ones inline, large ones shared.

use alloc::vec::Vec;
use core::{
    fmt,
    hash::{Hash, Hasher},
    ops::{Bound, Deref, RangeBounds},
};

use bytes::Bytes;

use crate::mask::apply_mask;

/// How many bytes the value itself holds at most, without an allocation.
const INLINE: usize = 32;
/// A slice of a read buffer that is shorter than this is copied before it is kept. A longer one keeps at
/// most a few times its own size alive.
const PINS_BELOW: usize = 16 * 1024;

/// Immutable bytes, cheap to clone and to move.
///
/// Opaque: small payloads are stored inline, large ones share a buffer.
#[derive(Clone)]
pub struct Payload(Repr);

#[derive(Clone)]
enum Repr {
    Inline {
        len: u32,
        bytes: Inline,
    },
    Shared(Bytes),
    /// A part of a read buffer, which may hold other data.
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

    /// A part of the bytes, or `None` if `range` exceeds them. A large part shares the buffer.
    ///
    /// ```
    /// # use ws_core::Payload;
    /// let payload = Payload::from("id:42");
    /// assert_eq!(payload.slice(3..).unwrap(), b"42");
    /// assert_eq!(payload.slice(..6), None);
    /// ```
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Option<Self> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start.checked_add(1)?,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&end) => end.checked_add(1)?,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len(),
        };
        let part = self.as_slice().get(start..end)?;
        Some(match &self.0 {
            Repr::Slice(bytes) if part.len() > INLINE => Self::from_read(bytes.slice(start..end)),
            Repr::Shared(bytes) if part.len() > INLINE => bytes.slice(start..end).into(),
            _ => part.into(),
        })
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

    /// The first `len` bytes of `data`, unmasked, if they are few enough. The other bytes of the result
    /// have no meaning.
    #[inline(always)]
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

    /// The bytes in the value itself, if it holds them, and how many of them are the payload.
    #[inline]
    pub(crate) fn as_inline(&self) -> Option<(&[u8; INLINE], usize)> {
        match &self.0 {
            Repr::Inline { len, bytes } => Some((&bytes.0, *len as usize)),
            Repr::Shared(_) | Repr::Slice(_) => None,
        }
    }

    /// A part of a read buffer.
    #[inline]
    pub(crate) fn from_read(bytes: Bytes) -> Self {
        Self(Repr::Slice(bytes))
    }

    /// Whether the bytes would keep a buffer alive that is much larger.
    #[inline]
    pub(crate) fn pins(&self) -> bool {
        matches!(&self.0, Repr::Slice(bytes) if bytes.len() < PINS_BELOW)
    }

    /// Copies the bytes if they are a small part of a read buffer, so that the payload keeps no more
    /// alive than itself.
    ///
    /// A received payload of more than 500 bytes stays in the buffer that it was read into, usually
    /// 64 KiB, which lives as long as the payload. That is cheapest for a payload that is read and
    /// dropped or sent on at once, and expensive for one that is kept: detach it first, as the queues of
    /// the engine and of the server do. Payloads of other origins, those of 16 KiB or more, and those
    /// detached before stay as they are.
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

    /// Splits off the first `at` bytes, or all if there are fewer.
    pub(crate) fn split_to(&mut self, at: usize) -> Self {
        if at >= self.len() {
            return core::mem::take(self);
        }
        let is_slice = matches!(self.0, Repr::Slice(_));
        let mut rest: Bytes = core::mem::take(self).into();
        let front = rest.split_to(at);
        let payload = if is_slice { Self::from_read } else { Self::from };
        *self = payload(rest);
        payload(front)
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

impl Hash for Payload {
    /// As that of the bytes.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

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
