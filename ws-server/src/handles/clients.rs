//! Who is connected.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use ws_core::{CloseCode, Message, extension::Compression};

use crate::{
    ClientId, Metrics, Publication, Published, Request, SendError, Sender, SubscribeError, Topic,
    TrySendError, TrySendReason,
    handles::topic::{self, counted},
    outbox::Outbox,
    registry::Registry,
};

/// The connections of a server. A handle: cloning it is cheap.
///
/// A connection and its subscriptions are listed from its opening handshake until it is closed,
/// exactly.
///
/// # Topics
/// A connection subscribes to topics, and what is published to a topic goes to all who subscribe at
/// that time. A topic is a name that exists while it has subscribers; topics have no hierarchy.
/// A tag is a topic too: subscribe every connection of a user to `user/ann`, and
/// [`publish`](Self::publish) sends to Ann wherever she is, [`subscribers`](Self::subscribers) counts
/// her connections, and [`subscribed`](Self::subscribed) finds them.
///
/// What is published after [`subscribe`](crate::WebSocket::subscribe) has returned reaches the
/// subscriber, and what was published before does not; what was published before
/// [`unsubscribe`](crate::WebSocket::unsubscribe) may still come after it. All subscribers of a
/// topic see what is published to it in one order. A connection that starts to close gets nothing
/// more, not even what was [`Handed`](Published::Handed) over just before. A client cannot subscribe
/// by itself: the handler does, so clients read only what the application shows.
///
/// # Messages to many
/// They are queued for each recipient and never wait for a slow one: at
/// [`Limits::send_buffer`](crate::Limits::send_buffer) a policy drops some of them or closes that
/// connection, see [`SlowConsumer`](crate::SlowConsumer). [`dropped`](Self::dropped) counts the
/// dropped ones. Payloads of 4 KiB and more are shared, not copied.
///
/// Publishing takes only the time to queue. It does not even wait for other publishers of the same
/// topic: one of them queues for all, and the others hand their messages over
/// ([`Handed`](Published::Handed)). Only [`publish_wait`](Self::publish_wait) waits.
///
/// With a [`Backplane`](crate::Backplane) a topic spans several servers, and what is published goes to its subscribers in
/// all of them, by that backplane. Everything else here is about this server.
///
/// Messages to all, to a path or by a predicate are one topic in this respect: all recipients see them
/// in one order. Different topics have no order between them.
#[derive(Clone, Default)]
pub struct Clients {
    pub(crate) registry: Arc<Registry>,
}

impl Clients {
    /// The number of open connections.
    pub fn count(&self) -> usize {
        self.registry.outboxes().len()
    }

    /// The connection with this id, if it is still open.
    pub fn get(&self, id: ClientId) -> Option<Client> {
        let outbox = self.registry.outboxes().get(&id).cloned()?;
        Some(self.client(outbox))
    }

    /// All open connections, the oldest first.
    pub fn list(&self) -> Vec<Client> {
        let mut clients = Vec::with_capacity(self.count());
        self.registry.each(|outbox| clients.push(self.client(outbox)));
        clients
    }

    fn client(&self, outbox: Arc<Outbox>) -> Client {
        Client { outbox, registry: Arc::clone(&self.registry) }
    }

    /// Sends to one connection, if it has room now, as [`Sender::try_send`]. To wait for room, send by
    /// the [`sender`](Client::sender) of the [`Client`](Self::get).
    ///
    /// # Errors
    /// [`TrySendError`] gives the message back: [`TrySendReason::Full`], or [`TrySendReason::Closed`],
    /// for a connection that is not listed any more too.
    pub fn try_send(&self, id: ClientId, message: impl Into<Message>) -> Result<(), TrySendError> {
        let message = message.into();
        match self.get(id) {
            Some(client) => client.outbox.try_send(message, Compression::Auto, None),
            None => Err(TrySendError { message, reason: TrySendReason::Closed }),
        }
    }

    /// Sends to all connections. Messages to all, to a path or by a predicate are seen in one order.
    pub fn send_all(&self, publication: impl Into<Publication>) -> Published {
        counted(self.registry.send_where(publication.into(), |_| true))
    }

    /// Sends to all whose request was for `path`, in one order with [`send_all`](Self::send_all).
    ///
    /// Looks at every connection; a [topic](Self::publish) knows its own.
    pub fn send_path(&self, path: &str, publication: impl Into<Publication>) -> Published {
        let is_there = |outbox: &Arc<Outbox>| outbox.request.path() == path;
        counted(self.registry.send_where(publication.into(), is_there))
    }

