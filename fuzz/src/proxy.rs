//! What a proxy says of its client: the PROXY protocol before the first octet, and forwarding headers. Read
//! whole and in pieces, not an octet too far, and checked by a reader of its own; and whatever a client
//! writes into a forwarding header, the hop that the trusted proxy appends is the one that counts.

use std::{
    future::pending,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str,
    sync::LazyLock,
};

use http::{HeaderValue, Request};
use ws_server::{
    Forwarding, Immediate, Listener, Options, OriginPolicy, Peer, Pending as _, ProxyProtocol,
    Server, Service, WebSocket,
};

use crate::{
    input::Input,
    is_shown,
    stream::{Stream, block_on},
};

const PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 4711);
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

static SERVICES: LazyLock<[Service; 2]> = LazyLock::new(|| {
    [Forwarding::Forwarded, Forwarding::XForwardedFor].map(|forwarding| {
        Server::new()
            .origin(OriginPolicy::any())
            .trust_proxies(["10.0.0.0/8", "2001:db8::/32"], forwarding)
            .trust_forwarded_host()
            .trust_forwarded_proto()
            .any(|_: WebSocket| async { Ok(()) })
            .service()
            .expect("a configuration without flaws")
    })
});

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 4 {
        0 => protocol(input.0),
        1 => protocol(&header(&mut input)),
        which => headers(which == 2, &mut input),
    }
}

/// A listener of one connection.
struct One(Option<Stream>);

impl Listener for One {
    type Pending = Immediate<Stream>;

    async fn accept(&mut self) -> io::Result<(Self::Pending, Peer)> {
        match self.0.take() {
            Some(stream) => Ok((Immediate(stream), Peer::Tcp(PROXY))),
            None => pending().await,
        }
    }
}

/// Who the client is, and how many octets that took. `None`: refused.
fn read(octets: &[u8], step: usize) -> Option<(Peer, usize)> {
    let (stream, written) = Stream::new(octets.to_vec(), step);
    let finished = block_on(async {
        let mut listener = ProxyProtocol::new(One(Some(stream)));
        let (pending, peer) = listener.accept().await.expect("one connection");
        assert_eq!(peer, Peer::Other, "nobody is counted before the header");
        pending.finish().await
    });
    assert!(written.octets().is_empty());
    let transport = finished.ok()?;
    let peer = transport.told_peer().expect("the client, or the proxy");
    Some((peer, octets.len() - transport.into_inner().rest().len()))
}

fn protocol(octets: &[u8]) {
    let whole = read(octets, usize::MAX);
    if is_shown() {
        eprintln!("{:?}: {whole:?}", octets.escape_ascii().to_string());
    }
    for step in [1, 5] {
        assert_eq!(read(octets, step), whole, "in pieces of {step}");
    }
    let Some((peer, taken)) = whole else { return };
    let header = &octets[..taken];
    let expected = match header.strip_prefix(SIGNATURE) {
        Some(rest) => version_2(rest),
        None => version_1(header),
    };
    assert_eq!(peer, expected.map_or(Peer::Tcp(PROXY), Peer::Tcp), "{:?}", header.escape_ascii());
}

/// "PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n", of 107 octets at most.
fn version_1(header: &[u8]) -> Option<SocketAddr> {
    let line = str::from_utf8(header).expect("ASCII").strip_suffix("\r\n").expect("a line");
    assert!(header.len() <= 107 && !line.contains("\r\n"));
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[0], "PROXY");
    match words[1] {
        "UNKNOWN" => None,
        family => {
            assert_eq!(words.len(), 6, "{line:?}");
            let ip: IpAddr = words[2].parse().expect("an address");
            assert_eq!(ip.is_ipv6(), family == "TCP6");
            assert!(family == "TCP6" || family == "TCP4");
            Some(SocketAddr::new(ip, words[4].parse().expect("a port")))
        }
    }
}

/// What follows the signature: version and command, family, length, addresses.
fn version_2(rest: &[u8]) -> Option<SocketAddr> {
    let (command, family) = (rest[0], rest[1] >> 4);
    assert_eq!(command >> 4, 2);
    assert_eq!(
        usize::from(u16::from_be_bytes([rest[2], rest[3]])),
        rest.len() - 4,
        "read as long as it says"
    );
    let addresses = &rest[4..];
    match (command & 15, family) {
        (1, 1) => {
            let ip: [u8; 4] = *addresses.first_chunk()?;
            let port = u16::from_be_bytes([addresses[8], addresses[9]]);
            Some((Ipv4Addr::from(ip), port).into())
        }
        (1, 2) => {
            let ip: [u8; 16] = *addresses.first_chunk()?;
            let port = u16::from_be_bytes([addresses[32], addresses[33]]);
            Some((Ipv6Addr::from(ip), port).into())
        }
        _ => None,
    }
}

