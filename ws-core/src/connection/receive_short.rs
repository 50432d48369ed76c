//! The short lanes of receiving: messages in one frame that lies in the input.
//!
//! Everything else, and everything invalid, takes the general lane.
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

use alloc::vec::Vec;

use bytes::{Buf, BytesMut};

use super::{Connection, Life, route::Route};
use crate::{
    Event, Message, MessageKind, Payload, Text, WORK_PER_CALL,
    extension::{ChainError, Compression, Direction, Mark, MessageInfo, Rsv, keep_small},
    fault::Fault,
    frame::{self, WHOLE_BINARY, WHOLE_TEXT},
    receive::{self, message, take_decoded, take_payload, take_small},
    utf8,
};

/// Bit and length in the second octet.
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// A small frame that lies in the input.
struct Small {
    first: u8,
    /// The payload at the front, unmasked.
    bytes: [u8; Payload::INLINE],
    len: usize,
    /// Where the payload starts.
    start: usize,
}

impl Connection {
    /// A small frame, not empty, that is masked as it has to be and begins between messages.
    #[inline(always)]
    fn small_at_hand(&self, input: &BytesMut) -> Option<Small> {
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
        if self.route != Route::Plain {
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

    /// The next event. A small message takes the shortest way.
    #[inline(never)]
    pub(super) fn poll_single(&mut self, input: &mut BytesMut) -> Option<Event> {
        let Some(Small { first, bytes, len, start }) = self.small_at_hand(input) else {
            return self.poll_any_event(input);
        };
        let end = start.saturating_add(len);
        let rsv = Rsv::from_octet(first);
        let kind = match first ^ rsv.octet() {
            WHOLE_BINARY => MessageKind::Binary,
            WHOLE_TEXT => MessageKind::Text,
            _ => return self.poll_any_event(input),
        };
        let Some((layer, out)) = self.stack.single().filter(|(layer, _)| !layer.is_tired()) else {
            return self.poll_any_event(input);
        };
        let mark = match rsv {
            Rsv::NONE => Mark::Unmarked,
            bits if bits == layer.claim.bits() => Mark::Marked,
            _ => return self.poll_any_event(input),
        };
        let unit = MessageInfo::new(kind, Some(len as u64), Compression::Auto);
        if let Err(error) = layer.begin_decode(&unit, mark) {
            return self.tell(Err(receive::begin_fault(error)));
        }
        let mut feed = bytes.get(..len).unwrap_or_default();
        if !layer.decode.is_active() {
            if kind == MessageKind::Text && !utf8::is_valid(feed) {
                return self.tell(Err(Fault::InvalidUtf8));
            }
            input.advance(end);
            let payload = Payload::small(bytes, len);
            return Some(Event::Message(message(kind, payload)));
        }
        let limit = self.config.max_message;
        let room = limit.saturating_add(1);
        let mut work = WORK_PER_CALL;
        let decoded = layer.pass(Direction::Decode, &mut feed, true, out, room, &mut work);
        if matches!(decoded, Ok(true))
            && out.len() <= limit
            && (kind == MessageKind::Binary || utf8::is_valid(out))
        {
            input.advance(end);
            // Two ways out, so that a small payload is made where the event will be.
            if let Some(payload) = take_small(out) {
                keep_small(out);
                return Some(Event::Message(message(kind, payload)));
            }
            let payload = take_decoded(out);
            return Some(Event::Message(message(kind, payload)));
        }
        let out = core::mem::take(out);
        self.receive_on(input, feed, out, decoded, work)
    }

    /// A message goes on by the general way: `left` of it was not taken, and `out` was decoded.
    #[cold]
    #[inline(never)]
    fn receive_on(
        &mut self,
        input: &mut BytesMut,
        left: &[u8],
        out: Vec<u8>,
        decoded: Result<bool, ChainError>,
        work: usize,
    ) -> Option<Event> {
        let received = self.with_receiver(|receiver, cx| {
            receiver.decode_small_on(input, left, out, decoded, work, cx)
        });
        self.tell(received)
    }
}
