//! Errors of a server, and of what an application does with a connection.

use std::{error::Error, io, iter::successors};

use ws_core::{CloseCode, Message};

/// A configuration that cannot work. Told when a server is bound or made a service, or a client
/// connects. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A limit of zero lets nothing through.
    #[error(
        "{field} is zero, which lets nothing through: raise it, or lift it by UNLIMITED or Duration::MAX"
    )]
    ZeroLimit {
        /// Its type and name: `"Limits::max_message"`.
        field: &'static str,
    },
    /// `max_send_buffer` is smaller than `send_buffer`.
    #[error(
        "Limits::max_send_buffer is smaller than Limits::send_buffer: raise it, or lower the other"
    )]
    SendBuffers,
    /// Two routes have the same path.
    #[error("the route {path:?} was added twice: keep one of them")]
    DuplicateRoute {
        /// The path.
        path: Box<str>,
    },
    /// A route's path does not begin with a slash, or holds what no path in a request has: a
    /// question mark, a number sign, white space, controls or what is not ASCII.
    #[error(
        "the route {path:?} is no path: begin it with a slash, leave the query out, and escape it as in a URL"
    )]
    RoutePath {
        /// The path.
        path: Box<str>,
    },
    /// A route's path is a pattern that cannot be read. A parameter is `{name}`, one at most in each
    /// segment; `{*name}` at the end of the path takes the rest of it. Other notations (`:name`,
    /// `<name>`, `*`) would match nothing that anybody asks for.
    #[error(
        "the route {path:?} is no pattern: write a parameter as /room/{{name}}, one in a segment, and the rest of a path as /files/{{*path}}"
    )]
    RoutePattern {
        /// The path.
        path: Box<str>,
    },
    /// Two patterns match the same paths: `/room/{id}` and `/room/{name}`.
    #[error("the routes {path:?} and {with:?} match the same paths: keep one of them")]
    RouteConflict {
        /// The path that was added.
        path: Box<str>,
        /// The one that was there.
        with: Box<str>,
    },
    /// A server that listens has neither a route nor a handler for any path.
    #[error("no handler: add one with `route`, or with `any` for every path")]
    NoRoute,
    /// Extensions that do not go together.
    #[error("extensions: {_0}")]
    Extensions(#[source] ws_handshake::ExtensionSetError),
    /// Subprotocols that cannot be offered.
    #[error("subprotocols: {_0}")]
    Subprotocols(#[source] ws_handshake::SubprotocolError),
    /// A network that is none.
    #[error("{network:?} is no network: write it as 10.0.0.0/8, 2001:db8::/32, or as an address")]
    Network {
        /// As it was given.
        network: Box<str>,
    },
    /// Proxies are to be trusted with more than the client's address, and there are none.
    #[error("{method} needs proxies: name them by trust_proxies")]
    NoProxies {
        /// The method: `"trust_forwarded_host"`.
        method: &'static str,
    },
    /// A server was given a second backplane.
    #[error("a server has one backplane: keep one of them")]
    SecondBackplane,
    /// Hosts that are none.
    #[error("hosts: {_0}")]
    Hosts(#[source] ws_handshake::HostsError),
}

/// Precedes the path if the address is that of a Unix socket.
pub(crate) const UNIX: &str = "unix:";

/// Why a server does not listen. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}{}", remedy(address, error))]
    Bind {
        /// As it was given; a path of a Unix socket with `unix:` in front.
        address: Box<str>,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
}

/// What to do about an address that cannot be listened on.
fn remedy(address: &str, error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse if address.starts_with(UNIX) => {
            "; remove the file if it is left from an earlier run, or take another path"
        }
        io::ErrorKind::PermissionDenied if address.starts_with(UNIX) => {
            "; its directory must be writable for this user"
        }
        io::ErrorKind::AddrInUse => {
            "; another program does: stop it, or take another port (0 for a free one)"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need rights: take a higher one",
        io::ErrorKind::InvalidInput => "; an address is written like 127.0.0.1:9001 or [::1]:9001",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

/// Yields an error and its sources.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| error.source())
}

/// Joins the messages of an error and its sources: most name only the operation that failed.
pub(crate) fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = causes(error).map(ToString::to_string).collect();
    // An error that repeats its source's message is written once.
    parts.dedup();
    parts.join(": ")
}

/// The text of every error that only the end of the connection causes.
pub(crate) const CLOSED: &str = "the connection is closing or closed";

/// The connection ended in the middle of a message that is received in pieces: what came of it is not
/// all. [`WebSocket::closed`](crate::WebSocket::closed) says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{INTERRUPTED}")]
pub struct Interrupted;

/// The text of [`Interrupted`].
pub(crate) const INTERRUPTED: &str = "the connection ended in the middle of a message";

/// A message or command that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed: nothing follows a Close.
    #[error("{CLOSED}")]
    Closed,
    /// A close code that this end may not send (§7.4).
    #[error("close code {_0} may not be sent: take one from 3000 to 4999, or 1000")]
    InvalidCloseCode(CloseCode),
    /// Data of a text message in pieces that is no UTF-8, or an end inside of a code point (§5.6).
    /// Nothing of it was queued.
    #[error("a text message has to be valid UTF-8: send other data as a binary message")]
    InvalidUtf8,
}

/// A Ping that was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// The connection is closing or closed.
    #[error("{CLOSED}")]
    Closed,
    /// The payload is more than 125 bytes (RFC 6455 §5.5).
    #[error("a Ping carries at most 125 bytes, not {len}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Too much is waiting to be sent, and the Ping would wait with it: the peer is slow, which is what
    /// a Ping would tell.
    #[error("too much is waiting to be sent: ping again when `ready` has returned")]
    Full,
}

/// A subscription that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The connection is closing or closed.
    #[error("{CLOSED}")]
    Closed,
    /// The connection has as many as it may have.
    #[error(
        "a connection subscribes to at most {limit} topics: unsubscribe from one, or raise Limits::max_subscriptions"
    )]
    TooMany {
        /// [`Limits::max_subscriptions`](crate::Limits::max_subscriptions).
        limit: usize,
    },
    /// The name of the topic is longer than it may be.
    #[error(
        "the name of a topic has at most {limit} bytes, not {len}: shorten it, or raise Limits::max_topic"
    )]
    TopicTooLong {
        /// Its length in bytes.
        len: usize,
        /// [`Limits::max_topic`](crate::Limits::max_topic).
        limit: usize,
    },
    /// This is a client's end: topics are those of a server.
    #[error("topics are those of a server, and this is a client")]
    ClientEnd,
}

/// A [`Subscription`](crate::Subscription) that did not keep up and has ended: what waited was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this task does not keep up with its topic: receive more often, publish with SlowConsumer::DropOldest, or raise Limits::max_send_buffer"
)]
pub struct Lagged;

/// A message that was not taken at once, given back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct TrySendError {
    /// The message, whole.
    pub message: Message,
    /// Why.
    pub reason: TrySendReason,
}

/// Why a message was not taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendReason {
    /// Too much is waiting to be sent: wait with [`ready`](crate::WebSocket::ready).
    Full,
    /// The connection is closing or closed.
    Closed,
}

impl std::fmt::Display for TrySendReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "too much is waiting to be sent: wait with `ready`",
            Self::Closed => CLOSED,
        })
    }
}
