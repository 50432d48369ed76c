//! The common case by the shortest way: small messages that no extension sees, in one frame.
//!
//! Whatever is not exactly that, or not valid, is left to the general way.

#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use bytes::{Buf, BytesMut};

use super::{Connection, Life};
use crate::{Config, Message, Opcode, Payload, Receive, Text, extension::Extensions, utf8};

/// The first octet of a whole message.
const WHOLE_TEXT: u8 = 0x80 | Opcode::Text.number();
const WHOLE_BINARY: u8 = 0x80 | Opcode::Binary.number();
/// Bit and length in the second octet.
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// Whether a connection of this configuration has such messages at all. None of its limits may be
/// so low that they would have to be looked at.
pub(super) fn is_possible(config: &Config, stack: &Extensions) -> bool {
    stack.is_empty()
        && config.receive == Receive::Messages
        && config.max_fragments > 0
        && config.max_frame.min(config.max_message).min(config.max_sent_frame) >= Payload::INLINE
}

impl Connection {
    /// A small message that lies in the input.
    #[inline]
    pub(super) fn take_small(&mut self, input: &mut BytesMut) -> Option<Message> {
        let open = matches!(self.life, Life::Open | Life::CloseSent);
        if !self.quick || !open || !self.receiver.is_between_messages() {
            return None;
        }
        let (&[first, second], rest) = input.split_first_chunk()?;
        let len = usize::from(second & LENGTH);
        let masked = second & MASKED != 0;
        if masked != self.role.is_server() || len == 0 || len > Payload::INLINE {
            return None;
        }
        let (key, rest) = if masked {
            let (key, rest) = rest.split_first_chunk()?;
            (Some(*key), rest)
        } else {
            (None, rest)
        };
        if rest.len() < len {
            return None;
        }
        let payload = Payload::inline(rest, len, key)?;
        let message = match first {
            WHOLE_BINARY => Message::Binary(payload),
            WHOLE_TEXT if utf8::is_valid(&payload) => Message::Text(Text::checked(payload)),
            _ => return None,
        };
        input.advance(if masked { 6_usize } else { 2 }.saturating_add(len));
        Some(message)
    }

    /// Queues a small message of a server. Whether it was one.
    #[inline]
    pub(super) fn put_small(&mut self, message: &Message) -> bool {
        if !self.quick || !self.role.is_server() {
            return false;
        }
        let (first, payload) = match message {
            Message::Text(text) => (WHOLE_TEXT, text.payload()),
            Message::Binary(payload) => (WHOLE_BINARY, payload),
        };
        match payload.as_inline() {
            Some((bytes, len)) => {
                self.output.push_small(first, bytes, len);
                true
            }
            None => false,
        }
    }
}
