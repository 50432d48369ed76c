//! Trusted proxies, and the clients that they name.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

use ws_handshake::{Authority, RequestView};

use crate::{ConfigError, Networks, Peer};

/// The headers in which proxies name their client. One family is read and the other ignored: most
/// proxies pass on what a client wrote into the one that they do not write themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Forwarding {
    /// `Forwarded` ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)).
    Forwarded,
    /// `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`: what nginx, HAProxy and most
    /// load balancers are told to write.
    XForwardedFor,
}

/// Names those that come by a Unix socket, as in nginx's `set_real_ip_from unix:`.
const UNIX: &str = "unix:";

/// The proxies that are to be trusted, as they are configured.
#[derive(Debug, Default)]
pub(crate) struct Trusted {
    proxies: Option<(Networks, bool, Forwarding)>,
    pub(crate) host: bool,
    pub(crate) proto: bool,
}

impl Trusted {
    pub(crate) fn trust<S: AsRef<str>>(
        &mut self,
        networks: impl IntoIterator<Item = S>,
        forwarding: Forwarding,
    ) -> Result<(), ConfigError> {
        let networks: Vec<S> = networks.into_iter().collect();
        let (unix, networks): (Vec<_>, Vec<_>) =
            networks.iter().map(S::as_ref).partition(|network| *network == UNIX);
        self.proxies = Some((Networks::new(networks)?, !unix.is_empty(), forwarding));
        Ok(())
    }

    pub(crate) fn settle(self) -> Result<Option<Proxies>, ConfigError> {
        let Self { proxies, host, proto } = self;
        let asked = [(host, "trust_forwarded_host"), (proto, "trust_forwarded_proto")];
        match (proxies, asked.into_iter().find(|(is_asked, _)| *is_asked)) {
            (Some((networks, unix, forwarding)), _) => {
                Ok(Some(Proxies { networks, unix, forwarding, host, proto }))
            }
            (None, Some((_, method))) => Err(ConfigError::NoProxies { method }),
            (None, None) => Ok(None),
        }
    }
}

/// The proxies that are trusted.
#[derive(Clone, Debug)]
pub(crate) struct Proxies {
    networks: Networks,
    /// Whether those are proxies that come by a Unix socket.
    unix: bool,
    forwarding: Forwarding,
    /// Whether the host that they name is that of the request.
    host: bool,
    /// Whether they say if the client came over TLS.
    proto: bool,
}

/// What the headers of a proxy name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) client: Option<SocketAddr>,
    pub(crate) host: Option<Authority>,
    /// Whether the client came over TLS.
    pub(crate) is_secure: Option<bool>,
}

impl Proxies {
    /// Whether a connection comes from one of them.
    pub(crate) fn trust(&self, peer: Peer) -> bool {
        match peer {
            Peer::Tcp(address) => self.networks.contains(address.ip()),
            Peer::Unix => self.unix,
            Peer::Other => false,
        }
    }

    /// Reads the headers of a request that came from one of them.
    pub(crate) fn read(&self, request: &impl RequestView) -> Told {
        match self.forwarding {
            Forwarding::Forwarded => self.read_forwarded(request),
            Forwarding::XForwardedFor => self.read_x_forwarded(request),
        }
    }

    /// The client is the rightmost hop that is none of the proxies: each proxy appends who connected to
    /// it, and everything further left came from that client. If a hop is no address, the proxy that
    /// wrote it is the last one known.
    fn client(&self, hops: impl Iterator<Item = Option<SocketAddr>>) -> Option<SocketAddr> {
        let mut known = None;
        for hop in hops {
            let Some(hop) = hop else { break };
            known = Some(hop);
            if !self.networks.contains(hop.ip()) {
                break;
            }
        }
        known
    }

    // RFC 7239 §4: "Forwarded   = 1#forwarded-element", and "forwarded-element = [ forwarded-pair ]
    // *( ";" [ forwarded-pair ] )", whose values are tokens or quoted strings.
    fn read_forwarded(&self, request: &impl RequestView) -> Told {
        let lines = lines(request, b"forwarded");
        let elements = || lines.iter().rev().flat_map(|line| split_from_right(line, b','));
        let client = self.client(elements().map(|element| address(parameter(element, "for")?)));
        // What the proxy next to us wrote.
        let own = |name| elements().next().and_then(|element| parameter(element, name));
        Told {
            client,
            host: if self.host { own("host").and_then(authority) } else { None },
            is_secure: if self.proto { own("proto").and_then(is_secure) } else { None },
        }
    }

