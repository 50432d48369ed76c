//! What one connection costs the others.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use support::{BINARY, TEXT, echo, limits, masked, open, open_with};
use tokio::{io::AsyncWriteExt, sync::oneshot};
use ws_server::{Handler, Server, UNLIMITED, WebSocket};

// What is measured runs in a task: a test's own future has fewer turns.

/// A handler that counts the bytes it receives, and answers nothing.
fn counting() -> (impl Handler + Clone, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let handler = move |mut ws: WebSocket| {
        let counted = Arc::clone(&counted);
        async move {
            while let Some(message) = ws.recv().await? {
                counted.fetch_add(message.len(), Ordering::Relaxed);
            }
            Ok(())
        }
    };
    (handler, seen)
}

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
        // A turn ends once 64 KiB were read, by reads of as much: some 5,000 such messages at most,
        // and there may be two before an echo.
        assert!(most > 0 && most <= 12_000, "{most} messages before one echo");
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
