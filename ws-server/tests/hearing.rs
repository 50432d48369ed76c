//! A process that was stopped reads what came meanwhile before it ends anybody.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    task::{Context, Poll},
    time::Duration,
};

use support::{
    BINARY, CLOSE, PING, PONG, Raw, TEXT, echo,
    hooked::{Call, Hooked},
    limits, masked,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
    time::{Instant, advance, sleep, sleep_until},
};
use ws_server::{CloseCode, Closed, Handler, Limits, Peer, WebSocket};
use ws_tests_support::handshake::request;

/// A stream of a runtime that, after it was stopped, looks at its timers first and knows of no socket
/// yet.
fn stopped(io: DuplexStream) -> impl AsyncRead + AsyncWrite + Send + Unpin {
    let (mut asked, mut knows) = (Instant::now(), Instant::now());
    Hooked::new(io, move |call, cx: &mut Context<'_>| {
        if !matches!(call, Call::Read | Call::Write) {
            return Poll::Ready(Ok(()));
        }
        let now = Instant::now();
        if now - asked > Duration::from_secs(50) {
            knows = now + Duration::from_millis(1);
        }
        asked = now;
        if now >= knows {
            return Poll::Ready(Ok(()));
        }
        let (waker, knows) = (cx.waker().clone(), knows);
        tokio::spawn(async move {
            sleep_until(knows).await;
            waker.wake();
        });
        Poll::Pending
    })
}

type Served = JoinHandle<Option<Closed>>;

/// A client that has said nothing.
fn dial(limits: Limits, handler: impl Handler) -> (Raw, Served) {
    let (client, io) = tokio::io::duplex(1 << 20);
    let service = support::service(limits, handler);
    (Raw::new(client), tokio::spawn(service.serve_connection(stopped(io), Peer::Other)))
}

async fn open(limits: Limits, handler: impl Handler) -> (Raw, Served) {
    let (mut raw, served) = dial(limits, handler);
    raw.handshake("/", "").await;
    (raw, served)
}

/// Longer than everything that a client may take.
const STOP: Duration = Duration::from_secs(100);

/// Shorter limits than those.
fn short() -> Limits {
    limits(|limits| {
        let secs = Duration::from_secs(2);
        (limits.ping_interval, limits.pong_timeout, limits.progress_timeout) = (secs, secs, secs);
        (limits.message_timeout, limits.write_timeout) = (secs, secs);
        limits.close_timeout = secs;
    })
}

async fn echoes(raw: &mut Raw) {
    raw.send(TEXT, b"alive").await;
    loop {
        match raw.frame().await.unwrap() {
            (PING, _) => raw.send(PONG, b"").await,
            frame => break assert_eq!(frame, (TEXT, b"alive".to_vec())),
        }
    }
}

// T-B16
#[tokio::test(start_paused = true)]
async fn pong_that_came_while_the_process_was_stopped_counts() {
    let (mut raw, _) = open(short(), echo).await;
    assert_eq!(raw.frame().await.unwrap().0, PING);
    raw.send(PONG, b"").await;
    advance(STOP).await;
    echoes(&mut raw).await;
}

// T-B16
#[tokio::test(start_paused = true)]
async fn rest_of_a_message_that_came_while_the_process_was_stopped_counts() {
    let message = vec![5; 200_000];
    let frame = masked(BINARY, &message);
    for begun in [1000, 0] {
        let (mut raw, _) = open(short(), echo).await;
        raw.io.write_all(&frame[..begun]).await.unwrap();
        sleep(Duration::from_millis(200)).await;
        raw.io.write_all(&frame[begun..]).await.unwrap();
        advance(STOP).await;
        let echo = loop {
            match raw.frame().await.unwrap() {
                (PING, _) => raw.send(PONG, b"").await,
                frame => break frame,
            }
        };
        assert_eq!((echo.0, echo.1.len()), (BINARY, message.len()));
        echoes(&mut raw).await;
    }
}

// T-B16
#[tokio::test(start_paused = true)]
async fn part_of_a_message_that_came_while_the_process_was_stopped_buys_its_time_and_no_more() {
    let limits = short();
    let frame = masked(BINARY, &vec![5; 200_000]);
    let (mut raw, _) = open(limits, echo).await;
    raw.io.write_all(&frame[..1000]).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    // At 8 KiB/s that is good for twelve seconds more.
    raw.io.write_all(&frame[1000..101_000]).await.unwrap();
    advance(STOP).await;
    // None of them is over: the client was not heard for a hundred seconds, and was not late.
    sleep(Duration::from_millis(500)).await;
    raw.io.write_all(&frame[101_000..]).await.unwrap();
    let echo = loop {
        match raw.frame().await.unwrap() {
            (PING, _) => raw.send(PONG, b"").await,
            frame => break frame,
        }
    };
    assert_eq!((echo.0, echo.1.len()), (BINARY, 200_000));
}

// T-B16, T-B2
#[tokio::test(start_paused = true)]
async fn octets_in_a_trickle_do_not_count_for_more_after_a_stop() {
    let (mut raw, _) = open(Limits::default(), echo).await;
    let frame = masked(BINARY, &[5; 1000]);
    for octet in &frame[..55] {
        raw.io.write_all(&[*octet]).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    // It goes on as before while the process is stopped.
    raw.io.write_all(&frame[55..65]).await.unwrap();
    advance(Duration::from_secs(10)).await;
    raw.expect_close(1008).await;
}

// T-B16, R9110-15.5.9-a
#[tokio::test(start_paused = true)]
async fn rest_of_a_head_that_came_while_the_process_was_stopped_counts() {
    let (mut raw, _) = dial(short(), echo);
    let head = request("/", "");
    let (part, rest) = head.split_at(24);
    raw.io.write_all(part.as_bytes()).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    raw.io.write_all(rest.as_bytes()).await.unwrap();
    advance(STOP).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    echoes(&mut raw).await;
}

// T-B16, T-B1
#[tokio::test(start_paused = true)]
async fn part_of_a_head_that_came_while_the_process_was_stopped_does_not() {
    let (mut raw, _) = dial(short(), echo);
    raw.io.write_all(b"GET / HTTP/1.1\r\nHost: te").await.unwrap();
    sleep(Duration::from_millis(200)).await;
    raw.io.write_all(b"st\r\nUpgrade: websoc").await.unwrap();
    advance(STOP).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
}

// T-B16
#[tokio::test(start_paused = true)]
async fn answer_to_a_close_that_came_while_the_process_was_stopped_counts() {
    let handler = |mut ws: WebSocket| async move {
        ws.close(CloseCode::NORMAL, "")?;
        Ok(())
    };
    let (mut raw, served) = open(short(), handler).await;
    raw.expect_close(1000).await;
    // Behind more than is read in one turn.
    raw.send(BINARY, &vec![5; 200_000]).await;
    raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
    advance(STOP).await;
    assert!(served.await.unwrap().unwrap().clean);
}

// T-B16
#[tokio::test(start_paused = true)]
async fn what_was_taken_while_the_process_was_stopped_counts() {
    let handler = |mut ws: WebSocket| async move {
        ws.send(vec![7; 3 << 20]).await?;
        echo(ws).await
    };
    let (mut raw, served) = open(short(), handler).await;
    let mut octets = vec![0; 1 << 20];
    for _ in 0..3 {
        sleep(Duration::from_millis(200)).await;
        raw.read_exact(&mut octets).await;
        advance(STOP).await;
    }
    assert_eq!(raw.frame().await.unwrap_or_default().0, 7, "the rest of the message");
    drop(raw);
    served.await.unwrap();
}
