//! What all clients together make a server hold: counted, bounded, given back.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use support::{BINARY, Raw, TEXT, counting, echo, limits, masked};
use tokio::{
    io::AsyncWriteExt,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use ws_server::{
    AdmissionLimit, Closed, ClosedBy, Handler, Held, Limits, Peer, Server, ServerLimits, Service,
    UNLIMITED, WebSocket,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// A data frame that is not the last one.
const MORE: u8 = BINARY & 0x0f;

fn serve(max_memory: usize, limits: Limits, handler: impl Handler) -> Service {
    let bounds = ServerLimits::default().max_memory(max_memory).max_connections(20_000);
    Server::new().limits(limits).server_limits(bounds).any(handler).service().unwrap()
}

/// Messages may take as long as they like.
fn patient() -> Limits {
    limits(|limits| {
        limits.progress_timeout = Duration::MAX;
        limits.message_timeout = Duration::from_secs(24 * 3600);
        limits.ping_interval = Duration::MAX;
    })
}

fn address(n: u32) -> Peer {
    Peer::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)), 7))
}

type Task = JoinHandle<Option<Closed>>;

async fn open(service: &Service, n: u32) -> (Raw, Task) {
    open_over(service, n, 2 * MIB).await
}

async fn open_over(service: &Service, n: u32, wire: usize) -> (Raw, Task) {
    let (io, server) = tokio::io::duplex(wire);
    let task = tokio::spawn(service.serve_connection(server, address(n)));
    let mut raw = Raw::new(io);
    raw.handshake("/", "").await;
    (raw, task)
}

/// A connection that has sent so much of a message that never ends.
async fn holding(service: &Service, n: u32, octets: usize) -> (Raw, Task) {
    let (mut raw, task) = open(service, n).await;
    raw.send(MORE, &vec![7; octets]).await;
    (raw, task)
}

/// What is held once all tasks are at rest.
async fn held(service: &Service) -> Held {
    sleep(Duration::from_millis(1)).await;
    service.clients().metrics().held
}

async fn is_closed(task: &mut Task) -> bool {
    timeout(Duration::from_millis(1), task).await.is_ok()
}

/// Which of the clients are connected.
fn connected(service: &Service) -> Vec<u32> {
    let peers = service.clients().list().into_iter().map(|client| client.request().peer());
    let ips = peers.map(|peer| match peer.address().unwrap().ip() {
        IpAddr::V4(ip) => ip.to_bits() - 0x0a00_0000,
        IpAddr::V6(ip) => panic!("{ip}"),
    });
    ips.collect()
}

/// Whether a client of small messages is served within 50 ms.
async fn is_polite_one_served(raw: &mut Raw) -> bool {
    let start = Instant::now();
    raw.send(TEXT, &[b'x'; 100]).await;
    let echoed = timeout(Duration::from_millis(50), raw.frame()).await;
    echoed.is_ok_and(|frame| frame.unwrap().1.len() == 100) && start.elapsed().as_millis() < 50
}

// T-B26
#[tokio::test(start_paused = true)]
async fn what_is_received_counts_until_it_is_given_back() {
    let service = serve(UNLIMITED, patient(), echo);
    let (mut raw, task) = open(&service, 1).await;
    for len in [0, 1, 100, 30_000] {
        raw.send(BINARY, &vec![0; len]).await;
        assert_eq!(raw.frame().await.unwrap().1.len(), len);
    }
    assert_eq!(held(&service).await, Held::default());
    raw.send(MORE, &[0; 100 * KIB]).await;
    let unfinished = held(&service).await;
    assert!((100 * KIB..300 * KIB).contains(&unfinished.receiving), "{unfinished:?}");
    assert_eq!(unfinished.total(), unfinished.receiving);
    raw.send(0x80, b"").await;
    assert_eq!(raw.frame().await.unwrap().1.len(), 100 * KIB);
    assert_eq!(held(&service).await, Held::default());
    // A task that is dropped gives it back too.
    raw.send(MORE, &[0; 100 * KIB]).await;
    assert!(held(&service).await.receiving >= 100 * KIB);
    task.abort();
    task.await.unwrap_err();
    assert_eq!(held(&service).await, Held::default());
}

async fn deaf(ws: WebSocket) -> support::Handled {
    ws.closed().await;
    Ok(())
}

async fn deaf_elsewhere(mut ws: WebSocket) -> support::Handled {
    tokio::spawn(async move {
        ws.recv().await;
        sleep(Duration::from_secs(1000)).await;
        drop(ws);
    })
    .await?;
    Ok(())
}

