//! A message that is being received.

use alloc::vec::Vec;

use crate::{
    Config, Message, MessageKind, Opcode, Payload, Receive, Text, fault::Fault, mask::copy_masked,
    utf8::Utf8Validator,
};

/// The message in progress. One contiguous buffer, whatever the number of fragments.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) kind: MessageKind,
    /// The message data so far, decoded.
    pub(super) buffer: Vec<u8>,
    /// Payload bytes on the wire.
    pub(super) received: u64,
    /// Frames so far.
    pub(super) frames: usize,
    /// Empty frames in a row, up to the last one.
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

    /// Gathers a piece of payload that starts `offset` bytes into its frame.
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
        self.check_gathered(start)
    }

    /// Checks a piece that is passed on to the caller.
    pub(super) fn check_text(&mut self, data: &[u8]) -> Result<(), Fault> {
        check(self.kind, &mut self.utf8, data)
    }

    /// Checks what was gathered from `from` on.
    pub(super) fn check_gathered(&mut self, from: usize) -> Result<(), Fault> {
        check(self.kind, &mut self.utf8, self.buffer.get(from..).unwrap_or_default())
    }

    /// Checks what was decoded from `from` on, before a later failure counts.
    pub(super) fn judge(&mut self, from: usize, limit: usize) -> Result<(), Fault> {
        self.check_gathered(from)?;
        if self.buffer.len() > limit { Err(Fault::MessageTooBig { limit }) } else { Ok(()) }
    }

    /// A fragment may end inside a code point, the message may not.
    pub(super) fn check_end(&self, fin: bool) -> Result<(), Fault> {
        if fin && !self.utf8.is_complete() { Err(Fault::InvalidUtf8) } else { Ok(()) }
    }

    /// The whole message, which is checked already.
    pub(super) fn finish(mut self, payload: Option<Payload>) -> Message {
        message(self.kind, payload.unwrap_or_else(|| take_decoded(&mut self.buffer)))
    }
}

/// A message from a payload that is checked already.
pub(crate) fn message(kind: MessageKind, payload: Payload) -> Message {
    match kind {
        MessageKind::Text => Message::Text(Text::checked(payload)),
        MessageKind::Binary => Message::Binary(payload),
    }
}

/// The gathered bytes as a payload. A small one leaves the buffer to its owner.
///
/// Never inlined, so that a small payload is made where the event will be, and not moved there.
#[inline(never)]
pub(crate) fn take_decoded(buffer: &mut Vec<u8>) -> Payload {
    if buffer.len() <= Payload::INLINE { buffer.as_slice().into() } else { take_large(buffer) }
}

/// The same, if it fits into the payload itself. The buffer is garbage afterwards.
#[inline(always)]
pub(crate) fn take_small(buffer: &mut Vec<u8>) -> Option<Payload> {
    let len = buffer.len();
    if len > Payload::INLINE {
        return None;
    }
    // For a copy of constant length.
    buffer.extend(core::iter::repeat_n(0, Payload::INLINE));
    Some(Payload::small(*buffer.first_chunk()?, len))
}

fn take_large(buffer: &mut Vec<u8>) -> Payload {
    // An extension may have filled far less room than it asked for.
    if buffer.len() < buffer.capacity() / 4 {
        buffer.shrink_to_fit();
    }
    core::mem::take(buffer).into()
}

/// RFC 6455 §8.1: invalid text fails the connection, here at the first octet that proves it.
fn check(kind: MessageKind, utf8: &mut Utf8Validator, data: &[u8]) -> Result<(), Fault> {
    if kind == MessageKind::Text && !utf8.feed(data) { Err(Fault::InvalidUtf8) } else { Ok(()) }
}
