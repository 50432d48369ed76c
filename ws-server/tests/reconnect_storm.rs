//! More handshakes at a time than a server takes.
#![allow(clippy::unwrap_used)]

mod gate;

use std::{
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use gate::{connect, read_all, read_head, status, upgrade, with_echo};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    task::{JoinSet, yield_now},
    time::{Instant, sleep, sleep_until},
};
use ws_server::{Peer, Server, ServerLimits, Service};

fn peer(n: usize) -> Peer {
    Peer::Tcp(SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 + n as u32), 1)))
}

fn service(max_pending: usize) -> Service {
    let limits = ServerLimits::default()
        .max_pending(max_pending)
        .max_per_ip(100_000)
        .max_connections(100_000);
    with_echo(Server::new()).server_limits(limits).service().unwrap()
}

/// One try of a client whose request takes `delay`. The connection, if it was opened.
async fn attempt(service: &Service, peer: Peer, delay: Duration) -> Option<DuplexStream> {
    let (mut client, server) = tokio::io::duplex(1024);
    tokio::spawn(service.serve_connection(server, peer));
    sleep(delay).await;
    client.write_all(upgrade("/echo", "").as_bytes()).await.ok()?;
    read_head(&mut client).await.starts_with("HTTP/1.1 101 ").then_some(client)
}

// T-B21: as many are served as without the storm.
#[tokio::test(start_paused = true)]
async fn t_b21_ten_times_the_capacity_is_served_at_the_rate_of_the_capacity() {
    const CAPACITY: usize = 16;
    const ROUNDS: usize = 15;
    // Each from an address of its own, from a few addresses, all from one.
    let everyone: [fn(usize) -> Peer; 4] = [peer, |n| peer(n % 7), |_| peer(1), |_| Peer::Unix];
    for millis in [1, 10, 100, 300, 1000] {
        for (case, who) in everyone.into_iter().enumerate() {
            let service = service(CAPACITY);
            let delay = Duration::from_millis(millis);
            let served = Arc::new(AtomicUsize::new(0));
            let begun = Instant::now();
            let mut clients = JoinSet::new();
            for n in 0..10 * CAPACITY * ROUNDS {
                let (service, served) = (service.clone(), Arc::clone(&served));
                let comes = begun + delay * n as u32 / (10 * CAPACITY) as u32;
                clients.spawn(async move {
                    sleep_until(comes).await;
                    let client = attempt(&service, who(n), delay).await;
                    served.fetch_add(usize::from(client.is_some()), Ordering::Relaxed);
                });
            }
            clients.join_all().await;
            let served = served.load(Ordering::Relaxed);
            // A timer has a millisecond's grain, which takes half of the rounds of one.
            let least = if millis == 1 { 0.4 } else { 0.85 } * (CAPACITY * ROUNDS) as f64;
            assert!(served as f64 >= least, "{served} of {least}, {millis} ms, case {case}");
        }
    }
}

// T-B21: every one comes again after a second at most.
#[tokio::test(start_paused = true)]
async fn t_b21_all_of_a_reconnect_storm_are_connected_soon() {
    const CLIENTS: usize = 1000;
    for (millis, secs) in [(1, 3), (50, 3), (250, 8), (1000, 22)] {
        let service = service(100);
        let begun = Instant::now();
        let mut clients = JoinSet::new();
        for n in 0..CLIENTS {
            let service = service.clone();
            clients.spawn(async move {
                let mut random = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                loop {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    sleep(Duration::from_millis((random >> 33) % 1000)).await;
                    let delay = Duration::from_millis(millis);
                    if let Some(client) = attempt(&service, peer(n % 200), delay).await {
                        return client;
                    }
                }
            });
        }
        let open = clients.join_all().await;
        assert_eq!((open.len(), service.clients().count()), (CLIENTS, CLIENTS));
        let after = begun.elapsed();
        assert!(after <= Duration::from_secs(secs), "{after:?} with {millis} ms");
    }
}

