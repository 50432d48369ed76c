//! Who subscribes to what.

use std::{collections::HashMap, fmt, sync::Arc};

use crate::{
    Client, ClientId, Publication, Published, SubscribeError,
    leaves::sync::{Mutex, MutexGuard, PoisonError},
    outbox::Outbox,
    registry::delivery::{Subscribers, is_roomy},
};

/// The topics that somebody subscribes to.
///
/// Locks are taken in this order: the index, the subscribers of a topic. Under the index an outbox is
/// locked too; whoever publishes holds one of these at a time.
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
        // Nothing that may panic runs under the lock.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes, if it did not before.
    pub(crate) fn subscribe(
        &self,
        outbox: &Arc<Outbox>,
        topic: &str,
    ) -> Result<Arc<str>, SubscribeError> {
        let limit = outbox.limits.max_topic;
        if topic.len() > limit {
            return Err(SubscribeError::TopicTooLong { len: topic.len(), limit });
        }
        let mut index = self.index();
        let known = index.topics.get_key_value(topic).map(|(name, _)| Arc::clone(name));
        let name = known.unwrap_or_else(|| Arc::from(topic));
        if outbox.add_topic(&name)? {
            let subscribers = index.topics.entry(Arc::clone(&name)).or_default();
            subscribers.add(outbox);
            index.subscriptions += 1;
        }
        Ok(name)
    }

    /// Whether it did subscribe.
    pub(crate) fn unsubscribe(&self, outbox: &Outbox, topic: &str) -> bool {
        let mut index = self.index();
        let did = outbox.remove_topic(topic);
        if did {
            index.remove(outbox.id, topic);
        }
        did
    }

    /// Ends what a connection that is over subscribed to.
    pub(crate) fn leave(&self, outbox: &Outbox) {
        for topic in outbox.leave() {
            // The lock is not held throughout, so that others have their turn.
            self.index().remove(outbox.id, &topic);
        }
    }

    /// The topic's own copy of its name, and its subscribers.
    pub(crate) fn find(&self, topic: &str) -> Option<(Arc<str>, Arc<Subscribers>)> {
        let index = self.index();
        let (name, subscribers) = index.topics.get_key_value(topic)?;
        Some((Arc::clone(name), Arc::clone(subscribers)))
    }

    /// How many topics there are, and subscriptions to them.
    pub(crate) fn count(&self) -> (usize, usize) {
        let index = self.index();
        (index.topics.len(), index.subscriptions)
    }

    /// The topics, and how many subscribe to each.
    pub(crate) fn list(&self) -> Vec<(Arc<str>, usize)> {
        let index = self.index();
        let topics = index.topics.iter();
        topics.map(|(name, subscribers)| (Arc::clone(name), subscribers.count())).collect()
    }
}

impl Index {
    fn remove(&mut self, id: ClientId, topic: &str) {
        let Some(subscribers) = self.topics.get(topic) else {
            return;
        };
        self.subscriptions -= 1;
        if subscribers.remove(id) == 0 {
            self.topics.remove(topic);
            if is_roomy(self.topics.len(), self.topics.capacity()) {
                self.topics.shrink_to(2 * self.topics.len());
            }
        }
    }
}

/// A topic, as one of its subscribers has it. A handle: cloning it is cheap, and dropping it ends
/// nothing: the subscription lasts until [`unsubscribe`](Self::unsubscribe), or the end of the
/// connection.
#[derive(Clone)]
pub struct Topic {
    name: Arc<str>,
    outbox: Arc<Outbox>,
}

impl Topic {
    /// Subscribes.
    pub(crate) fn subscribe(outbox: &Arc<Outbox>, topic: &str) -> Result<Self, SubscribeError> {
        let registry = outbox.registry.as_ref().ok_or(SubscribeError::ClientEnd)?;
        let name = registry.topics.subscribe(outbox, topic)?;
        Ok(Self { name, outbox: Arc::clone(outbox) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As [`Clients::publish`](crate::Clients::publish): to all who subscribe, this connection
    /// included.
    pub fn publish(&self, publication: impl Into<Publication>) -> Published {
        let registry = self.outbox.registry.as_ref();
        registry
            .map_or(Published::Here(0), |registry| registry.publish(&self.name, publication.into()))
    }

    /// As [`Clients::publish_wait`](crate::Clients::publish_wait): as [`publish`](Self::publish), when
    /// every subscriber has room.
    ///
    /// # Cancel safety
    /// A dropped call has published nothing.
    pub async fn publish_wait(&self, publication: impl Into<Publication>) -> Published {
        match &self.outbox.registry {
            Some(registry) => registry.publish_wait(&self.name, publication.into()).await,
            None => Published::Here(0),
        }
    }

    /// As [`publish`](Self::publish), to all but this connection. What the publication itself
    /// [excepts](Publication::except) is replaced.
    pub fn publish_to_others(&self, publication: impl Into<Publication>) -> Published {
        self.publish(publication.into().except(self.outbox.id))
    }

    /// How many subscribe.
    pub fn subscribers(&self) -> usize {
        let subscribers =
            self.outbox.registry.as_ref().and_then(|registry| registry.topics.find(&self.name));
        subscribers.map_or(0, |(_, subscribers)| subscribers.count())
    }

    /// Ends the subscription of this connection, as
    /// [`WebSocket::unsubscribe`](crate::WebSocket::unsubscribe). Whether there was one.
    pub fn unsubscribe(&self) -> bool {
        unsubscribe(&self.outbox, &self.name)
    }
}

/// Whether there was a subscription.
pub(crate) fn unsubscribe(outbox: &Outbox, topic: &str) -> bool {
    outbox.registry.as_ref().is_some_and(|registry| registry.topics.unsubscribe(outbox, topic))
}

/// The subscribers, in the order in which they came.
pub(crate) fn clients(outboxes: Vec<Arc<Outbox>>) -> Vec<Client> {
    let mut clients: Vec<Client> = outboxes.into_iter().map(Client::new).collect();
    clients.sort_by_key(Client::id);
    clients
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.name)
            .field("id", &self.outbox.id)
            .finish_non_exhaustive()
    }
}
