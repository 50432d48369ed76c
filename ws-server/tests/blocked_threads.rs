//! Handlers that block their thread.
#![allow(clippy::unwrap_used)]

mod gate;
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gate::{Log, PATIENCE};
use support::{Raw, TEXT, echo, limits, open, open_with};
use tokio::{
    net::TcpStream,
    runtime::{Builder, Runtime},
    sync::mpsc::{self, UnboundedReceiver},
    time::timeout,
};
use ws_server::{Deflate, Handler, Server, WebSocket};

/// A handler that blocks its thread once it has received a message, says so, and stops when it is
/// released.
fn blocking() -> (impl Handler, UnboundedReceiver<()>, Arc<AtomicBool>) {
    let released = Arc::new(AtomicBool::new(false));
    let (told, blocks) = mpsc::unbounded_channel();
    let release = Arc::clone(&released);
    let handler = move |mut ws: WebSocket| {
        let (told, release) = (told.clone(), Arc::clone(&release));
        async move {
            ws.recv().await;
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

/// A server on two threads of its own, and what connects to it over TCP.
async fn listening(
    configure: impl FnOnce(Server) -> Server,
) -> (Runtime, impl AsyncFn(&str) -> Raw<TcpStream>) {
    let mut workers = Builder::new_multi_thread();
    let workers = workers.worker_threads(2).enable_all().build().unwrap();
    let server = configure(Server::new().route("/echo", echo));
    let server = workers.spawn(server.bind("127.0.0.1:0")).await.unwrap().unwrap();
    let address = server.local_addr().unwrap();
    workers.spawn(server.serve());
    let open = async move |path: &str| {
        let mut raw = Raw::new(TcpStream::connect(address).await.unwrap());
        raw.handshake(path, "Sec-WebSocket-Extensions: permessage-deflate\r\n").await;
        raw
    };
    (workers, open)
}

// RT-39, T-B16: the same over TCP, on a server without other traffic.
//
// One worker at a time waits for the operating system. If that wakes it for one task alone, tokio
// wakes no other worker before the task runs (it does for two tasks, or with
// `enable_eager_driver_handoff`, which is unstable). A handler that then blocks keeps all sockets of
// the runtime waiting, until somebody wakes the other worker.
#[tokio::test]
async fn rt_39_over_tcp_a_second_thread_takes_over() {
    let (handler, mut blocks, released) = blocking();
    let (workers, open) = listening(|server| server.any(handler)).await;
    let mut others = Vec::new();
    for _ in 0..8 {
        others.push(open("/echo").await);
    }
    let mut blocked = open("/").await;
    // Until both are at rest, for the worst case.
    tokio::time::sleep(Duration::from_millis(50)).await;
    blocked.send(TEXT, b"block").await;
    blocks.recv().await.unwrap();
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

// RT-39: a deadline that passes within a turn is met by the next one.
#[tokio::test]
async fn turn_that_takes_longer_than_a_deadline_ends() {
    let handler = |mut ws: WebSocket| async move {
        while let Some(message) = ws.recv().await {
            std::thread::sleep(Duration::from_millis(100));
            ws.send(message).await?;
        }
        Ok(())
    };
    let limits = limits(|limits| limits.park_after = Duration::from_millis(20));
    let rests = |server: Server| server.extension(Deflate::default()).limits(limits).any(handler);
    let (workers, open) = listening(rests).await;
    // The other thread sees to timers meanwhile.
    workers.spawn(async {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let mut client = open("/").await;
    let replies = async {
        for text in ["first", "second"] {
            client.send(TEXT, text.as_bytes()).await;
            assert_eq!(client.frame().await.unwrap(), (TEXT, text.as_bytes().to_vec()));
        }
    };
    let replied = timeout(PATIENCE, replies).await;
    workers.shutdown_background();
    replied.expect("a turn did not end");
}

// RT-39
#[tokio::test]
async fn rt_39_threads_that_are_all_blocked_are_told_in_the_log() {
    // What is said there comes from a thread of its own.
    let log = Log::capture_all();
    let (handler, mut blocks, released) = blocking();
    let (workers, open) = listening(|server| server.any(handler)).await;
    let mut clients = [open("/").await, open("/").await];
    for client in &mut clients {
        client.send(TEXT, b"block").await;
        blocks.recv().await.unwrap();
    }
    for _ in 0..600 {
        if !log.lines("a handler blocks").is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    released.store(true, Ordering::Release);
    for client in &mut clients {
        assert_eq!(client.frame().await.unwrap(), (TEXT, b"released".to_vec()), "it was too late");
    }
    assert_eq!(log.lines("a handler blocks").len(), 1);
    workers.shutdown_background();
}