    fn read_x_forwarded(&self, request: &impl RequestView) -> Told {
        let lines_for = lines(request, b"x-forwarded-for");
        let hops = lines_for.iter().rev().flat_map(|line| line.rsplit(','));
        let client = self.client(hops.map(|hop| address(hop.trim())));
        let host = if self.host { last(request, b"x-forwarded-host") } else { None };
        let proto = if self.proto { last(request, b"x-forwarded-proto") } else { None };
        Told {
            client,
            host: host.and_then(|host| authority(host.trim())),
            is_secure: proto.and_then(|proto| is_secure(proto.trim())),
        }
    }
}

/// The values of all header lines of a name, in their order. Octets that are no text are replaced one by
/// one: what a client wrote must not hide what the proxy appended to it.
fn lines<'r>(request: &'r impl RequestView, name: &[u8]) -> Vec<Cow<'r, str>> {
    let lines = request.header_lines().filter(|(own, _)| *own == name);
    lines.map(|(_, value)| String::from_utf8_lossy(value)).collect()
}

/// The last of the values in all header lines of a name.
fn last(request: &impl RequestView, name: &[u8]) -> Option<String> {
    let lines = lines(request, name);
    Some(lines.last()?.rsplit(',').next()?.to_owned())
}

/// Splits at a separator, from the right. One inside of a quoted string does not count; a quote that a
/// client tore reaches no further to the right than the next separator. Takes time in proportion to the
/// length of the text.
fn split_from_right(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let whole = rest?;
        let octets = whole.as_bytes();
        let (mut quoted, mut last, mut cut) = (false, None, None);
        for (at, octet) in octets.iter().enumerate().rev() {
            if *octet == b'"' && !is_escaped(octets, at) {
                quoted = !quoted;
            } else if *octet == separator {
                last = last.or(Some(at));
                if !quoted {
                    cut = Some(at);
                    break;
                }
            }
        }
        // The string began nowhere: this quote was torn. It happens once, since an even number is left.
        let cut = cut.or(if quoted { last } else { None });
        rest = cut.and_then(|at| whole.get(..at));
        Some(cut.and_then(|at| whole.get(at + 1..)).unwrap_or(whole).trim())
    })
}

/// Whether an odd number of backslashes precedes.
fn is_escaped(octets: &[u8], at: usize) -> bool {
    let before = octets.iter().take(at).rev();
    before.take_while(|octet| **octet == b'\\').count() % 2 == 1
}

/// The value of a parameter of an element, without its quotes.
fn parameter<'e>(element: &'e str, name: &str) -> Option<&'e str> {
    let mut pairs = split_from_right(element, b';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(own, _)| own.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim().trim_matches('"'))
}

/// `192.0.2.1`, `192.0.2.1:7`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:7`.
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, 0));
    }
    // RFC 7239 §6.3: a port may be obfuscated.
    let text = text.split_once(":_").map_or(text, |(address, _)| address);
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, 0));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(ip) => Some(SocketAddr::new(IpAddr::V6(ip.parse().ok()?), 0)),
        None => text.parse().ok(),
    }
}

/// What the scheme of a request says. Proxies that speak WebSocket themselves write `wss` or `ws`.
fn is_secure(scheme: &str) -> Option<bool> {
    let is = |name| scheme.eq_ignore_ascii_case(name);
    match () {
        () if is("https") || is("wss") => Some(true),
        () if is("http") || is("ws") => Some(false),
        () => None,
    }
}

