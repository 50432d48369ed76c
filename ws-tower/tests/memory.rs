//! What one connection of HTTP/2 makes the server hold.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use axum::{Router, routing::any};
use support::{
    BINARY, echo,
    raw::{ACK, DATA, Frame, PREFACE, SETTINGS, connect, frame},
    run,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, split},
    runtime,
    time::{sleep, timeout},
};
use ws_server::Server;
use ws_tests_support::{
    frame::masked,
    heap::{Counting, measured},
};
use ws_tower::WebSocketUpgrade;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const STREAMS: u32 = 128;
const WINDOW: usize = 64 * 1024;
const MIB: isize = 1 << 20;

/// Opens as many streams as there may be, which take so many octets.
async fn open(io: &mut DuplexStream, path: &str, window: u32) {
    io.write_all(PREFACE).await.unwrap();
    let window = [&[0, 4][..], &window.to_be_bytes()].concat();
    io.write_all(&frame(SETTINGS, 0, 0, &window)).await.unwrap();
    Frame::of(SETTINGS, io).await;
    io.write_all(&frame(SETTINGS, ACK, 0, &[])).await.unwrap();
    for n in 0..STREAMS {
        io.write_all(&connect(path, 2 * n + 1)).await.unwrap();
    }
}

/// What the server holds at most while a client sends `frames` DATA frames of this payload on each of so many
/// streams to `path`, as far as they are taken: both ends, and what is between them.
fn held(path: &'static str, window: u32, streams: u32, frames: usize, payload: &[u8]) -> isize {
    let runtime =
        runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (heap, ()) = measured(|| {
        runtime.block_on(async {
            // Its answer takes long: what comes waits in hyper alone.
            let never = any(async || sleep(Duration::from_secs(3600)).await);
            let echo = any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo));
            let app = Router::new().route("/never", never).route("/echo", echo);
            let running = run(app.with_state(Server::new().service().unwrap()));
            let mut io = running.dial();
            open(&mut io, path, window).await;
            let (mut read, mut write) = split(io);
            let reader = tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while read.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
            });
            sleep(Duration::from_secs(1)).await;
            for n in 0..streams {
                let octets = frame(DATA, 0, 2 * n + 1, payload);
                for _ in 0..frames {
                    timeout(Duration::from_secs(5), write.write_all(&octets)).await.ok();
                }
            }
            sleep(Duration::from_secs(5)).await;
            reader.abort();
        });
    });
    drop(runtime);
    heap.peak
}

/// As many messages as the window of a stream takes.
fn full() -> (usize, Vec<u8>) {
    let message = masked(BINARY, [1, 2, 3, 4], &[7; 16_000]);
    (WINDOW / message.len(), message)
}

// T-B19: 64 KiB of a stream, so 8 MiB of a connection. 2 MiB are what is between the two.
#[test]
fn what_nobody_reads_is_eight_mebibytes_of_a_connection() {
    let (frames, message) = full();
    let heap = held("/never", 65_535, STREAMS, frames, &message);
    assert!(heap > 7 * MIB, "{heap}: the test does not fill the windows");
    assert!(heap < 11 * MIB, "{heap}");
}

// T-B19: each frame costs more than its octet. h2 has a budget for such frames, and ends the connection
// beyond it.
#[test]
fn small_frames_that_nobody_reads_hold_no_more() {
    for len in [1, 16, 64, 256] {
        let heap = held("/never", 65_535, 8, 60_000 / len, &vec![7; len]);
        assert!(heap < 11 * MIB, "{heap} for frames of {len}");
    }
}

// T-B19: what waits for a client that lets nothing through.
#[test]
fn what_cannot_be_sent_is_eight_mebibytes_of_a_connection() {
    let (frames, message) = full();
    let heap = held("/echo", 0, STREAMS, frames, &message);
    assert!(heap > 7 * MIB, "{heap}: the test does not fill what there is");
    assert!(heap < 14 * MIB, "{heap}");
}
