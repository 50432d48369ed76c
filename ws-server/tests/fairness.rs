//! What one connection costs the others.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use support::{BINARY, Raw, TEXT, echo, limits, masked, open, open_with};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{
        mpsc::{self, UnboundedReceiver},
        oneshot,
    },
};
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

/// A handler that blocks its thread once it has received a message, says so, and stops when it is
/// released.
fn blocking() -> (impl Handler, UnboundedReceiver<()>, Arc<AtomicBool>) {
    let released = Arc::new(AtomicBool::new(false));
    let (told, blocks) = mpsc::unbounded_channel();
    let release = Arc::clone(&released);
    let handler = move |mut ws: WebSocket| {
        let (told, release) = (told.clone(), Arc::clone(&release));
        async move {
            ws.recv().await?;
            told.send(())?;
            // Until the others were served; not for ever, so that a failure is told.
            for _ in 0..6_000 {
                if release.load(Ordering::Acquire) {
                    ws.send("released").await?;
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        }
    };
    (handler, blocks, released)
}

// RT-39, T-B16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rt_39_handler_that_blocks_its_thread_leaves_others_the_second_one() {
    let (handler, mut blocks, released) = blocking();
    let service = Server::new().route("/echo", echo).any(handler).service().unwrap();
    let mut others = Vec::new();
    for _ in 0..8 {
        others.push(open_with(&service, "/echo", "", 4096).await.0);
    }
    let (mut blocked, _) = open(&service).await;
    blocked.send(TEXT, b"block").await;
    blocks.recv().await.unwrap();
    for _ in 0..20 {
        for other in &mut others {
            other.send(TEXT, b"meanwhile").await;
            assert_eq!(other.frame().await.unwrap(), (TEXT, b"meanwhile".to_vec()));
        }
    }
    // A new one too.
    open_with(&service, "/echo", "", 4096).await;
    released.store(true, Ordering::Release);
    assert_eq!(blocked.frame().await.unwrap(), (TEXT, b"released".to_vec()), "it was too late");
}

// RT-39, T-B16: the same over TCP, as far as it can be had.
//
// One worker at a time waits for the operating system. If that wakes it for one task alone, tokio
// wakes no other worker before the task runs (it does for two tasks, or with
// `enable_eager_driver_handoff`, which is unstable). A handler that then blocks keeps all sockets of
// the runtime waiting, in 20 of 20 trials on a server without other traffic, and in none of 20 with
// it. It ends with whatever wakes the other worker from outside: here a task that is spawned.
#[tokio::test]
async fn rt_39_over_tcp_a_second_thread_that_is_woken_serves_others() {
    // The clients have a runtime of their own, which nothing blocks.
    let mut workers = tokio::runtime::Builder::new_multi_thread();
    let workers = workers.worker_threads(2).enable_all().build().unwrap();
    let (handler, mut blocks, released) = blocking();
    let server = workers.spawn(Server::bind("127.0.0.1:0")).await.unwrap().unwrap();
    let address = server.local_addr().unwrap();
    workers.spawn(server.route("/echo", echo).any(handler).serve());
    let open = async |path| {
        let mut raw = Raw::new(TcpStream::connect(address).await.unwrap());
        raw.handshake(path, "").await;
        raw
    };
    let mut others = Vec::new();
    for _ in 0..8 {
        others.push(open("/echo").await);
    }
    let mut blocked = open("/").await;
    // Until both are at rest, for the worst case.
    tokio::time::sleep(Duration::from_millis(50)).await;
    blocked.send(TEXT, b"block").await;
    blocks.recv().await.unwrap();
    workers.spawn(async {});
    for _ in 0..20 {
        for other in &mut others {
            other.send(TEXT, b"meanwhile").await;
            assert_eq!(other.frame().await.unwrap(), (TEXT, b"meanwhile".to_vec()));
        }
    }
    open("/echo").await;
    released.store(true, Ordering::Release);
    assert_eq!(blocked.frame().await.unwrap(), (TEXT, b"released".to_vec()), "it was too late");
    // Without waiting for the threads, which cannot be done here.
    workers.shutdown_background();
}
