//! What a connection missed of a topic, sent to it before what is live.
//!
//! It may be far more than a queue holds, so it waits beside the queues: the driver takes from here
//! what it has room for; while anything else waits, as many octets as it takes of that, and a seventh
//! of them while broadcasts pile up, so that the refill brings no other topic to its policy. Own
//! messages, other topics, Pings and a Close do not wait for it. What is published to the topic meanwhile waits
//! behind it, and a policy decides about that alone: `send_buffer` says nothing here, since the
//! refill itself keeps the socket full, so only `max_send_buffer` bounds it. The refill ends once both
//! have left: then the client has caught up.

use std::{collections::VecDeque, sync::Arc};

use ws_core::Broadcast;

use super::{
    Bounds, Outbox, State,
    broadcast_queue::{BroadcastQueue, bytes},
    broadcasts::Broadcasts,
    deferred::Deferred,
    post::Post,
    queued::{PER_MESSAGE, Queued, SendQueue},
    subscriber::Dropped,
};
use crate::SlowConsumer;

/// The share of refills while broadcasts pile up: one in so many octets of these.
const YIELDING: i64 = 7;
/// What refills may catch up on after a long message in pieces.
const MOST_CREDIT: i64 = 64 * 1024;

/// The topics of a connection of which it is sent what it missed. There is at least one.
#[derive(Default)]
pub(super) struct Refills {
    /// The first is served next.
    topics: VecDeque<Refill>,
    /// Octets of the live broadcasts.
    bytes: usize,
    /// Counts broadcasts that left.
    left: u64,
    /// Octets that may leave before more of what waits in the queues. Less than none after a large
    /// message.
    credit: i64,
}

/// What waits of one topic: never nothing.
pub(crate) struct Refill {
    topic: Arc<str>,
    /// The number of the first broadcast in the queue that does not go before it.
    follows: u64,
    missed: VecDeque<Broadcast>,
    live: BroadcastQueue,
}

impl Refills {
    fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Octets of the live broadcasts. Those that were missed are not counted: many connections share
    /// them.
    fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a live broadcast has to wait for what was missed of its topic.
    fn are_of(&self, post: &Post) -> bool {
        self.topics.iter().any(|refill| post.is_of(&refill.topic))
    }

    fn begin(&mut self, topic: &Arc<str>, missed: VecDeque<Broadcast>, follows: u64) {
        let mut known = self.topics.iter_mut();
        match known.find(|refill| Arc::ptr_eq(&refill.topic, topic)) {
            None => {
                let (topic, live) = (Arc::clone(topic), BroadcastQueue::default());
                self.topics.push_back(Refill { topic, follows, missed, live });
            }
            Some(refill) => {
                self.bytes -= refill.live.bytes();
                while let Some((broadcast, _)) = refill.live.pop() {
                    refill.missed.push_back(broadcast);
                }
                refill.missed.extend(missed);
            }
        }
    }

    fn end(&mut self, topic: &str) -> Option<Refill> {
        let index = self.topics.iter().position(|refill| *refill.topic == *topic)?;
        let ended = self.topics.remove(index)?;
        self.bytes -= ended.live.bytes();
        Some(ended)
    }

    /// Takes about `room` octets, a message of each topic in turn. Returns how many it took.
    fn take(&mut self, into: &mut SendQueue, room: usize, first: u64) -> usize {
        let (mut taken, mut held_up) = (0, 0);
        while taken < room
            && held_up < self.topics.len()
            && let Some(refill) = self.topics.front_mut()
        {
            if refill.follows > first {
                held_up += 1;
            } else if let Some(broadcast) = refill.pop(&mut self.bytes) {
                held_up = 0;
                taken += bytes(&broadcast);
                self.left += 1;
                into.push_back(Queued::Broadcast(broadcast));
            }
            if refill.is_over() {
                self.topics.pop_front();
            } else {
                self.topics.rotate_left(1);
            }
        }
        taken
    }

    /// Queues a live broadcast of a topic that it has, or drops by its policy. Returns whether it was
    /// queued, or `None` to close the connection. `waiting` octets wait in the queues.
    fn offer(
        &mut self,
        post: &Post,
        waiting: usize,
        most: usize,
        dropped: &mut Dropped,
    ) -> Option<bool> {
        let is_it = |refill: &&mut Refill| post.is_of(&refill.topic);
        let Some(Refill { live, .. }) = self.topics.iter_mut().find(is_it) else {
            return Some(false);
        };
        let len = post.broadcast.message().len();
        loop {
            let more = match post.key.as_ref().and_then(|key| live.of_key(key)) {
                Some((older, _)) => (PER_MESSAGE + len).saturating_sub(older),
                None => len,
            };
            let fits = |held: usize| waiting.saturating_add(held).saturating_add(more) <= most;
            // One is always admitted, so that a large message can pass.
            if self.bytes == 0 || more == 0 || fits(self.bytes) {
                let put = live.put(post, 0);
                self.bytes += put.bytes;
                if let Some((older, bytes)) = put.older {
                    self.bytes -= bytes;
                    dropped.add(older);
                }
                return Some(true);
            }
            let oldest = match post.slow_consumer {
                SlowConsumer::Close => return None,
                // Drops nothing if that would not make enough room.
                SlowConsumer::DropOldest
                    if self.bytes == live.bytes() || fits(self.bytes - live.bytes()) =>
                {
                    live.pop()
                }
                SlowConsumer::DropOldest | SlowConsumer::DropNewest => None,
            };
            let Some((oldest, bytes)) = oldest else {
                dropped.count += 1;
                return Some(false);
            };
            self.bytes -= bytes;
            dropped.add(oldest);
        }
    }
}

