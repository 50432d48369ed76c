//! Floods over HTTP/2: what one connection sends without end costs little, and no other connection.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use axum::{Router, routing::any};
use support::{
    TEXT, echo,
    raw::{
        CONTINUATION, DATA, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, connect,
        connect_with, field, frame,
    },
    run,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    runtime,
    time::timeout,
};
use ws_server::{Server, WebSocket};
use ws_tests_support::heap::{Counting, measured};
use ws_tower::WebSocketUpgrade;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// More than both ends of two connections hold, and far less than what is sent.
const HELD: isize = 12 << 20;

/// What became of a flood.
struct Outcome {
    /// Octets that the server took.
    taken: usize,
    /// Whether it ended the connection.
    ended: bool,
    /// WebSockets that were opened, besides the one that echoes.
    opened: u64,
}

/// Sends `first` and then what `next` makes, so many times, from a connection that reads what comes, or
/// does not. Meanwhile another connection echoes.
fn flood(reads: bool, first: &[u8], count: u32, next: impl Fn(u32) -> Vec<u8>) -> Outcome {
    let (heap, outcome) = measured(|| {
        let runtime =
            runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let service = Server::new().service().unwrap();
            let deaf = any(async |upgrade: WebSocketUpgrade| {
                upgrade.on_upgrade(|ws: WebSocket| async move {
                    ws.closed().await;
                })
            });
            let open = any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo));
            let app = Router::new().route("/echo", open).route("/deaf", deaf);
            let running = run(app.with_state(service.clone()));
            let mut good = running.http2(65_535).await;
            let mut stream = good.open("/echo").await;

            let (mut read, mut write) = split(running.dial());
            let reader = tokio::spawn(async move {
                if !reads {
                    std::future::pending::<()>().await;
                }
                let mut buffer = vec![0; 64 * 1024];
                while read.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
            });
            let mut outcome = Outcome { taken: 0, ended: false, opened: 0 };
            write.write_all(PREFACE).await.unwrap();
            write.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
            write.write_all(first).await.unwrap();
            for n in 0..count {
                let octets = next(n);
                // A server that takes no more is as good as one that ends it.
                match timeout(Duration::from_secs(60), write.write_all(&octets)).await {
                    Ok(Ok(())) => outcome.taken += octets.len(),
                    Ok(Err(_)) => {
                        outcome.ended = true;
                        break;
                    }
                    Err(_) => break,
                }
                if n % 5000 == 0 {
                    stream.send(TEXT, b"still there");
                    stream.expect(TEXT, b"still there").await;
                }
            }
            stream.send(TEXT, b"and after it");
            stream.expect(TEXT, b"and after it").await;
            outcome.ended |= reader.is_finished();
            drop(write);
            reader.abort();
            reader.await.ok();
            timeout(Duration::from_secs(120), async {
                while service.clients().count() > 1 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
            .await
            .expect("its connections are gone");
            outcome.opened = service.clients().metrics().opened - 1;
            outcome
        })
    });
    assert!(heap.peak < HELD, "{} octets were held after {} came", heap.peak, outcome.taken);
    outcome
}

// RT-42, T-B18, CVE-2023-44487
#[test]
fn rt_42_rapid_reset() {
    flood(true, &[], 20_000, |n| {
        let stream = 2 * n + 1;
        let mut both = connect("/echo", stream);
        both.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        both
    });
}

// RT-42, T-B18, CVE-2025-8671: resets that the client makes the server send.
#[test]
fn rt_42_made_you_reset() {
    let outcome = flood(true, &[], 20_000, |n| {
        let stream = 2 * n + 1;
        let mut both = connect("/echo", stream);
        // RFC 9113 §6.9: an increment of 0 is a stream error.
        both.extend(frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes()));
        both
    });
    assert!(outcome.ended, "it has a budget");
}

// RT-42, T-B19, R9113-10.5-a
#[test]
fn rt_42_settings_and_pings_that_nobody_reads_the_answers_of() {
    for reads in [false, true] {
        flood(reads, &[], 200_000, |_| frame(SETTINGS, 0, 0, &[]));
        flood(reads, &[], 200_000, |n| frame(PING, 0, 0, &u64::from(n).to_be_bytes()));
    }
}

// RT-42, T-B19, RUSTSEC-2024-0332
#[test]
fn rt_42_continuation_without_end() {
    let begin = frame(HEADERS, 0, 1, &field(":method", "CONNECT"));
    let outcome =
        flood(true, &begin, 100_000, |n| frame(CONTINUATION, 0, 1, &field("x", &n.to_string())));
    assert!(outcome.ended, "it has a budget");
}

// RT-42, T-B19, RUSTSEC-2026-0258
#[test]
fn rt_42_empty_data_on_a_stream_that_nobody_drains() {
    let outcome = flood(true, &connect("/deaf", 1), 200_000, |_| frame(DATA, 0, 1, &[]));
    assert_eq!(outcome.opened, 1);
}

// RT-42, T-B19
#[test]
fn rt_42_window_updates_of_one_octet() {
    let outcome = flood(true, &connect("/deaf", 1), 200_000, |_| {
        frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())
    });
    assert_eq!(outcome.opened, 1);
}

// R9113-8.1-a: each kind of malformed head opens nothing, and costs no other connection.
#[test]
fn r9113_8_1_malformed_heads_open_nothing() {
    let bad: [(&str, &str); 5] = [
        ("Upper", "case"),
        ("connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("x", "a\r\nb"),
        (":path", "/again"),
    ];
    for (name, value) in bad {
        let outcome = flood(true, &[], 100, |n| connect_with("/echo", 2 * n + 1, &[(name, value)]));
        assert_eq!(outcome.opened, 0, "{name}");
    }
}
