//! What one connection costs the others.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use support::{BINARY, Raw, TEXT, counting, echo, limits, masked, open, open_with};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use ws_server::{Handler, Peer, Server, Service, UNLIMITED, WebSocket};

// What is measured runs in a task: a test's own future has fewer turns.

// RT-58, T-B23
#[tokio::test]
async fn rt_58_flood_of_small_messages_leaves_others_their_turns() {
    tokio::spawn(flood_of_small_messages()).await.unwrap();
}

async fn flood_of_small_messages() {
    const FLOOD: usize = 100_000;
    let (handler, seen) = counting();
    let elsewhere = handler.clone();
    let service = Server::new()
        .route("/echo", echo)
        .route("/elsewhere", move |ws: WebSocket| {
            let elsewhere = elsewhere.clone();
            async move { tokio::spawn(async move { elsewhere.handle(ws).await }).await? }
        })
        .any(handler)
        .service()
        .unwrap();
    for path in ["/", "/elsewhere"] {
        seen.store(0, Ordering::Relaxed);
        let (mut other, _) = open_with(&service, "/echo", "", 4096).await;
        let (mut flooding, _) = open_with(&service, path, "", 8 << 20).await;
        // One thread: nothing of it is read before both have written.
        flooding.io.write_all(&masked(BINARY, &[7; 20]).repeat(FLOOD)).await.unwrap();
        let mut before = 0;
        let mut most = 0;
        for _ in 0..5 {
            other.send(TEXT, b"my turn").await;
            assert_eq!(other.frame().await.unwrap(), (TEXT, b"my turn".to_vec()));
            let now = seen.load(Ordering::Relaxed) / 20;
            most = most.max(now - before);
            before = now;
        }
        // A turn has 256 messages, and there may be several before an echo.
        assert!(most > 0 && most <= 2_000, "{most} messages before one echo");
        assert!(before < FLOOD);
        while seen.load(Ordering::Relaxed) < FLOOD * 20 {
            tokio::task::yield_now().await;
        }
    }
}

// RT-58
#[tokio::test]
async fn rt_58_flood_of_large_messages_and_of_pings_leaves_others_their_turns() {
    tokio::spawn(flood_of_large_messages_and_of_pings()).await.unwrap();
}

