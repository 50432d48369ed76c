//! What the connections of a server share: who is connected, who subscribes to what, counters. It may
//! import the outbox and leaves.

pub(crate) mod delivery;
pub(crate) mod topics;

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::runtime::Handle;
use ws_core::Closed;

use crate::{
    ClientId, Publication, Published, SlowConsumer,
    leaves::log_limiter::{HintLimiter, LogLimiter},
    leaves::metrics::Counters,
    leaves::sync::{Mutex, MutexGuard, PoisonError},
    outbox::Outbox,
    registry::delivery::{CHUNK, Subscribers},
    registry::topics::Topics,
};

/// Who is connected, who subscribes to what, and what is counted.
#[derive(Default)]
pub(crate) struct Registry {
    outboxes: Mutex<Outboxes>,
    ids: AtomicU64,
    slow_consumer: OnceLock<SlowConsumer>,
    /// That of the first connection.
    runtime: OnceLock<Handle>,
    pub(crate) topics: Topics,
    /// What is sent to those who are picked from all.
    everyone: Arc<Subscribers>,
    pub(crate) counters: Counters,
    /// About clients.
    pub(crate) complaints: LogLimiter,
    /// Of handlers that failed: apart from those about clients, which would drown them.
    pub(crate) failures: LogLimiter,
    /// Of subprotocols that nobody speaks.
    pub(crate) subprotocols: HintLimiter,
}

impl Registry {
    /// Lists a connection until the entry is dropped.
    pub(crate) fn enter(self: &Arc<Self>, outbox: &Arc<Outbox>) -> Entry {
        if self.runtime.get().is_none()
            && let Ok(runtime) = Handle::try_current()
        {
            self.runtime.set(runtime).ok();
        }
        self.outboxes().insert(outbox.id, Arc::clone(outbox));
        Entry(Some(Arc::clone(outbox)))
    }

    /// A runtime that drives connections, if there were any.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.runtime.get().cloned()
    }

    /// An id for a new connection.
    pub(crate) fn next_id(&self) -> ClientId {
        ClientId(1 + self.ids.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn outboxes(&self) -> MutexGuard<'_, Outboxes> {
        // Nothing that may panic runs under the lock.
        self.outboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to slow consumers of messages that do not say, before any is served.
    pub(crate) fn set_slow_consumer(&self, policy: SlowConsumer) {
        self.slow_consumer.set(policy).ok();
    }

    fn slow_consumer(&self) -> SlowConsumer {
        self.slow_consumer.get().copied().unwrap_or_default()
    }

    /// Queues a message for the subscribers of a topic.
    pub(crate) fn publish(self: &Arc<Self>, topic: &str, publication: Publication) -> Published {
        let Some((topic, subscribers)) = self.topics.find(topic) else {
            self.counters.broadcast(0, 0);
            return Published::Here(0);
        };
        let except = publication.excepted();
        let post = publication.into_post(Some(&topic), self.slow_consumer());
        subscribers.publish(self, post, except)
    }

    /// As [`publish`](Self::publish), when all of them have room.
    pub(crate) async fn publish_wait(
        self: &Arc<Self>,
        topic: &str,
        publication: Publication,
    ) -> Published {
        // So that a task with an endless supply lets others have their turn.
        tokio::task::coop::consume_budget().await;
        let except = publication.excepted();
        loop {
            let Some((topic, subscribers)) = self.topics.find(topic) else {
                self.counters.broadcast(0, 0);
                return Published::Here(0);
            };
            // Others may publish where this one waits. What is published when nothing had to be
            // waited for finds the room that was there.
            if !subscribers.wait(except).await {
                let mut post = publication.into_post(Some(&topic), self.slow_consumer());
                post.waited = true;
                return subscribers.publish(self, post, except);
            }
        }
    }

    /// Queues a message for those that `predicate` picks.
    pub(crate) fn send_where(
        self: &Arc<Self>,
        publication: Publication,
        mut predicate: impl FnMut(&Arc<Outbox>) -> bool,
    ) -> Published {
        let except = publication.excepted();
        let mut picked = Vec::new();
        self.each(|outbox| {
            if Some(outbox.id) != except && predicate(&outbox) {
                picked.push(outbox);
            }
        });
        self.everyone.send(self, publication.into_post(None, self.slow_consumer()), picked)
    }

    /// Shows all who are connected now, in the order in which they came. No lock is held meanwhile.
    pub(crate) fn each(&self, mut show: impl FnMut(Arc<Outbox>)) {
        let last = ClientId(self.ids.load(Ordering::Relaxed));
        let (mut after, mut chunk) = (ClientId(0), Vec::new());
        loop {
            let outboxes = self.outboxes();
            let rest = outboxes.range((Bound::Excluded(after), Bound::Included(last)));
            chunk.extend(rest.take(CHUNK).map(|(_, outbox)| Arc::clone(outbox)));
            drop(outboxes);
            let Some(newest) = chunk.last() else {
                return;
            };
            after = newest.id;
            chunk.drain(..).for_each(&mut show);
        }
    }
}

type Outboxes = BTreeMap<ClientId, Arc<Outbox>>;

/// A place in the list, with what it subscribes to, given up when it is dropped.
pub(crate) struct Entry(Option<Arc<Outbox>>);

impl Entry {
    /// The connection is over.
    pub(crate) fn close(mut self, closed: &Closed) {
        let Some(outbox) = self.0.take() else { return };
        leave(&outbox, Some(closed));
        if let Some(registry) = &outbox.registry {
            registry.complaints.tell(closed);
        }
    }

    /// It was never open.
    pub(crate) fn withdraw(mut self) {
        if let Some(outbox) = self.0.take() {
            leave(&outbox, None);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(outbox) = &self.0 {
            // A task that was dropped leaves nobody to say how it ended.
            leave(outbox, Some(&Closed::abnormal(ws_core::ClosedBy::Local)));
        }
    }
}

/// Takes a connection off the list with all that it subscribes to.
fn leave(outbox: &Arc<Outbox>, closed: Option<&Closed>) {
    let Some(registry) = &outbox.registry else { return };
    let Some(listed) = registry.outboxes().remove(&outbox.id) else { return };
    registry.topics.leave(outbox);
    outbox.tell_memory(0);
    if let Some(closed) = closed {
        registry.counters.closed(closed);
    }
    // Outside of the lock, because it may be the last reference.
    drop(listed);
}
