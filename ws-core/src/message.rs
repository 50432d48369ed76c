//! Messages: text or binary.

use crate::{Payload, Text};

/// A whole data message. Ping, Pong and Close are not messages: the engine answers a Ping, and
/// [`Event`](crate::Event) reports all three.
#[doc(alias("Ping", "Pong", "Close"))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

/// The sender's hint whether to compress a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// The extension decides.
    #[default]
    Auto,
    /// Do not compress, for example because a secret is next to text of the peer's (RFC 7692 §8).
    // T-B24
    Never,
    /// Compress, even if short.
    Always,
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

    /// The bytes, also of a text.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(payload) => payload,
        }
    }

    /// The text of a text message. Takes time in proportion to the length; see [`Text::as_str`].
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            Self::Binary(_) => None,
        }
    }

    #[inline]
    pub(crate) fn payload(&self) -> &Payload {
        match self {
            Self::Text(text) => text.payload(),
            Self::Binary(payload) => payload,
        }
    }

    /// The bytes, also of a text.
    pub fn into_payload(self) -> Payload {
        match self {
            Self::Text(text) => text.into(),
            Self::Binary(payload) => payload,
        }
    }

    /// Copies the bytes if they are a small part of a read buffer: for received messages that are kept.
    /// See [`Payload::detach`].
    ///
    /// ```
    /// # use std::collections::VecDeque;
    /// # use ws_core::Message;
    /// # let (mut history, message) = (VecDeque::new(), Message::from("hello"));
    /// history.push_back(message.clone().detached());
    /// ```
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.detach();
        self
    }

    /// As [`detached`](Self::detached), in place.
    #[inline]
    pub fn detach(&mut self) {
        match self {
            Self::Text(text) => text.payload_mut().detach(),
            Self::Binary(payload) => payload.detach(),
        }
    }

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.payload().len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
