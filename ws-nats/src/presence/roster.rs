//! Presence on one node, as its tasks and its application share it.

use std::{
    collections::HashSet,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tracing::{error, warn};
use ws_server::{Client, ClientId, Clients};

use super::{
    state::{LOAD, NoMember, Settings, State},
    task,
};
use crate::{
    config::{Config, OnPresence},
    event::PresenceEvent,
    metrics::Counters,
    node::deliver,
    presence::{AppearError, Presence},
    subject::{MAX_TOPIC, Subjects},
};

/// Who is here, on all nodes: the state, and the task that speaks for it.
pub(crate) struct Roster {
    state: Mutex<State>,
    /// Topics of which it is to be asked whether they have subscribers.
    asked: Mutex<HashSet<Box<str>>>,
    /// Connections whose end is waited for.
    watched: Mutex<HashSet<ClientId>>,
    /// `None` once it has ended.
    clients: Mutex<Option<Clients>>,
    pub(super) subjects: Subjects,
    pub(super) counters: Arc<Counters>,
    event: Option<OnPresence>,
    member_bytes: usize,
    max_members: usize,
    /// There is something to do.
    pub(super) wake: Notify,
    /// Something was done.
    progress: Notify,
    end: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
    runtime: Handle,
}

/// Whose presence it is.
pub(crate) struct Identity {
    pub(crate) incarnation: u64,
    pub(crate) label: Arc<str>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Roster {
    /// Begins. `nats` may reconnect; whatever was missed in between is asked for.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn start(
        config: &Config,
        identity: Identity,
        nats: async_nats::Client,
        clients: Clients,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        let settings = Settings {
            incarnation: identity.incarnation,
            label: identity.label,
            heartbeat: config.heartbeat,
            audit: config.audit,
            max_members: config.members_per_topic,
            max_payload: nats.max_payload(),
            events: config.presence_event.is_some(),
            counters: Arc::clone(&counters),
        };
        let roster = Arc::new(Self {
            state: Mutex::new(State::new(settings, Instant::now())),
            asked: Mutex::default(),
            watched: Mutex::default(),
            clients: Mutex::new(Some(clients)),
            subjects: Subjects::new(&config.prefix),
            counters,
            event: config.presence_event.clone(),
            member_bytes: config.member_bytes,
            max_members: config.members_per_topic,
            wake: Notify::new(),
            progress: Notify::new(),
            end: watch::Sender::new(false),
            task: Mutex::default(),
            runtime: Handle::current(),
        });
        let ended = roster.end.subscribe();
        let task = tokio::spawn(task::run(Arc::clone(&roster), nats, identity.incarnation, ended));
        *locked(&roster.task) = Some(task);
        roster
    }

    /// Says goodbye, so that the members here are gone on all nodes at once, and ends. It waits for NATS
    /// until `limit` at most.
    pub(crate) async fn stop(&self, limit: Duration) {
        self.end.send_replace(true);
        let task = locked(&self.task).take();
        if let Some(mut task) = task
            && timeout(limit, &mut task).await.is_err()
        {
            task.abort();
        }
        locked(&self.clients).take();
    }

    /// Ends, as [`stop`](Self::stop), and does not wait for it.
    pub(crate) fn end(&self) {
        self.end.send_replace(true);
        locked(&self.clients).take();
    }

    /// Ends without a word.
    #[cfg(test)]
    pub(super) fn abort(&self) {
        if let Some(task) = locked(&self.task).take() {
            task.abort();
        }
    }

    // What the other parts of the node ask.

    pub(crate) fn incarnation(&self) -> u64 {
        self.state().incarnation()
    }

    /// The other nodes, by their incarnations.
    pub(crate) fn others(&self) -> HashSet<u64> {
        self.state().nodes().others().map(|(node, _)| node).collect()
    }

    /// What a node is called.
    pub(crate) fn name(&self, node: u64) -> Arc<str> {
        self.state().nodes().name(node)
    }

    /// Whether this node hears nobody, not even itself.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.state().is_cut_off(Instant::now())
    }

    /// Other nodes, members here, members elsewhere that are known, topics that are followed.
    pub(crate) fn sizes(&self) -> (usize, usize, usize, usize) {
        let state = self.state();
        let (here, elsewhere, followed) = state.sizes();
        (state.nodes().others().count(), here, elsewhere, followed)
    }

    // What the application does.

    /// The number of subscribers of a topic became 0, or was. Never blocks.
    pub(crate) fn interest(&self, topic: &str) {
        if self.event.is_some() && topic.len() <= MAX_TOPIC {
            locked(&self.asked).insert(topic.into());
            self.wake.notify_one();
        }
    }

    pub(crate) fn appear(
        self: &Arc<Self>,
        client: &Client,
        topic: &str,
        info: Arc<str>,
    ) -> Result<(), AppearError> {
        if topic.len() > MAX_TOPIC {
            return Err(AppearError::TopicTooLong { limit: MAX_TOPIC });
        }
        if info.len() > self.member_bytes {
            return Err(AppearError::InfoTooLong { limit: self.member_bytes });
        }
        let sender = client.sender();
        if sender.is_closed() || locked(&self.clients).is_none() {
            return Err(AppearError::Closed);
        }
        let id = client.id();
        let appeared = self.state().appear(topic, id.get(), info, Instant::now());
        appeared.map_err(|reason| match reason {
            NoMember::TooLong => AppearError::LargerThanPayload,
            NoMember::Full => AppearError::TopicFull { limit: self.max_members },
        })?;
        if locked(&self.watched).insert(id) {
            let roster = Arc::downgrade(self);
            self.runtime.spawn(async move {
                sender.closed().await;
                if let Some(roster) = Weak::upgrade(&roster) {
                    roster.ended(id);
                }
            });
        }
        self.wake.notify_one();
        Ok(())
    }

    pub(crate) fn disappear(&self, client: ClientId, topic: &str) -> bool {
        let was_member = self.state().disappear(topic, client.get(), Instant::now());
        self.wake.notify_one();
        was_member
    }

    fn ended(&self, client: ClientId) {
        locked(&self.watched).remove(&client);
        self.state().ended(client.get(), Instant::now());
        self.wake.notify_one();
    }

    /// Who is in a topic, once all nodes have answered, or [`LOAD`] has passed.
    pub(crate) async fn presence(&self, topic: &str) -> Presence {
        self.load(topic).await;
        self.state().presence(topic, Instant::now())
    }

    /// How many these are.
    pub(crate) async fn count(&self, topic: &str) -> usize {
        self.load(topic).await;
        self.state().count(topic)
    }

    async fn load(&self, topic: &str) {
        if topic.len() > MAX_TOPIC {
            return;
        }
        let now = Instant::now();
        self.state().query(topic, now);
        self.wake.notify_one();
        // The state says when the time is over; this is for one whose task has ended.
        let until = now + LOAD + Duration::from_secs(1);
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if self.state().is_loaded(topic) || timeout_at(until, progress).await.is_err() {
                return;
            }
        }
    }

    // What the task does.

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Looks whether the topics that changed have subscribers.
    pub(super) fn look_at_interest(&self, now: Instant) {
        let topics = mem::take(&mut *locked(&self.asked));
        let Some(clients) = locked(&self.clients).clone() else { return };
        for topic in topics {
            let subscribed = clients.subscribers(&topic) > 0;
            self.state().interest(&topic, subscribed, now);
        }
    }

    /// Ends the memberships of connections that are no more, should their end have been missed.
    pub(super) fn sweep(&self, now: Instant) {
        let Some(clients) = locked(&self.clients).clone() else { return };
        let members: Vec<u64> = self.state().clients().collect();
        for client in members {
            if clients.get(ClientId::new(client)).is_none() {
                self.state().ended(client, now);
            }
        }
    }

    /// Tells the subscribers here.
    pub(super) async fn tell(&self, topic: &str, event: &PresenceEvent) {
        let Some(make) = &self.event else { return };
        let Some(clients) = locked(&self.clients).clone() else { return };
        match catch_unwind(AssertUnwindSafe(|| make(topic, event))) {
            Ok(Some(publication)) => {
                deliver(&clients, topic, &publication).await;
            }
            Ok(None) => {}
            Err(_) => error!("Config::presence_event panicked: the subscribers here are not told"),
        }
    }

    /// Something was done.
    pub(super) fn progressed(&self) {
        self.progress.notify_waiters();
        if let Some(label) = self.state().take_shared_label() {
            self.counters.shared_labels.add(1);
            warn!(%label, "two nodes have one label: give each its own Config::node");
        }
    }
}
