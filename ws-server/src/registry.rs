//! All connections of a server, their subscriptions, and the delivery of broadcasts. This room
//! imports the outbox and the leaves.

pub(crate) mod delivery;
pub(crate) mod draft;
#[cfg(all(test, shuttle))]
mod model;
pub(crate) mod published;
pub(crate) mod topics;

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::runtime::Handle;
use ws_core::{Closed, ClosedBy};

use self::{
    delivery::{CHUNK, Delivery, Subscribers},
    draft::Draft,
    topics::Topics,
};
use crate::{
    ClientId, Limits, Published, SlowConsumer,
    leaves::{
        stats::Stats,
        sync::{Mutex, MutexGuard, PoisonError},
    },
    outbox::Outbox,
};

/// The connections of a server, their subscriptions and counters.
#[derive(Default)]
pub(crate) struct Registry {
    outboxes: Mutex<Outboxes>,
    ids: AtomicU64,
    defaults: OnceLock<(SlowConsumer, Arc<Limits>)>,
    /// The runtime of the first connection.
    runtime: OnceLock<Handle>,
    pub(crate) topics: Topics,
    /// The backlog of broadcasts to connections picked from all.
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

    /// A runtime that drives connections, if any connection was opened.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.runtime.get().cloned()
    }

    /// Returns an id for a new connection.
    pub(crate) fn next_id(&self) -> ClientId {
        ClientId(1 + self.ids.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn outboxes(&self) -> MutexGuard<'_, Outboxes> {
        // No code that may panic runs under the lock.
        self.outboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what the server has by default, before any connection is served: the policy for slow
    /// consumers, and the limits.
    pub(crate) fn set_defaults(&self, policy: SlowConsumer, limits: &Arc<Limits>) {
        self.defaults.set((policy, Arc::clone(limits))).ok();
    }

    fn slow_consumer(&self) -> SlowConsumer {
        self.defaults.get().map(|(policy, _)| *policy).unwrap_or_default()
    }

    /// The limits of the server.
    pub(crate) fn limits(&self) -> Arc<Limits> {
        self.defaults.get().map(|(_, limits)| Arc::clone(limits)).unwrap_or_default()
    }

    /// Queues a message for the subscribers of a topic.
    pub(crate) fn publish(self: &Arc<Self>, topic: &str, draft: Draft) -> Delivery {
        let Some((topic, subscribers)) = self.topics.find(topic) else {
            return self.no_subscribers();
        };
        let except = draft.except;
        let post = draft.into_post(Some(&topic), self.slow_consumer());
        subscribers.publish(self, post, except)
    }

    /// Does the same as [`publish`](Self::publish), once all subscribers have room.
    pub(crate) async fn publish_wait(self: &Arc<Self>, topic: &str, draft: Draft) -> Delivery {
        // So that a task that publishes without end yields to others.
        tokio::task::coop::consume_budget().await;
        let except = draft.except;
        loop {
            let Some((topic, subscribers)) = self.topics.find(topic) else {
                return self.no_subscribers();
            };
            // Others may publish while this call waits. If there was nothing to wait for, the room
            // found is still there.
            if !subscribers.wait(except).await {
                let mut post = draft.into_post(Some(&topic), self.slow_consumer());
                post.waited = true;
                return subscribers.publish(self, post, except);
            }
        }
    }

    /// The result for a topic without subscribers.
    fn no_subscribers(&self) -> Delivery {
        self.stats.counters.broadcast(0, 0);
        Delivery { published: Published::Here(0), copies: 0 }
    }

    /// Queues a message for the connections that `predicate` picks.
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

    /// Calls `show` for every connection, the oldest first. No lock is held while `show` runs.
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

    /// Bytes of the messages that wait in the queues of all connections.
    pub(crate) fn queue_bytes(&self) -> usize {
        let (mut bytes, mut after, mut waiting) = (0, ClientId(0), Vec::new());
        loop {
            let outboxes = self.outboxes();
            let mut last = None;
            for (id, outbox) in
                outboxes.range((Bound::Excluded(after), Bound::Unbounded)).take(CHUNK)
            {
                last = Some(*id);
                // Most have nothing, and are not locked.
                if outbox.is_anything_before() {
                    waiting.push(Arc::clone(outbox));
                }
            }
            drop(outboxes);
            bytes += waiting.drain(..).map(|outbox| outbox.queue_bytes()).sum::<usize>();
            let Some(last) = last else { return bytes };
            after = last;
        }
    }

    /// Removes a connection from the list, with its subscriptions.
    fn leave(&self, outbox: &Arc<Outbox>, closed: Option<&Closed>) {
        let Some(listed) = self.outboxes().remove(&outbox.id) else { return };
        self.topics.leave(outbox);
        outbox.set_memory(0);
        if let Some(closed) = closed {
            self.stats.counters.closed(closed, outbox.request.age());
        }
        // Dropped without the lock, because it may be the last reference.
        drop(listed);
    }
}

type Outboxes = BTreeMap<ClientId, Arc<Outbox>>;

/// A connection's entry in the list, with its subscriptions. Dropping it removes both.
pub(crate) struct Entry {
    outbox: Arc<Outbox>,
    /// Set until the connection is removed.
    registry: Option<Arc<Registry>>,
}

impl Entry {
    #[inline]
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Removes a connection that is over.
    pub(crate) fn close(&mut self, closed: &Closed) {
        if let Some(registry) = self.registry.take() {
            registry.leave(&self.outbox, Some(closed));
            registry.stats.client_log.log_close(closed);
        }
    }

    /// Removes a connection that was never open, and ends it for those who have a handle of it.
    pub(crate) fn withdraw(mut self) {
        if let Some(registry) = self.registry.take() {
            registry.leave(&self.outbox, None);
            self.outbox.over(VecDeque::new());
            self.outbox.end(&Closed::abnormal(ClosedBy::Local));
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(registry) = &self.registry {
            // A dropped task leaves no one to say how its connection ended.
            registry.leave(&self.outbox, Some(&Closed::abnormal(ClosedBy::Local)));
        }
    }
}
