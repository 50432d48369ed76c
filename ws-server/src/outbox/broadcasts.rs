//! Messages to many that wait for one connection.
//!
//! They wait beside its own messages and not among them, so that a policy finds the oldest one, or
//! the one of a key, without looking at what it may not drop. Each knows which of the own messages
//! it follows.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
    sync::Arc,
};

use ws_core::Broadcast;

use super::{
    post::{Key, Post},
    queued::{PER_MESSAGE, Queued, SendQueue, shrink},
};
use crate::{SubscribeError, leaves::capacity::is_roomy};

/// What a connection has that is one of many. Most of those that are not have none.
#[derive(Default)]
pub(super) struct Broadcasts {
    waiting: VecDeque<Waiting>,
    /// What those that wait count.
    bytes: usize,
    /// The number of the first one that waits. They are numbered in their order.
    first: u64,
    /// The numbers of those with a key, of which there is one for each. In a box, as the topics are,
    /// since this is there for everybody who is sent what goes to all.
    #[expect(clippy::box_collection, reason = "most have none")]
    keys: Option<Box<HashMap<Key, u64>>>,
    /// Counts own messages that have left the queue since the first of these came.
    own_left: u64,
    #[expect(clippy::box_collection, reason = "many have none")]
    topics: Option<Box<HashSet<Arc<str>>>>,
    /// How many were dropped, ever.
    pub(super) dropped: u64,
}

struct Waiting {
    broadcast: Broadcast,
    key: Option<Key>,
    /// Own messages that go before, counted as `own_left` counts.
    behind: u64,
}

/// What was put, and which older one of its key it replaced, with what each counts.
pub(super) struct Put {
    pub(super) bytes: usize,
    pub(super) older: Option<(Broadcast, usize)>,
}

/// Where the count begins: as many own messages may be put before what waits.
const OWN_LEFT: u64 = 1 << 32;

fn bytes(broadcast: &Broadcast) -> usize {
    PER_MESSAGE + broadcast.message().len()
}

impl Broadcasts {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is lost by forgetting this.
    pub(super) fn is_unused(&self) -> bool {
        self.waiting.is_empty() && self.topics.is_none() && self.dropped == 0
    }

    /// Bytes of the next to go, if it goes before what is first among the own messages.
    pub(super) fn due(&self) -> Option<usize> {
        let next = self.waiting.front()?;
        (next.behind <= self.own_left).then(|| bytes(&next.broadcast))
    }

    /// An own message left the queue.
    pub(super) fn own_left(&mut self) {
        self.own_left += 1;
    }

    /// An own message was put before all that waits.
    pub(super) fn own_put_first(&mut self) {
        if !self.waiting.is_empty() {
            self.own_left -= 1;
        }
    }

    /// The own message that had so many others before it goes nowhere.
    pub(super) fn own_removed(&mut self, before: usize) {
        let place = self.own_left + before as u64;
        for waiting in self.waiting.iter_mut().rev().take_while(|waiting| waiting.behind > place) {
            waiting.behind -= 1;
        }
    }

    /// Only so many own messages are left.
    pub(super) fn only_behind(&mut self, own: usize) {
        let last = self.own_left + own as u64;
        for waiting in self.waiting.iter_mut().rev().take_while(|waiting| waiting.behind > last) {
            waiting.behind = last;
        }
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.iter().flat_map(|topics| topics.iter())
    }

    /// Notes a topic. Whether it is a new one.
    pub(super) fn add_topic(
        &mut self,
        topic: &Arc<str>,
        limit: usize,
    ) -> Result<bool, SubscribeError> {
        let topics = self.topics.get_or_insert_default();
        if topics.contains(topic) {
            return Ok(false);
        }
        if topics.len() >= limit {
            return Err(SubscribeError::TooMany { limit });
        }
        Ok(topics.insert(Arc::clone(topic)))
    }

    /// Forgets a topic. Whether it was there.
    pub(super) fn remove_topic(&mut self, topic: &str) -> bool {
        let Some(topics) = &mut self.topics else {
            return false;
        };
        let was = topics.remove(topic);
        let len = topics.len();
        if len == 0 {
            self.topics = None;
        } else if is_roomy(len, topics.capacity()) {
            topics.shrink_to(2 * len);
        }
        was
    }

    pub(super) fn take_topics(&mut self) -> HashSet<Arc<str>> {
        self.topics.take().map(|topics| *topics).unwrap_or_default()
    }

    /// Bytes of the one that waits with this key, and whether it is the first of all that wait.
    pub(super) fn of_key(&self, key: &Key) -> Option<(usize, bool)> {
        let number = self.number(key)?;
        let waiting = self.waiting.get(self.place(number))?;
        let first = number == self.first && waiting.behind <= self.own_left;
        Some((bytes(&waiting.broadcast), first))
    }

    fn number(&self, key: &Key) -> Option<u64> {
        self.keys.as_ref()?.get(key).copied()
    }

    fn place(&self, number: u64) -> usize {
        (number - self.first) as usize
    }

    /// Puts one after `own` messages that wait, or in the place of the one with its key.
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
            let number = self.first + self.waiting.len() as u64;
            self.keys.get_or_insert_default().insert(key.clone(), number);
        }
        let behind = self.own_left + own as u64;
        self.waiting.push_back(Waiting { broadcast, key: post.key.clone(), behind });
        Put { bytes, older: None }
    }

    /// Takes the oldest, and how many bytes it counts.
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

    /// Takes about as many bytes as `room` says, where no own message waits. How many.
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

    /// Takes all, to be dropped outside of the lock.
    pub(super) fn take_all(&mut self) -> impl Sized + use<> {
        self.first += self.waiting.len() as u64;
        self.bytes = 0;
        (mem::take(&mut self.waiting), mem::take(&mut self.keys))
    }
}
