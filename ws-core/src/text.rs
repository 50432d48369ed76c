//! Text: a payload that is valid UTF-8.

use alloc::string::String;
use core::fmt;

use bytes::Bytes;

use crate::{Payload, utf8};

/// A payload that is valid UTF-8 by construction.
///
/// It does not deref to `str`, because [`as_str`](Self::as_str) takes time in proportion to the
/// length: call it once and keep the result.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Text(Payload);

impl Text {
    /// For a payload that was checked while it arrived.
    pub(crate) fn checked(payload: Payload) -> Self {
        Self(payload)
    }

    /// The text.
    ///
    /// The library has no unsafe code, so this checks the bytes again, at some ten gigabytes a second.
    /// Code that passes text on without reading it pays nothing.
    pub fn as_str(&self) -> &str {
        // Always valid; the empty default avoids unsafe code.
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

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the text is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
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

/// The bytes, returned because they are not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUtf8(pub Payload);

impl fmt::Display for InvalidUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text message must be valid UTF-8 (RFC 6455 §5.6)")
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
