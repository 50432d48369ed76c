//! The common case by the shortest way: messages that no extension sees, in one frame. Small ones
//! that one extension sees are next door, in `lone`.
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
use crate::{
    Config, Event, Message, Opcode, Payload, Receive, Text, WORK_PER_CALL, extension::Extensions,
    fault::Fault, frame, output::PASS_THROUGH_FROM, receive::take_payload, utf8,
};

/// The first octet of a whole message.
pub(super) const WHOLE_TEXT: u8 = 0x80 | Opcode::Text.number();
pub(super) const WHOLE_BINARY: u8 = 0x80 | Opcode::Binary.number();
/// Bit and length in the second octet.
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// Which messages may go the shortest way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quick {
    /// None: something has to be looked at for each of them.
    Never,
    /// All: there is no extension.
    Plain,
    /// All small ones, through the only extension, which works on messages.
    Lone,
}

impl Quick {
    /// What holds for a connection of this configuration. None of its limits may be so low that
    /// they would have to be looked at.
    pub(super) fn new(config: &Config, stack: &Extensions) -> Self {
        let limits = config.whole_limit().min(config.max_sent_frame);
        if config.receive != Receive::Messages
            || config.max_fragments == 0
            || limits < Payload::INLINE
        {
            Self::Never
        } else if stack.is_empty() {
            Self::Plain
        } else if stack.has_lone() {
            Self::Lone
        } else {
            Self::Never
        }
    }
}

/// A small frame that lies in the input.
pub(super) struct Small {
    pub(super) first: u8,
    /// The payload at the front, unmasked.
    pub(super) bytes: [u8; Payload::INLINE],
    pub(super) len: usize,
    /// Where the payload starts.
    pub(super) start: usize,
}

impl Connection {
    /// A small frame, not empty, that is masked as it has to be and begins between messages.
    #[inline(always)]
    pub(super) fn small_at_hand(&self, input: &BytesMut) -> Option<Small> {
        let open = matches!(self.life, Life::Open | Life::CloseSent(_));
        if !open || !self.receiver.is_between_messages() {
            return None;
        }
        let (&[first, second], rest) = input.split_first_chunk()?;
        let len = usize::from(second & LENGTH);
        let masked = second & MASKED != 0;
        if masked != self.role.is_server() || len == 0 || len > Payload::INLINE {
            return None;
        }
        let (key, rest, start) = if masked {
            let (key, rest) = rest.split_first_chunk()?;
            (Some(*key), rest, 6_usize)
        } else {
            (None, rest, 2)
        };
        if rest.len() < len {
            return None;
        }
        let bytes = Payload::unmask(rest, len, key)?;
        Some(Small { first, bytes, len, start })
    }

    /// A small message that lies in the input.
    #[inline]
    pub(super) fn take_small(&mut self, input: &mut BytesMut) -> Option<Message> {
        if self.quick != Quick::Plain {
            return None;
        }
        let small = self.small_at_hand(input)?;
        let payload = Payload::small(small.bytes, small.len);
        let message = match small.first {
            WHOLE_BINARY => Message::Binary(payload),
            WHOLE_TEXT if utf8::is_valid(&payload) => Message::Text(Text::checked(payload)),
            _ => return None,
        };
        input.advance(small.start.saturating_add(small.len));
        Some(message)
    }

    /// The next event, where there is no extension.
    #[inline(never)]
    pub(super) fn poll_plain(&mut self, input: &mut BytesMut) -> Option<Event> {
        let Some((first, key, start, len)) = self.whole_at_hand(input) else {
            return self.poll_any_event(input);
        };
        let payload = take_payload(input, start, len, key);
        if first == WHOLE_BINARY {
            Some(Event::Message(Message::Binary(payload)))
        } else if utf8::is_valid(&payload) {
            Some(Event::Message(Message::Text(Text::checked(payload))))
        } else {
            self.tell(Err(Fault::InvalidUtf8))
        }
    }

    /// The first octet of a whole message that lies in the input, its masking key, where the payload
    /// starts and how long it is.
    #[inline(always)]
    fn whole_at_hand(&self, input: &BytesMut) -> Option<(u8, Option<[u8; 4]>, usize, usize)> {
        let open = matches!(self.life, Life::Open | Life::CloseSent(_));
        if !open || !self.receiver.is_between_messages() {
            return None;
        }
        let &[first, second] = input.first_chunk()?;
        let whole = first == WHOLE_BINARY || first == WHOLE_TEXT;
        if !whole || frame::is_masked(second) != self.role.is_server() {
            return None;
        }
        let (len, at) = frame::length(input).ok()??;
        let (key, start) = frame::masking_key(input, second, at)?;
        let len = usize::try_from(len).ok()?;
        let limit = self.config.whole_limit().min(WORK_PER_CALL);
        let complete = input.len().saturating_sub(start) >= len;
        (complete && len > 0 && len <= limit).then_some((first, key, start, len))
    }

    /// Queues a message of a server. Whether it was done.
    #[inline]
    pub(super) fn put_plain(&mut self, message: &Message) -> bool {
        self.put_small(message) || self.put_shared(message)
    }

    #[inline(never)]
    fn put_shared(&mut self, message: &Message) -> bool {
        if self.quick != Quick::Plain || !self.role.is_server() {
            return false;
        }
        let (first, payload) = parts(message);
        let Some(bytes) = payload.as_shared() else {
            return false;
        };
        if bytes.len() > self.config.max_sent_frame {
            return false;
        }
        if bytes.len() < PASS_THROUGH_FROM {
            self.output.push_plain(first, bytes);
        } else {
            self.output.push_passed(first, bytes.clone(), payload.pins());
        }
        true
    }

    /// Queues a small message of a server. Whether it was one.
    #[inline]
    pub(super) fn put_small(&mut self, message: &Message) -> bool {
        if self.quick != Quick::Plain || !self.role.is_server() {
            return false;
        }
        let (first, payload) = parts(message);
        match payload.as_inline() {
            Some((bytes, len)) => {
                self.output.push_small(first, bytes, len);
                true
            }
            None => false,
        }
    }
}

/// The first octet of a whole message, and its payload.
#[inline(always)]
fn parts(message: &Message) -> (u8, &Payload) {
    match message {
        Message::Text(text) => (WHOLE_TEXT, text.payload()),
        Message::Binary(payload) => (WHOLE_BINARY, payload),
    }
}
