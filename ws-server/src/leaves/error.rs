//! What a caller can do wrong, and what can go wrong around it.

use std::{fmt, io};

use ws_core::{CloseCode, Message};

/// A configuration that cannot work. Told when the server starts, or the client connects.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A limit of zero lets nothing through.
    ZeroLimit {
        /// Its type and name: `"Limits::max_message"`.
        field: &'static str,
    },
    /// `max_send_buffer` is smaller than `send_buffer`.
    SendBuffers,
    /// Two routes have the same path.
    DuplicateRoute {
        /// The path.
        path: Box<str>,
    },
    /// A route's path does not begin with a slash, or holds what no path in a request has: a
    /// question mark, a number sign, white space, controls or what is not ASCII.
    RoutePath {
        /// The path.
        path: Box<str>,
    },
    /// A route's path is a pattern, as `/room/{id}`, `/room/:id` or `/files/*`: a route is a whole
    /// path here. [`Server::any`](crate::Server::any) takes every path.
    RoutePattern {
        /// The path.
        path: Box<str>,
    },
    /// There is neither a route nor a handler for any path.
    NoRoute,
    /// Extensions that cannot stand together.
    Extensions(ws_handshake::ExtensionSetError),
    /// Subprotocols that cannot be offered.
    Subprotocols(ws_handshake::SubprotocolError),
    /// What is no list of hosts.
    Hosts(ws_handshake::HostsError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroLimit { field } => {
                write!(
                    f,
                    "{field} is zero, which lets nothing through: raise it, or lift it by UNLIMITED or Duration::MAX"
                )
            }
            Self::SendBuffers => {
                f.write_str("Limits::max_send_buffer is smaller than Limits::send_buffer")
            }
            Self::DuplicateRoute { path } => write!(f, "the route {path:?} was added twice"),
            Self::RoutePath { path } => {
                write!(
                    f,
                    "the route {path:?} has to begin with a slash and be a path alone, escaped as it is in a URL"
                )
            }
            Self::RoutePattern { path } => write!(
                f,
                "the route {path:?} is a pattern, and a route is a whole path: take `any`, and look at `ws.request().path()`"
            ),
            Self::NoRoute => {
                f.write_str("no handler: add one with `route`, or with `any` for every path")
            }
            Self::Extensions(error) => write!(f, "extensions: {error}"),
            Self::Subprotocols(error) => write!(f, "subprotocols: {error}"),
            Self::Hosts(error) => write!(f, "hosts: {error}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// In front of the path, where the address is that of a Unix socket.
pub(crate) const UNIX: &str = "unix:";

/// Why a server does not serve.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The configuration cannot work.
    Config(ConfigError),
    /// The address cannot be listened on.
    Bind {
        /// As it was given; a path of a Unix socket with `unix:` in front.
        address: Box<str>,
        /// What the operating system says.
        error: io::Error,
    },
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "{error}"),
            Self::Bind { address, error } => {
                write!(f, "cannot listen on {address}: {error}")?;
                match error.kind() {
                    io::ErrorKind::AddrInUse if address.starts_with(UNIX) => f.write_str(
                        "; remove the file if it is left from an earlier run, or take another path",
                    ),
                    io::ErrorKind::PermissionDenied if address.starts_with(UNIX) => {
                        f.write_str("; its directory has to be writable for this user")
                    }
                    io::ErrorKind::AddrInUse => f.write_str(
                        "; another program does: stop it, or take another port (0 for a free one)",
                    ),
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("; ports below 1024 need rights: take a higher one")
                    }
                    io::ErrorKind::InvalidInput => {
                        f.write_str("; an address is written like 127.0.0.1:9001 or [::1]:9001")
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        f.write_str("; this machine has no such address")
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Bind { error, .. } => Some(error),
        }
    }
}

impl From<ConfigError> for ServeError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// What every error says that only the end of the connection causes.
pub(crate) const CLOSED: &str = "the connection is closing or closed";

/// A message or command that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed: nothing follows a Close.
    Closed,
    /// The payload of a Ping is more than 125 bytes (RFC 6455 §5.5).
    PingTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A close code that may not be sent by this end (§7.4).
    InvalidCloseCode(CloseCode),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str(CLOSED),
            Self::PingTooLong { len } => write!(f, "a Ping carries at most 125 bytes, not {len}"),
            Self::InvalidCloseCode(code) => write!(f, "close code {code} may not be sent"),
        }
    }
}

impl std::error::Error for SendError {}

/// A subscription that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The connection is closing or closed.
    Closed,
    /// The connection has as many as it may have.
    TooMany {
        /// [`Limits::max_subscriptions`](crate::Limits::max_subscriptions).
        limit: usize,
    },
    /// The name of the topic is longer than it may be.
    TopicTooLong {
        /// Its length in bytes.
        len: usize,
        /// [`Limits::max_topic`](crate::Limits::max_topic).
        limit: usize,
    },
    /// This is a client's end: topics are those of a server.
    ClientEnd,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str(CLOSED),
            Self::TooMany { limit } => {
                write!(f, "a connection subscribes to at most {limit} topics")
            }
            Self::TopicTooLong { len, limit } => {
                write!(f, "the name of a topic has at most {limit} bytes, not {len}")
            }
            Self::ClientEnd => f.write_str("topics are those of a server, and this is a client"),
        }
    }
}

impl std::error::Error for SubscribeError {}

/// A message that was not taken at once, given back.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            TrySendReason::Full => "too much is waiting to be sent",
            TrySendReason::Closed => CLOSED,
        })
    }
}

impl std::error::Error for TrySendError {}
