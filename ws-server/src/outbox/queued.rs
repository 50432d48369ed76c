//! The elements of a connection's queues, and their size.

use std::collections::VecDeque;

use tokio::sync::oneshot;
use ws_core::{Broadcast, CloseCode, Message, MessageKind, Payload, extension::Compression};

use crate::Limits;

/// Octets that a queued message costs besides its payload, so that a million empty ones are not
/// free.
pub(crate) const PER_MESSAGE: usize = 64;

/// A number of messages and their octets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// An element of the send queue.
#[derive(Debug)]
pub(crate) enum Queued {
    Message(Message, Compression),
    Broadcast(Broadcast),
    /// A message in pieces: its start, data, and end.
    Start(MessageKind, Compression),
    Chunk(Payload),
    End(MessageKind),
    Ping(Payload),
    Close(CloseCode, Box<str>),
    /// As a Close, but nothing more is received.
    Fail(CloseCode, Box<str>),
    /// Notified once the operating system has everything queued before.
    Flush(oneshot::Sender<()>),
}

impl Queued {
    /// Detaches the message from a much larger read buffer: a queued message keeps alive only what
    /// it counts for.
    #[inline]
    pub(super) fn detach(&mut self) {
        match self {
            Self::Message(message, _) => message.detach(),
            Self::Chunk(data) => data.detach(),
            _ => {}
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Message(message, _) => PER_MESSAGE + message.len(),
            Self::Broadcast(broadcast) => PER_MESSAGE + broadcast.message().len(),
            Self::Chunk(payload) | Self::Ping(payload) => PER_MESSAGE + payload.len(),
            Self::End(_) | Self::Close(..) | Self::Fail(..) => PER_MESSAGE,
            // A flush writes nothing, and is removed once its future is dropped. The end of a message
            // counts for its start.
            Self::Start(..) | Self::Flush(_) => 0,
        }
    }
}

/// Elements in the order of sending. Boxed, because most connections never queue any.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "an idle connection is to be small")]
pub(crate) struct SendQueue(Option<Box<VecDeque<Queued>>>);

impl SendQueue {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|queue| queue.is_empty())
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.len())
    }

    /// Octets that nobody else holds.
    pub(crate) fn own_bytes(&self) -> usize {
        let own = |queued: &Queued| match queued {
            Queued::Broadcast(_) => PER_MESSAGE,
            own => own.bytes(),
        };
        self.0.iter().flat_map(|queue| queue.iter()).map(own).sum()
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().flat_map(|queue| queue.iter()).map(Queued::bytes).sum()
    }

    pub(super) fn front(&self) -> Option<&Queued> {
        self.0.as_ref()?.front()
    }

    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<Queued> {
        self.0.as_mut()?.pop_front()
    }

    #[inline]
    pub(super) fn push_back(&mut self, mut queued: Queued) {
        queued.detach();
        self.0.get_or_insert_default().push_back(queued);
    }

    #[inline]
    pub(super) fn push_front(&mut self, mut queued: Queued) {
        queued.detach();
        self.0.get_or_insert_default().push_front(queued);
    }

    /// The reason of the Close in this queue, if there is one.
    pub(crate) fn close_reason(&self) -> Option<&str> {
        // RFC 6455 §5.5.1: "The application MUST NOT send any more data frames after sending a Close
        // frame."
        self.0.iter().flat_map(|queue| queue.iter().rev()).find_map(|queued| match queued {
            Queued::Close(_, reason) | Queued::Fail(_, reason) => Some(&**reason),
            _ => None,
        })
    }

    /// Removes the last element that matches. Returns the number of elements before it, and the
    /// element.
    pub(super) fn remove_last(
        &mut self,
        is_it: impl FnMut(&Queued) -> bool,
    ) -> Option<(usize, Queued)> {
        let queue = self.0.as_mut()?;
        let index = queue.iter().rposition(is_it)?;
        Some((index, queue.remove(index)?))
    }

    /// Drops all elements.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Queued> {
        self.0.take().into_iter().flat_map(|queue| *queue)
    }

    /// Gives the buffer of an empty queue back, unless it is small.
    pub(crate) fn shrink(&mut self) {
        if let Some(queue) = &mut self.0 {
            shrink(queue);
            if queue.capacity() == 0 {
                self.0 = None;
            }
        }
    }
}

/// Gives the buffer of an empty queue back, unless it is small.
pub(super) fn shrink<T>(queue: &mut VecDeque<T>) {
    const KEPT: usize = 4;
    if queue.is_empty() && queue.capacity() > KEPT {
        *queue = VecDeque::new();
    }
}

impl Load {
    /// Whether enough was received ahead. One message is always allowed.
    pub(crate) fn is_full(self, limits: &Limits) -> bool {
        self.messages >= limits.receive_ahead_messages || self.bytes >= limits.receive_ahead
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }

    pub(crate) fn add(&mut self, message: &Message) {
        self.messages += 1;
        self.bytes += message.len();
    }

    pub(crate) fn remove(&mut self, message: &Message) {
        self.messages -= 1;
        self.bytes -= message.len();
    }
}