fn authority(text: &str) -> Option<Authority> {
    Authority::parse(text.trim_matches('"').as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str], forwarding: Forwarding, host: bool, proto: bool) -> Proxies {
        let networks = Networks::new(networks).unwrap();
        Proxies { networks, unix: false, forwarding, host, proto }
    }

    fn read(proxies: &Proxies, headers: &[(&str, &str)]) -> (Option<String>, Option<String>) {
        let mut request = http::Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let told = proxies.read(&request.body(()).unwrap());
        (told.client.map(|client| client.to_string()), told.host.map(|host| host.to_string()))
    }

    // T-B22
    #[test]
    fn rightmost_hop_that_is_no_proxy_is_the_client() {
        let proxies =
            |forwarding| proxies(&["10.0.0.0/8", "2001:db8::/32"], forwarding, true, false);
        let x = |value: &str| {
            read(&proxies(Forwarding::XForwardedFor), &[("x-forwarded-for", value)]).0
        };
        assert_eq!(x("192.0.2.1").unwrap(), "192.0.2.1:0");
        assert_eq!(
            x("203.0.113.9, 192.0.2.1").unwrap(),
            "192.0.2.1:0",
            "the client wrote the rest"
        );
        assert_eq!(x("192.0.2.1, 10.0.0.2,10.1.1.1").unwrap(), "192.0.2.1:0");
        assert_eq!(x("192.0.2.1:4711 , [2001:db8::7]:80").unwrap(), "192.0.2.1:4711");
        assert_eq!(x("2001:db9::1, [2001:db8::7]").unwrap(), "[2001:db9::1]:0");
        assert_eq!(x("10.0.0.3, 10.0.0.2").unwrap(), "10.0.0.3:0", "a client in our own network");
        for nothing in ["", "unknown", "192.0.2.1, unknown", "evil\"", "256.0.0.1", "a.example"] {
            assert_eq!(x(nothing), None, "{nothing}");
        }
        assert_eq!(x("192.0.2.1, junk, 10.0.0.2").unwrap(), "10.0.0.2:0", "the last that is known");
        // What the client wrote is no text, and the proxy appended to it.
        let mut request = http::Request::get("/");
        let torn = http::HeaderValue::from_bytes(b"\xff, 192.0.2.1").unwrap();
        request = request.header("x-forwarded-for", torn);
        let told = proxies(Forwarding::XForwardedFor).read(&request.body(()).unwrap());
        assert_eq!(told.client.unwrap().to_string(), "192.0.2.1:0");
        let two = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "192.0.2.1")];
        let both = read(&proxies(Forwarding::XForwardedFor), &two);
        assert_eq!(both.0.unwrap(), "192.0.2.1:0");

        let f = |value: &str| read(&proxies(Forwarding::Forwarded), &[("forwarded", value)]).0;
        assert_eq!(f("for=192.0.2.1").unwrap(), "192.0.2.1:0");
        assert_eq!(f("For=\"[2001:db9::1]:4711\";proto=https").unwrap(), "[2001:db9::1]:4711");
        assert_eq!(f("for=203.0.113.9, for=192.0.2.1, for=10.0.0.1").unwrap(), "192.0.2.1:0");
        assert_eq!(f("for=\"192.0.2.9, for=192.0.2.1").unwrap(), "192.0.2.1:0", "a torn quote");
        // RFC 7239 §4: what is quoted is one value, whatever a client had the proxy write into it.
        let echoed = "for=203.0.113.9;host=\"a,for=10.1.1.1\"";
        assert_eq!(f(echoed).unwrap(), "203.0.113.9:0");
        let escaped = "for=203.0.113.9;host=\"a\\\",for=10.1.1.1\"";
        assert_eq!(f(escaped).unwrap(), "203.0.113.9:0");
        assert_eq!(
            f("for=192.0.2.7;secret=\"x;for=10.9.9.9\", for=10.0.0.1").unwrap(),
            "192.0.2.7:0"
        );
        assert_eq!(f("for=\"192.0.2.1:_x\";by=_edge-1; ;").unwrap(), "192.0.2.1:0");
        for nothing in ["for=unknown", "for=_hidden", "by=10.0.0.1", "", "for"] {
            assert_eq!(f(nothing), None, "{nothing}");
        }
    }

    // T-B22
    #[test]
    fn one_family_is_read_and_the_other_ignored() {
        let headers = [
            ("forwarded", "for=192.0.2.1;host=a.example"),
            ("x-forwarded-for", "192.0.2.2"),
            ("x-forwarded-host", "evil.example, b.example:8443"),
        ];
        let read =
            |forwarding, host| read(&proxies(&["10.0.0.0/8"], forwarding, host, false), &headers);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(Forwarding::Forwarded, false), (some("192.0.2.1:0"), None));
        assert_eq!(read(Forwarding::Forwarded, true), (some("192.0.2.1:0"), some("a.example")));
        let x = read(Forwarding::XForwardedFor, true);
        assert_eq!(x, (some("192.0.2.2:0"), some("b.example:8443")));
    }

    // T-B22
    #[test]
    fn scheme_is_what_the_nearest_proxy_says_and_on_request_alone() {
        let read = |forwarding, proto, name: &str, value: &str| {
            let request = http::Request::get("/").header(name, value).body(()).unwrap();
            proxies(&["10.0.0.0/8"], forwarding, false, proto).read(&request).is_secure
        };
        let x = |value: &str| read(Forwarding::XForwardedFor, true, "x-forwarded-proto", value);
        let f = |value: &str| read(Forwarding::Forwarded, true, "forwarded", value);
        for (scheme, secure) in [("https", true), ("WSS", true), ("http", false), ("ws", false)] {
            assert_eq!(x(scheme), Some(secure));
            assert_eq!(x(&format!("gopher, {scheme} ")), Some(secure), "a client wrote the rest");
            assert_eq!(f(&format!("proto=gopher, for=192.0.2.1;Proto=\"{scheme}\"")), Some(secure));
        }
        assert_eq!(x("https, gopher"), None);
        assert_eq!(f("proto=https, for=192.0.2.1"), None);
        assert_eq!(read(Forwarding::XForwardedFor, false, "x-forwarded-proto", "https"), None);
        assert_eq!(read(Forwarding::Forwarded, true, "x-forwarded-proto", "https"), None);
        assert_eq!(read(Forwarding::XForwardedFor, true, "forwarded", "proto=https"), None);
    }
}
