//! What is known of a connection from its opening handshake.

use std::{fmt, net::SocketAddr, time::Instant};

use http::Uri;

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
pub struct Request {
    /// Lines, in one allocation of their length, because an idle connection keeps them: the target,
    /// the extensions agreed on, the subprotocol, then `name:value` for each header. Nothing in them
    /// can hold a newline: HTTP allows none in any of them.
    lines: Box<[u8]>,
    peer: Peer,
    since: Instant,
}

/// The lines before the headers.
const TARGET: usize = 0;
const EXTENSIONS: usize = 1;
const SUBPROTOCOL: usize = 2;
const HEADERS: usize = 3;

impl Request {
    /// Opened now. The names of `headers` are in lower case.
    pub(crate) fn new<'h, H: Iterator<Item = (&'h [u8], &'h [u8])>>(
        uri: &Uri,
        headers: impl Fn() -> H,
        peer: Peer,
        extensions: Option<&str>,
        subprotocol: Option<&str>,
    ) -> Self {
        let (path, query) = (uri.path(), uri.query());
        let agreed = [extensions, subprotocol].map(Option::unwrap_or_default);
        // Each is behind one octet, but for the path, and a header has a colon.
        let of_headers = headers().map(|(name, value)| 2 + name.len() + value.len());
        let length = path.len()
            + query.map_or(0, |query| 1 + query.len())
            + agreed.iter().map(|agreed| 1 + agreed.len()).sum::<usize>()
            + of_headers.sum::<usize>();
        let mut lines = Vec::with_capacity(length);
        lines.extend_from_slice(path.as_bytes());
        if let Some(query) = query {
            lines.push(b'?');
            lines.extend_from_slice(query.as_bytes());
        }
        for agreed in agreed {
            lines.push(b'\n');
            lines.extend_from_slice(agreed.as_bytes());
        }
        for (name, value) in headers() {
            lines.push(b'\n');
            lines.extend_from_slice(name);
            lines.push(b':');
            lines.extend_from_slice(value);
        }
        Self { lines: lines.into(), peer, since: Instant::now() }
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.split(|octet| *octet == b'\n')
    }

    fn text(&self, line: usize) -> &str {
        self.lines().nth(line).and_then(|line| str::from_utf8(line).ok()).unwrap_or_default()
    }

    /// The path, as it was sent: `/chat`.
    pub fn path(&self) -> &str {
        let target = self.text(TARGET);
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// What came behind the question mark, as it was sent: `room=7`.
    pub fn query(&self) -> Option<&str> {
        Some(self.text(TARGET).split_once('?')?.1)
    }

    /// A header, the first of its name in upper or lower case. `None` where there is none, and where
    /// it is not text: a client may send any octets, which [`header_all`](Self::header_all) has.
    ///
    /// Looked for from the start of the head, so keep what is needed often.
    pub fn header(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.header_all(name).next()?).ok()
    }

    /// The headers of a name, in upper or lower case, in their order.
    pub fn header_all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All headers: the name in lower case, and the value without the white space around it. Those
    /// of one name are in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines().skip(HEADERS).filter_map(|line| {
            let mut parts = line.splitn(2, |octet| *octet == b':');
            Some((str::from_utf8(parts.next()?).ok()?, parts.next()?))
        })
    }

    /// Where the connection comes from: the other end of the socket.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The subprotocol agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        Some(self.text(SUBPROTOCOL)).filter(|agreed| !agreed.is_empty())
    }

    /// The extensions agreed on, as in the header of the response.
    pub fn extensions(&self) -> Option<&str> {
        Some(self.text(EXTENSIONS)).filter(|agreed| !agreed.is_empty())
    }

    /// When the connection was opened.
    pub fn since(&self) -> Instant {
        self.since
    }
}

/// Without the headers, where secrets may be.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("peer", &self.peer)
            .field("path", &self.path())
            .field("extensions", &self.extensions())
            .field("subprotocol", &self.subprotocol())
            .finish_non_exhaustive()
    }
}

/// A connection that is opening, as [`Server::observe`](crate::Server::observe) is shown it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opening<'a> {
    /// Which one.
    pub id: ClientId,
    /// What it asked for, and what was agreed on.
    pub request: &'a Request,
    /// What became of each extension that the client offered, and why.
    pub report: &'a NegotiationReport,
}
