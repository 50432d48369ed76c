//! Messages that were decoded ahead of the handler.

use std::collections::VecDeque;

use ws_core::Message;

use crate::outbox::Load;

/// Octets received at a time beyond the limit while a Pong is awaited: the size of one Pong. They
/// count twice, once when read and once when decoded.
const EXCESS_STEP: u32 = 2 * (6 + 125);
/// The maximum of these octets. A Ping or Pong counts nothing, or reading on an idle connection
/// would stop for good.
const MAX_EXCESS: u32 = 2 * 8 * 1024;

/// A queue of messages. Boxed, because an idle connection has none.
#[derive(Default)]
pub(super) struct ReceiveQueue(Option<Box<Queue>>);

#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    load: Load,
    /// Octets that were read, plus octets that were decoded, beyond the limit; and their maximum.
    excess: u32,
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
        // A queued message must not pin the buffer that it was read into.
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

    /// Puts messages that were handed on earlier back in front.
    pub(super) fn take_back(&mut self, mut messages: VecDeque<Message>, load: Load) {
        let queue = self.0.get_or_insert_default();
        messages.append(&mut queue.messages);
        queue.messages = messages;
        queue.load = queue.load.and(load);
    }

    /// Hands on all messages; `to` swaps in an empty queue.
    pub(super) fn hand_on(&mut self, to: impl FnOnce(&mut VecDeque<Message>, Load)) {
        if let Some(queue) = &mut self.0 {
            to(&mut queue.messages, std::mem::take(&mut queue.load));
        }
    }

    /// Whether octets may be received beyond the limit, or were.
    #[inline]
    pub(super) fn is_excess_allowed(&self) -> bool {
        self.0.as_ref().is_some_and(|queue| queue.allowed > 0)
    }

    /// Octets that may be received beyond the limit now.
    pub(super) fn excess_allowed(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.allowed.saturating_sub(queue.excess) as usize)
    }

    /// Allows a few more octets beyond the limit. Returns whether that is possible.
    pub(super) fn allow_excess(&mut self) -> bool {
        let queue = self.0.get_or_insert_default();
        queue.allowed = queue.excess.saturating_add(EXCESS_STEP).min(MAX_EXCESS);
        queue.allowed > queue.excess
    }

    /// Notes octets received beyond the limit.
    pub(super) fn add_excess(&mut self, octets: usize) {
        let queue = self.0.get_or_insert_default();
        queue.excess = queue.excess.saturating_add(u32::try_from(octets).unwrap_or(u32::MAX));
    }

    /// Notes a Ping or Pong of this size.
    pub(super) fn count_control(&mut self, octets: usize) {
        if let Some(queue) = &mut self.0 {
            queue.excess = queue.excess.saturating_sub(octets as u32);
        }
    }

    /// Forgets the octets beyond the limit, since the queue is no longer full.
    #[inline]
    pub(super) fn reset_excess(&mut self) {
        if let Some(queue) = &mut self.0 {
            (queue.excess, queue.allowed) = (0, 0);
        }
    }

    /// Gives an empty queue back.
    #[inline]
    pub(super) fn rest(&mut self) {
        let unused =
            |queue: &Queue| queue.messages.is_empty() && (queue.excess, queue.allowed) == (0, 0);
        if self.0.as_deref().is_some_and(unused) {
            self.0 = None;
        }
    }

    /// Whether it holds nothing at all.
    #[inline]
    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Drops all messages.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    pub(super) fn into_messages(self) -> VecDeque<Message> {
        self.0.map_or_else(VecDeque::new, |queue| queue.messages)
    }
}
