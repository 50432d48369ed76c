//! Handlers whose connection is over.
#![allow(clippy::unwrap_used)]

mod gate;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gate::{connect, masked, read_all, read_head, upgrade};
use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    net::TcpStream,
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};
use ws_server::{Closed, Limits, Peer, Server, ServerLimits, Service, WebSocket};

fn peer(n: u32) -> Peer {
    Peer::Tcp(SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 + n), 1)))
}

/// Counts handlers that are there.
struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A server of handlers that only push, on a channel where nothing happens, and how many there are.
fn pushing(server: Server) -> (Server, Arc<AtomicUsize>) {
    let (count, quiet) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let handlers = Arc::clone(&count);
    let server = server.route("/", move |mut ws: WebSocket| {
        count.fetch_add(1, Ordering::Relaxed);
        let (held, quiet) = (Held(Arc::clone(&count)), Arc::clone(&quiet));
        async move {
            let _held = held;
            loop {
                quiet.notified().await;
                ws.send("news").await?;
            }
        }
    });
    (server, handlers)
}

fn limited(limits: ServerLimits) -> (Service, Arc<AtomicUsize>) {
    let (server, handlers) = pushing(Server::new().server_limits(limits));
    (server.service().unwrap(), handlers)
}

type Task = JoinHandle<Option<Closed>>;

async fn open(service: &Service, peer: Peer) -> (DuplexStream, Task, bool) {
    let (mut client, task) = connect(service, peer);
    client.write_all(upgrade("/", "").as_bytes()).await.ok();
    let opened = read_head(&mut client).await.starts_with("HTTP/1.1 101 ");
    (client, task, opened)
}

/// A client that is served, and leaves as a browser does.
async fn visit(service: &Service, peer: Peer) -> Task {
    let (mut client, task, opened) = open(service, peer).await;
    assert!(opened);
    client.write_all(&masked(0x88, b"\x03\xe9")).await.unwrap();
    read_all(&mut client).await;
    task
}

#[tokio::test(start_paused = true)]
async fn page_can_be_loaded_again_more_often_than_an_address_may_connect() {
    let (service, handlers) = limited(ServerLimits::default().max_connections(1000));
    for _ in 0..1000 {
        visit(&service, peer(1)).await;
    }
    let max_per_ip = ServerLimits::default().max_per_ip;
    assert!(handlers.load(Ordering::Relaxed) <= max_per_ip, "{handlers:?}");
}

#[tokio::test]
async fn page_can_be_loaded_again_over_tcp() {
    let mut limits = Limits::default();
    limits.close_turn = Duration::from_millis(1);
    let (server, _) = pushing(Server::new().limits(limits));
    let address = gate::spawn(server);
    for _ in 0..300 {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(upgrade("/", "").as_bytes()).await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
        client.write_all(&masked(0x88, b"\x03\xe9")).await.unwrap();
        read_all(&mut client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn oldest_handler_without_a_client_gives_its_place_where_a_limit_is_full() {
    let (service, handlers) = limited(ServerLimits::default().max_connections(4).max_per_ip(2));
    let first = visit(&service, peer(1)).await;
    let second = visit(&service, peer(2)).await;
    let third = visit(&service, peer(2)).await;
    let held = open(&service, peer(3)).await;
    assert!(held.2);
    // Of the address that is full; then of any.
    let fourth = open(&service, peer(2)).await;
    assert!(fourth.2);
    second.await.unwrap().unwrap();
    assert!(!first.is_finished() && !third.is_finished());
    let fifth = open(&service, peer(3)).await;
    assert!(fifth.2);
    first.await.unwrap().unwrap();
    let sixth = open(&service, peer(4)).await;
    assert!(sixth.2);
    third.await.unwrap().unwrap();
    // Those that have a client keep their places.
    assert!(!open(&service, peer(5)).await.2);
    assert_eq!(handlers.load(Ordering::Relaxed), 4);
    assert_eq!(service.clients().count(), 4);
    drop((held, fourth, fifth, sixth));
    sleep(Duration::from_secs(1)).await;
    for n in 0..20 {
        visit(&service, peer(n % 2)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn handler_has_thirty_seconds_after_its_connection() {
    let (log, _guard) = gate::Log::capture();
    let (service, handlers) = limited(ServerLimits::default());
    let begun = Instant::now();
    visit(&service, peer(1)).await.await.unwrap().unwrap();
    let limits = Limits::default();
    assert_eq!(limits.handler_grace, Duration::from_secs(30));
    let time = (limits.close_turn + limits.handler_grace).as_secs();
    assert_eq!(begun.elapsed().as_secs(), time);
    assert_eq!(handlers.load(Ordering::Relaxed), 0);
    assert_eq!(service.clients().metrics().handlers_dropped, 1);
    assert_eq!(log.lines("handler_grace").len(), 1, "{}", log.text());
    let mut visits = JoinSet::new();
    for _ in 0..100 {
        let service = service.clone();
        visits.spawn(async move { drop(visit(&service, peer(1)).await) });
    }
    visits.join_all().await;
    sleep(Duration::from_secs(31)).await;
    assert_eq!(handlers.load(Ordering::Relaxed), 0);
    assert_eq!(service.clients().metrics().handlers_dropped, 101);
    assert!(log.lines("handler_grace").len() < 20, "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn handler_that_returns_in_its_grace_is_not_dropped() {
    let done = Arc::new(AtomicUsize::new(0));
    let returned = Arc::clone(&done);
    let server = Server::new().route("/", move |mut ws: WebSocket| {
        let done = Arc::clone(&done);
        async move {
            while ws.recv().await.is_some() {}
            sleep(Duration::from_secs(29)).await;
            done.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    });
    let service = server.service().unwrap();
    visit(&service, peer(1)).await.await.unwrap().unwrap();
    assert_eq!(returned.load(Ordering::Relaxed), 1);
    assert_eq!(service.clients().metrics().handlers_dropped, 0);
}

// DESIGN §7: shutdown waits for handlers within its own deadline.
#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_handlers_as_long_as_for_all_else() {
    for (takes, report) in [(3, (1, 0)), (20, (0, 1))] {
        let server = Server::new().route("/", move |mut ws: WebSocket| async move {
            while ws.recv().await.is_some() {}
            sleep(Duration::from_secs(takes)).await;
            Ok(())
        });
        let running = gate::run(server);
        let mut client = TcpStream::connect(running.address).await.unwrap();
        client.write_all(upgrade("/", "").as_bytes()).await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
        client.write_all(&masked(0x88, b"\x03\xe9")).await.unwrap();
        read_all(&mut client).await;
        let begun = Instant::now();
        running.shutdown.send(()).unwrap();
        let ended = running.report.await.unwrap();
        assert_eq!((ended.closed, ended.aborted), report);
        assert_eq!(begun.elapsed().as_secs(), takes.min(10));
    }
}