impl Refill {
    fn pop(&mut self, live_bytes: &mut usize) -> Option<Broadcast> {
        if let Some(missed) = self.missed.pop_front() {
            return Some(missed);
        }
        let (live, bytes) = self.live.pop()?;
        *live_bytes -= bytes;
        Some(live)
    }

    fn is_over(&self) -> bool {
        self.missed.is_empty() && self.live.is_empty()
    }
}

impl Broadcasts {
    /// Begins to send what was missed of a topic, after what is queued and before what comes.
    pub(super) fn begin_refill(&mut self, topic: &Arc<str>, missed: VecDeque<Broadcast>) {
        let follows = self.queue.next();
        self.refills.get_or_insert_default().begin(topic, missed, follows);
    }

    /// Ends the refill of a topic. Returns what it held, to be dropped without a lock.
    pub(super) fn end_refill(&mut self, topic: &str) -> Option<Refill> {
        let ended = self.refills.as_mut()?.end(topic);
        self.forget_ended();
        ended
    }

    fn forget_ended(&mut self) {
        if self.refills.as_ref().is_some_and(|refills| refills.is_empty()) {
            self.refills = None;
            // The progress begins again, and may come to the same number.
            self.passed_over = None;
        }
    }

    /// Octets of the broadcasts that wait behind a refill.
    #[inline]
    pub(super) fn behind(&self) -> usize {
        self.refills.as_ref().map_or(0, |refills| refills.bytes())
    }

    /// Changes whenever a broadcast leaves.
    pub(super) fn progress(&self) -> u64 {
        self.queue.first + self.refills.as_ref().map_or(0, |refills| refills.left)
    }

    /// Takes all that waits in refills. Returns how many messages that was.
    pub(super) fn drain_refills(&mut self, into: &mut Vec<Broadcast>) -> usize {
        let refills = self.refills.take();
        let before = into.len();
        for mut refill in refills.into_iter().flat_map(|refills| refills.topics) {
            into.extend(refill.missed);
            while let Some((broadcast, _)) = refill.live.pop() {
                into.push(broadcast);
            }
        }
        into.len() - before
    }
}

impl State {
    /// Octets of the broadcasts that wait behind a refill.
    #[inline]
    pub(super) fn behind(&self) -> usize {
        self.broadcasts.as_ref().map_or(0, |broadcasts| broadcasts.behind())
    }

    #[inline]
    pub(super) fn is_refilling(&self) -> bool {
        self.broadcasts.as_ref().is_some_and(|broadcasts| broadcasts.refills.is_some())
    }

    /// Moves about `room` octets of the queues and of refills.
    #[cold]
    pub(super) fn take_and_refill(
        &mut self,
        into: &mut SendQueue,
        room: usize,
        bounds: Bounds,
        deferred: &mut Deferred,
    ) {
        let waiting = self.broadcasts.as_ref().map_or(0, |broadcasts| broadcasts.queue.bytes());
        let of = if waiting > bounds.soft / 2 { YIELDING } else { 1 };
        self.take_queued(into, (room / 2).max(1), bounds, deferred);
        if let Some(broadcasts) = &mut self.broadcasts
            && let Some(refills) = &mut broadcasts.refills
        {
            let first = broadcasts.queue.first;
            let alone = into.is_empty();
            let credit = (refills.credit + into.bytes() as i64 / of).min(MOST_CREDIT);
            let most = if alone { room } else { usize::try_from(credit).unwrap_or(0) };
            let taken = if self.in_message { 0 } else { refills.take(into, most, first) };
            // Nobody else lost anything.
            refills.credit = if alone { credit.max(0) } else { credit - taken as i64 };
            broadcasts.forget_ended();
        }
    }

    /// Queues a broadcast as [`offer`](Self::offer) does.
    #[cold]
    pub(super) fn offer_while_refilling(
        &mut self,
        post: &Post,
        bounds: Bounds,
        dropped: &mut Dropped,
    ) -> Option<bool> {
        let waiting = self.outbound_bytes;
        let refills = self.broadcasts.as_mut().and_then(|broadcasts| broadcasts.refills.as_mut());
        match refills {
            Some(refills) if refills.are_of(post) => {
                refills.offer(post, waiting, bounds.hard, dropped)
            }
            _ => {
                let hard = bounds.hard.saturating_sub(self.behind());
                self.offer_to_queue(post, Bounds { hard, ..bounds }, dropped)
            }
        }
    }
}

impl Outbox {
    /// Lets the driver know that a refill began. Apart from its begin, which is under another lock.
    pub(crate) fn refill_begun(&self) {
        let mut state = self.state();
        if state.is_refilling() {
            self.queued(&mut state);
        }
        if state.waiters.is_some() {
            // What was live before counts no more.
            self.settle(&mut state);
        }
    }

    /// Drops a refill that has ended, and lets publishers know that there is room.
    pub(crate) fn refill_ended(&self, ended: Option<Refill>) {
        if ended.is_some() {
            drop(ended);
            let mut state = self.state();
            if state.waiters.is_some() {
                self.settle(&mut state);
            }
        }
    }
}
