//! What waits to be encoded, and how much that is.

use alloc::{collections::VecDeque, vec::Vec};

use super::Last;
use crate::{Broadcast, Message, MessageKind, Opcode, Payload, extension::Compression};

/// What an entry counts beside its payload, so that many empty ones count too.
const ENTRY: usize = 64;

#[derive(Debug)]
pub(super) enum Queued {
    Message(Message, Compression),
    Broadcast(Broadcast),
    Start(MessageKind, Compression),
    Chunk(Payload, Last),
    Control(Opcode, Payload),
    Close(Payload),
}

impl Queued {
    /// Bytes of its payload.
    fn len(&self) -> usize {
        match self {
            Self::Message(message, _) => message.len(),
            Self::Broadcast(broadcast) => broadcast.message().len(),
            Self::Chunk(data, _) | Self::Control(_, data) | Self::Close(data) => data.len(),
            Self::Start(..) => 0,
        }
    }
}

/// In the order in which it was queued.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<Queued>,
    /// Bytes of their payloads.
    bytes: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn push_back(&mut self, queued: Queued) {
        self.bytes += queued.len();
        self.entries.push_back(queued);
    }

    pub(super) fn push_front(&mut self, queued: Queued) {
        self.bytes += queued.len();
        self.entries.push_front(queued);
    }

    pub(super) fn pop_front(&mut self) -> Option<Queued> {
        let queued = self.entries.pop_front()?;
        self.bytes -= queued.len();
        Some(queued)
    }

    /// What they count for back-pressure.
    pub(super) fn waiting(&self) -> usize {
        self.bytes + ENTRY * self.entries.len()
    }

    pub(super) fn memory_usage(&self) -> usize {
        size_of::<Self>() + self.bytes + self.entries.capacity() * size_of::<Queued>()
    }
}

/// Broadcasts that wait for the end of a message in pieces.
#[derive(Debug, Default)]
pub(super) struct Held {
    broadcasts: Vec<Broadcast>,
    /// Bytes of their messages.
    bytes: usize,
}

impl Held {
    pub(super) fn push(&mut self, broadcast: &Broadcast) {
        self.bytes += broadcast.message().len();
        self.broadcasts.push(broadcast.clone());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Broadcast> {
        self.broadcasts.iter()
    }

    /// What they count for back-pressure.
    pub(super) fn waiting(&self) -> usize {
        self.bytes + ENTRY * self.broadcasts.len()
    }

    pub(super) fn memory_usage(&self) -> usize {
        self.bytes + self.broadcasts.capacity() * size_of::<Broadcast>()
    }
}
