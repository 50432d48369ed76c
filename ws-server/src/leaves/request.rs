//! What is known of a connection from its opening handshake.

#[cfg(feature = "auth")]
pub(crate) mod credentials;
mod kept;

#[cfg(feature = "tls")]
use std::sync::Arc;
use std::{
    borrow::Cow,
    fmt, iter,
    net::SocketAddr,
    time::{Duration, Instant},
};

use http::Uri;
use ws_handshake::Authority;

use self::kept::Kept;
#[cfg(feature = "tls")]
use crate::TlsInfo;
use crate::{ClientId, NegotiationReport};

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// A TCP connection.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix,
    /// Something else that reads and writes.
    Other,
}

impl Peer {
    /// The address, of a TCP connection.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix | Self::Other => None,
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix => f.write_str("unix"),
            Self::Other => f.write_str("other"),
        }
    }
}

/// A parameter of the path: its name in the route's pattern, and its value with its escapes decoded.
pub(crate) type Param<'p> = (&'p str, Cow<'p, str>);

/// Where a request comes from, and by which way.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) peer: Peer,
    /// The host that a trusted proxy says was asked for, in place of that of the request.
    pub(crate) host: Option<Authority>,
    /// Whether the client came over TLS, where a trusted proxy says so.
    pub(crate) forwarded_secure: Option<bool>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<TlsInfo>>,
}

impl Source {
    /// Whether the client came over TLS, as far as it is known.
    fn is_secure(&self) -> bool {
        #[cfg(feature = "tls")]
        let own = self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let own = false;
        self.forwarded_secure.unwrap_or(own)
    }
}

impl From<Peer> for Source {
    fn from(peer: Peer) -> Self {
        Self {
            peer,
            host: None,
            forwarded_secure: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// The opening handshake of a connection, as the application sees it.
pub struct Request {
    kept: Kept,
    since: Instant,
    #[cfg(feature = "tls")]
    tls: Option<Arc<TlsInfo>>,
}

impl Request {
    /// Opened now. The names of `headers` are in lower case.
    pub(crate) fn new<'h>(
        uri: &Uri,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        source: &Source,
        params: &[Param<'_>],
        extensions: Option<&str>,
        subprotocol: Option<&str>,
    ) -> Self {
        Self {
            kept: Kept::new(
                uri,
                headers,
                (source.peer, source.is_secure()),
                params,
                extensions,
                subprotocol,
            ),
            // By the clock of the runtime, which a test may stop.
            since: tokio::time::Instant::now().into_std(),
            #[cfg(feature = "tls")]
            tls: source.tls.clone(),
        }
    }

    /// Octets on the heap.
    pub(crate) fn memory_usage(&self) -> usize {
        self.kept.memory_usage()
    }

    /// The same, opened now: extensions and subprotocol are agreed on, for which it has no text yet.
    pub(crate) fn agreed(self, extensions: Option<&str>, subprotocol: Option<&str>) -> Self {
        let since = tokio::time::Instant::now().into_std();
        // In some sets of features there are no other fields.
        #[allow(clippy::needless_update)]
        Self { kept: self.kept.agreed(extensions, subprotocol), since, ..self }
    }

    /// That of nobody.
    pub(crate) fn none() -> Self {
        Self::new(&Uri::default(), iter::empty(), &Peer::Other.into(), &[], None, None)
    }

    /// The path, as it was sent: `/chat`.
    pub fn path(&self) -> &str {
        let target = self.kept.target();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// The value of a parameter of the route's pattern: `7` of `/room/7` for the `room` of
    /// `/room/{room}`. Its escapes are decoded, once: it may hold a slash. `None` if the pattern has no
    /// parameter of this name.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// All parameters of the route's pattern, in their order in the path, as [`param`](Self::param)
    /// returns them.
    pub fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.kept.params()
    }

    /// What follows the question mark, as it was sent: `room=7`.
    pub fn query(&self) -> Option<&str> {
        Some(self.kept.target().split_once('?')?.1)
    }

    /// One of the [headers](Self::headers), the first of its name in upper or lower case. `None` where
    /// there is none, and where it is not text: a client may send any octets, which
    /// [`header_all`](Self::header_all) has.
    ///
    /// Looked for from the start of the head, so keep what is needed often.
    pub fn header(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.header_all(name).next()?).ok()
    }

    /// Those of the [headers](Self::headers) of a name, in upper or lower case, in their order.
    pub fn header_all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All headers but those that every opening handshake has (`Connection`, `Upgrade`,
    /// `Sec-WebSocket-Key`, `Sec-WebSocket-Version`): the name in lower case, and the value without
    /// the white space around it. Those of one name are in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.kept.headers()
    }

    /// Where the connection comes from: the other end of the socket, or, behind a proxy that is
    /// [trusted](crate::Server::trust_proxies), the client that it names. Its port is 0 if the proxy
    /// does not tell it.
    pub fn peer(&self) -> Peer {
        self.kept.peer()
    }

    /// Whether the client came over TLS: what a proxy says that is
    /// [trusted with it](crate::Server::trust_forwarded_proto), and otherwise whether this connection has
    /// TLS. `false` where somebody else ended TLS and nobody says so.
    pub fn is_secure(&self) -> bool {
        self.kept.is_secure()
    }

    /// What TLS knows of the other end. `None` where the connection came without TLS, or a proxy ended
    /// it.
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_deref()
    }

    /// The subprotocol agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.kept.subprotocol()
    }

    /// The extensions agreed on, as in the header of the response.
    pub fn extensions(&self) -> Option<&str> {
        self.kept.extensions()
    }

    /// When the connection was opened.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// How long ago that was.
    pub(crate) fn age(&self) -> Duration {
        tokio::time::Instant::now().into_std().saturating_duration_since(self.since)
    }
}

/// Without the headers, where secrets may be.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("peer", &self.peer())
            .field("path", &self.path())
            .field("extensions", &self.extensions())
            .field("subprotocol", &self.subprotocol())
            .finish_non_exhaustive()
    }
}

/// A connection that was agreed on, as [`Server::observe`](crate::Server::observe) is shown it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Agreed<'a> {
    /// Which one.
    pub id: ClientId,
    /// What it asked for, and what was agreed on.
    pub request: &'a Request,
    /// What became of each extension that the client offered, and why.
    pub report: &'a NegotiationReport,
}
