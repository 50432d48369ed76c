//! Who subscribes to what.

use std::{collections::HashMap, fmt, sync::Arc};

use crate::{
    Client, ClientId, Publication, SubscribeError,
    link::Link,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The topics that somebody subscribes to.
///
/// Locks are taken in this order: the index, the subscribers of a topic, a link. Publishers of one
/// topic go one after the other, and hold none of these meanwhile but one link at a time.
#[derive(Default)]
pub(crate) struct Topics {
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    topics: HashMap<Arc<str>, Arc<Subscribers>>,
    subscriptions: usize,
}

#[derive(Default)]
pub(crate) struct Subscribers {
    links: Mutex<HashMap<ClientId, Arc<Link>>>,
    publishing: Mutex<()>,
}

/// Whether a collection has far more room than it needs.
pub(crate) fn is_roomy(len: usize, capacity: usize) -> bool {
    const KEPT: usize = 16;
    capacity > KEPT && len < capacity / 4
}

impl Topics {
    fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    /// Subscribes, if it did not before.
    pub(crate) fn subscribe(
        &self,
        link: &Arc<Link>,
        topic: &str,
    ) -> Result<Arc<str>, SubscribeError> {
        let limit = link.limits.max_topic;
        if topic.len() > limit {
            return Err(SubscribeError::TopicTooLong { len: topic.len(), limit });
        }
        let mut index = self.index();
        let known = index.topics.get_key_value(topic).map(|(name, _)| Arc::clone(name));
        let name = known.unwrap_or_else(|| Arc::from(topic));
        if link.add_topic(&name)? {
            let subscribers = index.topics.entry(Arc::clone(&name)).or_default();
            lock(&subscribers.links).insert(link.id, Arc::clone(link));
            index.subscriptions += 1;
        }
        Ok(name)
    }

    /// Whether it did subscribe.
    pub(crate) fn unsubscribe(&self, link: &Link, topic: &str) -> bool {
        let mut index = self.index();
        let did = link.remove_topic(topic);
        if did {
            index.remove(link.id, topic);
        }
        did
    }

    /// Ends what a connection that is over subscribed to.
    pub(crate) fn leave(&self, link: &Link) {
        for topic in link.leave() {
            // The lock is not held throughout, so that others have their turn.
            self.index().remove(link.id, &topic);
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
        let mut links = lock(&subscribers.links);
        // Never the last reference: whoever unsubscribes has one.
        self.subscriptions -= usize::from(links.remove(&id).is_some());
        if links.is_empty() {
            drop(links);
            self.topics.remove(topic);
            if is_roomy(self.topics.len(), self.topics.capacity()) {
                self.topics.shrink_to(2 * self.topics.len());
            }
        } else if is_roomy(links.len(), links.capacity()) {
            let len = links.len();
            links.shrink_to(2 * len);
        }
    }
}

impl Subscribers {
    pub(crate) fn count(&self) -> usize {
        lock(&self.links).len()
    }

    /// All of them but one.
    pub(crate) fn links(&self, except: Option<ClientId>) -> Vec<Arc<Link>> {
        let links = lock(&self.links);
        let mut all = Vec::with_capacity(links.len());
        all.extend(
            links.iter().filter(|(id, _)| Some(**id) != except).map(|(_, link)| link).cloned(),
        );
        all
    }

    /// Publishers go one after the other, so that all subscribers see one order.
    pub(crate) fn publishing(&self) -> MutexGuard<'_, ()> {
        lock(&self.publishing)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that may panic runs under the locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A topic, as one of its subscribers has it. A handle: cloning it is cheap, and dropping it ends
/// nothing: the subscription lasts until [`unsubscribe`](Self::unsubscribe), or the end of the
/// connection.
#[derive(Clone)]
pub struct Topic {
    name: Arc<str>,
    link: Arc<Link>,
}

impl Topic {
    /// Subscribes.
    pub(crate) fn subscribe(link: &Arc<Link>, topic: &str) -> Result<Self, SubscribeError> {
        let hub = link.hub.as_ref().ok_or(SubscribeError::ClientEnd)?;
        let name = hub.topics.subscribe(link, topic)?;
        Ok(Self { name, link: Arc::clone(link) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As [`Clients::publish`](crate::Clients::publish): to all who subscribe, this connection
    /// included.
    pub fn publish(&self, publication: impl Into<Publication>) -> usize {
        self.link.hub.as_ref().map_or(0, |hub| hub.publish(&self.name, publication.into()))
    }

    /// As [`publish`](Self::publish), to all but this connection. What the publication itself
    /// [excepts](Publication::except) is replaced.
    pub fn publish_to_others(&self, publication: impl Into<Publication>) -> usize {
        self.publish(publication.into().except(self.link.id))
    }

    /// How many subscribe.
    pub fn subscribers(&self) -> usize {
        let subscribers = self.link.hub.as_ref().and_then(|hub| hub.topics.find(&self.name));
        subscribers.map_or(0, |(_, subscribers)| subscribers.count())
    }

    /// Ends the subscription of this connection, as
    /// [`WebSocket::unsubscribe`](crate::WebSocket::unsubscribe). Whether there was one.
    pub fn unsubscribe(&self) -> bool {
        unsubscribe(&self.link, &self.name)
    }
}

/// Whether there was a subscription.
pub(crate) fn unsubscribe(link: &Link, topic: &str) -> bool {
    link.hub.as_ref().is_some_and(|hub| hub.topics.unsubscribe(link, topic))
}

/// The subscribers, in the order in which they came.
pub(crate) fn clients(links: Vec<Arc<Link>>) -> Vec<Client> {
    let mut clients: Vec<Client> = links.into_iter().map(Client::new).collect();
    clients.sort_by_key(Client::id);
    clients
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.name)
            .field("id", &self.link.id)
            .finish_non_exhaustive()
    }
}
