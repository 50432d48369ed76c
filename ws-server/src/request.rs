//! What is known of a connection from its opening handshake.

use std::{fmt, net::SocketAddr, time::Instant};

use http::{HeaderMap, HeaderValue, Uri};

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

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix => f.write_str("unix"),
            Self::Other => f.write_str("other"),
        }
    }
}

/// The opening handshake of a connection, as the application sees it.
#[derive(Debug)]
pub struct Request {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) peer: Peer,
    pub(crate) subprotocol: Option<Box<str>>,
    pub(crate) extensions: Option<Box<str>>,
    pub(crate) since: Instant,
}

impl Request {
    /// The path, as it was sent: `/chat`.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// What came behind the question mark, as it was sent: `room=7`.
    pub fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    /// A header, the first of its name. Octets, not text: a client may send anything.
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        self.headers.get(name)
    }

    /// All headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Where the connection comes from: the other end of the socket.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The subprotocol agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The extensions agreed on, as in the header of the response.
    pub fn extensions(&self) -> Option<&str> {
        self.extensions.as_deref()
    }

    /// When the connection was opened.
    pub fn since(&self) -> Instant {
        self.since
    }
}
