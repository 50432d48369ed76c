//! What can go wrong, and what to do about it.

use std::time::Duration;

use ws_server::SubscribeError;

/// Why this process could not be joined with others.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A field of [`Config`](crate::Config) that cannot work. Found before anything is asked of NATS.
    #[error("Config::{field} {problem}")]
    Config {
        /// Its name.
        field: &'static str,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// No server answered within [`connect_timeout`](crate::Config#structfield.connect_timeout).
    #[error(
        "no NATS server answers at {servers}: start one, or correct Config::servers ({reason})"
    )]
    Unreachable {
        /// [`Config::servers`](crate::Config#structfield.servers).
        servers: String,
        /// What the last try met.
        reason: String,
    },
    /// TLS failed: the certificate of either end, or a server that has none.
    #[error(
        "no TLS with NATS at {servers}: correct Config::tls_roots, tls_certificate, tls or tls_first, or the server's certificate ({reason})"
    )]
    Tls {
        /// [`Config::servers`](crate::Config#structfield.servers).
        servers: String,
        /// What TLS says.
        reason: String,
    },
    /// NATS does not know this process.
    #[error(
        "NATS refused the credentials ({credentials}): correct Config::credentials, or the server's users ({reason})"
    )]
    Credentials {
        /// Which [`Config::credentials`](crate::Config#structfield.credentials), without secrets.
        credentials: String,
        /// What NATS says.
        reason: String,
    },
    /// The server is older than 2.11: it has no batches of direct reads.
    #[error("the NATS server is {version}, and 2.11 or newer is needed: update it")]
    TooOld {
        /// The server's version.
        version: String,
    },
    /// The server has no JetStream, or not in this domain.
    #[error(
        "the NATS server has no JetStream{}: start it with `-js`, or correct Config::domain",
        .domain.as_ref().map(|domain| format!(" in the domain {domain:?}")).unwrap_or_default()
    )]
    NoJetStream {
        /// [`Config::domain`](crate::Config#structfield.domain).
        domain: Option<String>,
    },
    /// The account of this process may not use JetStream.
    #[error(
        "JetStream is not enabled for the account of this process: enable it in the server's configuration (`accounts {{ NAME {{ jetstream: enabled }} }}`)"
    )]
    NoJetStreamForAccount,
    /// A request or a subscription that the server does not permit.
    #[error(
        "NATS does not permit this process to {action} {subject:?}: permit it, and the other subjects that the README of ws-nats lists"
    )]
    Permission {
        /// `"publish to"` or `"subscribe to"`.
        action: &'static str,
        /// The subject.
        subject: String,
    },
    /// There is no stream, and [`Config::create`](crate::Config#structfield.create) is `false`.
    #[error("there is no stream {stream:?}, and Config::create is false: make it by `{command}`")]
    NoStream {
        /// Its name.
        stream: String,
        /// The command that makes it.
        command: String,
    },
    /// The stream cannot carry topics: something else than its limits is set otherwise.
    #[error("the stream {stream:?} has {setting} = {found}, and {wanted} is needed: {mend}")]
    Shape {
        /// Its name.
        stream: String,
        /// The setting, as the server calls it.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        wanted: String,
        /// What to do.
        mend: String,
    },
    /// Another stream takes some of the subjects.
    #[error(
        "a stream other than {stream:?} takes subjects of {subjects:?}: remove it, or choose another Config::prefix"
    )]
    Overlap {
        /// The stream of [`Config::stream`](crate::Config#structfield.stream).
        stream: String,
        /// Its subjects.
        subjects: String,
    },
    /// The server or the account has not so much room as the stream is to have.
    #[error(
        "NATS has no room for the stream {stream:?}: lower Config::max_bytes or replicas, or raise the limits of the server (`jetstream {{ max_file_store }}`) or account ({reason})"
    )]
    NoRoom {
        /// Its name.
        stream: String,
        /// What NATS says.
        reason: String,
    },
    /// There are fewer servers than replicas, or none with the tags or of the cluster that were asked
    /// for.
    #[error(
        "NATS finds no servers for {replicas} replicas of the stream {stream:?}: correct Config::replicas, placement_tags or placement_cluster, or start more servers ({reason})"
    )]
    Placement {
        /// Its name.
        stream: String,
        /// [`Config::replicas`](crate::Config#structfield.replicas).
        replicas: usize,
        /// What NATS says.
        reason: String,
    },
    /// The stream has no leader, or JetStream is not ready.
    #[error(
        "JetStream gave no answer about the stream {stream:?} within {waited:?}: look at the health of the NATS servers (`nats server report jetstream`), or raise Config::connect_timeout"
    )]
    NoAnswer {
        /// Its name.
        stream: String,
        /// [`Config::connect_timeout`](crate::Config#structfield.connect_timeout).
        waited: Duration,
    },
    /// Another error of JetStream about the stream.
    #[error("JetStream refused the stream {stream:?}: {description} (error {code})")]
    Stream {
        /// Its name.
        stream: String,
        /// JetStream's number of it.
        code: u64,
        /// JetStream's text of it.
        description: String,
    },
}

