//! How nodes are joined.

mod check;
mod credentials;
mod pattern;
mod settings;
mod topics;

use std::{path::PathBuf, sync::Arc, time::Duration};

pub(crate) use self::check::is_node_name;
pub(crate) use self::credentials::Kind;
pub use self::{
    credentials::Credentials,
    topics::{TopicKind, TopicPattern},
};
use ws_server::{Message, Publication};

use self::settings::settings;
use crate::{Gap, Position, PresenceEvent};

/// Where the stream keeps its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// In files: they survive a restart of the NATS server.
    #[default]
    File,
    /// In memory: gone when the NATS server ends, or the last replica.
    Memory,
}

/// The type of [`Config::stamp`](Config#structfield.stamp).
pub type Stamp = Arc<dyn Fn(&str, Position, Message) -> Message + Send + Sync>;
/// The type of [`Config::gap`](Config#structfield.gap).
pub type OnGap = Arc<dyn Fn(&str, Gap) -> Option<Publication> + Send + Sync>;
/// The type of [`Config::presence_event`](Config#structfield.presence_event).
pub type OnPresence = Arc<dyn Fn(&str, &PresenceEvent) -> Option<Publication> + Send + Sync>;

settings! {
    /// How this process is joined with others through NATS.
    ///
    /// All processes of one application use the same [`prefix`](Self#structfield.prefix), limits of the
    /// stream and patterns of topics; several applications that share a NATS use a prefix each.
    /// [`UNLIMITED`](ws_server::UNLIMITED) lifts a size or a count, [`Duration::MAX`] a time, where its
    /// text says so. What cannot work is a [`ConnectError::Config`](crate::ConnectError::Config) that
    /// names the field.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ws_nats::{Config, Credentials};
    ///
    /// let config = Config::default()
    ///     .servers(["tls://nats-1.example.com", "tls://nats-2.example.com"])
    ///     .credentials(Credentials::file("/etc/chat/nats.creds"))
    ///     .prefix("chat")
    ///     .replicas(3)
    ///     .max_age(Duration::from_secs(3600))
    ///     .ephemeral("cursor.*")
    ///     .stamp(|_topic, position, message| match message.as_text() {
    ///         Some(text) => format!(r#"{{"at":"{position}","message":{text}}}"#).into(),
    ///         None => message,
    ///     });
    /// ```
    Config {
        /// Addresses of NATS servers: `nats://host:4222`, `tls://host`, or `host:port`. Default
        /// `nats://127.0.0.1:4222`. One is tried after the other; the others of a cluster are learned
        /// from the first that answers. A user and a password in an address are an error: see
        /// [`credentials`](Self#structfield.credentials).
        servers: Vec<String> as impl IntoIterator<Item = impl Into<String>> = vec!["nats://127.0.0.1:4222".to_owned()]; |servers| servers.into_iter().map(Into::into).collect(),

        /// Who this process is to NATS. Default [`Credentials::none`].
        credentials: Credentials as Credentials = Credentials::none(); |credentials| credentials,

        /// Whether TLS is required. Default `false`: TLS where the server wants it, or the address
        /// begins with `tls://`.
        tls: bool as bool = false; |tls| tls,

        /// Whether TLS begins before the server's greeting, as `handshake_first` in its configuration
        /// wants it. Default `false`.
        tls_first: bool as bool = false; |first| first,

        /// A PEM file of the authorities that sign the servers' certificates. Default none: those of
        /// the system.
        tls_roots: Option<PathBuf> as impl Into<PathBuf> = None; |file| Some(file.into()),

        /// PEM files of this process' certificate and its key, for servers that verify their clients.
        /// Default none.
        tls_certificate: Option<(PathBuf, PathBuf)> as (impl Into<PathBuf>, impl Into<PathBuf>) = None; |(certificate, key)| Some((certificate.into(), key.into())),

        /// The beginning of all subjects: `ws` stands for `ws.h.TOPIC`, `ws.live.TOPIC` and so on.
        /// Default `ws`. Tokens of letters, digits, `-` and `_`, joined by dots, 128 octets at most.
        prefix: String as impl Into<String> = "ws".to_owned(); |prefix| prefix.into(),

        /// The beginning of the subjects for answers. Default `_INBOX`. A server that separates its
        /// users by their inboxes wants another; the same rules as for
        /// [`prefix`](Self#structfield.prefix).
        inbox_prefix: String as impl Into<String> = "_INBOX".to_owned(); |prefix| prefix.into(),

        /// What this process is called in logs, metrics and lists: a label. Default none: a number drawn
        /// at its start. Two processes of one name work, and are warned of. 128 octets of visible ASCII
        /// at most.
        node: Option<String> as impl Into<String> = None; |node| Some(node.into()),

        /// The name of the stream. Default none: the [`prefix`](Self#structfield.prefix) in capitals,
        /// with `_` for dots. Letters, digits, `-` and `_`, 128 octets at most.
        stream: Option<String> as impl Into<String> = None; |stream| Some(stream.into()),

        /// Whether a stream that is not there is made. Default `true`. With `false` an operator makes
        /// it, and its absence is [`ConnectError::NoStream`](crate::ConnectError::NoStream), whose text
        /// has the command. A stream that is there is never changed: limits that differ from those
        /// below are logged once, as a warning, and those of the stream count.
        create: bool as bool = true; |create| create,

        /// Copies of the stream, 1 to 5, each on a NATS server of its own. Default 1, which loses
        /// everything with that server; 3 survive the loss of one. Used when the stream is made.
        replicas: usize as usize = 1; |replicas| replicas,

        /// Where messages are kept. Default [`Storage::File`]. Used when the stream is made.
        storage: Storage as Storage = Storage::File; |storage| storage,

        /// Time after which a message is dropped from the stream. Default 24 h; [`Duration::MAX`] keeps
        /// it until another limit drops it. At least 1 s. Used when the stream is made.
        max_age: Duration as Duration = Duration::from_secs(24 * 3600); |age| age,

        /// Messages kept of one topic. Default 10,000; [`UNLIMITED`](ws_server::UNLIMITED) lifts it.
        /// Beyond it the oldest of that topic is dropped. Used when the stream is made.
        messages_per_topic: usize as usize = 10_000; |messages| messages,

        /// Octets of the whole stream, in each replica. Default 1 GiB;
        /// [`UNLIMITED`](ws_server::UNLIMITED) fills the disk. Beyond it the oldest messages of all
        /// topics are dropped, so that a topic nobody spoke in for long loses its history first. Used
        /// when the stream is made, which fails if the server has not so much to give.
        max_bytes: usize as usize = 1 << 30; |bytes| bytes,

        /// Time in which a second message with the id of a first is dropped, see
        /// [`Nats::publish_acked`](crate::Nats::publish_acked). Default 2 min, and never
        /// more than [`max_age`](Self#structfield.max_age). The server keeps all ids of that time in
        /// memory. Used when the stream is made.
        duplicate_window: Duration as Duration = Duration::from_secs(120); |window| window,

        /// The JetStream domain of the stream, for nodes at a leaf of the NATS network. Default none.
        domain: Option<String> as impl Into<String> = None; |domain| Some(domain.into()),

        /// Tags that a NATS server must have to hold the stream. Default none. Used when the stream is
        /// made.
        placement_tags: Vec<String> as impl IntoIterator<Item = impl Into<String>> = Vec::new(); |tags| tags.into_iter().map(Into::into).collect(),

        /// The NATS cluster that holds the stream. Default none: the server's choice. Used when the
        /// stream is made.
        placement_cluster: Option<String> as impl Into<String> = None; |cluster| Some(cluster.into()),

        /// Octets of publications that wait to be sent to NATS or to be acknowledged. Default 8 MiB.
        /// Beyond it a publication is refused with [`Refused::Full`](ws_server::Refused::Full).
        queue_bytes: usize as usize = 8 << 20; |bytes| bytes,

        /// Messages of each topic of interest that this process keeps for clients that come back.
        /// Default 128; 0 keeps none, and every client that comes back costs a request to NATS.
        recent_messages: usize as usize = 128; |messages| messages,

        /// Octets of these, for each topic. Default 128 KiB; 0 keeps none.
        recent_bytes: usize as usize = 128 << 10; |bytes| bytes,

        /// Messages that a client which comes back is given at most. Default 10,000. Beyond it, its
        /// position counts as lost: it starts afresh.
        recovery_messages: usize as usize = 10_000; |messages| messages,

        /// Octets of these. Default 8 MiB. Beyond it, its position counts as lost.
        recovery_bytes: usize as usize = 8 << 20; |bytes| bytes,

        /// Time to be connected, and for each answer while the stream is looked at. Default 5 s. Beyond
        /// it [`ConnectError::Unreachable`](crate::ConnectError::Unreachable) or
        /// [`ConnectError::NoAnswer`](crate::ConnectError::NoAnswer).
        connect_timeout: Duration as Duration = Duration::from_secs(5); |timeout| timeout,

        /// Time for the stream to acknowledge a publication. Default 5 s. Beyond it the publication
        /// counts as unknown: it may be stored or not, and is not sent again.
        publish_timeout: Duration as Duration = Duration::from_secs(5); |timeout| timeout,

        /// Time between two looks at whether the last message of each topic of interest has come.
        /// Default 10 s. The republished messages of a stream can be lost in silence; this bounds how
        /// long the loss of a last one goes unnoticed.
        audit: Duration as Duration = Duration::from_secs(10); |audit| audit,

        /// Time between two heartbeats of this process. Default 2 s. Whoever is not heard for three of
        /// them is gone, and its members with it. All processes use the same.
        heartbeat: Duration as Duration = Duration::from_secs(2); |heartbeat| heartbeat,

        /// Octets of what an application says about one member of a topic. Default 4 KiB. Beyond it the
        /// member is refused.
        member_bytes: usize as usize = 4 << 10; |bytes| bytes,

        /// Members of one topic, on all nodes. Default 20,000. Beyond it a member is refused by the node
        /// that it is connected to, or, where several nodes add up, left out of this node's list and
        /// counted.
        members_per_topic: usize as usize = 20_000; |members| members,

        /// Which topics are stored and which are ephemeral: the last pattern that matches counts.
        /// Default none: all are stored. See [`stored`](Self::stored) and
        /// [`ephemeral`](Self::ephemeral).
        topics: Vec<TopicPattern> as impl IntoIterator<Item = TopicPattern> = Vec::new(); |topics| topics.into_iter().collect(),
    }
    functions {
        /// Puts a position into a message of a stored topic, before it goes to the subscribers here: the
        /// function is given the topic, the message's position, and the message as it was published.
        /// Default none: messages go out as they are, and clients have no position but the one they
        /// joined at.
        ///
        /// It is called in each process for each message, in order, and again for what is read from the
        /// stream for clients that come back. It must not block. If it panics, the message is left out,
        /// counted as [damaged](crate::Counted::damaged), and logged.
        stamp: Stamp as Fn(&str, Position, Message) -> Message,

        /// Makes what subscribers are told where messages of a topic are lost. Default none: they are
        /// told nothing, and the loss is logged and counted. It must not block.
        gap: OnGap as Fn(&str, Gap) -> Option<Publication>,

        /// Makes what subscribers are told where somebody appears in a topic or leaves it. Default none:
        /// nothing. It is called in every process that has subscribers of the topic, for these, and
        /// must not block.
        presence_event: OnPresence as Fn(&str, &PresenceEvent) -> Option<Publication>,
    }
}

