//! A connection as one of many: messages to all of them, and the topics that it subscribes to.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

use tracing::info;
use ws_core::{Broadcast, CloseCode};

use super::{
    Bounds, Outbox, Queued, State, has_room, later::Locked, post::Post, queued::PER_MESSAGE,
};
use crate::{SlowConsumer, SubscribeError, leaves::log_limiter::Escaped};

/// What was dropped, because a client does not keep up. Kept until no lock is held: the bytes may be
/// the application's own, which may do anything when they are dropped.
#[derive(Default)]
pub(crate) struct Dropped {
    pub(crate) count: usize,
    broadcasts: Vec<Broadcast>,
    own: Vec<Queued>,
}

impl Outbox {
    /// Queues what goes to many, if there is room or the policy makes some. Whether it did.
    pub(crate) fn offer(&self, post: &Post, dropped: &mut Dropped) -> bool {
        let mut state = self.state();
        if state.closing {
            return false;
        }
        let count = dropped.count;
        // Whose driver had no turn yet is not slow: only `max_send_buffer` is too much for it.
        let slow = self.blocked.load(Ordering::Relaxed) && !post.waited;
        let soft = if slow { self.limits.send_buffer } else { usize::MAX };
        let bounds = Bounds { soft, hard: self.limits.max_send_buffer };
        match state.offer(post, bounds, dropped) {
            None => {
                self.close_slow(state, dropped);
                false
            }
            Some(queued) => {
                if let Some(broadcasts) = &mut state.broadcasts {
                    broadcasts.dropped += (dropped.count - count) as u64;
                }
                if queued {
                    self.queued(&mut state);
                }
                if state.waiters.is_some() {
                    // What was dropped or replaced may have made room.
                    self.settle(&mut state);
                }
                queued
            }
        }
    }

    /// Drops all that waits, with the message that met it, and orders a Close.
    #[cold]
    fn close_slow(&self, mut state: Locked<'_>, dropped: &mut Dropped) {
        let mut count = 1;
        let waiting = state.outbound_bytes;
        for queued in state.outbound.drain() {
            count += usize::from(matches!(queued, Queued::Message(..)));
            dropped.own.push(queued);
        }
        let broadcasts = state.broadcasts.get_or_insert_default();
        while let Some((broadcast, _)) = broadcasts.pop() {
            count += 1;
            dropped.broadcasts.push(broadcast);
        }
        broadcasts.dropped += count as u64;
        dropped.count += count;
        state.outbound_bytes = 0;
        state.dropped = true;
        self.close_behind(&mut state, CloseCode::TRY_AGAIN_LATER, "does not keep up");
        drop(state);
        if let Some(stats) = &self.stats
            && let Some(left_out) = stats.client_log.admit()
        {
            let (id, path) = (self.id.0, Escaped(self.request.path()));
            info!(
                id, peer = %self.request.peer(), %path, waiting, dropped = count, left_out,
                "closing with 1013: the client does not keep up with messages to many"
            );
        }
    }

    /// How many messages were dropped, because the client does not keep up.
    pub(crate) fn dropped(&self) -> u64 {
        self.state().broadcasts.as_ref().map_or(0, |broadcasts| broadcasts.dropped)
    }

    /// Notes a topic. Whether it is a new one.
    pub(crate) fn add_topic(&self, topic: &Arc<str>) -> Result<bool, SubscribeError> {
        let mut state = self.state();
        if state.closing {
            return Err(SubscribeError::Closed);
        }
        let broadcasts = state.broadcasts.get_or_insert_default();
        broadcasts.add_topic(topic, self.limits.max_subscriptions)
    }

    /// Forgets a topic. Whether it was there.
    pub(crate) fn remove_topic(&self, topic: &str) -> bool {
        let mut state = self.state();
        let Some(broadcasts) = &mut state.broadcasts else {
            return false;
        };
        let was = broadcasts.remove_topic(topic);
        if broadcasts.is_unused() {
            state.broadcasts = None;
        }
        was
    }

    /// The topics.
    pub(crate) fn topics(&self) -> Vec<Arc<str>> {
        let state = self.state();
        state.broadcasts.iter().flat_map(|broadcasts| broadcasts.topics()).cloned().collect()
    }

    /// Takes the topics, of a connection that is over: none is added any more.
    pub(crate) fn leave(&self) -> HashSet<Arc<str>> {
        let mut state = self.state();
        let (inner, later) = state.parts();
        inner.turn_away(later);
        let broadcasts = state.broadcasts.as_mut();
        broadcasts.map(|broadcasts| broadcasts.take_topics()).unwrap_or_default()
    }
}

impl State {
    /// Queues what goes to many, or drops by its policy; `None` is to close. Whether it was queued.
    fn offer(&mut self, post: &Post, bounds: Bounds, dropped: &mut Dropped) -> Option<bool> {
        let len = post.broadcast.message().len();
        loop {
            if self.has_room_for(post, len, bounds) {
                let own = self.own();
                let put = self.broadcasts.get_or_insert_default().put(post, own);
                self.outbound_bytes += put.bytes;
                if let Some((older, bytes)) = put.older {
                    self.outbound_bytes -= bytes;
                    dropped.count += 1;
                    dropped.broadcasts.push(older);
                }
                return Some(true);
            }
            let oldest = match post.slow_consumer {
                SlowConsumer::Close => return None,
                // What does not help is not dropped.
                SlowConsumer::DropOldest if self.has_room_beside_own(len, bounds) => {
                    self.broadcasts.as_mut().and_then(|broadcasts| broadcasts.pop())
                }
                SlowConsumer::DropOldest | SlowConsumer::DropNewest => None,
            };
            dropped.count += 1;
            let (oldest, bytes) = match oldest {
                Some(oldest) => oldest,
                None => return Some(false),
            };
            self.outbound_bytes -= bytes;
            dropped.broadcasts.push(oldest);
        }
    }

    fn has_room_for(&self, post: &Post, len: usize, bounds: Bounds) -> bool {
        let key = post.key.as_ref();
        match key.and_then(|key| self.broadcasts.as_ref()?.of_key(key)) {
            // What goes first is taken, however large.
            Some((_, true)) => true,
            Some((bytes, false)) => {
                let more = (PER_MESSAGE + len).saturating_sub(bytes);
                more == 0 || self.has_room(more, bounds)
            }
            None => self.has_room(len, bounds),
        }
    }

    /// Whether there would be room if only own messages waited.
    fn has_room_beside_own(&self, len: usize, bounds: Bounds) -> bool {
        let own = self.outbound_bytes - self.broadcasts.as_ref().map_or(0, |it| it.bytes());
        has_room(own, self.outbound.front().map(Queued::bytes), len, bounds)
    }
}
