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
    /// Taken from the input and not handed on yet: of a message in one frame that nobody decodes, all
    /// that came.
    pub(super) piece: BytesMut,
    /// Bytes of message data that came of it: what is unmasked and checked, or decoded.
    pub(super) data_len: u64,
    /// In a box, because hardly any frame has it.
    pub(super) between: Option<Box<Between>>,
    /// Whether the extensions are done with it.
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

    /// The same, as memory counts.
    pub(super) fn room(&self) -> usize {
        usize::try_from(self.remaining()).unwrap_or(usize::MAX)
    }

    /// So many bytes of payload came.
    pub(super) fn came(&mut self, message: &mut Incoming, n: usize) {
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
    /// The frame is complete, and its payload is the message if it is given here.
    Complete(Option<Payload>),
    Event(Event),
    Starved,
    Yield,
}
