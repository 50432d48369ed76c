//! The short lane of sending: a whole message that becomes one frame at once, through one extension at
//! most.
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

use alloc::borrow::Cow;

use super::{Connection, route::Route};
use crate::{
    Message, Payload, SendError, WORK_PER_CALL,
    extension::{Compression, Direction, Mark, MessageInfo, RsvClaim, keep_small},
    frame::{WHOLE_BINARY, WHOLE_TEXT},
    message_head::MessageHead,
    output::Body,
    send,
};

impl Connection {
    /// Queues a message that no extension sees as one frame. Returns whether it did.
    #[inline]
    pub(super) fn send_plain(&mut self, message: &Message) -> bool {
        self.send_inline(message) || self.send_whole(message)
    }

    /// The same for a payload of at most 32 bytes, of a server that nobody observes.
    #[inline(never)]
    pub(super) fn send_inline(&mut self, message: &Message) -> bool {
        let (first, payload) = parts(message);
        if self.route != Route::Plain || !self.role.is_server() || payload.as_inline().is_none() {
            return false;
        }
        self.output.append(first, None, Body::Payload(Cow::Borrowed(payload)));
        true
    }

    /// The same for every other message.
    #[inline(never)]
    pub(super) fn send_whole(&mut self, message: &Message) -> bool {
        if self.route != Route::Plain || !self.role.is_server() {
            return self.stack.is_empty()
                && self.with_sender(|_, cx| cx.frames.push_whole(message));
        }
        let (first, payload) = parts(message);
        if payload.as_inline().is_some() || payload.len() > self.config.max_sent_frame {
            return false;
        }
        self.output.append(first, None, Body::Payload(Cow::Borrowed(payload)));
        true
    }

    /// Queues a message of at most 32 bytes that a single extension sees. Returns whether it did.
    ///
    /// Larger ones, and those of a client, are encoded in the same way by `Encoding::whole`, which also
    /// masks; with both in one function a message of 20 bytes takes a sixth more instructions.
    #[inline(never)]
    pub(super) fn send_single(
        &mut self,
        message: &Message,
        compression: Compression,
    ) -> Result<bool, SendError> {
        let (first, payload) = parts(message);
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
            self.output.append(first, None, Body::Payload(Cow::Borrowed(payload)));
            return Ok(true);
        }
        let mut feed = bytes.get(..len).unwrap_or_default();
        let room = self.config.max_sent_frame.min(send::FRAME);
        let mut work = WORK_PER_CALL;
        let complete = match layer.pass(Direction::Encode, &mut feed, true, out, room, &mut work) {
            Ok(complete) => complete,
            Err(error) => return Err(self.fail_encoding(error)),
        };
        if complete {
            self.output.append(first | claim.bits().octet(), None, Body::Buffer(out));
            keep_small(out);
            return Ok(true);
        }
        let taken = len.saturating_sub(feed.len());
        self.send_rest(message, &unit, claim, taken, work)?;
        Ok(true)
    }

    /// Continues a message by the general lane: the output for `taken` bytes of it is in the stack's
    /// buffer.
    #[cold]
    #[inline(never)]
    fn send_rest(
        &mut self,
        message: &Message,
        unit: &MessageInfo,
        claim: RsvClaim,
        taken: usize,
        work: usize,
    ) -> Result<(), SendError> {
        let head = MessageHead::marked(unit, claim);
        let message = message.clone();
        self.encode(|sender, cx| sender.resume(message, head, taken, work, cx))
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
