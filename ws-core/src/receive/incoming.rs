//! A message that is being received.
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

use crate::{
    Config, Message, MessageKind, Opcode, Payload, Receive, Text, fault::Fault, mask::copy_masked,
    utf8::Utf8Validator,
};

/// The message in progress. One contiguous buffer, whatever the number of fragments.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) kind: MessageKind,
    /// What was gathered, decoded.
    pub(super) buffer: Vec<u8>,
    /// Payload bytes on the wire.
    pub(super) received: u64,
    /// Frames that began.
    pub(super) frames: usize,
    /// Empty frames at the end of them.
    empty_run: usize,
    utf8: Utf8Validator,
}

impl Default for Incoming {
    fn default() -> Self {
        Self::new(Opcode::Binary)
    }
}

impl Incoming {
    /// RFC 6455 §5.4: "all fragments of a message are of the same type, as set by the first
    /// fragment's opcode."
    pub(super) fn new(opcode: Opcode) -> Self {
        Self {
            kind: if opcode == Opcode::Text { MessageKind::Text } else { MessageKind::Binary },
            buffer: Vec::new(),
            received: 0,
            frames: 0,
            empty_run: 0,
            utf8: Utf8Validator::default(),
        }
    }

    pub(super) fn is_text(&self) -> bool {
        self.kind == MessageKind::Text
    }

    /// Counts a frame that begins.
    pub(super) fn count_frame(&mut self, len: u64, config: &Config) -> Result<(), Fault> {
        self.frames = self.frames.saturating_add(1);
        self.empty_run = if len == 0 { self.empty_run.saturating_add(1) } else { 0 };
        let limit = config.max_fragments;
        if self.frames > limit && config.receive == Receive::Messages {
            return Err(Fault::TooManyFragments { limit });
        }
        let limit = config.max_empty_fragments;
        if self.empty_run > limit {
            return Err(Fault::TooManyEmptyFragments { limit });
        }
        Ok(())
    }

    /// Gathers a piece of payload that lies `offset` bytes behind the start of its frame.
    pub(super) fn append(
        &mut self,
        masked: &[u8],
        mask: Option<[u8; 4]>,
        offset: u64,
    ) -> Result<(), Fault> {
        let start = self.buffer.len();
        match mask {
            Some(key) => {
                self.buffer.resize(start.saturating_add(masked.len()), 0);
                copy_masked(self.buffer.get_mut(start..).unwrap_or_default(), masked, key, offset);
            }
            None => self.buffer.extend_from_slice(masked),
        }
        let new = self.buffer.get(start..).unwrap_or_default();
        if self.kind == MessageKind::Text && !self.utf8.feed(new) {
            return Err(Fault::InvalidUtf8);
        }
        Ok(())
    }

    /// RFC 6455 §8.1: invalid text fails the connection, here at the first octet that proves it.
    pub(super) fn check_text(&mut self, data: &[u8]) -> Result<(), Fault> {
        if self.is_text() && !self.utf8.feed(data) { Err(Fault::InvalidUtf8) } else { Ok(()) }
    }

    /// The same for what extensions added behind `from`, and for a `chunk` that is passed on.
    pub(super) fn check_decoded(&mut self, from: usize, chunk: &[u8]) -> Result<(), Fault> {
        let new = self.buffer.get(from..).unwrap_or_default();
        if self.kind == MessageKind::Text && !(self.utf8.feed(new) && self.utf8.feed(chunk)) {
            return Err(Fault::InvalidUtf8);
        }
        Ok(())
    }

    /// A fragment may end inside a code point, the message may not.
    pub(super) fn check_end(&self, fin: bool) -> Result<(), Fault> {
        if fin && !self.utf8.is_complete() { Err(Fault::InvalidUtf8) } else { Ok(()) }
    }

    /// The whole message, checked before.
    pub(super) fn finish(self, payload: Option<Payload>) -> Message {
        let text = self.is_text();
        let payload = payload.unwrap_or_else(|| {
            let mut buffer = self.buffer;
            // An extension may have asked for far more room than it filled.
            if buffer.len() < buffer.capacity() / 4 {
                buffer.shrink_to_fit();
            }
            buffer.into()
        });
        if text { Message::Text(Text::checked(payload)) } else { Message::Binary(payload) }
    }
}
