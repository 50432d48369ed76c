//! A client that connects again.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    cell::RefCell,
    io::{self, ErrorKind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use support::{echo, service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{Instant, sleep, timeout},
};
use ws_server::{CloseCode, Connect, ConnectError, Limits, Peer, Reconnect, Service, WebSocket};

fn refused() -> ConnectError {
    ConnectError::Io(io::Error::from(ErrorKind::ConnectionRefused))
}

async fn open(service: &Service) -> Result<WebSocket, ConnectError> {
    let (ours, theirs) = duplex(4096);
    let service = service.clone();
    tokio::spawn(async move { service.serve_connection(theirs, Peer::Other).await });
    Connect::new("ws://test/").over(ours).await
}

/// A server that answers every request so.
async fn answered(answer: &str) -> Result<WebSocket, ConnectError> {
    let (ours, mut theirs) = duplex(4096);
    let answer = answer.to_owned();
    tokio::spawn(async move {
        let mut head = [0; 4096];
        assert!(theirs.read(&mut head).await.unwrap() > 0);
        theirs.write_all(answer.as_bytes()).await.unwrap();
    });
    Connect::new("ws://test/").over(ours).await
}

/// The waits before each attempt of a call in which all but the last fail.
async fn waits(reconnect: &mut Reconnect, service: &Service, attempts: usize) -> Vec<Duration> {
    let at = RefCell::new(vec![Instant::now()]);
    let attempt = || {
        at.borrow_mut().push(Instant::now());
        let last = at.borrow().len() > attempts;
        async move { if last { open(service).await } else { Err(refused()) } }
    };
    reconnect.connect(attempt).await.unwrap();
    at.into_inner().windows(2).map(|pair| pair[1] - pair[0]).collect()
}

// R6455C-7.2.3-a: "the first reconnect attempt SHOULD be delayed by a random amount of time",
// "between 0 and 5 seconds", then "truncated binary exponential backoff".
#[tokio::test(start_paused = true)]
async fn waits_are_random_and_their_bound_doubles_up_to_the_longest() {
    const RUNS: usize = 200;
    let service = service(Limits::default(), echo);
    let mut sums = [Duration::ZERO; 8];
    for _ in 0..RUNS {
        let waits = waits(&mut Reconnect::default(), &service, 8).await;
        assert_eq!(waits[0], Duration::ZERO, "the first attempt waits for nothing");
        for (n, wait) in waits.iter().enumerate().skip(1) {
            let bound = Duration::from_secs(5 << (n - 1)).min(Duration::from_secs(60));
            // The timer has milliseconds.
            assert!(*wait <= bound + Duration::from_millis(1), "wait {n}: {wait:?}");
            sums[n] += *wait;
        }
    }
    // Half of the bound on average: the sum of 200 uniform parts is off by a sixth once in 10^15.
    for (n, bound) in [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (6, 60), (7, 60)] {
        let share = sums[n].as_secs_f64() / (RUNS * bound) as f64;
        assert!((0.33..0.67).contains(&share), "wait {n}: {share} of {bound} s");
    }
}

#[tokio::test(start_paused = true)]
async fn connection_that_lasted_lets_the_waits_begin_anew() {
    let service = service(Limits::default(), echo);
    let mut reconnect = Reconnect::default().first_delay(Duration::from_secs(1));
    let mut short = Duration::ZERO;
    for _ in 0..100 {
        // Ends at once.
        short += waits(&mut reconnect, &service, 1).await[0];
    }
    assert!(short > Duration::from_secs(1000), "99 waits of up to a minute: {short:?}");
    for _ in 0..100 {
        sleep(Duration::from_secs(30)).await;
        let wait = waits(&mut reconnect, &service, 1).await[0];
        assert!(wait <= Duration::from_millis(1001), "{wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_repetition_mends_is_returned_at_once() {
    let refusals = ["301 Moved", "400 Bad", "401 No", "403 No", "404 No", "426 No", "501 No"];
    for status in refusals {
        let tries = AtomicUsize::new(0);
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let attempt = || {
            tries.fetch_add(1, Ordering::Relaxed);
            answered(&answer)
        };
        let error = Reconnect::default().connect(attempt).await.unwrap_err();
        assert!(matches!(error, ConnectError::Refused(_)), "{error}");
        assert_eq!(tries.into_inner(), 1, "{status}");
    }
    let error = Reconnect::default().connect(|| Connect::new("http://x").connect()).await;
    assert!(matches!(error, Err(ConnectError::Url(_))));
    let no_websocket = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    let error = Reconnect::default().connect(|| answered(no_websocket)).await;
    assert!(matches!(error, Err(ConnectError::Response(_))));
}

#[tokio::test(start_paused = true)]
async fn busy_server_is_asked_again_after_what_it_says_up_to_an_hour() {
    for (status, seconds, least) in [("503 Full", 120, 120), ("429 Slow", 10_000_000, 3600)] {
        let at = Instant::now();
        let answer =
            format!("HTTP/1.1 {status}\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n");
        let error = Reconnect::default().max_attempts(2).connect(|| answered(&answer)).await;
        assert!(matches!(error, Err(ConnectError::Refused(_))), "the last one is returned");
        let waited = at.elapsed();
        let most = Duration::from_secs(least + 5 + 5);
        assert!(waited >= Duration::from_secs(least) && waited <= most, "{waited:?}");
    }
}

// One attempt a call, and calls that are dropped while they wait.
#[tokio::test(start_paused = true)]
async fn what_a_call_waited_for_counts_in_the_next() {
    let service = service(Limits::default(), echo);
    let mut reconnect = Reconnect::default().max_attempts(1);
    let busy = || answered("HTTP/1.1 503 Full\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n");
    assert!(reconnect.connect(busy).await.is_err());
    let at = Instant::now();
    let mut dropped = 0;
    while timeout(Duration::from_secs(1), reconnect.connect(|| open(&service))).await.is_err() {
        dropped += 1;
    }
    let waited = at.elapsed();
    assert!(waited >= Duration::from_secs(600) && waited <= Duration::from_secs(606), "{waited:?}");
    assert!(dropped >= 599, "{dropped}");
}

// The clients of a server that is restarted.
#[tokio::test(start_paused = true)]
async fn thousand_clients_of_a_restarted_server_do_not_come_back_at_once() {
    let first = service(Limits::default(), echo);
    let second = service(Limits::default(), echo);
    let moved = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..1000)
        .map(|_| {
            let (first, second, moved) = (first.clone(), second.clone(), Arc::clone(&moved));
            tokio::spawn(async move {
                let mut reconnect = Reconnect::default();
                let ws = reconnect.connect(|| open(&first)).await.unwrap();
                let closed = ws.closed().await;
                assert_eq!(closed.code, CloseCode::GOING_AWAY);
                let ended = Instant::now();
                let _again = reconnect.connect(|| open(&second)).await.unwrap();
                moved.fetch_add(1, Ordering::Relaxed);
                ended.elapsed()
            })
        })
        .collect();
    sleep(Duration::from_secs(60)).await;
    first.clients().close_all(CloseCode::GOING_AWAY, "restarting");
    let mut back = Vec::new();
    for client in clients {
        back.push(client.await.unwrap().as_millis() / 500);
    }
    // In ten parts of the five seconds, each about a tenth.
    for part in 0..10 {
        let count = back.iter().filter(|at| **at == part).count();
        assert!((40..180).contains(&count), "part {part}: {count} of 1000");
    }
    assert_eq!(moved.load(Ordering::Relaxed), 1000);
}
