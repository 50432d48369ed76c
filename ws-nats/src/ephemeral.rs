//! Topics of which nothing is kept: core NATS, each publisher's order, no position.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::StreamExt;
use tokio::{sync::Notify, time};
use tracing::warn;
use ws_server::Clients;

use crate::{
    node::{Node, deliver},
    wire,
};

/// How long a topic is followed after its last subscriber left.
const LINGER: time::Duration = time::Duration::from_secs(2);

/// The ephemeral topics that this node follows.
#[derive(Debug)]
pub(crate) struct Ephemerals {
    node: Arc<Node>,
    topics: Mutex<Topics>,
}

#[derive(Debug, Default)]
struct Topics {
    followed: HashMap<Arc<str>, Arc<Followed>>,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Followed {
    /// The number of its subscribers may have changed.
    wake: Notify,
}

impl Ephemerals {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node, topics: Mutex::default() }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Topics) -> R) -> R {
        act(&mut self.topics.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a topic has subscribers here may have changed.
    pub(crate) fn interest(self: &Arc<Self>, clients: &Clients, topic: &str) {
        let is_wanted = clients.subscribers(topic) > 0;
        let begun = self.with(|topics| {
            if let Some(followed) = topics.followed.get(topic) {
                followed.wake.notify_one();
                return None;
            }
            let name: Arc<str> = topic.into();
            let followed = Arc::new(Followed::default());
            let begins = is_wanted && !topics.is_closed;
            begins.then(|| {
                topics.followed.insert(Arc::clone(&name), Arc::clone(&followed));
                (name, followed)
            })
        });
        if let Some((name, followed)) = begun {
            let follow = Arc::clone(self).follow(clients.clone(), name, followed);
            self.node.runtime.spawn(follow);
        }
    }

    async fn follow(self: Arc<Self>, clients: Clients, name: Arc<str>, followed: Arc<Followed>) {
        let node = &self.node;
        let subject = node.subjects.ephemeral(&name);
        let Ok(mut subscriber) = node.link.client().subscribe(subject).await else { return };
        let mut idle = None;
        loop {
            tokio::select! {
                biased;
                () = followed.wake.notified() => {}
                message = subscriber.next() => {
                    let Some(message) = message else { return };
                    let received =
                        wire::decode(message.headers.as_ref(), message.payload, node.incarnation);
                    match received {
                        Ok(received) => {
                            node.counters.ephemeral_received.add(1);
                            deliver(&clients, &name, &received.publication).await;
                        }
                        Err(damaged) => {
                            node.counters.damaged.add(1);
                            if let Some(left_out) = node.log.admit() {
                                warn!(topic = ?name, %damaged, left_out, "a message is left out");
                            }
                        }
                    }
                    continue;
                }
                () = until(idle) => {
                    if clients.subscribers(&name) == 0 && self.leave(&clients, &name, &followed) {
                        return;
                    }
                }
            }
            let is_idle = clients.subscribers(&name) == 0;
            idle = is_idle.then(|| idle.unwrap_or_else(|| time::Instant::now() + LINGER));
            if self.with(|topics| topics.is_closed) {
                return;
            }
        }
    }

    /// Forgets a topic. Whoever comes next begins anew.
    fn leave(
        self: &Arc<Self>,
        clients: &Clients,
        name: &Arc<str>,
        followed: &Arc<Followed>,
    ) -> bool {
        self.with(|topics| {
            if topics.followed.get(name).is_some_and(|other| Arc::ptr_eq(other, followed)) {
                topics.followed.remove(name);
            }
        });
        // One that came before that was told to this task.
        if clients.subscribers(name) > 0 {
            self.interest(clients, name);
        }
        true
    }

    /// Ends all tasks.
    pub(crate) fn close(&self) {
        self.with(|topics| {
            topics.is_closed = true;
            topics.followed.drain().for_each(|(_, followed)| followed.wake.notify_one());
        });
    }
}

async fn until(deadline: Option<time::Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
