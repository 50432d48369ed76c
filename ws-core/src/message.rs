//! Messages: text or binary.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;

use crate::{Payload, Text};

/// A whole data message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// UTF-8 text.
    Text(Text),
    /// Arbitrary bytes.
    Binary(Payload),
}

/// Text or binary, set by the opcode of a message's first frame (RFC 6455 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Arbitrary bytes.
    Binary,
}

impl Message {
    /// A text message.
    pub fn text(text: impl Into<Text>) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    pub fn binary(payload: impl Into<Payload>) -> Self {
        Self::Binary(payload.into())
    }

    /// Text or binary.
    pub fn kind(&self) -> MessageKind {
        match self {
            Self::Text(_) => MessageKind::Text,
            Self::Binary(_) => MessageKind::Binary,
        }
    }

    /// The bytes, of a text too.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(payload) => payload,
        }
    }

    /// The bytes, of a text too.
    pub fn into_payload(self) -> Payload {
        match self {
            Self::Text(text) => text.into(),
            Self::Binary(payload) => payload,
        }
    }

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.payload().len(),
            Self::Binary(payload) => payload.len(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Text> for Message {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Message {
    /// A text message; copies.
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Message {
    /// A text message.
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Payload> for Message {
    /// A binary message.
    fn from(payload: Payload) -> Self {
        Self::Binary(payload)
    }
}

impl From<Bytes> for Message {
    /// A binary message.
    fn from(bytes: Bytes) -> Self {
        Self::binary(bytes)
    }
}

impl From<&[u8]> for Message {
    /// A binary message; copies.
    fn from(bytes: &[u8]) -> Self {
        Self::binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    /// A binary message.
    fn from(bytes: Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}
