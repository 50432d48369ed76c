//! The short lanes of sending: messages that become one frame at once.
//!
//! Everything else takes the general lane.
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

use super::{Connection, route::Route};
use crate::{
    Message, Payload, SendError, WORK_PER_CALL,
    extension::{Compression, Direction, Mark, MessageInfo, RsvClaim, keep_small},
    frame::{WHOLE_BINARY, WHOLE_TEXT},
    message_head::MessageHead,
    output::PASS_THROUGH_FROM,
    send,
};

impl Connection {
    /// Queues a message of a server. Whether it was done.
    #[inline]
    pub(super) fn put_plain(&mut self, message: &Message) -> bool {
        self.put_small(message) || self.put_shared(message)
    }

    #[inline(never)]
    fn put_shared(&mut self, message: &Message) -> bool {
        if self.route != Route::Plain || !self.role.is_server() {
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
        if self.route != Route::Plain || !self.role.is_server() {
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

    /// Queues a message if it is small. Whether it was.
    #[inline(never)]
    pub(super) fn send_single(
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
        let Some((layer, out)) = self.stack.single() else {
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

/// The first octet of a whole message, and its payload.
#[inline(always)]
fn parts(message: &Message) -> (u8, &Payload) {
    match message {
        Message::Text(text) => (WHOLE_TEXT, text.payload()),
        Message::Binary(payload) => (WHOLE_BINARY, payload),
    }
}
