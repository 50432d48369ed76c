//! Proxies in front of a server: whom they name, and who is believed.
#![allow(clippy::unwrap_used)]

mod gate;
mod support;

use std::net::SocketAddr;

use gate::{Log, connect};
use http::Request;
use support::{Raw, echo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
};
use ws_server::{
    ConfigError, Forwarding, OriginPolicy, Peer, ProxyProtocol, Server, ServerLimits, Service, Tcp,
};

const PROXY: &str = "10.0.0.7:4000";
const STRANGER: &str = "192.0.2.66:4000";

fn peer(address: &str) -> Peer {
    Peer::Tcp(address.parse().unwrap())
}

fn service(server: Server) -> Service {
    server
        .route("/echo", echo)
        .trust_proxies(["10.0.0.0/8"], Forwarding::XForwardedFor)
        .service()
        .unwrap()
}

/// Asks from an address, and returns the status.
async fn ask(service: &Service, from: &str, headers: &str) -> (u16, Raw<DuplexStream>) {
    let (io, _) = connect(service, peer(from));
    let mut raw = Raw::new(io);
    let head = raw.ask("/echo", headers).await;
    (head.split(' ').nth(1).unwrap().parse().unwrap(), raw)
}

fn from(client: &str) -> String {
    format!("X-Forwarded-For: {client}\r\n")
}

// T-B22
#[tokio::test(start_paused = true)]
async fn client_is_who_the_trusted_proxy_names_and_nobody_elses_word_counts() {
    let (log, _guard) = Log::capture();
    let service = service(Server::new());
    let seen = async |peer: &str, headers: &str| {
        let (status, _raw) = ask(&service, peer, headers).await;
        assert_eq!(status, 101);
        service.clients().list().pop().unwrap().request().peer()
    };
    assert_eq!(seen(PROXY, &from("203.0.113.9, 192.0.2.1")).await, peer("192.0.2.1:0"));
    assert_eq!(seen(PROXY, &from("192.0.2.2:55")).await, peer("192.0.2.2:55"));
    assert_eq!(seen(PROXY, "Forwarded: for=192.0.2.3\r\n").await, peer(PROXY));
    assert_eq!(seen(PROXY, "").await, peer(PROXY));
    assert_eq!(seen(STRANGER, &from("192.0.2.1")).await, peer(STRANGER));
    let lines = log.lines("client=192.0.2.1:0");
    assert!(lines.iter().all(|line| line.contains("peer=10.0.0.7:4000")), "{lines:?}");
    assert!(!lines.is_empty());
}

// T-B8, T-B22
#[tokio::test(start_paused = true)]
async fn limit_per_address_counts_the_real_one() {
    let limits = || ServerLimits::default().max_per_ip(2);
    let service = service(Server::new().server_limits(limits()));
    let mut open = Vec::new();
    for n in 0..50 {
        let (status, raw) = ask(&service, PROXY, &from(&format!("192.0.2.{n}"))).await;
        assert_eq!(status, 101, "client {n} behind the proxy");
        open.push(raw);
    }
    let (status, raw) = ask(&service, PROXY, &from("192.0.2.1")).await;
    assert_eq!(status, 101);
    open.push(raw);
    assert_eq!(ask(&service, PROXY, &from("192.0.2.1")).await.0, 503);
    // What the client itself writes there gains it nothing.
    assert_eq!(ask(&service, PROXY, &from("198.51.100.1, 192.0.2.1")).await.0, 503);
    // It is one client, whichever way it comes.
    assert_eq!(ask(&service, "192.0.2.1:9", "").await.0, 503);
    for _ in 0..2 {
        let (status, raw) = ask(&service, STRANGER, &from("192.0.2.200")).await;
        assert_eq!(status, 101);
        open.push(raw);
    }
    assert_eq!(ask(&service, STRANGER, &from("192.0.2.201")).await.0, 503);
    assert_eq!(service.clients().count(), 53);
    let rejected = service.clients().metrics().rejected;
    assert_eq!(rejected.iter().map(|one| one.count).sum::<u64>(), 4, "{rejected:?}");
    drop(open);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(ask(&service, PROXY, &from("192.0.2.1")).await.0, 101, "all places were given back");
}