// T-B26
#[tokio::test(start_paused = true)]
async fn what_is_received_ahead_counts() {
    let (here, elsewhere) =
        (serve(UNLIMITED, patient(), deaf), serve(UNLIMITED, patient(), deaf_elsewhere));
    for service in [here, elsewhere] {
        let (mut raw, task) = open(&service, 1).await;
        for _ in 0..50 {
            raw.send(BINARY, &[0; KIB]).await;
            held(&service).await;
        }
        let ahead = held(&service).await;
        assert!((45 * KIB..60 * KIB).contains(&ahead.receiving), "{ahead:?}");
        drop(raw);
        assert!(timeout(Duration::from_secs(100), task).await.is_ok());
        assert_eq!(held(&service).await, Held::default());
    }
}

// T-B26
#[tokio::test(start_paused = true)]
async fn what_waits_to_be_sent_counts_and_a_message_to_many_once() {
    let (handler, _) = counting();
    let service = serve(UNLIMITED, patient(), handler);
    let clients = service.clients();
    let mut raws = Vec::new();
    for n in 0..50 {
        raws.push(open_over(&service, n, 4 * KIB).await);
    }
    let first = &clients.list()[0];
    for _ in 0..10 {
        first.sender().try_send(vec![0; 20 * KIB]).unwrap();
        held(&service).await;
    }
    let own = held(&service).await;
    assert!((190 * KIB..260 * KIB).contains(&own.sending), "{own:?}");
    // To all of them, one of which has no room.
    for _ in 0..10 {
        clients.send_all(vec![1; 20 * KIB]);
        held(&service).await;
    }
    let both = held(&service).await;
    let shared = both.shared / (20 * KIB);
    assert!((10..=22).contains(&shared), "each once, with its encoding: {both:?}");
    assert!(both.sending < own.sending + 50 * 10 * KIB, "{both:?}");
    for (mut raw, _) in raws.drain(1..) {
        for _ in 0..10 {
            assert_eq!(raw.frame().await.unwrap().1.len(), 20 * KIB);
        }
    }
    drop(raws);
    sleep(Duration::from_secs(100)).await;
    assert_eq!((clients.count(), held(&service).await), (0, Held::default()));
}

// T-B26
#[tokio::test(start_paused = true)]
async fn long_heads_count_while_they_come_and_while_they_are_kept() {
    let service = serve(UNLIMITED, patient(), echo);
    let (mut io, server) = tokio::io::duplex(64 * KIB);
    let task = tokio::spawn(service.serve_connection(server, address(1)));
    let line = format!("X-Long: {}\r\n", "x".repeat(7000));
    for piece in ["GET / HTTP/1.1\r\n", &line] {
        io.write_all(piece.as_bytes()).await.unwrap();
        held(&service).await;
    }
    let unfinished = held(&service).await;
    assert!((7000..20_000).contains(&unfinished.requests), "{unfinished:?}");
    drop(io);
    assert!(task.await.unwrap().is_none());
    assert_eq!(held(&service).await, Held::default());
    let (io, server) = tokio::io::duplex(64 * KIB);
    let task = tokio::spawn(service.serve_connection(server, address(1)));
    let mut raw = Raw::new(io);
    raw.handshake("/", &line).await;
    let kept = held(&service).await;
    assert!((7000..8000).contains(&kept.requests), "{kept:?}");
    drop(raw);
    task.await.unwrap();
    assert_eq!(held(&service).await, Held::default());
}

// T-B26
#[cfg(feature = "deflate")]
#[tokio::test(start_paused = true)]
async fn contexts_count_and_are_given_back_near_the_bound() {
    let bounds = ServerLimits::default().max_memory(400 * KIB);
    let limits = patient().park_after(Duration::MAX);
    let server = Server::new().limits(limits).server_limits(bounds);
    let service = server.extension(ws_server::Deflate::default()).any(echo).service().unwrap();
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut raws = Vec::new();
    for n in 0..20 {
        let (io, server) = tokio::io::duplex(64 * KIB);
        tokio::spawn(service.serve_connection(server, address(n)));
        let mut raw = Raw::new(io);
        raw.handshake("/", offer).await;
        raw.send(TEXT, "a sentence, again and again. ".repeat(200).as_bytes()).await;
        raw.frame().await.unwrap();
        raws.push(raw);
    }
    let before = held(&service).await;
    assert!(before.extensions > 20 * 4000, "{before:?}");
    let (_upload, _task) = holding(&service, 99, 180 * KIB).await;
    let after = held(&service).await;
    assert!(after.extensions < before.extensions / 4, "{after:?}");
    assert_eq!(service.clients().metrics().evicted, 0);
    // They compress as before.
    for raw in &mut raws {
        raw.send(TEXT, b"hello").await;
        raw.frame().await.unwrap();
    }
}

