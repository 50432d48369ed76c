//! How many connections there are at a time.
#![allow(clippy::unwrap_used)]

mod gate;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use gate::{connect, eventually, exchange, read_all, read_head, spawn, status, upgrade, with_echo};
use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    net::{TcpSocket, TcpStream},
};
use ws_server::{Peer, Server, ServerLimits, Service};

fn limits(all: usize, per_ip: usize) -> ServerLimits {
    ServerLimits::default().max_connections(all).max_per_ip(per_ip)
}

/// A connection from 127.0.0.`host`.
async fn from(host: u8, server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
    socket.connect(server).await.unwrap()
}

/// What the server says to a handshake: the status, or 0 where it closes without a word.
async fn knock(client: &mut TcpStream) -> u16 {
    // It may be closed already.
    client.write_all(upgrade("/echo", "").as_bytes()).await.ok();
    let head = read_head(client).await;
    head.get(9..12).map_or(0, |status| status.parse().unwrap())
}

// RT-40, T-B8. Addresses 127.0.0.2 and up are there on Linux alone.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn rt_40_caps_hold_in_all_and_for_each_address() {
    let server = with_echo(Server::new()).server_limits(limits(10, 4));
    let address = spawn(server);
    let mut open = Vec::new();
    let mut refused = 0;
    for host in [2, 3, 4] {
        for _ in 0..8 {
            let mut client = from(host, address).await;
            match knock(&mut client).await {
                101 => open.push((host, client)),
                503 | 0 => refused += 1,
                status => panic!("{status}"),
            }
        }
    }
    let of = |host| open.iter().filter(|(other, _)| *other == host).count();
    assert_eq!([of(2), of(3), of(4), refused], [4, 4, 2, 14]);

    // Those below the caps are unaffected.
    for (_, client) in &mut open {
        client.write_all(&gate::masked(0x81, b"hi")).await.unwrap();
        assert_eq!(gate::read_exactly(client, 4).await, gate::frame(0x81, b"hi"));
    }
    // A place that is given up is free again, for the same address too.
    open.retain(|(host, _)| *host != 2);
    let mut again = 0;
    for _ in 0..200 {
        let mut client = from(2, address).await;
        if knock(&mut client).await == 101 {
            again += 1;
            open.push((2, client));
            if again == 4 {
                break;
            }
        } else {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(again, 4);
    assert_ne!(knock(&mut from(2, address).await).await, 101);
}

// D-1
#[tokio::test]
async fn connection_over_capacity_gets_503_with_retry_after() {
    let address = spawn(with_echo(Server::new()).server_limits(limits(1, 1)));
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut first).await.starts_with("HTTP/1.1 101 "));
    let answer = read_all(&mut TcpStream::connect(address).await.unwrap()).await;
    assert_eq!(status(&answer), 503);
    assert!(answer.contains("\r\nRetry-After: "), "{answer}");
}

