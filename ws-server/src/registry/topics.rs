//! Topics and their subscribers.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use ws_core::Broadcast;

use super::delivery::Subscribers;
use crate::{
    ClientId, SubscribeError,
    leaves::{
        capacity::is_roomy,
        sync::{Mutex, MutexGuard, PoisonError},
    },
    outbox::Outbox,
};

/// The topics that have subscribers.
///
/// Locks are taken in this order: first the index, then the subscribers of a topic. An outbox is
/// locked while the index is; a publisher holds only one of these locks at a time.
#[derive(Default)]
pub(crate) struct Topics {
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    topics: HashMap<Arc<str>, Arc<Subscribers>>,
    subscriptions: usize,
}

impl Topics {
    fn index(&self) -> MutexGuard<'_, Index> {
        // No code that may panic runs under the lock.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes a connection, unless it does already. Returns the topic's own copy of its name, and
    /// whether this is its first subscriber. What was `missed`
    /// goes before everything that is published from now on.
    pub(super) fn subscribe(
        &self,
        outbox: &Arc<Outbox>,
        topic: &str,
        mut missed: Option<VecDeque<Broadcast>>,
    ) -> Result<(Arc<str>, bool), SubscribeError> {
        let limit = outbox.limits.max_topic;
        if topic.len() > limit {
            return Err(SubscribeError::TopicTooLong { len: topic.len(), limit });
        }
        let is_refill = missed.is_some();
        let mut index = self.index();
        let known = index.topics.get_key_value(topic).map(|(name, _)| Arc::clone(name));
        let is_known = known.is_some();
        let name = known.unwrap_or_else(|| Arc::from(topic));
        let is_new = outbox.add_topic(&name, &mut missed)?;
        if is_new {
            let subscribers = index.topics.entry(Arc::clone(&name)).or_default();
            subscribers.add(outbox);
            index.subscriptions += 1;
        }
        drop(index);
        if is_refill {
            outbox.refill_begun();
        }
        Ok((name, is_new && !is_known))
    }

    /// Ends a subscription. Returns how many the topic has left, if there was one.
    pub(super) fn unsubscribe(&self, outbox: &Outbox, topic: &str) -> Option<usize> {
        let mut index = self.index();
        let refill = outbox.remove_topic(topic)?;
        let left = index.remove(outbox.id, topic);
        drop(index);
        outbox.refill_ended(refill);
        Some(left)
    }

    /// Ends all subscriptions of a connection that is over. Calls `emptied` with the topics that have
    /// no subscriber left, without a lock.
    pub(super) fn leave(&self, outbox: &Outbox, mut emptied: impl FnMut(&str)) {
        for topic in outbox.leave() {
            // The lock is taken for each topic anew, so that others get it in between.
            let left = self.index().remove(outbox.id, &topic);
            if left == 0 {
                emptied(&topic);
            }
        }
    }

    /// Returns the topic's own copy of its name, and its subscribers.
    pub(crate) fn find(&self, topic: &str) -> Option<(Arc<str>, Arc<Subscribers>)> {
        let index = self.index();
        let (name, subscribers) = index.topics.get_key_value(topic)?;
        Some((Arc::clone(name), Arc::clone(subscribers)))
    }

    /// The number of topics, and of subscriptions to them.
    pub(crate) fn count(&self) -> (usize, usize) {
        let index = self.index();
        (index.topics.len(), index.subscriptions)
    }

    /// Lists the topics with their numbers of subscribers.
    pub(crate) fn list(&self) -> Vec<(Arc<str>, usize)> {
        let index = self.index();
        let topics = index.topics.iter();
        topics.map(|(name, subscribers)| (Arc::clone(name), subscribers.count())).collect()
    }
}

impl Index {
    /// Removes a subscriber. Returns how many are left.
    fn remove(&mut self, id: ClientId, topic: &str) -> usize {
        let Some(subscribers) = self.topics.get(topic) else {
            return 0;
        };
        self.subscriptions -= 1;
        let left = subscribers.remove(id);
        if left == 0 {
            self.topics.remove(topic);
            if is_roomy(self.topics.len(), self.topics.capacity()) {
                self.topics.shrink_to(2 * self.topics.len());
            }
        }
        left
    }
}
