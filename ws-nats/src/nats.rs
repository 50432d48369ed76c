//! A node: one server that is joined with others.

mod command;
mod metrics;
mod who;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::jetstream;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::AbortHandle,
    time::{self, Instant},
};
use ws_server::{Backplane, Client, Clients, Publication, Refused};

use crate::{
    Config, ConnectError, JoinError, Joined, Position, PublishError, Recovered, Since, TopicKind,
    api::Api,
    audit,
    ephemeral::Ephemerals,
    inspector::Inspector,
    link::{PublishingLink, ReadingLink},
    log_limiter::LogLimiter,
    metrics::Counters,
    node::Node,
    options,
    orders::Orders,
    presence::{Identity, Roster},
    publisher::{Outcome, Outgoing, Publisher},
    refill::Reader,
    stream,
    subject::{MAX_TOPIC, Subjects},
    topic::Join,
    tracks::Tracks,
    wire,
};

/// The longest deadline: no clock goes further.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Least time to say goodbye.
const GOODBYE: Duration = Duration::from_millis(100);

/// A server that is joined with others through NATS: its topics span them all.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use ws_nats::{Config, Nats};
/// use ws_server::{Server, WebSocket};
///
/// let server = Server::new().route("/chat", |mut ws: WebSocket| async move {
///     let room = ws.subscribe("room")?;
///     while let Some(message) = ws.recv().await {
///         // To the subscribers of all servers, in one order.
///         room.publish(message);
///     }
///     Ok(())
/// });
/// let nats = Nats::connect(Config::default(), server.clients()).await?;
/// let server = server.backplane(Arc::clone(&nats) as _);
/// server.bind("0.0.0.0:9001").await?.serve().await
/// # }
/// ```
pub struct Nats {
    pub(crate) node: Arc<Node>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) tracks: Arc<Tracks>,
    pub(crate) ephemerals: Arc<Ephemerals>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) orders: Orders,
    /// `None` once it is shut down: the server keeps its backplane as long as these are kept.
    clients: Mutex<Option<Clients>>,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// What a node left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Publications of which it is not known whether the stream has them: they were not acknowledged in
    /// time.
    pub unknown: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Nats {
    /// Joins the server of these `clients` with the others that use the same
    /// [prefix](Config#structfield.prefix). The stream is made if there is none.
    ///
    /// Hand the result to [`Server::backplane`](ws_server::Server::backplane).
    ///
    /// # Errors
    /// [`ConnectError`] says what is wrong with the configuration or with NATS, and what to do.
    ///
    /// # Cancel safety
    /// What is cancelled may have made the stream.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time. This node's tasks run in that of the caller.
    pub async fn connect(config: Config, clients: Clients) -> Result<Arc<Self>, ConnectError> {
        let prepared = stream::prepare(&config).await?;
        let servers = options::servers(&config);
        let counters = Arc::new(Counters::default());
        let incarnation = getrandom::u64().unwrap_or_else(|_| {
            // Only a number that no other process draws.
            use std::hash::{BuildHasher, RandomState};
            RandomState::new().hash_one(std::process::id())
        });
        let label = config.node.clone().unwrap_or_else(|| format!("{incarnation:016x}"));

        let reading = options::of(&config, &format!("ws-nats {label} reading"))?;
        let link = ReadingLink::connect(servers.clone(), reading, Arc::clone(&counters)).await;
        let link = link.map_err(|error| options::failed(&config, &error))?;

        let connect = {
            let (config, servers) = (config.clone(), servers.clone());
            let name = format!("ws-nats {label} publishing");
            move || {
                let options = options::of(&config, &name);
                let (servers, timeout) = (servers.clone(), config.connect_timeout);
                async move { PublishingLink::connect(servers, options?, timeout).await }
            }
        };
        let first = connect().await.map_err(|error| match error.downcast_ref() {
            Some(error) => options::failed(&config, error),
            None => ConnectError::Unreachable {
                servers: config.servers.join(", "),
                reason: error.to_string(),
            },
        })?;

        let api = Api::new(link.client().clone(), &config);
        let stream = config.stream_name();
        let inspector = Arc::new(Inspector::new(api.clone(), stream.clone(), prepared.facts));
        let context = match &config.domain {
            Some(domain) => jetstream::with_domain(link.client().clone(), domain),
            None => jetstream::new(link.client().clone()),
        };
        let leader = context.get_stream_no_info(&stream).await.map_err(|error| {
            ConnectError::Config { field: "stream", problem: format!("is no name: {error}") }
        })?;
        let reader = Reader::new(
            api,
            leader,
            stream.clone(),
            Arc::clone(&inspector),
            Arc::clone(&counters),
            config.connect_timeout,
        );
        let publisher = Publisher::new(
            config.queue_bytes,
            config.publish_timeout,
            prepared.max_payload,
            Arc::clone(&counters),
        );
        let node = Arc::new(Node {
            subjects: Subjects::new(&config.prefix),
            config,
            stream,
            incarnation,
            counters,
            link,
            inspector,
            runtime: Handle::current(),
            reader,
            log: LogLimiter::default(),
        });
        let identity = Identity { incarnation, label: label.into() };
        let (client, counters) = (node.link.client(), &node.counters);
        let roster = Roster::start(
            &node.config,
            identity,
            client.clone(),
            clients.clone(),
            Arc::clone(counters),
        );
        let orders = Orders::start(
            client.clone(),
            &node.subjects,
            Arc::clone(&roster),
            clients.clone(),
            Arc::clone(counters),
        );
        let tracks = Arc::new(Tracks::new(Arc::clone(&node)));
        let nats = Arc::new(Self {
            publisher: Arc::new(publisher),
            ephemerals: Arc::new(Ephemerals::new(Arc::clone(&node))),
            clients: Mutex::new(Some(clients)),
            tasks: Mutex::default(),
            tracks,
            roster,
            orders,
            node,
        });
        nats.start(first, connect).await;
        Ok(nats)
    }

    async fn start<F>(&self, first: PublishingLink, connect: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = Result<PublishingLink, async_nats::Error>> + Send,
    {
        let publisher = Arc::clone(&self.publisher);
        let publishing = async move { publisher.run(first, connect).await };
        let auditing = audit::run(Arc::clone(&self.node), Arc::clone(&self.tracks));
        let tasks = [tokio::spawn(publishing), tokio::spawn(auditing)];
        lock(&self.tasks).extend(tasks.map(|task| task.abort_handle()));
        // So that what is published next is taken.
        time::timeout(self.node.config.connect_timeout, self.publisher.ready()).await.ok();
    }

    fn clients(&self) -> Option<Clients> {
        lock(&self.clients).clone()
    }

    /// A publication on its way.
    fn outgoing(
        &self,
        topic: &str,
        publication: &Publication,
        id: Option<&str>,
        waits: Option<oneshot::Sender<Result<u64, PublishError>>>,
    ) -> Outgoing {
        let node = &self.node;
        let (headers, payload) = wire::encode(publication, node.incarnation, id);
        match node.config.kind(topic) {
            TopicKind::Ephemeral => Outgoing {
                subject: node.subjects.ephemeral(topic),
                headers,
                payload,
                outcome: None,
            },
            TopicKind::Stored => {
                let own = self.tracks.own(topic).filter(|own| !own.is_closed());
                let outcome = Some(Outcome { own, waits });
                Outgoing { subject: node.subjects.stored(topic), headers, payload, outcome }
            }
        }
    }

    /// Subscribes a client to a topic, in place of [`subscribe`](Client::subscribe), after what it missed:
    /// live from the returned [position](Joined::position) on, and before that what [`Recovered`] says.
    /// What it missed is queued when this returns, so what the handler sends next comes after it.
    ///
    /// For a client that comes back, `since` is the last position that it saw, whichever server it was
    /// connected to.
    ///
    /// What other nodes publish comes from the returned position on; after
    /// [`subscribe`](Client::subscribe) alone it comes once this node follows the topic, a few
    /// milliseconds later.
    ///
    /// # Security
    /// A position is not secret, and a client can make one up: with it, it reads whatever is kept of the
    /// topic, from before it was let in too. Where that matters, take positions from the application, or
    /// keep topics apart.
    ///
    /// # Errors
    /// [`JoinError`]; [`JoinError::NoAnswer`] after twice
    /// [`connect_timeout`](Config#structfield.connect_timeout) (10 s). [`JoinError::Subscribed`] is for a client with `since` that subscribes already. Then
    /// this call has changed nothing.
    ///
    /// # Cancel safety
    /// A dropped call may have subscribed the client, or does so not at all.
    pub async fn join(
        &self,
        client: &Client,
        topic: &str,
        since: Option<Since>,
    ) -> Result<Joined, JoinError> {
        if topic.len() > MAX_TOPIC {
            return Err(JoinError::TopicTooLong { len: topic.len(), limit: MAX_TOPIC });
        }
        let clients = self.clients().ok_or(JoinError::ShutDown)?;
        if self.node.config.kind(topic) == TopicKind::Ephemeral {
            if since.is_some() {
                return Err(JoinError::Ephemeral);
            }
            let topic = client.subscribe(topic)?;
            return Ok(Joined { topic, position: None, recovered: Recovered::Fresh });
        }
        if !self.node.link.is_up() {
            return Err(JoinError::Away);
        }
        let (answer, joined) = oneshot::channel();
        self.tracks.join(&clients, topic, Join { client: client.clone(), since, answer })?;
        let patience = self.node.config.connect_timeout.saturating_mul(2);
        let joined = time::timeout(patience, joined).await.map_err(|_| JoinError::NoAnswer)?;
        let joined = joined.map_err(|_| JoinError::ShutDown)??;
        let (topic, position, recovered) = (joined.topic, Some(joined.position), joined.recovered);
        Ok(Joined { topic, position, recovered })
    }

    /// Publishes, and waits until the stream has it: a quorum of its replicas.
    ///
    /// The position is that of the message, for [`join`](Self::join) by others; what was not acknowledged
    /// after [`publish_timeout`](Config#structfield.publish_timeout) (5 s) is unknown.
    ///
    /// With an `id`, the same message published again within
    /// [`duplicate_window`](Config#structfield.duplicate_window) is stored once, and its position is
    /// that of the first.
    ///
    /// # Errors
    /// [`PublishError`]. After [`PublishError::Unknown`] it may be stored or not.
    ///
    /// # Cancel safety
    /// A dropped call has published nothing, or goes on.
    pub async fn publish_acked(
        &self,
        topic: &str,
        publication: impl Into<Publication>,
        id: Option<&str>,
    ) -> Result<Position, PublishError> {
        if topic.len() > MAX_TOPIC {
            return Err(PublishError::TopicTooLong { len: topic.len(), limit: MAX_TOPIC });
        }
        let is_id = |id: &str| {
            (1..=256).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_graphic())
        };
        if id.is_some_and(|id| !is_id(id)) {
            return Err(PublishError::Id);
        }
        if self.node.config.kind(topic) == TopicKind::Ephemeral {
            return Err(PublishError::Ephemeral);
        }
        if self.clients().is_none() {
            return Err(PublishError::ShutDown);
        }
        let (waits, stored) = oneshot::channel();
        let outgoing = self.outgoing(topic, &publication.into(), id, Some(waits));
        let size = wire::size(&outgoing.headers, &outgoing.payload);
        self.publisher.publish(outgoing).map_err(|refused| match refused {
            Refused::Full => PublishError::Full,
            Refused::TooLarge => {
                PublishError::TooLarge { size, limit: self.publisher.max_payload() }
            }
            _ => PublishError::Away,
        })?;
        let sequence = stored.await.map_err(|_| PublishError::Unknown)??;
        // The acknowledgement does not tell the time.
        Ok(Position { epoch: self.node.inspector.epoch(), sequence, time: 0 })
    }

    /// Whether publications are taken now.
    pub fn is_up(&self) -> bool {
        self.publisher.is_up() && self.node.link.is_up()
    }

    /// Leaves NATS: takes no more publications, waits until those that were taken are acknowledged, for
    /// `deadline` at most, and stops to deliver. After that the server may be dropped.
    ///
    /// Shut the server down first, so that its clients are gone.
    ///
    /// # Cancel safety
    /// A dropped call takes no more publications, and still delivers. It may be called again.
    pub async fn shutdown(&self, deadline: Duration) -> Shutdown {
        let end = Instant::now() + deadline.min(LONGEST);
        self.publisher.close();
        time::timeout_at(end, self.publisher.drained()).await.ok();
        let unknown = self.publisher.give_up();
        // It says goodbye, which takes no time where NATS is there.
        let rest = end.saturating_duration_since(Instant::now()).max(GOODBYE);
        self.roster.stop(rest).await;
        self.stop();
        self.node.link.close().await;
        Shutdown { unknown }
    }

    fn stop(&self) {
        self.orders.stop();
        self.roster.end();
        self.tracks.close();
        self.ephemerals.close();
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
        drop(lock(&self.clients).take());
    }
}

impl Backplane for Nats {
    fn publish(&self, topic: &str, publication: Publication) -> Result<(), Refused> {
        if topic.len() > MAX_TOPIC {
            self.node.counters.refused_too_large.add(1);
            return Err(Refused::TooLarge);
        }
        self.publisher.publish(self.outgoing(topic, &publication, None, None))
    }

    fn interest(&self, topic: &str) {
        let Some(clients) = self.clients().filter(|_| topic.len() <= MAX_TOPIC) else { return };
        self.roster.interest(topic);
        match self.node.config.kind(topic) {
            TopicKind::Stored => self.tracks.interest(&clients, topic),
            TopicKind::Ephemeral => self.ephemerals.interest(&clients, topic),
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("node", &self.node.incarnation).finish_non_exhaustive()
    }
}