// T-B22
#[tokio::test(start_paused = true)]
async fn proxy_that_comes_by_a_unix_socket_is_trusted_on_request() {
    let seen = async |service: &Service, came: Peer| {
        let (io, _) = connect(service, came);
        let mut raw = Raw::new(io);
        raw.ask("/echo", &from("203.0.113.9, 192.0.2.1, 10.0.0.3")).await;
        service.clients().list().pop().unwrap().request().peer()
    };
    assert_eq!(seen(&service(Server::new()), Peer::Unix).await, Peer::Unix);
    let trusting = |networks: &[&str]| {
        let server = Server::new().route("/echo", echo);
        server.trust_proxies(networks, Forwarding::XForwardedFor).service().unwrap()
    };
    let both = trusting(&["unix:", "10.0.0.0/8"]);
    assert_eq!(seen(&both, Peer::Unix).await, peer("192.0.2.1:0"));
    assert_eq!(seen(&both, peer(PROXY)).await, peer("192.0.2.1:0"));
    let alone = trusting(&["unix:"]);
    assert_eq!(seen(&alone, Peer::Unix).await, peer("10.0.0.3:0"));
    assert_eq!(seen(&alone, peer(PROXY)).await, peer(PROXY));
    assert_eq!(seen(&alone, Peer::Other).await, Peer::Other);
}

// T-B10, T-B22
#[tokio::test(start_paused = true)]
async fn host_of_the_proxy_counts_on_request_alone() {
    let headers = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: chat.example\r\n\
                   Origin: https://chat.example\r\n";
    assert_eq!(ask(&service(Server::new()), PROXY, headers).await.0, 403);
    let trusting = |server: Server| {
        let server = server.trust_forwarded_host();
        let server = server.trust_proxies(["10.0.0.0/8"], Forwarding::XForwardedFor);
        server.route("/echo", echo).service().unwrap()
    };
    let trusted = trusting(Server::new());
    assert_eq!(ask(&trusted, PROXY, headers).await.0, 101);
    assert_eq!(ask(&trusted, STRANGER, headers).await.0, 403);
    let hosts = trusting(Server::new().hosts(["chat.example"]).origin(OriginPolicy::any()));
    assert_eq!(ask(&hosts, PROXY, headers).await.0, 101);
    assert_eq!(ask(&hosts, PROXY, &from("192.0.2.1")).await.0, 421);
}

// T-B10, T-B22
#[tokio::test(start_paused = true)]
async fn scheme_of_the_proxy_counts_on_request_alone() {
    let plain = |server: Server| server.route("/echo", echo).service().unwrap();
    let trusting = |server: Server| {
        // In whatever order.
        let server = server.trust_forwarded_proto();
        plain(server.trust_proxies(["10.0.0.0/8"], Forwarding::XForwardedFor))
    };
    let service = trusting(Server::new());
    let over = |scheme: &str| format!("X-Forwarded-Proto: {scheme}\r\n");
    let secure = async |service: &Service, peer: &str, headers: &str| {
        let (status, _raw) = ask(service, peer, headers).await;
        (status == 101).then(|| service.clients().list().pop().unwrap().request().is_secure())
    };
    assert_eq!(secure(&service, PROXY, &over("https")).await, Some(true));
    assert_eq!(secure(&service, PROXY, &over("http")).await, Some(false));
    assert_eq!(secure(&service, PROXY, "").await, Some(false));
    assert_eq!(secure(&service, STRANGER, &over("https")).await, Some(false));
    let unasked = Server::new().trust_proxies(["10.0.0.0/8"], Forwarding::XForwardedFor);
    assert_eq!(secure(&plain(unasked), PROXY, &over("https")).await, Some(false));

    // A page that came without TLS may not connect over it.
    let page = |scheme: &str, origin: &str| format!("{}Origin: {origin}\r\n", over(scheme));
    let opens = async |service: &Service, peer, headers: String| {
        secure(service, peer, &headers).await.is_some()
    };
    assert!(opens(&service, PROXY, page("https", "https://server.example")).await);
    assert!(opens(&service, PROXY, page("http", "http://server.example")).await);
    assert!(!opens(&service, PROXY, page("https", "http://server.example")).await);
    assert!(!opens(&service, PROXY, page("http", "https://server.example")).await);
    assert!(
        opens(&service, STRANGER, page("https", "http://server.example")).await,
        "nobody knows"
    );
    // What the application says goes before.
    let told = trusting(Server::new().origin(OriginPolicy::same_origin().tls(false)));
    assert!(opens(&told, PROXY, page("https", "http://server.example")).await);
}