    /// Sends to all that `predicate` picks, in one order with [`send_all`](Self::send_all).
    ///
    /// Looks at every connection that is open when this is called. No lock is held while `predicate`
    /// runs.
    pub fn send_where(
        &self,
        publication: impl Into<Publication>,
        mut predicate: impl FnMut(&Client) -> bool,
    ) -> Published {
        // One handle shows them all.
        let mut shown: Option<Client> = None;
        let pick = |outbox: &Arc<Outbox>| {
            let outbox = Arc::clone(outbox);
            let client = match &mut shown {
                Some(client) => {
                    client.outbox = outbox;
                    client
                }
                None => shown.insert(self.client(outbox)),
            };
            predicate(client)
        };
        counted(self.registry.send_where(publication.into(), pick))
    }

    /// Sends to all who subscribe to `topic`.
    ///
    /// The cost depends on its subscribers alone, not on the number of connections and topics. A
    /// [`Publication`] can say more: who is left out, how it is compressed, and what happens to slow
    /// consumers, which have [`Limits::send_buffer`](crate::Limits::send_buffer) bytes waiting and
    /// take no more.
    ///
    /// If the server has a [`Backplane`](crate::Backplane), that takes the publication for the subscribers of all servers
    /// that it joins, or refuses it: then it goes to nobody, here either.
    pub fn publish(&self, topic: &str, publication: impl Into<Publication>) -> Published {
        counted(self.registry.publish(topic, publication.into()))
    }

    /// Sends to all who subscribe to `topic` in this server, past its [`Backplane`](crate::Backplane): what a backplane
    /// delivers comes this way. Without one it is [`publish`](Self::publish).
    pub fn publish_here(&self, topic: &str, publication: impl Into<Publication>) -> Published {
        counted(self.registry.publish_here(topic, publication.into()))
    }

    /// As [`publish`](Self::publish), once every subscriber has room: fewer than
    /// [`Limits::send_buffer`](crate::Limits::send_buffer) bytes wait for it. The publisher becomes as
    /// slow as the slowest subscriber, and no message is lost. It is never
    /// [`Refused`](Published::Refused).
    ///
    /// With a [`Backplane`](crate::Backplane) it waits for the subscribers in this server alone, and then
    /// publishes by the backplane, which may refuse. What comes back from it waits for nobody: where a client
    /// takes nothing meanwhile, the policy acts as for any message.
    ///
    /// A client that reads nothing is waited for until its connection ends, by
    /// [`Limits::write_timeout`](crate::Limits::write_timeout) (20 s by default). A subscriber that takes
    /// nothing for as long for another reason is passed over until it takes something: a client to
    /// which a [message in pieces](crate::MessageWriter) is unfinished, a
    /// [`Subscription`](crate::Subscription) that does not receive, an [`Accepted`](crate::Accepted)
    /// that is not driven. For it only
    /// [`Limits::max_send_buffer`](crate::Limits::max_send_buffer) and the policy remain. Publishers that wait
    /// are served in no particular order. If others fill the room in the meantime, the policy acts as
    /// for any message, but only at [`Limits::max_send_buffer`](crate::Limits::max_send_buffer).
    ///
    /// A handler may wait for its own client this way: its connection goes on.
    ///
    /// # Panics
    /// If it has to wait inside of a tokio runtime without time.
    ///
    /// # Cancel safety
    /// A dropped call has published nothing.
    pub async fn publish_wait(
        &self,
        topic: &str,
        publication: impl Into<Publication>,
    ) -> Published {
        counted(self.registry.publish_wait(topic, publication.into()).await)
    }

    /// The number of subscribers of `topic`: connections, and tasks that [listen](Self::listen).
    pub fn subscribers(&self, topic: &str) -> usize {
        self.registry.topics.find(topic).map_or(0, |(_, subscribers)| subscribers.count())
    }

    /// The connections that subscribe to `topic`, the oldest first.
    pub fn subscribed(&self, topic: &str) -> Vec<Client> {
        let found = self.registry.topics.find(topic);
        let mut outboxes = found.map_or(Vec::new(), |(_, subscribers)| subscribers.outboxes());
        outboxes.sort_by_key(|outbox| outbox.id);
        // Tasks that listen are subscribers, but no connections.
        outboxes.retain(|outbox| outbox.stats.is_some());
        outboxes.into_iter().map(|outbox| self.client(outbox)).collect()
    }

