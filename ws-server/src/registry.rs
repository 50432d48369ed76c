//! All connections of a server: who is connected, who subscribes to what, and the delivery of messages
//! to many. This room imports the outbox and leaves.

pub(crate) mod delivery;
pub(crate) mod draft;
#[cfg(all(test, shuttle))]
mod model;
pub(crate) mod published;
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

use self::{
    delivery::{CHUNK, Delivery, Subscribers},
    draft::Draft,
    topics::Topics,
};
use crate::{
    ClientId, Published, SlowConsumer,
    leaves::{
        stats::Stats,
        sync::{Mutex, MutexGuard, PoisonError},
    },
    outbox::Outbox,
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
    pub(crate) stats: Arc<Stats>,
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
        Entry { outbox: Arc::clone(outbox), registry: Some(Arc::clone(self)) }
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
    pub(crate) fn publish(self: &Arc<Self>, topic: &str, draft: Draft) -> Delivery {
        let Some((topic, subscribers)) = self.topics.find(topic) else {
            return self.nobody();
        };
        let except = draft.except;
        let post = draft.into_post(Some(&topic), self.slow_consumer());
        subscribers.publish(self, post, except)
    }

    /// As [`publish`](Self::publish), when all of them have room.
    pub(crate) async fn publish_wait(self: &Arc<Self>, topic: &str, draft: Draft) -> Delivery {
        // So that a task with an endless supply lets others have their turn.
        tokio::task::coop::consume_budget().await;
        let except = draft.except;
        loop {
            let Some((topic, subscribers)) = self.topics.find(topic) else {
                return self.nobody();
            };
            // Others may publish where this one waits. What is published when nothing had to be
            // waited for finds the room that was there.
            if !subscribers.wait(except).await {
                let mut post = draft.into_post(Some(&topic), self.slow_consumer());
                post.waited = true;
                return subscribers.publish(self, post, except);
            }
        }
    }

    /// A message to a topic that nobody subscribes to.
    fn nobody(&self) -> Delivery {
        self.stats.counters.broadcast(0, 0);
        Delivery { published: Published::Here(0), copies: 0 }
    }

    /// Queues a message for those that `predicate` picks.
    pub(crate) fn send_where(
        self: &Arc<Self>,
        draft: Draft,
        mut predicate: impl FnMut(&Arc<Outbox>) -> bool,
    ) -> Delivery {
        let except = draft.except;
        let mut picked = Vec::new();
        self.each(|outbox| {
            if Some(outbox.id) != except && predicate(&outbox) {
                picked.push(outbox);
            }
        });
        self.everyone.send(self, draft.into_post(None, self.slow_consumer()), picked)
    }

    /// Shows all who are connected now, the oldest first. No lock is held while `show` runs.
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

    /// Takes a connection off the list with all that it subscribes to.
    fn leave(&self, outbox: &Arc<Outbox>, closed: Option<&Closed>) {
        let Some(listed) = self.outboxes().remove(&outbox.id) else { return };
        self.topics.leave(outbox);
        outbox.tell_memory(0);
        if let Some(closed) = closed {
            self.stats.counters.closed(closed);
        }
        // Outside of the lock, because it may be the last reference.
        drop(listed);
    }
}

type Outboxes = BTreeMap<ClientId, Arc<Outbox>>;

/// A connection's line in the list, with what it subscribes to, given up when it is dropped.
pub(crate) struct Entry {
    outbox: Arc<Outbox>,
    /// Until it is off the list.
    registry: Option<Arc<Registry>>,
}

impl Entry {
    #[inline]
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// The connection is over.
    pub(crate) fn close(&mut self, closed: &Closed) {
        if let Some(registry) = self.registry.take() {
            registry.leave(&self.outbox, Some(closed));
            registry.stats.client_log.log_close(closed);
        }
    }

    /// It was never open.
    pub(crate) fn withdraw(mut self) {
        if let Some(registry) = self.registry.take() {
            registry.leave(&self.outbox, None);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(registry) = &self.registry {
            // A task that was dropped leaves nobody to say how it ended.
            registry.leave(&self.outbox, Some(&Closed::abnormal(ws_core::ClosedBy::Local)));
        }
    }
}