// T-B26
#[tokio::test(start_paused = true)]
async fn crowd_of_small_holders_evicts_no_upload() {
    let service = serve(40 * MIB, patient(), echo);
    let (mut polite, _polite) = open(&service, 1_000_000).await;
    let mut crowd = Vec::new();
    for n in 0..100 {
        crowd.push(holding(&service, n, 60 * KIB).await);
    }
    sleep(Duration::from_secs(60)).await;
    let before = service.clients().metrics();
    assert_eq!(before.evicted, 0, "{before:?}");
    let (mut upload, _uploading) = open(&service, 2_000_000).await;
    for piece in 0..10 {
        upload.send(if piece == 0 { MORE } else { 0 }, &vec![1; 100 * KIB]).await;
        // And more of them, until there is no room.
        for n in 0..25 {
            crowd.push(holding(&service, 1000 + 25 * piece + n, 60 * KIB).await);
        }
        sleep(Duration::from_millis(200)).await;
        assert!(is_polite_one_served(&mut polite).await);
        assert!(held(&service).await.total() < 40 * MIB);
    }
    upload.send(0x80, b"").await;
    let echoed = timeout(Duration::from_secs(60), upload.frame()).await.expect("it goes on");
    assert_eq!(echoed.unwrap().1.len(), 1000 * KIB);
    let metrics = service.clients().metrics();
    assert!(metrics.evicted > 20, "{metrics:?}");
    let old = connected(&service).into_iter().filter(|n| *n < 100).count();
    assert_eq!(100 - old as u64, metrics.evicted, "those go that have held for long");
    drop((upload, polite, crowd));
    sleep(Duration::from_secs(100)).await;
    assert_eq!((service.clients().count(), held(&service).await), (0, Held::default()));
}

// T-B26
#[tokio::test(start_paused = true)]
async fn connections_of_one_address_are_one_holder() {
    let service = serve(10 * MIB, patient(), echo);
    let mut one = Vec::new();
    for _ in 0..40 {
        one.push(holding(&service, 1, 60 * KIB).await);
    }
    let (_large, _) = holding(&service, 2, 900 * KIB).await;
    sleep(Duration::from_secs(10)).await;
    let mut others = Vec::new();
    for n in 0..10 {
        others.push(holding(&service, 10 + n, 300 * KIB).await);
    }
    held(&service).await;
    assert!(service.clients().metrics().evicted > 0);
    let left = connected(&service);
    assert!(left.contains(&2), "it holds most of all connections");
    let of_one = left.iter().filter(|n| **n == 1).count();
    assert_eq!(40 - of_one as u64, service.clients().metrics().evicted, "{left:?}");
}

// T-B26
#[tokio::test(start_paused = true)]
async fn client_that_never_reads_is_gone_at_once_with_all_it_held() {
    let firehose = |mut ws: WebSocket| async move {
        loop {
            ws.send(vec![0; 50 * KIB]).await?;
        }
    };
    // What one holds: a queue of 256 KiB and what is encoded.
    let service = serve(2 * MIB, patient().write_timeout(Duration::MAX), firehose);
    let mut raws = Vec::new();
    let start = Instant::now();
    for n in 0..40 {
        raws.push(open_over(&service, n, KIB).await);
        assert!(held(&service).await.total() < 2 * MIB);
    }
    let metrics = service.clients().metrics();
    assert!(metrics.evicted >= 25 && metrics.connections < 15, "{metrics:?}");
    assert!(start.elapsed() < Duration::from_secs(1));
    let mut codes = 0;
    for (_, task) in &mut raws {
        if let Ok(closed) = timeout(Duration::from_millis(1), task).await {
            let closed = closed.unwrap().unwrap();
            assert_eq!(
                (closed.code.get(), closed.by, closed.clean),
                (1013, ClosedBy::Local, false)
            );
            codes += 1;
        }
    }
    assert_eq!(codes, metrics.evicted);
    drop(raws);
    sleep(Duration::from_secs(300)).await;
    assert_eq!(held(&service).await, Held::default());
}