    /// The number of topics that have subscribers.
    pub fn topic_count(&self) -> usize {
        self.registry.topics.count().0
    }

    /// All topics with their numbers of subscribers, sorted by name. Looks at every topic.
    pub fn topics(&self) -> Vec<(Arc<str>, usize)> {
        let mut topics = self.registry.topics.list();
        topics.sort_unstable();
        topics
    }

    /// Starts to close one connection, as [`WebSocket::close`](crate::WebSocket::close).
    ///
    /// # Errors
    /// [`SendError::Closed`] if it is closing already or not listed any more,
    /// [`SendError::InvalidCloseCode`].
    pub fn close(&self, id: ClientId, code: CloseCode, reason: &str) -> Result<(), SendError> {
        if !code.is_sendable() {
            return Err(SendError::InvalidCloseCode(code));
        }
        self.get(id).ok_or(SendError::Closed)?.outbox.close(code, reason)
    }

    /// Starts to close the subscribers of `topic`, as [`close`](Self::close): all connections of a user,
    /// by a [tag](Self#topics), for example. Returns the number of those that were not closing already.
    /// A code that may not be sent closes none.
    ///
    /// ```
    /// use ws_server::{Clients, CloseCode};
    ///
    /// fn sign_out(clients: &Clients, user: &str) {
    ///     clients.close_subscribed(&format!("user/{user}"), CloseCode::POLICY_VIOLATION, "signed out");
    /// }
    /// ```
    pub fn close_subscribed(&self, topic: &str, code: CloseCode, reason: &str) -> usize {
        let close = |client: &Client| client.outbox.close(code, reason).is_ok();
        self.subscribed(topic).iter().filter(|client| close(client)).count()
    }

    /// Starts to close all connections, as [`close`](Self::close). A code that may not be sent closes
    /// none.
    pub fn close_all(&self, code: CloseCode, reason: &str) {
        for client in self.list() {
            // Those that are closing already need no second Close.
            client.outbox.close(code, reason).ok();
        }
    }

    /// The number of messages that were dropped because a client does not keep up: by
    /// [`SlowConsumer`](crate::SlowConsumer), or replaced by newer ones of the same
    /// [key](Publication::key).
    pub fn dropped(&self) -> u64 {
        self.registry.stats.counters.dropped()
    }

    /// What the server has done so far, and what it holds now. Cheap enough to read every second: it
    /// looks at every connection, and locks those alone for which messages wait.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.registry.stats.counters.read();
        metrics.connections = self.count();
        metrics.queue_bytes = self.registry.queue_bytes();
        let budget = &self.registry.stats.budget;
        metrics.held = budget.held();
        (metrics.max_memory, metrics.evicted) = (budget.limit(), budget.evicted());
        (metrics.topics, metrics.subscriptions) = self.registry.topics.count();
        metrics
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// A connection in the list of its server: who it is, and its subscriptions. Its
/// [`sender`](Self::sender) sends to it and closes it.
///
/// ```
/// use ws_server::Clients;
///
/// fn tell_idle(clients: &Clients) {
///     for client in clients.list().iter().filter(|client| client.topics().is_empty()) {
///         // Fails if it is full or closing: then this is not worth waiting for.
///         client.sender().try_send("you are in no room").ok();
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(super) outbox: Arc<Outbox>,
    pub(super) registry: Arc<Registry>,
}

impl Client {
    /// Which one.
    pub fn id(&self) -> ClientId {
        self.outbox.id
    }

    /// What is known from the opening handshake: path, peer, since when, subprotocol.
    pub fn request(&self) -> &Request {
        &self.outbox.request
    }

