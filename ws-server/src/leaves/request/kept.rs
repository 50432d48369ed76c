//! How a request is kept: in one allocation of its length, because an idle connection has it.
//!
//! After the peer come the parameters of the path, if the route has any, and lines: the target, the extensions agreed on, the subprotocol, then one
//! for each header. What most requests have in common is one control character: a known name begins
//! its line in place of a newline. HTTP allows none of them in any of these.

use std::{
    cell::Cell,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
};

use http::Uri;

use super::{Param, Peer};

/// The lines before the headers.
const TARGET: usize = 0;
const EXTENSIONS: usize = 1;
const SUBPROTOCOL: usize = 2;

/// The peer by the first octet.
const OTHER: u8 = 0;
const UNIX: u8 = 1;
const V4: u8 = 4;
const V6: u8 = 6;
/// Set in that octet if parameters follow the peer.
const PARAMS: u8 = 0x80;
/// Set in it if the client came over TLS.
const SECURE: u8 = 0x40;

/// What a thread keeps of where it writes.
const SCRATCH_KEPT: usize = 16 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

pub(super) struct Kept(Box<[u8]>);

const fn ascii(text: &'static [u8]) -> &'static str {
    match str::from_utf8(text) {
        Ok(text) => text,
        Err(_) => panic!("no ASCII"),
    }
}

/// Texts for which there is an octet.
macro_rules! table {
    ($to:ident, $from:ident, $($octet:literal $text:literal)*) => {
        fn $to(text: &[u8]) -> Option<u8> {
            match text {
                $($text => Some($octet),)*
                _ => None,
            }
        }

        fn $from(octet: u8) -> Option<&'static str> {
            match octet {
                $($octet => Some(const { ascii($text) }),)*
                _ => None,
            }
        }
    };
}

// RFC 9110 §5.5: a value has no control characters but for tabs.
table! { name_octet, name_of,
    0x0b b"host"
    0x0c b"origin"
    0x0d b"user-agent"
    0x0e b"cookie"
    0x0f b"authorization"
    0x10 b"accept"
    0x11 b"accept-encoding"
    0x12 b"accept-language"
    0x13 b"cache-control"
    0x14 b"pragma"
    0x15 b"sec-websocket-extensions"
    0x16 b"sec-websocket-protocol"
    0x17 b"sec-fetch-dest"
    0x18 b"sec-fetch-mode"
    0x19 b"sec-fetch-site"
    0x1a b"x-forwarded-for"
    0x1b b"x-forwarded-proto"
    0x1c b"x-forwarded-host"
    0x1d b"x-real-ip"
    0x1e b"forwarded"
    0x1f b"via"
}

table! { value_octet, value_of,
    0x01 b"no-cache"
    0x02 b"gzip, deflate, br, zstd"
    0x03 b"gzip, deflate, br"
    0x04 b"permessage-deflate; client_max_window_bits"
    0x05 b"websocket"
    0x06 b"same-origin"
}

impl Kept {
    /// The names of `headers` are in lower case.
    pub(super) fn new<'h>(
        uri: &Uri,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
        (peer, is_secure): (Peer, bool),
        params: &[Param<'_>],
        extensions: Option<&str>,
        subprotocol: Option<&str>,
    ) -> Self {
        // Its length is known when it is written.
        let mut kept = SCRATCH.take();
        put_peer(&mut kept, peer);
        if let Some(kind) = kept.first_mut()
            && is_secure
        {
            *kind |= SECURE;
        }
        put_params(&mut kept, params);
        kept.extend_from_slice(uri.path().as_bytes());
        if let Some(query) = uri.query() {
            kept.push(b'?');
            kept.extend_from_slice(query.as_bytes());
        }
        for agreed in [extensions, subprotocol] {
            kept.push(b'\n');
            kept.extend_from_slice(agreed.unwrap_or_default().as_bytes());
        }
        for (name, value) in headers {
            put_header(&mut kept, name, value);
        }
        let this = Self(kept.as_slice().into());
        kept.clear();
        // A head is no longer than its limit, which may have been lifted.
        if kept.capacity() <= SCRATCH_KEPT {
            SCRATCH.set(kept);
        }
        this
    }

    /// Octets on the heap.
    pub(super) fn memory_usage(&self) -> usize {
        self.0.len()
    }

    /// The same with what was agreed on, for which it has no text yet.
    pub(super) fn agreed(self, extensions: Option<&str>, subprotocol: Option<&str>) -> Self {
        if extensions.is_none() && subprotocol.is_none() {
            return self;
        }
        let lines = self.lines();
        let before = self.0.len() - lines.len();
        let end = lines.iter().position(begins_line).map(|at| before + at);
        // Two lines without a text follow the target.
        let Some((target, headers)) = end.and_then(|end| {
            let (target, rest) = self.0.split_at_checked(end)?;
            Some((target, rest.get(2..)?))
        }) else {
            return self;
        };
        let [extensions, subprotocol] = [extensions, subprotocol].map(Option::unwrap_or_default);
        let texts = [&b"\n"[..], extensions.as_bytes(), b"\n", subprotocol.as_bytes()].concat();
        Self([target, &texts, headers].concat().into())
    }