impl Config {
    /// Stores the topics that match `pattern`, in which `*` stands for any run of characters. Patterns
    /// count in the order of these calls: the last that matches decides, and a topic that none matches
    /// is stored.
    ///
    /// A stored topic has one order, a history, and positions to come back to.
    ///
    /// ```
    /// # use ws_nats::{Config, TopicKind};
    /// let config = Config::default().ephemeral("game.*").stored("game.*.chat");
    /// assert_eq!(config.kind("game.7.move"), TopicKind::Ephemeral);
    /// assert_eq!(config.kind("game.7.chat"), TopicKind::Stored);
    /// assert_eq!(config.kind("room"), TopicKind::Stored);
    /// ```
    #[must_use]
    pub fn stored(mut self, pattern: impl Into<String>) -> Self {
        self.topics.push(TopicPattern { pattern: pattern.into(), kind: TopicKind::Stored });
        self
    }

    /// Makes the topics that match `pattern` ephemeral, as [`stored`](Self::stored) makes them stored:
    /// for cursors and typing, where only what is new counts.
    ///
    /// An ephemeral message goes to whoever is there. Each publisher's messages stay in order; those of
    /// two publishers may reach two nodes in different orders. Nothing is kept, acknowledged or asked
    /// for again.
    #[must_use]
    pub fn ephemeral(mut self, pattern: impl Into<String>) -> Self {
        self.topics.push(TopicPattern { pattern: pattern.into(), kind: TopicKind::Ephemeral });
        self
    }

    /// Whether a topic is stored.
    pub fn kind(&self, topic: &str) -> TopicKind {
        topics::kind(&self.topics, topic)
    }

    /// The name of the stream.
    pub(crate) fn stream_name(&self) -> String {
        self.stream.clone().unwrap_or_else(|| self.prefix.to_ascii_uppercase().replace('.', "_"))
    }
}
