//! Messages that were decoded ahead of the handler.

use std::collections::VecDeque;

use ws_core::Message;

use crate::outbox::Load;

/// Octets that are received at a time beyond the limit of what is received ahead, where no Pong was
/// heard: the worth of one. They count twice, when they are read and when they are decoded.
const LOOK: u32 = 2 * (6 + 125);
/// How many that may become. A Ping or Pong counts nothing, or an idle connection would grow deaf.
const BEYOND: u32 = 2 * 8 * 1024;

/// A queue of them. In a box, because an idle connection has none.
#[derive(Default)]
pub(super) struct ReceiveQueue(Option<Box<Queue>>);

#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    load: Load,
    /// Octets that were read, and octets that were decoded, while enough was received ahead; and how
    /// many may be.
    beyond: u32,
    allowed: u32,
}

impl ReceiveQueue {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|queue| queue.messages.is_empty())
    }

    pub(super) fn load(&self) -> Load {
        self.0.as_ref().map_or_else(Load::default, |queue| queue.load)
    }

    pub(super) fn push(&mut self, mut message: Message) {
        // It stays for longer than the buffer that it was read into should.
        message.detach();
        let queue = self.0.get_or_insert_default();
        queue.load.add(&message);
        queue.messages.push_back(message);
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Message> {
        let queue = self.0.as_mut()?;
        let message = queue.messages.pop_front()?;
        queue.load.remove(&message);
        Some(message)
    }

    /// Puts messages that were handed on before these in front of them.
    pub(super) fn take_back(&mut self, mut messages: VecDeque<Message>, load: Load) {
        let queue = self.0.get_or_insert_default();
        messages.append(&mut queue.messages);
        queue.messages = messages;
        queue.load = queue.load.and(load);
    }

    /// Hands all of them on; what the queue is exchanged for is empty.
    pub(super) fn hand_on(&mut self, to: impl FnOnce(&mut VecDeque<Message>, Load)) {
        if let Some(queue) = &mut self.0 {
            to(&mut queue.messages, std::mem::take(&mut queue.load));
        }
    }

    /// Whether something may be received beyond the limit, or was.
    #[inline]
    pub(super) fn is_more_allowed(&self) -> bool {
        self.0.as_ref().is_some_and(|queue| queue.allowed > 0)
    }

    /// How many octets may be received now beyond the limit.
    pub(super) fn more_allowed(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.allowed.saturating_sub(queue.beyond) as usize)
    }

    /// Lets a little more be received beyond the limit. Whether that is possible.
    pub(super) fn allow_more(&mut self) -> bool {
        let queue = self.0.get_or_insert_default();
        queue.allowed = queue.beyond.saturating_add(LOOK).min(BEYOND);
        queue.allowed > queue.beyond
    }

    /// So many octets were received although enough was before.
    pub(super) fn go_beyond(&mut self, octets: usize) {
        let queue = self.0.get_or_insert_default();
        queue.beyond = queue.beyond.saturating_add(u32::try_from(octets).unwrap_or(u32::MAX));
    }

    /// A Ping or Pong of so many octets came.
    pub(super) fn count_control(&mut self, octets: usize) {
        if let Some(queue) = &mut self.0 {
            queue.beyond = queue.beyond.saturating_sub(octets as u32);
        }
    }

    /// No more than enough is received ahead: what was is forgotten.
    #[inline]
    pub(super) fn forget_beyond(&mut self) {
        if let Some(queue) = &mut self.0 {
            (queue.beyond, queue.allowed) = (0, 0);
        }
    }

    /// Gives an empty queue back.
    #[inline]
    pub(super) fn rest(&mut self) {
        let unused =
            |queue: &Queue| queue.messages.is_empty() && (queue.beyond, queue.allowed) == (0, 0);
        if self.0.as_deref().is_some_and(unused) {
            self.0 = None;
        }
    }

    pub(super) fn into_messages(self) -> VecDeque<Message> {
        self.0.map_or_else(VecDeque::new, |queue| queue.messages)
    }
}
