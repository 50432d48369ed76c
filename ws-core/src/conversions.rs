//! Conversions to and from messages, texts and payloads.

use alloc::{borrow::Cow, boxed::Box, string::String, vec::Vec};
use core::fmt;

use bytes::{Bytes, BytesMut};

use crate::{InvalidUtf8, Message, Payload, Text};

macro_rules! binary_from {
    ($($bytes:ty),+) => {$(
        impl From<$bytes> for Message {
            /// A binary message.
            fn from(bytes: $bytes) -> Self {
                Self::Binary(bytes.into())
            }
        }
    )+};
}

macro_rules! text_from {
    ($($text:ty),+) => {$(
        impl From<$text> for Message {
            /// A text message.
            fn from(text: $text) -> Self {
                Self::Text(text.into())
            }
        }
    )+};
}

// One `impl` for each type: a generic one could not tell text from binary.
binary_from!(Payload, Bytes, BytesMut, Vec<u8>, Box<[u8]>, Cow<'_, [u8]>, &[u8], &Vec<u8>);
text_from!(Text, String, Box<str>, Cow<'_, str>, &str, &String);

impl<const N: usize> From<&[u8; N]> for Message {
    /// A binary message; copies.
    fn from(bytes: &[u8; N]) -> Self {
        Self::Binary(bytes.into())
    }
}

impl<const N: usize> From<[u8; N]> for Message {
    /// A binary message; copies.
    fn from(bytes: [u8; N]) -> Self {
        Self::Binary(bytes.into())
    }
}

macro_rules! from_through {
    ($($from:ty => |$value:ident| $via:expr => $to:ty),+ $(,)?) => {$(
        impl From<$from> for $to {
            fn from($value: $from) -> Self {
                $via.into()
            }
        }
    )+};
}

from_through! {
    BytesMut => |bytes| bytes.freeze() => Payload,
    Box<[u8]> => |bytes| Vec::from(bytes) => Payload,
    Cow<'_, [u8]> => |bytes| bytes.into_owned() => Payload,
    &Vec<u8> => |bytes| bytes.as_slice() => Payload,
    String => |text| text.into_bytes() => Payload,
    Box<str> => |text| String::from(text) => Text,
    Cow<'_, str> => |text| text.into_owned() => Text,
    &String => |text| text.as_str() => Text,
    Message => |message| message.into_payload() => Bytes,
    Message => |message| message.into_payload() => Vec<u8>,
    Text => |text| Payload::from(text) => Vec<u8>,
}

impl<const N: usize> From<[u8; N]> for Payload {
    /// Copies.
    fn from(bytes: [u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl From<Message> for Payload {
    /// The bytes, of a text as well.
    fn from(message: Message) -> Self {
        message.into_payload()
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl TryFrom<BytesMut> for Text {
    type Error = InvalidUtf8;

    fn try_from(bytes: BytesMut) -> Result<Self, InvalidUtf8> {
        Payload::from(bytes).try_into()
    }
}

impl TryFrom<Vec<u8>> for Text {
    type Error = InvalidUtf8;

    fn try_from(bytes: Vec<u8>) -> Result<Self, InvalidUtf8> {
        Payload::from(bytes).try_into()
    }
}

/// The bytes of a binary message, returned because the caller wanted a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotText(pub Payload);

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message is binary, not text")
    }
}

impl core::error::Error for NotText {}

impl TryFrom<Message> for Text {
    type Error = NotText;

    /// Fails for every binary message, even if its bytes are UTF-8.
    fn try_from(message: Message) -> Result<Self, NotText> {
        match message {
            Message::Text(text) => Ok(text),
            Message::Binary(payload) => Err(NotText(payload)),
        }
    }
}

impl TryFrom<Message> for String {
    type Error = NotText;

    /// Fails for every binary message, even if its bytes are UTF-8.
    fn try_from(message: Message) -> Result<Self, NotText> {
        Text::try_from(message).map(Into::into)
    }
}