    pub(super) fn target(&self) -> &str {
        self.text(TARGET)
    }

    pub(super) fn extensions(&self) -> Option<&str> {
        Some(self.text(EXTENSIONS)).filter(|agreed| !agreed.is_empty())
    }

    pub(super) fn subprotocol(&self) -> Option<&str> {
        Some(self.text(SUBPROTOCOL)).filter(|agreed| !agreed.is_empty())
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let lines = self.lines();
        let begins = lines.iter().enumerate().filter(|(_, octet)| begins_line(octet));
        let at = begins.map(|(at, _)| at).nth(SUBPROTOCOL).unwrap_or(lines.len());
        let headers = lines.get(at..).unwrap_or_default();
        headers.chunk_by(|_, next| !begins_line(next)).filter_map(|line| {
            let (first, rest) = line.split_first()?;
            let (name, value) = match name_of(*first) {
                Some(name) => (name, rest),
                None => {
                    let mut parts = rest.splitn(2, |octet| *octet == b':');
                    (str::from_utf8(parts.next()?).ok()?, parts.next()?)
                }
            };
            let known = value.first().and_then(|octet| value_of(*octet));
            Some((name, known.map_or(value, str::as_bytes)))
        })
    }

    pub(super) fn peer(&self) -> Peer {
        self.split().map_or(Peer::Other, |(peer, ..)| peer)
    }

    pub(super) fn is_secure(&self) -> bool {
        self.0.first().is_some_and(|kind| kind & SECURE != 0)
    }

    /// Names and values of the parameters of the path, in their order.
    pub(super) fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = self.split().map_or(&[][..], |(_, params, _)| params);
        std::iter::from_fn(move || {
            let mut next = || {
                let (text, after) = split_sized(rest)?;
                rest = after;
                str::from_utf8(text).ok()
            };
            Some((next()?, next()?))
        })
    }

    /// The peer, the parameters, and the lines.
    fn split(&self) -> Option<(Peer, &[u8], &[u8])> {
        let (kind, rest) = self.0.split_first()?;
        let (peer, rest) = split_peer(*kind & !(PARAMS | SECURE), rest)?;
        if kind & PARAMS == 0 {
            return Some((peer, &[], rest));
        }
        let (params, lines) = split_sized(rest)?;
        Some((peer, params, lines))
    }

    fn lines(&self) -> &[u8] {
        self.split().map_or(&[], |(.., lines)| lines)
    }

    fn text(&self, line: usize) -> &str {
        let line = self.lines().split(begins_line).nth(line);
        line.and_then(|line| str::from_utf8(line).ok()).unwrap_or_default()
    }
}

fn split_peer(kind: u8, rest: &[u8]) -> Option<(Peer, &[u8])> {
    Some(match kind {
        V4 => {
            let (address, rest) = rest.split_first_chunk::<4>()?;
            let (port, rest) = rest.split_first_chunk()?;
            let port = u16::from_be_bytes(*port);
            (Peer::Tcp((Ipv4Addr::from(*address), port).into()), rest)
        }
        V6 => {
            let (address, rest) = rest.split_first_chunk::<16>()?;
            let (port, rest) = rest.split_first_chunk()?;
            let (flow, rest) = rest.split_first_chunk()?;
            let (scope, rest) = rest.split_first_chunk()?;
            let address = SocketAddrV6::new(
                Ipv6Addr::from(*address),
                u16::from_be_bytes(*port),
                u32::from_be_bytes(*flow),
                u32::from_be_bytes(*scope),
            );
            (Peer::Tcp(address.into()), rest)
        }
        UNIX => (Peer::Unix, rest),
        _ => (Peer::Other, rest),
    })
}

/// What `put_sized` wrote, and what follows it.
fn split_sized(from: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = from.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*len) as usize)
}

/// Whether a line begins there, which is not the first.
fn begins_line(octet: &u8) -> bool {
    *octet == b'\n' || name_of(*octet).is_some()
}

fn put_peer(kept: &mut Vec<u8>, peer: Peer) {
    match peer {
        Peer::Tcp(SocketAddr::V4(address)) => {
            kept.push(V4);
            kept.extend_from_slice(&address.ip().octets());
            kept.extend_from_slice(&address.port().to_be_bytes());
        }
        Peer::Tcp(SocketAddr::V6(address)) => {
            kept.push(V6);
            kept.extend_from_slice(&address.ip().octets());
            kept.extend_from_slice(&address.port().to_be_bytes());
            kept.extend_from_slice(&address.flowinfo().to_be_bytes());
            kept.extend_from_slice(&address.scope_id().to_be_bytes());
        }
        Peer::Unix => kept.push(UNIX),
        Peer::Other => kept.push(OTHER),
    }
}