#[test]
fn trust_without_a_proxy_is_a_mistake() {
    let server = || Server::new().route("/echo", echo);
    let error = |server: Server| server.service().unwrap_err();
    let host = error(server().trust_forwarded_host());
    assert_eq!(host, ConfigError::NoProxies { method: "trust_forwarded_host" });
    assert!(host.to_string().contains("trust_proxies"), "{host}");
    let proto = error(server().trust_forwarded_proto());
    assert_eq!(proto, ConfigError::NoProxies { method: "trust_forwarded_proto" });
}

// T-B22
#[tokio::test(start_paused = true)]
async fn the_same_holds_behind_another_http_implementation() {
    let limits = ServerLimits::default().max_per_ip(1);
    let service = service(Server::new().server_limits(limits));
    let request = |client: &str| {
        let request = Request::get("/echo")
            .header("Host", "a.example")
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Sec-WebSocket-Version", "13")
            .header("X-Forwarded-For", client);
        request.body(()).unwrap().into_parts().0
    };
    let accepted = service.upgrade(&request("192.0.2.1"), peer(PROXY)).await.unwrap();
    assert_eq!(accepted.request().peer(), peer("192.0.2.1:0"));
    let second = service.upgrade(&request("192.0.2.1"), peer(PROXY)).await;
    assert_eq!(second.unwrap_err().status(), 503);
    service.upgrade(&request("192.0.2.2"), peer(PROXY)).await.map(drop).unwrap();
}

#[test]
fn network_that_is_none_is_named() {
    let error = Server::new()
        .route("/echo", echo)
        .trust_proxies(["10.0.0.0/8", "10.0.0.0/33"], Forwarding::Forwarded)
        .service()
        .unwrap_err();
    assert_eq!(error, ConfigError::Network { network: "10.0.0.0/33".into() });
    assert!(error.to_string().contains("10.0.0.0/8"), "{error}");
}

/// A server behind the PROXY protocol.
async fn behind_proxy(limits: ServerLimits) -> (SocketAddr, ws_server::Clients) {
    let listener = ProxyProtocol::new(Tcp::bind("127.0.0.1:0").await.unwrap());
    let server =
        Server::new().route("/echo", echo).server_limits(limits).listener(listener).unwrap();
    let (address, clients) = (server.local_addr().unwrap(), server.clients());
    tokio::spawn(server.serve());
    (address, clients)
}

fn v2(command: u8, family: u8, addresses: &[u8], extra: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, family]);
    header.extend((u16::try_from(addresses.len() + extra.len()).unwrap()).to_be_bytes());
    header.extend([addresses, extra].concat());
    header
}