// T-B26
#[tokio::test(start_paused = true)]
async fn client_that_reads_is_told_why() {
    let service = serve(MIB, patient().max_message(2 * MIB), echo);
    let (mut raw, task) = holding(&service, 1, 1100 * KIB).await;
    raw.expect_close(1013).await;
    assert_eq!(raw.frame().await, None);
    drop(raw);
    let closed = task.await.unwrap().unwrap();
    assert_eq!(closed.reason.as_str(), "the server has no memory for this connection");
    assert_eq!(held(&service).await, Held::default());
}

// T-B26
#[tokio::test(start_paused = true)]
async fn new_connections_get_503_while_nothing_is_left() {
    let service = serve(30 * KIB, patient(), echo);
    let mut heads = Vec::new();
    for n in 0..2 {
        let (mut io, server) = tokio::io::duplex(64 * KIB);
        let task = tokio::spawn(service.serve_connection(server, address(n)));
        for piece in ["GET / HTTP/1.1\r\n", &format!("X-Long: {}", "x".repeat(12_000))] {
            io.write_all(piece.as_bytes()).await.unwrap();
            held(&service).await;
        }
        heads.push((io, task));
    }
    assert!(held(&service).await.requests >= 30 * KIB);
    let (io, server) = tokio::io::duplex(64 * KIB);
    let refused = tokio::spawn(service.serve_connection(server, address(9)));
    let head = Raw::new(io).head().await;
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After"), "{head}");
    assert!(refused.await.unwrap().is_none());
    let rejected = service.clients().metrics().rejected;
    assert_eq!(
        (rejected[0].limit, rejected[0].label()),
        (Some(AdmissionLimit::MaxMemory), "max_memory")
    );
    drop(heads);
    assert_eq!(held(&service).await, Held::default());
    open(&service, 9).await;
}

// T-B26
#[tokio::test(start_paused = true)]
async fn reading_pauses_where_most_is_held_and_goes_on() {
    let service = serve(2000 * KIB, patient().progress_timeout(Duration::from_secs(30)), echo);
    let (mut polite, _polite) = open(&service, 3).await;
    let (mut small, _small) = holding(&service, 1, 300 * KIB).await;
    sleep(Duration::from_millis(100)).await;
    let (mut large, mut large_task) = holding(&service, 2, 900 * KIB).await;
    let near = held(&service).await;
    assert!((1500 * KIB..1600 * KIB).contains(&near.total()), "{near:?}");
    sleep(Duration::from_secs(1)).await;
    // Both hold much, and one of them more than the mean: what it sends stays where it is.
    large.send(0, &[1; 50 * KIB]).await;
    sleep(Duration::from_secs(1)).await;
    let before = held(&service).await.total();
    assert!(is_polite_one_served(&mut polite).await);
    // The progress that it could not make is not its fault.
    for _ in 0..20 {
        sleep(Duration::from_secs(2)).await;
        small.send(0x89, b"").await;
        assert!(is_polite_one_served(&mut polite).await);
    }
    assert!(!is_closed(&mut large_task).await);
    assert!(held(&service).await.total() <= before + 60 * KIB);
    // The other one is done.
    small.send(0x80, b"").await;
    while small.frame().await.unwrap().1.is_empty() {}
    large.send(0x80, b"").await;
    let echoed = timeout(Duration::from_secs(2), large.frame()).await.expect("it goes on");
    assert_eq!(echoed.unwrap().1.len(), 950 * KIB);
    assert_eq!(service.clients().metrics().evicted, 0);
    assert_eq!(held(&service).await, Held::default());
}

#[tokio::test(start_paused = true)]
async fn default_is_a_quarter_of_what_the_process_may_use() {
    let clients = Server::new().clients();
    assert_eq!(clients.metrics().max_memory, UNLIMITED, "not known yet");
    let service = Server::new().any(echo).service().unwrap();
    let max_memory = service.clients().metrics().max_memory;
    assert!((16 * MIB..1 << 50).contains(&max_memory), "{max_memory}");
    assert_eq!(serve(MIB, patient(), echo).clients().metrics().max_memory, MIB);
    let zero = Server::new().any(echo).server_limits(ServerLimits::default().max_memory(0));
    assert!(zero.service().unwrap_err().to_string().contains("ServerLimits::max_memory"));
}

/// Frames of masked clients are what they say.
#[test]
fn unfinished_message_is_one() {
    assert_eq!(masked(MORE, b"x")[0], 0x02);
}