/// After the peer, whose first octet is that of `kept`.
fn put_params(kept: &mut Vec<u8>, params: &[Param<'_>]) {
    if params.is_empty() {
        return;
    }
    if let Some(kind) = kept.first_mut() {
        *kind |= PARAMS;
    }
    let mut all = Vec::new();
    for (name, value) in params {
        put_sized(&mut all, name.as_bytes());
        put_sized(&mut all, value.as_bytes());
    }
    put_sized(kept, &all);
}

/// A head of 4 GiB is not read.
fn put_sized(into: &mut Vec<u8>, octets: &[u8]) {
    into.extend_from_slice(&(octets.len() as u32).to_be_bytes());
    into.extend_from_slice(octets);
}

fn put_header(kept: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    // Every opening handshake has these, and they tell nothing.
    if let b"connection" | b"upgrade" | b"sec-websocket-key" | b"sec-websocket-version" = name {
        return;
    }
    match name_octet(name) {
        Some(octet) => kept.push(octet),
        None => {
            kept.push(b'\n');
            kept.extend_from_slice(name);
            kept.push(b':');
        }
    }
    match value_octet(value) {
        Some(octet) => kept.push(octet),
        None => kept.extend_from_slice(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(headers: &[(&str, &[u8])], peer: Peer) -> Kept {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), *value));
        Kept::new(&Uri::from_static("/a?b"), headers, (peer, false), &[], None, Some("chat"))
    }

    #[test]
    fn every_peer_comes_back() {
        for peer in [
            Peer::Tcp("192.0.2.10:2570".parse().unwrap()),
            Peer::Tcp("[2001:db8::a0a]:10".parse().unwrap()),
            Peer::Tcp(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7, 10, 1 << 30).into()),
            Peer::Unix,
            Peer::Other,
        ] {
            let kept = kept(&[], peer);
            assert_eq!((kept.peer(), kept.target()), (peer, "/a?b"));
            assert_eq!((kept.extensions(), kept.subprotocol()), (None, Some("chat")));
        }
    }

    #[test]
    fn parameters_come_back_whatever_they_hold() {
        let params = [("room", "a\nb\u{b}".into()), ("any", "".into()), ("text", "é/".into())];
        let tcp = Peer::Tcp("192.0.2.10:2570".parse().unwrap());
        for (peer, secure) in [(Peer::Other, true), (tcp, false), (tcp, true)] {
            let headers = [(&b"host"[..], &b"server.example"[..])].into_iter();
            let uri = Uri::from_static("/a?b");
            let kept = Kept::new(&uri, headers, (peer, secure), &params, None, Some("chat"));
            assert_eq!((kept.peer(), kept.target()), (peer, "/a?b"));
            assert_eq!(kept.is_secure(), secure);
            let back: Vec<_> = kept.params().collect();
            assert_eq!(back, [("room", "a\nb\u{b}"), ("any", ""), ("text", "é/")]);
            assert_eq!(kept.subprotocol(), Some("chat"));
            assert_eq!(kept.headers().collect::<Vec<_>>(), [("host", &b"server.example"[..])]);
        }
        assert_eq!(kept(&[], Peer::Unix).params().count(), 0);
    }

    #[test]
    fn what_is_agreed_on_later_is_kept_as_from_the_start() {
        let params = [("room", "a\nb".into())];
        for params in [&params[..], &[]] {
            for agreed in
                [(None, None), (Some("x; y"), None), (None, Some("v1")), (Some("x"), Some("v1"))]
            {
                for headers in [&[][..], &[(&b"host"[..], &b"a.example"[..]), (b"x-mine", b"a: b")]]
                {
                    let new = |(extensions, subprotocol)| {
                        let (uri, peer) = (Uri::from_static("/a?b"), (Peer::Unix, true));
                        let headers = headers.iter().copied();
                        Kept::new(&uri, headers, peer, params, extensions, subprotocol)
                    };
                    let later = new((None, None)).agreed(agreed.0, agreed.1);
                    assert_eq!(later.0, new(agreed).0, "{agreed:?}");
                }
            }
        }
    }

    #[test]
    fn headers_come_back_known_or_not() {
        let sent: [(&str, &[u8]); 9] = [
            ("host", b"server.example"),
            ("pragma", b"no-cache"),
            ("cache-control", b"no-cache, no-store"),
            ("accept-encoding", b"gzip, deflate, br, zstd"),
            ("x-mine", b"no-cache"),
            ("x-mine", b"a: b"),
            ("cookie", b"\xff\x80"),
            ("via", b""),
            ("x", b""),
        ];
        let kept = kept(&sent, Peer::Other);
        assert_eq!(kept.headers().collect::<Vec<_>>(), sent);
    }

    #[test]
    fn all_that_has_an_octet_comes_back() {
        let mut known = 0;
        for octet in 0..=255 {
            if let Some(name) = name_of(octet) {
                assert!(octet < b' ' && octet != b'\t' && octet != b'\n', "no value has it");
                assert!(value_of(octet).is_none());
                assert_eq!(name_octet(name.as_bytes()), Some(octet));
                known += 1;
            }
            if let Some(value) = value_of(octet) {
                assert!(octet < b' ' && octet != b'\t' && octet != b'\n', "no value has it");
                assert_eq!(value_octet(value.as_bytes()), Some(octet));
                known += 1;
            }
        }
        assert_eq!(known, 27);
    }
}