    /// As [`WebSocket::data`](crate::WebSocket::data).
    pub fn data<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.outbox.data.get()
    }

    /// As [`WebSocket::subscribe`](crate::WebSocket::subscribe).
    ///
    /// # Errors
    /// As there.
    pub fn subscribe(&self, topic: impl AsRef<str>) -> Result<Topic, SubscribeError> {
        Topic::subscribe(&self.outbox, Some(&self.registry), topic.as_ref())
    }

    /// Subscribes, and sends what this client `missed` of the topic, oldest first, before everything that
    /// is published to it from now on: for a client that was away, or wants the last messages.
    ///
    /// It may be far more than there is room for. It goes out as the client takes it, waits outside of
    /// [`Limits::send_buffer`](crate::Limits::send_buffer), and neither policies nor keys touch it. Own
    /// messages, other topics and Pings do not wait for it: it takes at most half of what goes out while
    /// there is anything else, and an eighth while broadcasts of other topics pile up. A [flush](crate::WebSocket::flush) does not wait for it either.
    ///
    /// What is published to the topic meanwhile waits behind it, in order, until the client has caught
    /// up: until then [`Limits::max_send_buffer`](crate::Limits::max_send_buffer) alone bounds it, together
    /// with other messages that wait, and beyond that the [`SlowConsumer`](crate::SlowConsumer) policy of
    /// the new message decides about those.
    ///
    /// What is left of it is dropped when the connection starts to close, by whichever side, and by
    /// [`unsubscribe`](Self::unsubscribe), and is not counted as [dropped](Self::dropped), unless a policy
    /// closes the connection. Missed messages that [except](Publication::except) this client are left
    /// out. A client that subscribes already gets them after what was queued for it before. One that
    /// unsubscribed just before may get what was published until then twice: it [may still
    /// come](Clients#topics).
    ///
    /// An application that keeps what it publishes calls this and [`Clients::publish_here`] under one lock,
    /// so that each message is either among the missed ones or published after them:
    ///
    /// ```
    /// use std::{collections::VecDeque, sync::Mutex};
    /// use ws_server::{Client, Clients, Publication, SubscribeError};
    ///
    /// /// The last hundred messages of a room.
    /// #[derive(Default)]
    /// struct Room(Mutex<VecDeque<Publication>>);
    ///
    /// impl Room {
    ///     fn publish(&self, clients: &Clients, publication: Publication) {
    ///         let mut recent = self.0.lock().unwrap();
    ///         if recent.len() == 100 {
    ///             recent.pop_front();
    ///         }
    ///         recent.push_back(publication.clone());
    ///         clients.publish_here("room", publication);
    ///     }
    ///
    ///     fn join(&self, client: &Client) -> Result<(), SubscribeError> {
    ///         let recent = self.0.lock().unwrap();
    ///         client.subscribe_after("room", recent.iter().cloned())?;
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Memory
    /// 8 bytes for each missed message: payloads, and what they are compressed and encoded to, are
    /// shared among the clones of a [`Publication`].
    ///
    /// The caller bounds their number. A client that reads slowly holds them until it has read them all;
    /// they count in no metric, and another call for the same topic adds to them.
    /// [`unsubscribe`](Self::unsubscribe) drops them.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe); then nothing is sent.
    pub fn subscribe_after(
        &self,
        topic: impl AsRef<str>,
        missed: impl IntoIterator<Item = Publication>,
    ) -> Result<Topic, SubscribeError> {
        Topic::subscribe_after(&self.outbox, &self.registry, topic.as_ref(), missed)
    }

    /// As [`WebSocket::unsubscribe`](crate::WebSocket::unsubscribe).
    pub fn unsubscribe(&self, topic: &str) -> bool {
        topic::unsubscribe(&self.outbox, Some(&self.registry), topic)
    }

    /// The topics that it subscribes to, by name.
    pub fn topics(&self) -> Vec<Arc<str>> {
        let mut topics = self.outbox.topics();
        topics.sort_unstable();
        topics
    }

    /// As [`WebSocket::dropped`](crate::WebSocket::dropped).
    pub fn dropped(&self) -> u64 {
        self.outbox.dropped()
    }

    /// Its part of [`Metrics::memory`], in bytes.
    pub fn memory_usage(&self) -> usize {
        self.outbox.memory()
    }

    /// The newest round trip: the time from a Ping that keeps the connection alive, once the operating
    /// system had it, to its Pong, to the microsecond.
    ///
    /// Such Pings go to clients that were silent for
    /// [`Limits::ping_interval`](crate::Limits::ping_interval) (20 s by default). So it is `None` for a
    /// new connection and for a client that sends all the time, and it may be old. The application's own
    /// Pings are not measured, and neither is a Ping that another followed before the Pong, or during
    /// which reading paused because the handler did not receive. The client answers when it likes:
    /// trust it for statistics alone.
    pub fn round_trip(&self) -> Option<Duration> {
        self.outbox.round_trip()
    }

    /// A handle for sending to it and closing it.
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.outbox))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.outbox.id)
            .field("path", &self.outbox.request.path())
            .field("peer", &self.outbox.request.peer())
            .finish_non_exhaustive()
    }
}
