//! Trusted proxies, and the clients that they name.

use std::net::{IpAddr, SocketAddr};

use rfc7239::{Forwarded, NodeName};
use ws_handshake::{Authority, RequestView};

use crate::{ConfigError, Networks, Peer};

/// The headers in which proxies name their client. One family is read and the other ignored: most
/// proxies pass on what a client wrote into the one that they do not write themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Forwarding {
    /// `Forwarded` ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)).
    Forwarded,
    /// `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`: what nginx, HAProxy and most load
    /// balancers are told to write.
    XForwardedFor,
}

/// The proxies that are trusted.
#[derive(Clone, Debug)]
pub(crate) struct Proxies {
    networks: Networks,
    forwarding: Forwarding,
    /// Whether the host that they name is that of the request.
    pub(crate) host: bool,
}

/// What the headers of a proxy name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) client: Option<SocketAddr>,
    pub(crate) host: Option<Authority>,
}

impl Proxies {
    pub(crate) fn new<S: AsRef<str>>(
        networks: impl IntoIterator<Item = S>,
        forwarding: Forwarding,
    ) -> Result<Self, ConfigError> {
        Ok(Self { networks: Networks::new(networks)?, forwarding, host: false })
    }

    /// Whether a connection comes from one of them.
    pub(crate) fn trust(&self, peer: Peer) -> bool {
        peer.address().is_some_and(|address| self.networks.contains(address.ip()))
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

    fn read_forwarded(&self, request: &impl RequestView) -> Told {
        let lines = lines(request, b"forwarded");
        let elements = || lines.iter().rev().flat_map(|line| rfc7239::parse(line).rev());
        let address = |element: &Forwarded<'_>| {
            let node = element.forwarded_for.as_ref()?;
            match node.name {
                NodeName::Ip(ip) => Some(SocketAddr::new(ip, node.port.unwrap_or(0))),
                NodeName::Unknown | NodeName::Obfuscated(_) => None,
            }
        };
        let client = self.client(elements().map(|element| address(&element.ok()?)));
        let host = if self.host {
            // That of the proxy next to us.
            elements().next().and_then(Result::ok).and_then(|element| element.host)
        } else {
            None
        };
        Told { client, host: host.and_then(authority) }
    }

    fn read_x_forwarded(&self, request: &impl RequestView) -> Told {
        let lines_for = lines(request, b"x-forwarded-for");
        let hops = lines_for.iter().rev().flat_map(|line| line.rsplit(','));
        let client = self.client(hops.map(|hop| address(hop.trim())));
        let host = if self.host {
            let hosts = lines(request, b"x-forwarded-host");
            let last = hosts.last().and_then(|line| line.rsplit(',').next());
            last.and_then(|host| authority(host.trim()))
        } else {
            None
        };
        Told { client, host }
    }
}

/// The values of all header lines of a name, in their order; what is no text is empty.
fn lines<'r>(request: &'r impl RequestView, name: &[u8]) -> Vec<&'r str> {
    let lines = request.header_lines().filter(|(own, _)| *own == name);
    lines.map(|(_, value)| str::from_utf8(value).unwrap_or_default()).collect()
}

/// `192.0.2.1`, `192.0.2.1:7`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:7`.
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, 0));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(ip) => Some(SocketAddr::new(IpAddr::V6(ip.parse().ok()?), 0)),
        None => text.parse().ok(),
    }
}

fn authority(text: &str) -> Option<Authority> {
    Authority::parse(text.trim_matches('"').as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let proxies = |forwarding| {
            let mut proxies = Proxies::new(["10.0.0.0/8", "2001:db8::/32"], forwarding).unwrap();
            proxies.host = true;
            proxies
        };
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
        let two = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "192.0.2.1")];
        let both = read(&proxies(Forwarding::XForwardedFor), &two);
        assert_eq!(both.0.unwrap(), "192.0.2.1:0");

        let f = |value: &str| read(&proxies(Forwarding::Forwarded), &[("forwarded", value)]).0;
        assert_eq!(f("for=192.0.2.1").unwrap(), "192.0.2.1:0");
        assert_eq!(f("For=\"[2001:db9::1]:4711\";proto=https").unwrap(), "[2001:db9::1]:4711");
        assert_eq!(f("for=203.0.113.9, for=192.0.2.1, for=10.0.0.1").unwrap(), "192.0.2.1:0");
        assert_eq!(f("for=\"192.0.2.9, for=192.0.2.1").unwrap(), "192.0.2.1:0", "a torn quote");
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
        let read = |forwarding, host| {
            let mut proxies = Proxies::new(["10.0.0.0/8"], forwarding).unwrap();
            proxies.host = host;
            read(&proxies, &headers)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(Forwarding::Forwarded, false), (some("192.0.2.1:0"), None));
        assert_eq!(read(Forwarding::Forwarded, true), (some("192.0.2.1:0"), some("a.example")));
        let x = read(Forwarding::XForwardedFor, true);
        assert_eq!(x, (some("192.0.2.2:0"), some("b.example:8443")));
    }
}
