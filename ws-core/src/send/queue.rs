//! What waits to be encoded, and how much that is.

use alloc::collections::VecDeque;

use super::Last;
use crate::{Broadcast, Message, MessageKind, Opcode, Payload, extension::Compression};

/// What an entry counts besides its payload, so that many empty ones count too.
const ENTRY: usize = 64;

/// What can wait in a queue.
pub(super) trait Entry {
    /// Bytes of its payload.
    fn len(&self) -> usize;
    /// Lets go of a read buffer much larger than the payload.
    fn detach(&mut self);
}

#[derive(Debug)]
pub(super) enum Queued {
    Message(Message, Compression),
    #[cfg(feature = "std")]
    Broadcast(Broadcast),
    Start(MessageKind, Compression),
    Chunk(Payload, Last),
    /// No more pieces follow, and none of them was the last.
    GiveUp,
    Control(Opcode, Payload),
    Close(Payload),
}

impl Entry for Queued {
    fn len(&self) -> usize {
        match self {
            Self::Message(message, _) => message.len(),
            #[cfg(feature = "std")]
            Self::Broadcast(broadcast) => Entry::len(broadcast),
            Self::Chunk(data, _) | Self::Control(_, data) | Self::Close(data) => data.len(),
            Self::Start(..) | Self::GiveUp => 0,
        }
    }

    fn detach(&mut self) {
        match self {
            Self::Message(message, _) => message.detach(),
            Self::Chunk(data, _) | Self::Control(_, data) => data.detach(),
            _ => {}
        }
    }
}

impl Entry for Broadcast {
    fn len(&self) -> usize {
        self.message().len()
    }

    /// Happened when it was made.
    fn detach(&mut self) {}
}

/// Entries in the order in which they were queued.
#[derive(Debug)]
pub(super) struct Queue<T> {
    entries: VecDeque<T>,
    /// Bytes of their payloads.
    bytes: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), bytes: 0 }
    }
}

impl<T: Entry> Queue<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter()
    }

    pub(super) fn push_back(&mut self, mut entry: T) {
        entry.detach();
        self.bytes += entry.len();
        self.entries.push_back(entry);
    }

    /// Puts back what was taken out.
    pub(super) fn push_front(&mut self, entry: T) {
        self.bytes += entry.len();
        self.entries.push_front(entry);
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.len();
        Some(entry)
    }

    /// What the entries count for back-pressure.
    pub(super) fn waiting(&self) -> usize {
        self.bytes + ENTRY * self.entries.len()
    }

    /// Bytes on the heap.
    pub(super) fn memory_usage(&self) -> usize {
        self.bytes + self.entries.capacity() * size_of::<T>()
    }
}