/// Sends a header and a request, and returns the head of the answer.
async fn send(address: SocketAddr, header: &[u8], at_once: bool) -> (String, Raw<TcpStream>) {
    let mut io = TcpStream::connect(address).await.unwrap();
    if at_once {
        io.write_all(header).await.unwrap();
    } else {
        for octet in header {
            io.write_u8(*octet).await.unwrap();
        }
    }
    let mut raw = Raw::new(io);
    let head = raw.ask("/echo", "").await;
    (head, raw)
}

#[tokio::test]
async fn proxy_protocol_names_the_client_in_both_versions() {
    let (address, clients) = behind_proxy(ServerLimits::default()).await;
    let v4 = [192, 0, 2, 9, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
    let mut v6 = [0; 36];
    v6[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
    v6[15] = 7;
    v6[32..34].copy_from_slice(&[0, 99]);
    for (header, expected) in [
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n".to_vec(), Some("192.0.2.7:4711")),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 99 80\r\n".to_vec(), Some("[2001:db8::7]:99")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN anything it likes\r\n".to_vec(), None),
        (v2(1, 0x11, &v4, &[]), Some("192.0.2.9:4660")),
        (v2(1, 0x21, &v6, &[4, 0, 1, 0]), Some("[2001:db8::7]:99")),
        (v2(0, 0, &[], &[]), None),
    ] {
        for at_once in [true, false] {
            let (head, raw) = send(address, &header, at_once).await;
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            let list = clients.list();
            let seen = list.last().unwrap().request().peer();
            let own = raw.io.local_addr().unwrap();
            assert_eq!(seen, expected.map_or(Peer::Tcp(own), peer));
        }
    }
}

#[tokio::test]
async fn connection_without_a_header_of_the_proxy_protocol_is_closed_unanswered() {
    let (address, clients) = behind_proxy(ServerLimits::default()).await;
    let wrong = [
        b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7\r\n      ".to_vec(),
        [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat(),
        b"PROXY TCP4 999.0.2.7 10.0.0.1 4711 80\r\n".to_vec(),
        v2(1, 0x11, &[1, 2, 3], &[]),
        v2(7, 0x11, &[0; 12], &[]),
        v2(1, 0x11, &[0; 12], &[0; 5000]),
    ];
    let count = wrong.len();
    for octets in wrong {
        let mut io = TcpStream::connect(address).await.unwrap();
        io.write_all(&octets).await.unwrap();
        let mut answer = Vec::new();
        // It may be reset, since not all was read.
        io.read_to_end(&mut answer).await.ok();
        assert_eq!(answer, b"", "{octets:?}");
    }
    assert!(gate::eventually(|| clients.metrics().failed_transports == count as u64).await);

    let only = ProxyProtocol::new(Tcp::bind("127.0.0.1:0").await.unwrap());
    let only = only.only_from(["192.0.2.0/24"]).unwrap();
    let server = Server::new().route("/echo", echo).listener(only).unwrap();
    let (address, clients) = (server.local_addr().unwrap(), server.clients());
    tokio::spawn(server.serve());
    let mut io = TcpStream::connect(address).await.unwrap();
    io.write_all(b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n").await.ok();
    io.read_to_end(&mut Vec::new()).await.ok();
    assert!(gate::eventually(|| clients.metrics().failed_transports == 1).await);
    ProxyProtocol::new(Tcp::bind("127.0.0.1:0").await.unwrap()).only_from(["proxy"]).unwrap_err();
}

// T-B8
#[tokio::test]
async fn limit_per_address_counts_the_client_of_the_proxy_protocol() {
    let (address, _) = behind_proxy(ServerLimits::default().max_per_ip(1)).await;
    let mut open = Vec::new();
    for n in 1..=20 {
        let header = format!("PROXY TCP4 192.0.2.{n} 10.0.0.1 4711 80\r\n");
        let (head, raw) = send(address, header.as_bytes(), true).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        open.push(raw);
    }
    let header = b"PROXY TCP4 192.0.2.1 10.0.0.1 4712 80\r\n";
    assert!(send(address, header, true).await.0.starts_with("HTTP/1.1 503 "));
}