/// A header as proxies write it, and what a client sends after it.
fn header(input: &mut Input<'_>) -> Vec<u8> {
    let (how, a, b) = (input.byte(), input.u16(), input.u16());
    let mut header = match how % 4 {
        0 => format!("PROXY TCP4 192.0.{}.{} 10.0.0.1 {a} {b}\r\n", a % 256, b % 256).into_bytes(),
        1 => format!("PROXY TCP6 2001:db9::{a:x} ::1 {b} {a}\r\n").into_bytes(),
        2 => b"PROXY UNKNOWN\r\n".to_vec(),
        _ => {
            let (command, family) =
                (0x20 | how >> 2 & 1, [0x00, 0x11, 0x21, 0x31][usize::from(how >> 3 & 3)]);
            let mut addresses = vec![0; [0, 12, 36, 216][usize::from(how >> 3 & 3)]];
            addresses.iter_mut().enumerate().for_each(|(at, octet)| *octet = (a + at * b) as u8);
            addresses.extend_from_slice(input.short());
            let len = (addresses.len() as u16).to_be_bytes();
            [SIGNATURE, &[command, family], &len[..], &addresses].concat()
        }
    };
    assert!(read(&header, usize::MAX).is_some() || how % 4 == 3, "well formed, and refused");
    header.extend_from_slice(input.0);
    header
}

/// A request that a trusted proxy passes on.
fn headers(x_forwarded: bool, input: &mut Input<'_>) {
    let how = input.byte();
    let name = if x_forwarded { "x-forwarded-for" } else { "forwarded" };
    let client: SocketAddr = match how & 3 {
        0 => "192.0.2.1:0".parse().expect("an address"),
        1 => "192.0.2.1:4711".parse().expect("an address"),
        2 => "[2001:db9::7]:0".parse().expect("an address"),
        _ => "[2001:db9::7]:4711".parse().expect("an address"),
    };
    let hop = if client.port() == 0 && (client.is_ipv4() || x_forwarded) {
        client.ip().to_string()
    } else if client.port() == 0 {
        format!("[{}]", client.ip())
    } else {
        client.to_string()
    };
    let own = match (x_forwarded, how >> 2 & 3) {
        (true, _) => hop,
        (false, 0) => format!("for=\"{hop}\""),
        (false, 1) => format!("For=\"{hop}\";proto=https"),
        (false, 2) => format!("by=_edge;host=\"b.example\";for=\"{hop}\""),
        (false, _) => format!("for=\"{hop}\";by=\"10.0.0.1\";"),
    };
    let own = if how & 16 == 16 && !x_forwarded && client.ip().is_ipv4() && client.port() == 0 {
        own.replace('"', "")
    } else {
        own
    };
    let mut request = Request::get("/")
        .header("host", "a.example")
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "13");
    // What the client wrote: the proxy appends to its last line, or adds a line.
    let lines: Vec<&[u8]> = input.0.split(|&octet| octet == b'\n').collect();
    let (last, before) = lines.split_last().expect("one at least");
    for line in before {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        request = request.header(name, value);
    }
    let line = match how & 32 {
        0 if !last.is_empty() => [last, &b", "[..], own.as_bytes()].concat(),
        _ => {
            let Ok(value) = HeaderValue::from_bytes(last) else { return };
            request = request.header(name, value);
            own.into_bytes()
        }
    };
    let Ok(value) = HeaderValue::from_bytes(&line) else { return };
    let (parts, ()) = request.header(name, value).body(()).expect("a request").into_parts();
    let service = &SERVICES[usize::from(x_forwarded)];
    for (peer, expected) in [
        (Peer::Tcp(PROXY), Peer::Tcp(client)),
        // Nobody trusts these.
        (
            Peer::Tcp((Ipv4Addr::new(192, 0, 2, 9), 7).into()),
            Peer::Tcp((Ipv4Addr::new(192, 0, 2, 9), 7).into()),
        ),
        (Peer::Other, Peer::Other),
    ] {
        match service.open(&parts, peer, Options::default()) {
            Ok(accepted) => {
                if is_shown() {
                    eprintln!("{:?}", accepted.request());
                }
                assert_eq!(
                    accepted.request().peer(),
                    expected,
                    "{:?}",
                    line.escape_ascii().to_string()
                );
            }
            Err(refused) => panic!("refused with {}", refused.status()),
        }
    }
}
