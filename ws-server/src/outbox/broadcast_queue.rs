//! Broadcasts that wait for one connection.
//!
//! They wait beside the connection's own messages, not among them, so that a policy finds the
//! oldest one, or the one with a key, without a search among messages that it may not drop. Each
//! knows which of the own messages it follows.

use std::{
    collections::{HashMap, VecDeque},
    mem,
};

use ws_core::Broadcast;

use super::{
    post::{Key, Post},
    queued::{PER_MESSAGE, Queued, SendQueue, shrink},
};

/// Broadcasts in the order of sending.
#[derive(Default)]
pub(super) struct BroadcastQueue {
    waiting: VecDeque<Waiting>,
    /// Octets of the waiting broadcasts.
    bytes: usize,
    /// The number of the first waiting broadcast. They are numbered in order.
    pub(super) first: u64,
    /// The numbers of the broadcasts with a key; each key has one. Boxed, since every connection that
    /// is sent anything to all has this struct.
    #[expect(clippy::box_collection, reason = "most have none")]
    keys: Option<Box<HashMap<Key, u64>>>,
    /// Counts own messages that have left the queue since the first of these broadcasts came.
    own_left: u64,
}

struct Waiting {
    broadcast: Broadcast,
    key: Option<Key>,
    /// The value of `own_left` at which this broadcast goes next.
    follows: u64,
}

/// The octets added by a broadcast, and the older one of its key that it replaced, with its octets.
pub(super) struct Put {
    pub(super) bytes: usize,
    pub(super) older: Option<(Broadcast, usize)>,
}

/// The initial count: as many own messages may be put before the waiting broadcasts.
const OWN_LEFT: u64 = 1 << 32;

pub(super) fn bytes(broadcast: &Broadcast) -> usize {
    PER_MESSAGE + broadcast.message().len()
}

impl BroadcastQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Octets of their messages, which others may hold too.
    pub(super) fn payload(&self) -> usize {
        self.bytes - PER_MESSAGE * self.waiting.len()
    }

    /// The number of the broadcast that is queued next.
    pub(super) fn next(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }

    /// Octets of the next broadcast, if it goes before the first own message.
    pub(super) fn due(&self) -> Option<usize> {
        let next = self.waiting.front()?;
        (next.follows <= self.own_left).then(|| bytes(&next.broadcast))
    }

    /// Counts an own message that left the queue.
    pub(super) fn own_left(&mut self) {
        self.own_left += 1;
    }

    /// Counts an own message that was put before all waiting broadcasts.
    pub(super) fn own_put_first(&mut self) {
        if !self.waiting.is_empty() {
            self.own_left -= 1;
        }
    }

    /// Counts an own message that was put after `before` others, and before those in line.
    pub(super) fn own_put(&mut self, before: usize) {
        let place = self.own_left + before as u64;
        for waiting in self.waiting.iter_mut().rev().take_while(|waiting| waiting.follows > place) {
            waiting.follows += 1;
        }
    }

    /// Removes the own message with `before` others before it from the count.
    pub(super) fn own_removed(&mut self, before: usize) {
        let place = self.own_left + before as u64;
        for waiting in self.waiting.iter_mut().rev().take_while(|waiting| waiting.follows > place) {
            waiting.follows -= 1;
        }
    }

    /// Limits the count to `own` messages: the others were removed.
    pub(super) fn truncate_own(&mut self, own: usize) {
        let last = self.own_left + own as u64;
        for waiting in self.waiting.iter_mut().rev().take_while(|waiting| waiting.follows > last) {
            waiting.follows = last;
        }
    }

    /// Octets of the waiting broadcast with this key, and whether it goes next.
    pub(super) fn of_key(&self, key: &Key) -> Option<(usize, bool)> {
        let number = self.number(key)?;
        let waiting = self.waiting.get(self.place(number))?;
        let first = number == self.first && waiting.follows <= self.own_left;
        Some((bytes(&waiting.broadcast), first))
    }

    fn number(&self, key: &Key) -> Option<u64> {
        self.keys.as_ref()?.get(key).copied()
    }

    fn place(&self, number: u64) -> usize {
        (number - self.first) as usize
    }

    /// Queues a broadcast after `own` messages, or replaces the one with its key.
    // It has a second caller, for refills, which is rare and must not cost the first one a call.
    #[inline(always)]
    pub(super) fn put(&mut self, post: &Post, own: usize) -> Put {
        let broadcast = post.broadcast.clone();
        let bytes = bytes(&broadcast);
        self.bytes += bytes;
        let number = post.key.as_ref().and_then(|key| self.number(key));
        let place = number.map(|number| self.place(number));
        if let Some(waiting) = place.and_then(|place| self.waiting.get_mut(place)) {
            let older = mem::replace(&mut waiting.broadcast, broadcast);
            let older_bytes = self::bytes(&older);
            self.bytes -= older_bytes;
            return Put { bytes, older: Some((older, older_bytes)) };
        }
        if self.waiting.is_empty() {
            self.own_left = OWN_LEFT;
        }
        if let Some(key) = &post.key {
            let number = self.next();
            self.keys.get_or_insert_default().insert(key.clone(), number);
        }
        let follows = self.own_left + own as u64;
        self.waiting.push_back(Waiting { broadcast, key: post.key.clone(), follows });
        Put { bytes, older: None }
    }

    /// Takes the oldest broadcast and its octets.
    pub(super) fn pop(&mut self) -> Option<(Broadcast, usize)> {
        let Waiting { broadcast, key, .. } = self.waiting.pop_front()?;
        self.first += 1;
        if let (Some(keys), Some(key)) = (&mut self.keys, key) {
            keys.remove(&key);
            if keys.is_empty() {
                self.keys = None;
            }
        }
        shrink(&mut self.waiting);
        let bytes = bytes(&broadcast);
        self.bytes -= bytes;
        Some((broadcast, bytes))
    }

    /// Takes about `room` octets while no own message waits. Returns how many.
    pub(super) fn take(&mut self, into: &mut SendQueue, room: usize) -> usize {
        let mut taken = 0;
        while taken < room
            && let Some((broadcast, bytes)) = self.pop()
        {
            taken += bytes;
            into.push_back(Queued::Broadcast(broadcast));
        }
        taken
    }

    /// Takes all broadcasts, to be dropped without the lock.
    pub(super) fn take_all(&mut self) -> impl Sized + use<> {
        self.first += self.waiting.len() as u64;
        self.bytes = 0;
        (mem::take(&mut self.waiting), mem::take(&mut self.keys))
    }
}
