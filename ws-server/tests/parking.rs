//! Extensions are told when their connection rests.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use support::{BINARY, PONG, TEXT, echo, limits, masked, open_with};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep, sleep_until},
};
use ws_core::{
    Extension,
    extension::{FixedFactory, RsvClaim, Scope},
};
use ws_server::{Limits, Server, Service, WebSocket};
use ws_tests_support::extension::Stub;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const OFFER: &str = "Sec-WebSocket-Extensions: x-rests\r\n";

/// How often an extension that changes nothing was told to rest.
#[derive(Clone, Debug, Default)]
struct Rests(Arc<AtomicUsize>);

impl Rests {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn service(limits: Limits, handler: impl ws_server::Handler) -> (Service, Rests) {
    let rests = Rests::default();
    let told = rests.clone();
    let extension = FixedFactory::new("x-rests", Scope::Message, move || {
        let told = told.clone();
        let park = move || {
            told.0.fetch_add(1, Ordering::Relaxed);
        };
        Box::new(Stub::passing(RsvClaim::None).unmarked().parks(park)) as Box<dyn Extension>
    });
    let server = Server::new().limits(limits).extension(extension);
    (server.any(handler).service().unwrap(), rests)
}

// R7692-x-mem
#[tokio::test(start_paused = true)]
async fn extensions_rest_once_ten_seconds_after_the_last_message() {
    let (service, rests) = service(Limits::default(), echo);
    let (mut raw, _) = open_with(&service, "/", OFFER, 4096).await;
    sleep(secs(15)).await;
    assert_eq!(rests.count(), 0, "there is nothing to give back before the first message");
    for expected in [1, 2] {
        // Whatever passes within the time begins it anew.
        for _ in 0..3 {
            raw.send(TEXT, b"Hello").await;
            assert_eq!(raw.frame().await.unwrap(), (TEXT, b"Hello".to_vec()));
            sleep(secs(9)).await;
            assert_eq!(rests.count(), expected - 1);
        }
        sleep(secs(2)).await;
        assert_eq!(rests.count(), expected);
    }
    // Pings, ours and the client's, wake nothing up.
    for _ in 0..10 {
        raw.send(support::PING, b"").await;
        raw.send(PONG, b"").await;
        sleep(secs(6)).await;
    }
    assert_eq!(rests.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn extensions_rest_after_messages_that_only_go_out() {
    let handler = |mut ws: WebSocket| async move {
        sleep(secs(5)).await;
        ws.send("Hello").await?;
        // In its turn, and in another task.
        let sender = ws.sender();
        tokio::spawn(async move {
            sleep(secs(30)).await;
            sender.send("Hello").await.unwrap();
        });
        echo(ws).await
    };
    let limits = limits(|limits| limits.pong_timeout = Duration::MAX);
    let (service, rests) = service(limits, handler);
    let start = Instant::now();
    let (_raw, _) = open_with(&service, "/", OFFER, 4096).await;
    for (until, expected) in [(14, 0), (16, 1), (34, 1), (44, 1), (46, 2), (59, 2)] {
        sleep_until(start + secs(until)).await;
        assert_eq!(rests.count(), expected, "after {until} s");
    }
}

#[tokio::test(start_paused = true)]
async fn extensions_rest_after_messages_that_only_come_in() {
    let handler = |mut ws: WebSocket| async move {
        while ws.recv().await.is_some() {}
        Ok(())
    };
    let (service, rests) = service(Limits::default(), handler);
    let (mut raw, _) = open_with(&service, "/", OFFER, 4096).await;
    for expected in [1, 2] {
        raw.send(TEXT, b"Hello").await;
        sleep(secs(9)).await;
        assert_eq!(rests.count(), expected - 1);
        sleep(secs(2)).await;
        assert_eq!(rests.count(), expected);
    }
}

// Half of a message is no rest, in either direction.
#[tokio::test(start_paused = true)]
async fn extensions_do_not_rest_inside_of_a_received_message() {
    let limits = limits(|limits| limits.progress_timeout = Duration::MAX);
    let (service, rests) = service(limits, echo);
    let (mut raw, _) = open_with(&service, "/", OFFER, 4096).await;
    raw.send(TEXT, b"Hello").await;
    raw.frame().await.unwrap();
    // The begin of a fragmented one, and later the begin of its end.
    raw.io.write_all(&masked(0x01, b"Hel")).await.unwrap();
    sleep(secs(19)).await;
    assert_eq!(rests.count(), 0);
    let end = masked(0x80, b"lo");
    raw.io.write_all(&end[..7]).await.unwrap();
    sleep(secs(19)).await;
    assert_eq!(rests.count(), 0);
    raw.io.write_all(&end[7..]).await.unwrap();
    loop {
        // A Ping of ours may come before.
        if let (TEXT, message) = raw.frame().await.unwrap() {
            assert_eq!(message, b"Hello");
            break;
        }
    }
    sleep(secs(9)).await;
    assert_eq!(rests.count(), 0);
    sleep(secs(2)).await;
    assert_eq!(rests.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn extensions_do_not_rest_inside_of_a_message_that_waits_to_be_written() {
    let limits = limits(|limits| {
        (limits.write_timeout, limits.pong_timeout) = (Duration::MAX, Duration::MAX);
    });
    let handler = |mut ws: WebSocket| async move {
        ws.send(vec![7; 1 << 20]).await?;
        echo(ws).await
    };
    let (service, rests) = service(limits, handler);
    let (mut raw, _) = open_with(&service, "/", OFFER, 4096).await;
    sleep(secs(60)).await;
    assert_eq!(rests.count(), 0);
    let mut received = 0;
    while received < 1 << 20 {
        let (first, payload) = raw.frame().await.unwrap();
        // It comes in fragments.
        if matches!(first, BINARY | 0x02 | 0x00 | 0x80) {
            received += payload.len();
        }
    }
    sleep(secs(11)).await;
    assert_eq!(rests.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn time_to_rest_is_as_it_is_set() {
    for (park_after, expected) in [(secs(2), 1), (secs(59), 0), (Duration::MAX, 0)] {
        let (service, rests) = service(limits(|limits| limits.park_after = park_after), echo);
        let (mut raw, _) = open_with(&service, "/", OFFER, 4096).await;
        raw.send(TEXT, b"Hello").await;
        sleep(secs(3)).await;
        assert_eq!(rests.count(), expected, "{park_after:?}");
        for _ in 0..50 {
            raw.send(PONG, b"").await;
            sleep(secs(1)).await;
        }
        assert_eq!(rests.count(), expected, "{park_after:?}");
        sleep(secs(8)).await;
        let expected = usize::from(park_after < secs(60));
        assert_eq!(rests.count(), expected, "{park_after:?}");
    }
}
