//! What the connections of a server share.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use ws_core::Closed;

use crate::{
    ClientId, Publication, SlowConsumer,
    complaints::{Complaints, Hints},
    driver::turn,
    link::{Dropped, Link},
    metrics::Counters,
    publication::Post,
    sync::{Mutex, MutexGuard, PoisonError},
    topics::Topics,
};

/// Who is connected, who subscribes to what, and what is counted.
#[derive(Default)]
pub(crate) struct Hub {
    links: Mutex<Links>,
    ids: AtomicU64,
    slow_consumer: OnceLock<SlowConsumer>,
    pub(crate) topics: Topics,
    pub(crate) counters: Counters,
    /// About clients.
    pub(crate) complaints: Complaints,
    /// Of handlers that failed: apart from those about clients, which would drown them.
    pub(crate) failures: Complaints,
    /// Of subprotocols that nobody speaks.
    pub(crate) subprotocols: Hints,
}

impl Hub {
    /// Lists a connection until the entry is dropped.
    pub(crate) fn enter(self: &Arc<Self>, link: &Arc<Link>) -> Entry {
        self.links().insert(link.id, Arc::clone(link));
        Entry(Some(Arc::clone(link)))
    }

    /// An id for a new connection.
    pub(crate) fn next_id(&self) -> ClientId {
        ClientId(1 + self.ids.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn links(&self) -> MutexGuard<'_, Links> {
        // Nothing that may panic runs under the lock, but for predicates, which only look.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to slow consumers of messages that do not say, before any is served.
    pub(crate) fn set_slow_consumer(&self, policy: SlowConsumer) {
        self.slow_consumer.set(policy).ok();
    }

    fn slow_consumer(&self) -> SlowConsumer {
        self.slow_consumer.get().copied().unwrap_or_default()
    }

    /// Queues a message for the subscribers of a topic. For how many.
    pub(crate) fn publish(&self, topic: &str, publication: Publication) -> usize {
        let Some((topic, subscribers)) = self.topics.find(topic) else {
            self.counters.broadcast(0, 0);
            return 0;
        };
        let except = publication.excepted();
        let post = publication.into_post(Some(&topic), self.slow_consumer());
        let publishing = subscribers.publishing();
        let links = subscribers.links(except);
        let (queued, dropped) = self.deliver(&links, &post);
        drop(publishing);
        // Only now, because what an application attached or sent may publish when it is dropped.
        drop((links, dropped));
        queued
    }

    /// Queues a message for those that `predicate` picks. For how many.
    pub(crate) fn send_where(
        &self,
        publication: Publication,
        mut predicate: impl FnMut(&Arc<Link>) -> bool,
    ) -> usize {
        let except = publication.excepted();
        let picked: Vec<Arc<Link>> = {
            let links = self.links();
            let mut picked = Vec::with_capacity(links.len());
            picked.extend(
                links.values().filter(|link| Some(link.id) != except && predicate(link)).cloned(),
            );
            picked
        };
        self.deliver(&picked, &publication.into_post(None, self.slow_consumer())).0
    }

    /// For how many it was queued, and what was dropped.
    fn deliver(&self, links: &[Arc<Link>], post: &Post) -> (usize, Dropped) {
        let mut dropped = Dropped::default();
        let queued = links.iter().filter(|link| link.offer(post, &mut dropped)).count();
        self.counters.broadcast(queued, dropped.count);
        turn::published(links.len());
        (queued, dropped)
    }
}

type Links = HashMap<ClientId, Arc<Link>, BuildHasherDefault<IdHasher>>;

/// Spreads ids, which this server counts itself: no client can choose those that collide.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write_u64(&mut self, id: u64) {
        // 2^64 by the golden ratio.
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.write_u64(u64::from(*octet));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A place in the list, with what it subscribes to, given up when it is dropped.
pub(crate) struct Entry(Option<Arc<Link>>);

impl Entry {
    /// The connection is over.
    pub(crate) fn close(mut self, closed: &Closed) {
        let Some(link) = self.0.take() else { return };
        leave(&link, Some(closed));
        if let Some(hub) = &link.hub {
            hub.complaints.tell(closed);
        }
    }

    /// It was never open.
    pub(crate) fn withdraw(mut self) {
        if let Some(link) = self.0.take() {
            leave(&link, None);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(link) = &self.0 {
            // A task that was dropped leaves nobody to say how it ended.
            leave(link, Some(&Closed::abnormal(ws_core::ClosedBy::Local)));
        }
    }
}

/// Takes a connection off the list with all that it subscribes to.
fn leave(link: &Arc<Link>, closed: Option<&Closed>) {
    let Some(hub) = &link.hub else { return };
    let Some(listed) = hub.links().remove(&link.id) else { return };
    hub.topics.leave(link);
    link.tell_memory(0);
    if let Some(closed) = closed {
        hub.counters.closed(closed);
    }
    // Outside of the lock, because it may be the last reference.
    drop(listed);
}