async fn flood_of_large_messages_and_of_pings() {
    let (handler, seen) = counting();
    let limits = limits(|limits| {
        (limits.control_rate, limits.control_burst) = (UNLIMITED, UNLIMITED);
    });
    let server = Server::new().limits(limits).route("/echo", echo).any(handler);
    let service = server.service().unwrap();
    let large = masked(BINARY, &vec![7; 1_000_000]).repeat(20);
    let mut pings = masked(support::PING, &[7; 125]).repeat(100_000);
    pings.extend_from_slice(&masked(BINARY, b"done"));
    for flood in [large, pings] {
        seen.store(0, Ordering::Relaxed);
        let (mut other, _) = open_with(&service, "/echo", "", 4096).await;
        let (mut flooding, _) = open_with(&service, "/", "", 32 << 20).await;
        flooding.io.write_all(&flood).await.unwrap();
        for _ in 0..10 {
            other.send(TEXT, b"my turn").await;
            assert_eq!(other.frame().await.unwrap(), (TEXT, b"my turn".to_vec()));
        }
        assert!(seen.load(Ordering::Relaxed) <= 2_000_000, "the flood is not over");
        while seen.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

// RT-58
#[tokio::test]
async fn rt_58_flood_that_is_echoed_leaves_others_their_turns() {
    tokio::spawn(flood_that_is_echoed()).await.unwrap();
}

async fn flood_that_is_echoed() {
    const FLOOD: usize = 50_000;
    let service = support::service(limits(|_| ()), echo);
    let (mut other, _) = open(&service).await;
    let (mut flooding, _) = open_with(&service, "/", "", 8 << 20).await;
    flooding.io.write_all(&masked(BINARY, &[7; 20]).repeat(FLOOD)).await.unwrap();
    let (done, mut finished) = oneshot::channel();
    let reading = tokio::spawn(async move {
        for _ in 0..FLOOD {
            assert_eq!(flooding.frame().await.unwrap().1.len(), 20);
        }
        done.send(()).unwrap();
    });
    for _ in 0..5 {
        other.send(TEXT, b"my turn").await;
        assert_eq!(other.frame().await.unwrap(), (TEXT, b"my turn".to_vec()));
    }
    assert!(finished.try_recv().is_err(), "it was answered in between");
    reading.await.unwrap();
}

/// Opens a connection that is sent `flood`. The most by which `counter` grew in one turn of its task,
/// once it has come to `all`.
async fn most_in_one_turn(
    service: &Service,
    path: &str,
    flood: &[u8],
    counter: &Arc<AtomicUsize>,
    all: usize,
) -> usize {
    let (io, server) = tokio::io::duplex(8 << 20);
    let connection = service.serve_connection(server, Peer::Other);
    let (most, counted) = (Arc::new(AtomicUsize::new(0)), Arc::clone(counter));
    let kept = Arc::clone(&most);
    tokio::spawn(async move {
        let mut connection = pin!(connection);
        poll_fn(|cx| {
            let before = counted.load(Ordering::Relaxed);
            let poll = connection.as_mut().poll(cx);
            kept.fetch_max(counted.load(Ordering::Relaxed) - before, Ordering::Relaxed);
            poll
        })
        .await
    });
    let mut raw = Raw::new(io);
    raw.handshake(path, "").await;
    raw.io.write_all(flood).await.unwrap();
    while counter.load(Ordering::Relaxed) < all {
        tokio::task::yield_now().await;
    }
    most.load(Ordering::Relaxed)
}

// RT-58, T-B23
#[tokio::test]
async fn rt_58_turn_has_so_many_messages_and_no_more() {
    const MANY: usize = 20_000;
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let handler = move |mut ws: WebSocket| {
        let counted = Arc::clone(&counted);
        async move {
            while ws.recv().await.is_some() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }
    };
    let service = Server::new().any(handler).service().unwrap();
    let flood = masked(BINARY, b"").repeat(MANY);
    let most = most_in_one_turn(&service, "/", &flood, &seen, MANY).await;
    assert!((100..=260).contains(&most), "{most} empty messages");
}

// RT-58
#[tokio::test]
async fn rt_58_copies_of_what_is_published_count_in_a_turn() {
    const MANY: usize = 2_000;
    const READERS: usize = 20;
    let published = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&published);
    let reading = |mut ws: WebSocket| async move {
        ws.subscribe("news")?;
        while ws.recv().await.is_some() {}
        Ok(())
    };
    let publishing = move |mut ws: WebSocket| {
        let counted = Arc::clone(&counted);
        async move {
            let news = ws.subscribe("news")?;
            while let Some(message) = ws.recv().await {
                news.publish_to_others(message);
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }
    };
    let server = Server::new().route("/read", reading).any(publishing);
    let service = server.service().unwrap();
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(open_with(&service, "/read", "", 1 << 20).await);
    }
    let flood = masked(BINARY, b"").repeat(MANY);
    let most = most_in_one_turn(&service, "/", &flood, &published, MANY).await;
    assert!((4..=20).contains(&most), "{most} messages to {READERS} readers");
}

// RT-58
#[tokio::test]
async fn rt_58_handler_that_only_sends_leaves_others_their_turns() {
    const MANY: usize = 20_000;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let handler = move |mut ws: WebSocket| {
        let counted = Arc::clone(&counted);
        async move {
            for _ in 0..MANY {
                ws.send("").await?;
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }
    };
    let service = Server::new().any(handler).service().unwrap();
    let most = most_in_one_turn(&service, "/", b"", &sent, MANY).await;
    assert!((100..=260).contains(&most), "{most} empty messages");
}

// RT-58
#[tokio::test]
async fn rt_58_flood_lets_the_runtime_look_at_other_sockets() {
    tokio::spawn(flood_beside_a_socket()).await.unwrap();
}

async fn flood_beside_a_socket() {
    const FLOOD: usize = 1_000_000;
    let (handler, seen) = counting();
    let service = Server::new().route("/echo", echo).any(handler).service().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    tokio::spawn(service.serve_connection(server, Peer::Other));
    let mut other = Raw::new(client);
    other.handshake("/echo", "").await;
    let (mut flooding, _) = open_with(&service, "/", "", 8 << 20).await;
    flooding.io.write_all(&masked(BINARY, &[7]).repeat(FLOOD)).await.unwrap();
    let mut before = seen.load(Ordering::Relaxed);
    for _ in 0..5 {
        other.send(TEXT, b"my turn").await;
        assert_eq!(other.frame().await.unwrap(), (TEXT, b"my turn".to_vec()));
        let now = seen.load(Ordering::Relaxed);
        // Between two looks at the sockets there is one turn, and an echo takes a few of them.
        assert!(now > before && now - before <= 5_000, "{} messages", now - before);
        before = now;
    }
}
