//! The topics that this node follows.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use ws_server::Clients;

use crate::{
    JoinError,
    node::Node,
    own::Own,
    topic::{Follower, Join, Topic},
};

#[derive(Debug)]
pub(crate) struct Tracks {
    node: Arc<Node>,
    topics: Mutex<HashMap<Arc<str>, Arc<Topic>>>,
    is_closed: AtomicBool,
}

impl Tracks {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node, topics: Mutex::default(), is_closed: AtomicBool::new(false) }
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Topic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self) -> usize {
        self.topics().len()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.topics().values().cloned().collect()
    }

    /// Whether a topic has subscribers here may have changed.
    pub(crate) fn interest(self: &Arc<Self>, clients: &Clients, topic: &str) {
        // What is followed finds out by itself, and later than this.
        let is_wanted = clients.subscribers(topic) > 0;
        self.with(clients, topic, is_wanted, Topic::poke);
    }

    pub(crate) fn join(
        self: &Arc<Self>,
        clients: &Clients,
        topic: &str,
        join: Join,
    ) -> Result<(), JoinError> {
        let is_followed = self.with(clients, topic, true, |topic| topic.join(join));
        is_followed.then_some(()).ok_or(JoinError::ShutDown)
    }

    /// Where what this process publishes is noted, if the topic is followed.
    pub(crate) fn own(&self, topic: &str) -> Option<Arc<Own>> {
        self.topics().get(topic).map(|topic| Arc::clone(&topic.own))
    }

    /// Acts on a topic before its task can leave; on a new one if it is `wanted`. Returns whether there is
    /// one.
    fn with(
        self: &Arc<Self>,
        clients: &Clients,
        name: &str,
        wanted: bool,
        act: impl FnOnce(&Topic),
    ) -> bool {
        let mut topics = self.topics();
        if let Some(topic) = topics.get(name) {
            act(topic);
            return true;
        }
        if !wanted || self.is_closed.load(Relaxed) {
            return false;
        }
        let topic = Arc::new(Topic::new(name.into()));
        act(&topic);
        topics.insert(Arc::clone(&topic.name), Arc::clone(&topic));
        drop(topics);
        let follower = Follower::new(Arc::clone(&self.node), clients.clone(), Arc::clone(&topic));
        let followed = Followed { tracks: Arc::downgrade(self), topic };
        self.node.runtime.spawn(async move {
            follower.run(|pokes| followed.leave(Some(pokes))).await;
        });
        true
    }

    /// Ends all tasks.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Relaxed);
        for topic in self.all() {
            topic.close();
        }
    }
}

/// A topic while its task lives. Dropped with the task, in whatever way that ends: whoever comes next
/// begins anew.
struct Followed {
    tracks: Weak<Tracks>,
    topic: Arc<Topic>,
}

impl Followed {
    /// Forgets the topic, unless somebody was interested since.
    fn leave(&self, pokes: Option<u64>) -> bool {
        let Some(tracks) = self.tracks.upgrade() else { return true };
        let mut topics = tracks.topics();
        if pokes.is_some_and(|pokes| pokes != self.topic.pokes()) {
            return false;
        }
        // Another task may have begun for a topic of this name.
        if topics.get(&self.topic.name).is_some_and(|other| Arc::ptr_eq(other, &self.topic)) {
            topics.remove(&self.topic.name);
        }
        true
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.leave(None);
    }
}
