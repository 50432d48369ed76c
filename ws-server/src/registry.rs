//! All connections of a server, their subscriptions, and the delivery of broadcasts. This room
//! imports the outbox and the leaves.

pub(crate) mod backplane;
pub(crate) mod delivery;
#[cfg(all(test, shuttle))]
mod model;
pub(crate) mod publication;
pub(crate) mod published;
mod relief;
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
use ws_core::{Broadcast, Closed, ClosedBy};

use self::{
    delivery::{CHUNK, Delivery, Subscribers},
    topics::Topics,
};
use crate::{
    Backplane, ClientId, Limits, Publication, Published, SlowConsumer, SubscribeError,
    leaves::{
        budget::{Kind, charge::Charge},
        stats::Stats,
        sync::{Mutex, MutexGuard, PoisonError},
    },
    outbox::{Outbox, post::Post},
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
    /// Where publications go, if not to the subscribers here.
    backplane: OnceLock<Arc<dyn Backplane>>,
    survey: relief::Survey,
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
        outbox.count_request();
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

    /// Subscribes a connection, unless it does already.
    pub(crate) fn subscribe(
        &self,
        outbox: &Arc<Outbox>,
        topic: &str,
    ) -> Result<Arc<str>, SubscribeError> {
        self.add_subscriber(outbox, topic, None)
    }

    /// Does the same, and sends it what it missed before what is published from now on.
    pub(crate) fn subscribe_after(
        &self,
        outbox: &Arc<Outbox>,
        topic: &str,
        missed: impl IntoIterator<Item = Publication>,
    ) -> Result<Arc<str>, SubscribeError> {
        let missed = missed.into_iter().filter(|missed| missed.excepted() != Some(outbox.id));
        let mut missed: VecDeque<_> = missed.map(Publication::into_broadcast).collect();
        missed.shrink_to_fit();
        let count = missed.len();
        let name = self.add_subscriber(outbox, topic, (count > 0).then_some(missed))?;
        self.stats.counters.delivered(count);
        Ok(name)
    }

    fn add_subscriber(
        &self,
        outbox: &Arc<Outbox>,
        topic: &str,
        missed: Option<VecDeque<Broadcast>>,
    ) -> Result<Arc<str>, SubscribeError> {
        let (name, is_first) = self.topics.subscribe(outbox, topic, missed)?;
        if is_first {
            self.interest(&name);
        }
        Ok(name)
    }

    /// Ends a subscription. Returns whether there was one.
    pub(crate) fn unsubscribe(&self, outbox: &Outbox, topic: &str) -> bool {
        let left = self.topics.unsubscribe(outbox, topic);
        if left == Some(0) {
            self.interest(topic);
        }
        left.is_some()
    }

    /// Ends all subscriptions of a connection that is over.
    pub(crate) fn leave_topics(&self, outbox: &Outbox) {
        self.topics.leave(outbox, |topic| self.interest(topic));
    }

    /// Queues a message for the subscribers of a topic, or gives it to the backplane.
    pub(crate) fn publish(self: &Arc<Self>, topic: &str, publication: Publication) -> Delivery {
        match self.backplane.get() {
            None => self.publish_here(topic, publication),
            Some(backplane) => self.hand_over(&**backplane, topic, publication),
        }
    }

    /// Queues a message for the subscribers of a topic.
    pub(crate) fn publish_here(
        self: &Arc<Self>,
        topic: &str,
        publication: Publication,
    ) -> Delivery {
        let Some((topic, subscribers)) = self.topics.find(topic) else {
            return self.no_subscribers();
        };
        let except = publication.excepted();
        let post = self.post(publication, Some(topic));
        subscribers.publish(self, post, except)
    }

    /// Does the same as [`publish`](Self::publish), once all subscribers have room.
    pub(crate) async fn publish_wait(
        self: &Arc<Self>,
        topic: &str,
        publication: Publication,
    ) -> Delivery {
        // So that a task that publishes without end yields to others.
        tokio::task::coop::consume_budget().await;
        let except = publication.excepted();
        loop {
            let found = self.topics.find(topic);
            // Others may publish while this call waits. If there was nothing to wait for, the room
            // found is still there.
            if let Some((_, subscribers)) = &found
                && subscribers.wait(except).await
            {
                continue;
            }
            if let Some(backplane) = self.backplane.get() {
                return self.hand_over(&**backplane, topic, publication);
            }
            let Some((topic, subscribers)) = found else {
                return self.no_subscribers();
            };
            let mut post = self.post(publication, Some(topic));
            post.waited = true;
            return subscribers.publish(self, post, except);
        }
    }

    /// What is queued of a publication, which counts once as long as it waits anywhere.
    fn post(&self, publication: Publication, topic: Option<Arc<str>>) -> Post {
        /// What a message takes besides its octets.
        const OVERHEAD: usize = 256;

        let mut post = publication.into_post(topic, self.slow_consumer());
        let mut charge = Charge::new(&self.stats, Kind::Shared);
        // Twice, since it is kept with what it is encoded to.
        charge.set(OVERHEAD + 2 * post.broadcast.message().len());
        post.broadcast = post.broadcast.keeping(charge);
        post
    }

    /// The result for a topic without subscribers.
    fn no_subscribers(&self) -> Delivery {
        self.stats.counters.broadcast(0, 0);
        Delivery { published: Published::Here(0), copies: 0 }
    }

    /// Queues a message for the connections that `predicate` picks.
    pub(crate) fn send_where(
        self: &Arc<Self>,
        publication: Publication,
        mut predicate: impl FnMut(&Arc<Outbox>) -> bool,
    ) -> Delivery {
        let except = publication.excepted();
        let mut picked = Vec::new();
        self.each(|outbox| {
            if Some(outbox.id) != except && predicate(&outbox) {
                picked.push(outbox);
            }
        });
        self.everyone.send(self, self.post(publication, None), picked)
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
        self.leave_topics(outbox);
        outbox.set_memory(0);
        outbox.settle_account();
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