#[tokio::test]
async fn backlog_does_not_fill_at_the_cap() {
    let address = spawn(with_echo(Server::new()).server_limits(limits(1, 1)));
    let _first = TcpStream::connect(address).await.unwrap();
    for _ in 0..3000 {
        let mut client = TcpStream::connect(address).await.unwrap();
        let answer = read_all(&mut client).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
}

fn peer(ip: &str) -> Peer {
    Peer::Tcp(SocketAddr::new(ip.parse::<IpAddr>().unwrap(), 1))
}

/// A connection that is in its opening handshake, if it was let in.
async fn enter(service: &Service, peer: Peer) -> Option<DuplexStream> {
    let (mut client, task) = connect(service, peer);
    tokio::task::yield_now().await;
    if task.is_finished() {
        assert_eq!(status(&read_all(&mut client).await), 503);
        return None;
    }
    Some(client)
}

// T-B8
#[tokio::test]
async fn addresses_of_one_client_count_together() {
    let same: [(&[&str], &[&str]); 3] = [
        // One /64 of IPv6, and another.
        (&["2001:db8:1:2::1", "2001:db8:1:2:ffff::2"], &["2001:db8:1:3::1", "2001:db8::1"]),
        // IPv4, also as an IPv6 socket shows it.
        (&["192.0.2.1", "::ffff:192.0.2.1"], &["192.0.2.2", "::ffff:192.0.2.3"]),
        (&["::1", "::2"], &["127.0.0.1"]),
    ];
    for (one, others) in same {
        let service = with_echo(Server::new()).server_limits(limits(100, 1)).service().unwrap();
        let _held = enter(&service, peer(one[0])).await.expect("the first is let in");
        assert!(enter(&service, peer(one[1])).await.is_none(), "{one:?}");
        for other in others {
            assert!(enter(&service, peer(other)).await.is_some(), "{other}");
        }
    }
}

// What has no address has no cap for one.
#[tokio::test]
async fn streams_without_an_address_count_in_all_only() {
    let service = with_echo(Server::new()).server_limits(limits(3, 1)).service().unwrap();
    let mut held = Vec::new();
    for peer in [Peer::Unix, Peer::Unix, Peer::Other] {
        held.push(enter(&service, peer).await.expect("room"));
    }
    assert!(enter(&service, Peer::Unix).await.is_none());
}

// RT-37, T-B13: whatever ends a handshake, the place is free again.
#[tokio::test(start_paused = true)]
async fn rt_37_places_are_given_back_on_every_end_of_a_handshake() {
    let service = with_echo(Server::new())
        .server_limits(limits(1, 1))
        .fallback(|_, _| panic!("as the test wants it"))
        .service()
        .unwrap();
    for round in 0..2000 {
        let (mut client, task) = connect(&service, peer("192.0.2.1"));
        match round % 6 {
            0 => drop(client),
            1 => {
                client.write_all(b"GET / HT").await.unwrap();
                drop(client);
            }
            2 => {
                assert_eq!(status(&exchange(&mut client, &upgrade("/", "")).await), 404);
                drop(client);
            }
            3 => {
                assert_eq!(
                    status(&exchange(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await),
                    500
                );
                drop(client);
            }
            // Too slow.
            4 => assert_eq!(status(&read_all(&mut client).await), 408),
            _ => {
                tokio::task::yield_now().await;
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
                continue;
            }
        }
        assert!(task.await.unwrap().is_none());
    }
    // And open: let in, and out again.
    let (mut client, task) = connect(&service, peer("192.0.2.1"));
    client.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    assert_eq!(service.clients().count(), 1);
    drop(client);
    assert!(task.await.unwrap().is_some());
    assert!(enter(&service, peer("192.0.2.1")).await.is_some());
}

// T-B13: resets at any point of a handshake are no errors.
#[tokio::test]
async fn t_b13_reset_in_the_handshake_is_a_normal_end() {
    let (log, _guard) = gate::Log::capture();
    let server = with_echo(Server::new()).server_limits(limits(2, 2));
    let clients = server.clients();
    let address = spawn(server);
    let request = upgrade("/echo", "");
    for offset in (0..=request.len()).step_by(4) {
        let mut served = false;
        // The place of the one before is free soon.
        for _ in 0..100 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.set_zero_linger().unwrap();
            if client.write_all(&request.as_bytes()[..offset]).await.is_ok() {
                drop(client);
                served = true;
                break;
            }
        }
        assert!(served);
    }
    assert!(eventually(|| clients.count() == 0).await);
    let mut client = loop {
        let mut client = TcpStream::connect(address).await.unwrap();
        if knock(&mut client).await == 101 {
            break client;
        }
    };
    client.write_all(&gate::masked(0x81, b"hi")).await.unwrap();
    assert_eq!(gate::read_exactly(&mut client, 4).await, gate::frame(0x81, b"hi"));
    assert!(!log.text().contains("ERROR") && !log.text().contains("WARN"), "{}", log.text());
}
