//! Small messages in one frame that one extension sees, by the shortest way.
//!
//! What the general way would check is checked here, or once and for all by `Quick::new`. What is
//! not exactly that is left to the general way, and so is the rest of a message that does not come
//! through in one call.
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

use super::{
    Connection,
    quick::{Small, WHOLE_BINARY, WHOLE_TEXT},
};
use crate::{
    Event, Message, MessageKind, Payload, SendError, WORK_PER_CALL,
    extension::{ChainError, Compression, Direction, Mark, MessageInfo, Rsv, RsvClaim, keep_small},
    fault::Fault,
    message_head::MessageHead,
    receive::{self, message, take_decoded, take_small},
    send, utf8,
};

impl Connection {
    /// The next event. A small message takes the shortest way.
    #[inline(never)]
    pub(super) fn poll_lone(&mut self, input: &mut BytesMut) -> Option<Event> {
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
        let Some((layer, out)) = self.stack.lone().filter(|(layer, _)| !layer.is_tired()) else {
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

    /// Queues a message if it is small. Whether it was.
    #[inline(never)]
    pub(super) fn send_lone(
        &mut self,
        message: &Message,
        compression: Compression,
    ) -> Result<bool, SendError> {
        let (first, payload) = match message {
            Message::Text(text) => (WHOLE_TEXT, text.payload()),
            Message::Binary(payload) => (WHOLE_BINARY, payload),
        };
        let Some((bytes, len)) = payload.as_inline() else {
            return Ok(false);
        };
        if !self.role.is_server() || !self.sender.is_idle() || self.output.len() >= send::AHEAD {
            return Ok(false);
        }
        let Some((layer, out)) = self.stack.lone() else {
            return Ok(false);
        };
        let unit = MessageInfo::new(message.kind(), Some(len as u64), compression);
        let claim = match layer.begin_encode(&unit) {
            Ok(Mark::Marked) => layer.claim,
            Ok(Mark::Unmarked) => RsvClaim::None,
            Err(error) => return Err(self.fail_encoding(error)),
        };
        if !layer.encode.is_active() {
            self.output.push_small(first, bytes, len);
            return Ok(true);
        }
        let mut feed = bytes.get(..len).unwrap_or_default();
        let room = self.config.max_sent_frame.min(send::FRAME);
        let mut work = WORK_PER_CALL;
        let complete = match layer.pass(Direction::Encode, &mut feed, true, out, room, &mut work) {
            Ok(complete) => complete,
            Err(error) => return Err(self.fail_encoding(error)),
        };
        if complete && self.output.push_short(first | claim.bits().octet(), out) {
            keep_small(out);
            return Ok(true);
        }
        let taken = len.saturating_sub(feed.len());
        self.send_on(message, &unit, claim, taken, complete, work)?;
        Ok(true)
    }

    /// A message goes on by the general way: `taken` bytes of it are in the stack's buffer.
    #[cold]
    #[inline(never)]
    fn send_on(
        &mut self,
        message: &Message,
        unit: &MessageInfo,
        claim: RsvClaim,
        taken: usize,
        complete: bool,
        work: usize,
    ) -> Result<(), SendError> {
        let head = MessageHead::alone(unit, claim);
        let message = message.clone();
        self.encode(|sender, cx| sender.encode_small_on(message, head, taken, complete, work, cx))
    }
}