/// What became of a publication that was to be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// NATS is away: nothing was sent, and nothing will be.
    #[error("NATS is away: try again, or tell the publisher")]
    Away,
    /// More waits for NATS than may.
    #[error("NATS is slower than the publishers: publish less, or raise Config::queue_bytes")]
    Full,
    /// The message is larger than the server takes.
    #[error(
        "the message takes {size} octets with its headers, and NATS takes {limit}: send less, or raise max_payload in the server's configuration"
    )]
    TooLarge {
        /// Its size, headers included.
        size: usize,
        /// The server's `max_payload`.
        limit: usize,
    },
    /// The topic is longer than a subject can hold.
    #[error("the topic has {len} octets, and {limit} fit into a subject of NATS: shorten it")]
    TopicTooLong {
        /// Its length.
        len: usize,
        /// The most.
        limit: usize,
    },
    /// The topic is [ephemeral](crate::Config::ephemeral): nothing acknowledges.
    #[error(
        "the topic is ephemeral, and nobody acknowledges its messages: publish without, or correct Config::topics"
    )]
    Ephemeral,
    /// The id of the message cannot be sent.
    #[error("the id of a message is 1 to 256 visible ASCII characters: shorten or encode it")]
    Id,
    /// The stream refused the message: it is not stored.
    #[error(
        "JetStream refused the message: {description} (error {code}); try again if the stream has no leader at this moment, and look at its limits"
    )]
    Refused {
        /// JetStream's number of it.
        code: u64,
        /// JetStream's text of it.
        description: String,
    },
    /// No acknowledgement came, and the connection is gone or
    /// [`publish_timeout`](crate::Config#structfield.publish_timeout) is over: it may be stored or not.
    /// Published again with the same id, it is stored once.
    #[error(
        "no acknowledgement came: the message may be stored or not; publish it again with the same id"
    )]
    Unknown,
    /// This process has left NATS.
    #[error("this process has left NATS: nothing can be published")]
    ShutDown,
}

/// Why a client could not join a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The client subscribes already, and asks for what it missed: it would get that twice.
    #[error("the client subscribes to this topic already: join in place of subscribing")]
    Subscribed,
    /// The client cannot subscribe.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// NATS is away, so that nobody can tell where the topic is.
    #[error("NATS is away: try again later, or subscribe without history")]
    Away,
    /// The stream gave no answer in time.
    #[error("the stream gave no answer in time: try again")]
    NoAnswer,
    /// The topic is [ephemeral](crate::Config::ephemeral), and there is nothing to come back to.
    #[error(
        "the topic is ephemeral and has no history: join without `since`, or correct Config::topics"
    )]
    Ephemeral,
    /// The topic is longer than a subject can hold.
    #[error("the topic has {len} octets, and {limit} fit into a subject of NATS: shorten it")]
    TopicTooLong {
        /// Its length.
        len: usize,
        /// The most.
        limit: usize,
    },
    /// This process has left NATS.
    #[error("this process has left NATS: join elsewhere")]
    ShutDown,
}
