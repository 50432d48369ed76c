//! Time in the opening handshake and after it.
#![allow(clippy::unwrap_used)]

mod gate;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use gate::{connect, read_all, read_head, spawn, status, upgrade, with_echo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
    time::{Instant, sleep},
};
use ws_server::{Peer, Server, ServerLimits, Service};

fn peer(n: u32) -> Peer {
    Peer::Tcp(SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 + n), 1)))
}

/// Sends an octet a second; what the server said, and when it ended.
async fn trickle(mut client: DuplexStream, request: String) -> (String, Duration) {
    let begun = Instant::now();
    for octet in request.into_bytes() {
        if client.write_all(&[octet]).await.is_err() {
            break;
        }
        let mut said = [0; 512];
        tokio::select! {
            () = sleep(Duration::from_secs(1)) => {}
            read = client.read(&mut said) => {
                return (String::from_utf8_lossy(&said[..read.unwrap()]).into(), begun.elapsed());
            }
        }
    }
    (read_all(&mut client).await, begun.elapsed())
}

// R9110-15.5.9-a, T-B1
#[tokio::test(start_paused = true)]
async fn t_b1_head_has_ten_seconds_in_all_whatever_its_progress() {
    let service = with_echo(Server::new()).service().unwrap();
    let (client, _end) = connect(&service, Peer::Other);
    let (answer, after) = trickle(client, upgrade("/echo", "")).await;
    assert_eq!(status(&answer), 408);
    assert_eq!(after.as_secs(), 10);
}

// T-B1
#[tokio::test(start_paused = true)]
async fn t_b1_client_that_says_nothing_gets_408_too() {
    let service = with_echo(Server::new()).service().unwrap();
    let (mut client, end) = connect(&service, Peer::Other);
    let begun = Instant::now();
    assert_eq!(status(&read_all(&mut client).await), 408);
    assert_eq!(begun.elapsed().as_secs(), 10);
    // It keeps its end open: two seconds more, and the connection is closed.
    assert!(end.await.unwrap().is_none());
    assert_eq!(begun.elapsed().as_secs(), 12);
}

/// Comes again until it is served, each time with 100 ms before its request. When it was.
async fn persist(service: &Service, peer: Peer) -> (DuplexStream, Duration) {
    let begun = Instant::now();
    loop {
        let (mut client, _) = connect(service, peer);
        sleep(Duration::from_millis(100)).await;
        // It may have been refused.
        if client.write_all(upgrade("/echo", "").as_bytes()).await.is_ok()
            && read_head(&mut client).await.starts_with("HTTP/1.1 101 ")
        {
            return (client, begun.elapsed());
        }
    }
}

// T-B1
#[tokio::test(start_paused = true)]
async fn t_b1_honest_client_is_served_within_two_seconds_among_600_slow_ones() {
    let everyone: [fn(u32) -> Peer; 3] = [peer, |n| peer(n % 3), |_| Peer::Unix];
    for who in everyone {
        let service = with_echo(Server::new())
            .server_limits(ServerLimits::default().max_per_ip(1000))
            .service()
            .unwrap();
        let mut slow = Vec::new();
        for n in 0..600 {
            let (client, _) = connect(&service, who(n));
            slow.push(tokio::spawn(trickle(client, upgrade("/echo", ""))));
            tokio::task::yield_now().await;
        }
        sleep(Duration::from_millis(100)).await;
        let (mut honest, after) = persist(&service, who(1000)).await;
        assert!(after <= Duration::from_secs(2), "{after:?}");

        let mut ends = Vec::new();
        for client in slow {
            ends.push(client.await.unwrap());
        }
        // 512 may be under way. Those that came later were told so at once, one gave way to the honest
        // client, and the others had their time.
        let of = |status: u16, secs| {
            ends.iter()
                .filter(|(said, at)| gate::status(said) == status && at.as_secs() == secs)
                .count()
        };
        assert_eq!((of(503, 0), of(503, 1) + of(503, 2), of(408, 10)), (88, 1, 511));
        // The honest one is still there.
        honest.write_all(&gate::masked(0x81, b"hi")).await.unwrap();
        assert_eq!(gate::read_exactly(&mut honest, 4).await, gate::frame(0x81, b"hi"));
    }
}

// T-B1
#[tokio::test(start_paused = true)]
async fn t_b1_client_whose_request_is_there_is_served_at_once_among_600_slow_ones() {
    let service = with_echo(Server::new()).service().unwrap();
    let mut slow = Vec::new();
    for n in 0..600 {
        slow.push(connect(&service, peer(n)));
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    let (mut good, _end) = connect(&service, peer(1000));
    good.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut good).await.starts_with("HTTP/1.1 101 "));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

// T-B1: established connections are no part of the count.
#[tokio::test(start_paused = true)]
async fn open_connections_are_not_pending() {
    let limits = ServerLimits::default().max_pending(1);
    let service = with_echo(Server::new()).server_limits(limits).service().unwrap();
    let mut open = Vec::new();
    for n in 0..10 {
        let (mut client, end) = connect(&service, peer(n));
        client.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
        open.push((client, end));
    }
    assert_eq!(service.clients().count(), 10);
}

// D-9
#[tokio::test(start_paused = true)]
async fn lingering_ends_after_two_seconds() {
    let service = with_echo(Server::new()).service().unwrap();
    let (mut client, end) = connect(&service, Peer::Other);
    let begun = Instant::now();
    client.write_all(b"\r\nno request\r\n\r\n").await.unwrap();
    assert_eq!(status(&read_all(&mut client).await), 400);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // A client that goes on and on does not put it off.
    while client.write_all(b"x").await.is_ok() {
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(begun.elapsed().as_secs(), 2);
    assert!(end.await.unwrap().is_none());
}

// D-9, R6455-7.1.1-b
#[tokio::test(start_paused = true)]
async fn lingering_ends_after_four_mebibytes() {
    let service = with_echo(Server::new()).service().unwrap();
    let (mut client, end) = connect(&service, Peer::Other);
    client.write_all(b"no request\r\n\r\n").await.unwrap();
    let chunk = [0; 64 * 1024];
    let mut sent = 0;
    while client.write_all(&chunk).await.is_ok() {
        sent += chunk.len();
        assert!(sent <= 8 * 1024 * 1024);
    }
    assert!(sent >= 4 * 1024 * 1024, "{sent}");
    assert!(end.await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn client_that_does_not_take_its_answer_is_given_up() {
    let service = with_echo(Server::new()).service().unwrap();
    let (mut client, server) = tokio::io::duplex(16);
    let end = tokio::spawn(service.serve_connection(server, Peer::Other));
    let begun = Instant::now();
    client.write_all(b"x\r\n\r\n").await.unwrap();
    assert!(end.await.unwrap().is_none());
    assert_eq!(begun.elapsed().as_secs(), 20);
}

// R9112-9.6-b, D-9
#[tokio::test]
async fn client_that_sent_a_megabyte_after_a_bad_handshake_still_reads_the_400() {
    let address = spawn(with_echo(Server::new()));
    for _ in 0..20 {
        let mut client = TcpStream::connect(address).await.unwrap();
        let bad = upgrade("/echo", "").replace("Key: dGhl", "Key: ");
        client.write_all(bad.as_bytes()).await.unwrap();
        client.write_all(&vec![b'x'; 1024 * 1024]).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(status(&answer), 400);
    }
}
