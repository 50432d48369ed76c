//! A data frame in progress.

use alloc::boxed::Box;

use bytes::BytesMut;

use super::{Between, Incoming};
use crate::{Event, Payload, frame::FrameHeader};

/// A data frame in progress.
#[derive(Debug)]
pub(super) struct DataFrame {
    pub(super) header: FrameHeader,
    /// Payload bytes taken from the input.
    pub(super) received: u64,
    /// Whether extensions decode it.
    pub(super) extended: bool,
    /// Payload taken from the input and not passed on yet. For a message in one frame that no
    /// extension decodes, all that has arrived.
    pub(super) piece: BytesMut,
    /// Bytes of message data from this frame: unmasked and checked, or decoded.
    pub(super) data_len: u64,
    /// In a box, because few frames have it.
    pub(super) between: Option<Box<Between>>,
    /// Whether the extensions have decoded all of it.
    pub(super) decoded: bool,
}

impl DataFrame {
    pub(super) fn new(header: FrameHeader, extended: bool) -> Self {
        Self {
            header,
            received: 0,
            extended,
            piece: BytesMut::new(),
            data_len: 0,
            between: None,
            decoded: false,
        }
    }

    pub(super) fn remaining(&self) -> u64 {
        self.header.len.saturating_sub(self.received)
    }

    /// The same as `usize`.
    pub(super) fn room(&self) -> usize {
        usize::try_from(self.remaining()).unwrap_or(usize::MAX)
    }

    /// Counts `n` bytes of payload that arrived.
    pub(super) fn count(&mut self, message: &mut Incoming, n: usize) {
        self.received = self.received.saturating_add(n as u64);
        message.received = message.received.saturating_add(n as u64);
    }

    pub(super) fn memory_usage(&self) -> usize {
        let between = self.between.as_ref().map_or(0, |between| between.bytes.capacity());
        self.piece.capacity().saturating_add(between)
    }
}

/// How far the payload of a data frame came.
pub(super) enum DataStep {
    /// The frame is complete. A payload given here is the message.
    Complete(Option<Payload>),
    Event(Event),
    Starved,
    Yield,
}
