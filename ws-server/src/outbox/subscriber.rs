//! A connection as the target of broadcasts: queueing them, and the topics that it subscribes to.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, atomic::Ordering},
};

use tracing::info;
use ws_core::{Broadcast, CloseCode};

use super::{
    Bounds, Outbox, Queued, State, deferred::Locked, has_room, post::Post, queued::PER_MESSAGE,
    refill::Refill,
};
use crate::{SlowConsumer, SubscribeError, leaves::log_limiter::Escaped};

/// Messages dropped because a client does not keep up. They are kept until no lock is held: their
/// octets may belong to the application, whose `Drop` may run any code.
#[derive(Default)]
pub(crate) struct Dropped {
    pub(crate) count: usize,
    broadcasts: Vec<Broadcast>,
    own: Vec<Queued>,
}

impl Dropped {
    pub(super) fn add(&mut self, broadcast: Broadcast) {
        self.count += 1;
        self.broadcasts.push(broadcast);
    }
}

impl Outbox {
    /// Queues a broadcast if there is room or the policy makes some. Returns whether it was queued.
    pub(crate) fn offer(&self, post: &Post, dropped: &mut Dropped) -> bool {
        let mut state = self.state();
        if state.closing {
            return false;
        }
        let count = dropped.count;
        // A client whose driver has had no turn yet is not slow: only `max_send_buffer` limits it.
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
                    // Dropped or replaced messages may have made room.
                    self.settle(&mut state);
                }
                queued
            }
        }
    }

    /// Drops all waiting messages, the new one included, and orders a Close.
    #[cold]
    fn close_slow(&self, mut state: Locked<'_>, dropped: &mut Dropped) {
        let mut count = 1;
        let waiting = state.outbound_bytes;
        for queued in state.outbound.drain() {
            count += usize::from(matches!(queued, Queued::Message(..) | Queued::End(_)));
            dropped.own.push(queued);
        }
        let broadcasts = state.broadcasts.get_or_insert_default();
        while let Some((broadcast, _)) = broadcasts.queue.pop() {
            count += 1;
            dropped.broadcasts.push(broadcast);
        }
        count += broadcasts.drain_refills(&mut dropped.broadcasts);
        broadcasts.dropped += count as u64;
        dropped.count += count;
        state.outbound_bytes = 0;
        state.dropped = true;
        self.queue_close(&mut state, CloseCode::TRY_AGAIN_LATER, "does not keep up");
        self.note_waiting(&mut state);
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

    /// The number of messages dropped because the client does not keep up.
    pub(crate) fn dropped(&self) -> u64 {
        self.state().broadcasts.as_ref().map_or(0, |broadcasts| broadcasts.dropped)
    }

    /// Adds a topic, with what was `missed` of it, which is taken if it is added. Returns whether it is
    /// new.
    pub(crate) fn add_topic(
        &self,
        topic: &Arc<str>,
        missed: &mut Option<VecDeque<Broadcast>>,
    ) -> Result<bool, SubscribeError> {
        let mut state = self.state();
        if state.closing {
            return Err(SubscribeError::Closed);
        }
        let broadcasts = state.broadcasts.get_or_insert_default();
        let is_new = broadcasts.add_topic(topic, self.limits.max_subscriptions)?;
        if let Some(missed) = missed.take() {
            broadcasts.begin_refill(topic, missed);
        }
        Ok(is_new)
    }

    /// Removes a topic, if it is there. Returns its refill, for [`refill_ended`](Self::refill_ended).
    pub(crate) fn remove_topic(&self, topic: &str) -> Option<Option<Refill>> {
        let mut state = self.state();
        let broadcasts = state.broadcasts.as_mut()?;
        if !broadcasts.remove_topic(topic) {
            return None;
        }
        let refill = broadcasts.end_refill(topic);
        if broadcasts.is_unused() {
            state.broadcasts = None;
        }
        Some(refill)
    }

    /// The topics.
    pub(crate) fn topics(&self) -> Vec<Arc<str>> {
        let state = self.state();
        state.broadcasts.iter().flat_map(|broadcasts| broadcasts.topics()).cloned().collect()
    }

    /// Takes the topics of a connection that is over: no more are added.
    pub(crate) fn leave(&self) -> HashSet<Arc<str>> {
        let mut state = self.state();
        let (inner, deferred) = state.parts();
        inner.reject_waiters(deferred);
        let broadcasts = state.broadcasts.as_mut();
        broadcasts.map(|broadcasts| broadcasts.take_topics()).unwrap_or_default()
    }
}

impl State {
    /// Queues a broadcast or drops by its policy. Returns whether it was queued, or `None` to close
    /// the connection.
    fn offer(&mut self, post: &Post, bounds: Bounds, dropped: &mut Dropped) -> Option<bool> {
        if self.is_refilling() {
            return self.offer_while_refilling(post, bounds, dropped);
        }
        self.offer_to_queue(post, bounds, dropped)
    }

    /// Does the same with the queue for broadcasts.
    // It has a second caller, for refills, which is rare and must not cost the first one a call.
    #[inline(always)]
    pub(super) fn offer_to_queue(
        &mut self,
        post: &Post,
        bounds: Bounds,
        dropped: &mut Dropped,
    ) -> Option<bool> {
        let len = post.broadcast.message().len();
        loop {
            if self.has_room_for(post, len, bounds) {
                let own = self.own();
                let put = self.broadcasts.get_or_insert_default().queue.put(post, own);
                self.outbound_bytes += put.bytes;
                if let Some((older, bytes)) = put.older {
                    self.outbound_bytes -= bytes;
                    dropped.add(older);
                }
                return Some(true);
            }
            let oldest = match post.slow_consumer {
                SlowConsumer::Close => return None,
                // Drops nothing if that would not make enough room.
                SlowConsumer::DropOldest if self.has_room_beside_own(len, bounds) => {
                    self.broadcasts.as_mut().and_then(|broadcasts| broadcasts.queue.pop())
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

    // It has a second caller, for refills, which is rare and must not cost the first one a call.
    #[inline(always)]
    fn has_room_for(&self, post: &Post, len: usize, bounds: Bounds) -> bool {
        let key = post.key.as_ref();
        match key.and_then(|key| self.broadcasts.as_ref()?.queue.of_key(key)) {
            // The message that goes next may have any size.
            Some((_, true)) if !self.in_message => true,
            Some((bytes, _)) => {
                let more = (PER_MESSAGE + len).saturating_sub(bytes);
                more == 0 || self.has_room(more, bounds)
            }
            None => self.has_room(len, bounds),
        }
    }

    /// Whether there would be room if only own messages waited.
    fn has_room_beside_own(&self, len: usize, bounds: Bounds) -> bool {
        let own = self.outbound_bytes - self.broadcasts.as_ref().map_or(0, |it| it.queue.bytes());
        has_room(own, self.outbound.front().map(Queued::bytes), len, bounds)
    }
}
