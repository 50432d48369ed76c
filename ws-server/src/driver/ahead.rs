//! Messages that were decoded ahead of the handler.

use std::collections::VecDeque;

use ws_core::Message;

use crate::link::Load;

/// A queue of them. In a box, because an idle connection has none.
#[derive(Default)]
pub(super) struct Ahead(Option<Box<Queue>>);

#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    load: Load,
}

impl Ahead {
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

    /// Gives an empty queue back.
    #[inline]
    pub(super) fn rest(&mut self) {
        if self.0.as_ref().is_some_and(|queue| queue.messages.is_empty()) {
            self.0 = None;
        }
    }

    pub(super) fn into_messages(self) -> VecDeque<Message> {
        self.0.map_or_else(VecDeque::new, |queue| queue.messages)
    }
}