// T-B1
#[tokio::test(start_paused = true)]
async fn t_b1_three_addresses_with_8000_silent_connections_a_second_keep_nobody_out() {
    let service = with_echo(Server::new()).service().unwrap();
    let begun = Instant::now();
    let mut honest = JoinSet::new();
    let mut silent = Vec::new();
    for millis in 0..2000 {
        sleep_until(begun + Duration::from_millis(millis)).await;
        for n in 0..8 {
            let (client, server) = tokio::io::duplex(64);
            tokio::spawn(service.serve_connection(server, peer((8 * millis as usize + n) % 3)));
            silent.push(client);
        }
        if millis % 25 == 24 {
            let service = service.clone();
            honest.spawn(async move {
                attempt(&service, peer(1000 + millis as usize), Duration::from_millis(100)).await
            });
        }
    }
    let honest = honest.join_all().await;
    assert_eq!((honest.iter().flatten().count(), honest.len()), (80, 80));
}

// T-B1: what is answered and lingers is not pending.
#[tokio::test(start_paused = true)]
async fn lingering_rejections_take_no_place_of_a_handshake() {
    let service = service(4);
    let honest = tokio::spawn({
        let service = service.clone();
        async move { attempt(&service, peer(1), Duration::from_millis(100)).await }
    });
    yield_now().await;
    let mut rejected = Vec::new();
    for n in 0..20 {
        let (mut client, task) = connect(&service, peer(100 + n));
        client.write_all(upgrade("/nowhere", "").as_bytes()).await.unwrap();
        assert_eq!(status(&read_all(&mut client).await), 404);
        rejected.push((client, task));
    }
    // Who lingers is bounded too: those beyond were closed as soon as they had their answer.
    let lingering = rejected.iter().filter(|(_, task)| !task.is_finished()).count();
    assert_eq!(lingering, 4);
    assert!(honest.await.unwrap().is_some());
}

// T-B1: one that opens many answers for nobody else.
#[tokio::test(start_paused = true)]
async fn rejections_of_one_address_end_the_answer_of_no_other() {
    let (mut slow, fallback) = (Vec::new(), vec![b'x'; 100_000]);
    let limits = ServerLimits::default().max_pending(4);
    let service = with_echo(Server::new())
        .server_limits(limits)
        .fallback(move |_, _| http::Response::new(fallback.clone().into()))
        .service()
        .unwrap();
    let page = "GET / HTTP/1.1\r\nHost: server.example\r\n\r\n";
    let (mut honest, server) = tokio::io::duplex(1024);
    tokio::spawn(service.serve_connection(server, peer(1)));
    honest.write_all(page.as_bytes()).await.unwrap();
    yield_now().await;
    for _ in 0..50 {
        let (mut client, server) = tokio::io::duplex(1024);
        tokio::spawn(service.serve_connection(server, peer(2)));
        client.write_all(page.as_bytes()).await.unwrap();
        slow.push(client);
        sleep(Duration::from_millis(100)).await;
    }
    let answer = read_all(&mut honest).await;
    assert_eq!(answer.len() - answer.find("\r\n\r\n").unwrap(), 100_004);
}

/// A stream that says what it has when it is asked again, as a socket does whose readiness the runtime
/// has not looked up.
struct Late(DuplexStream, bool);

impl AsyncRead for Late {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if !std::mem::replace(&mut self.1, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Late {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

// T-B1
#[tokio::test(start_paused = true)]
async fn handshake_whose_request_came_whole_does_not_give_way() {
    let service = service(2);
    let mut open = Vec::new();
    // Two of one address: the newer one has its request in the socket when the third comes.
    let (_silent, _) = connect(&service, peer(1));
    yield_now().await;
    for n in [1, 2] {
        let (mut client, server) = tokio::io::duplex(1024);
        client.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
        tokio::spawn(service.serve_connection(Late(server, false), peer(n)));
        open.push(client);
    }
    for client in &mut open {
        assert!(read_head(client).await.starts_with("HTTP/1.1 101 "));
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_to_give_way_is_told_503() {
    let (log, _guard) = gate::Log::capture();
    let service = service(2);
    let mut clients = [1, 1, 2].map(|n| connect(&service, peer(n)));
    yield_now().await;
    assert_eq!(status(&read_all(&mut clients[1].0).await), 503);
    assert!(clients.iter_mut().map(|(_, task)| task.is_finished()).eq([false, true, false]));
    // Also with half a request, which must not lead to a reset.
    clients[0].0.write_all(b"GET / HT").await.unwrap();
    yield_now().await;
    let mut newcomer = connect(&service, peer(1)).0;
    assert_eq!(status(&read_all(&mut newcomer).await), 503);
    let lines = log.lines("max_pending is 2");
    assert_eq!(lines.len(), 2, "{}", log.text());
}
