//! What the driver does depends neither on what the handler leaves of the task's cooperative budget,
//! nor on what else its task has to do.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use support::{CLOSE, PING, Raw, TEXT, echo, limits, open, service};
use tokio::{
    sync::mpsc,
    task::coop::{has_budget_remaining, poll_proceed},
    time::{Instant, sleep},
};
use ws_server::{Limits, Message, Peer, WebSocket};

fn spend(cx: &mut Context<'_>) {
    while has_budget_remaining() {
        if let Poll::Ready(unit) = poll_proceed(cx) {
            unit.made_progress();
        }
    }
}

/// Polls `future` in a task whose budget is always spent before.
async fn starved<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        assert!(polls < 10_000, "it goes round and round");
        spend(cx);
        future.as_mut().poll(cx)
    })
    .await
}

// T-B9
#[tokio::test(start_paused = true)]
async fn silent_client_is_given_up_though_the_handler_spent_the_budget() {
    for ready in [0, 100, 127, 128, 200, 1000] {
        let handler = move |mut ws: WebSocket| async move {
            let (tx, mut rx) = mpsc::unbounded_channel::<Message>();
            for _ in 0..ready {
                tx.send("news".into())?;
            }
            loop {
                tokio::select! {
                    biased;
                    Some(news) = rx.recv() => ws.send(news).await?,
                    message = ws.recv() => if message.is_none() { return Ok(()) },
                }
            }
        };
        let (mut raw, _) = open(&service(Limits::default(), handler)).await;
        let start = Instant::now();
        for _ in 0..ready {
            assert_eq!(raw.frame().await.unwrap(), (TEXT, b"news".to_vec()));
        }
        assert_eq!(start.elapsed().as_secs(), 0);
        assert_eq!(raw.frame().await.unwrap().0, PING);
        assert_eq!(start.elapsed().as_secs(), 20);
        raw.expect_close(1011).await;
        assert_eq!(start.elapsed().as_secs(), 40);
    }
}

#[tokio::test(start_paused = true)]
async fn handler_that_spends_every_budget_holds_nothing_up() {
    let handler = |mut ws: WebSocket| async move {
        ws.send("first").await?;
        let sender = ws.sender();
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            sender.try_send(polls.to_string())?;
            spend(cx);
            // Of its own accord it would be polled over and over.
            Poll::<support::Handled>::Pending
        })
        .await
    };
    let (mut raw, task) = open(&service(Limits::default(), handler)).await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"first".to_vec()));
    let start = Instant::now();
    let mut pinged = false;
    raw.send(support::PING, b"there?").await;
    loop {
        match raw.frame().await.unwrap() {
            (support::PONG, payload) => {
                assert_eq!((payload, pinged), (b"there?".to_vec(), false));
                pinged = true;
                raw.send(CLOSE, &[0x03, 0xe8]).await;
            }
            (CLOSE, _) => break,
            (first, _) => assert_eq!(first, TEXT),
        }
    }
    assert!(pinged && start.elapsed() < Duration::from_secs(2));
    assert_eq!(raw.frame().await, None);
    assert!(!task.is_finished(), "the handler is still there");
}

#[tokio::test(start_paused = true)]
async fn connection_in_a_busy_task_is_opened_served_and_closed() {
    let service = service(Limits::default(), echo);
    let (io, server) = tokio::io::duplex(4096);
    let task = tokio::spawn(starved(service.serve_connection(server, Peer::Other)));
    let mut raw = Raw::new(io);
    raw.handshake("/", "").await;
    raw.send(TEXT, b"hello").await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"hello".to_vec()));
    let start = Instant::now();
    assert_eq!(raw.frame().await.unwrap().0, PING);
    assert_eq!(start.elapsed().as_secs(), 20);
    raw.expect_close(1011).await;
    assert_eq!(raw.frame().await, None);
    task.await.unwrap().unwrap();
    assert_eq!(start.elapsed().as_secs(), 40);
}

#[tokio::test(start_paused = true)]
async fn closed_connection_in_a_busy_task_lingers_no_longer_than_it_is_to() {
    let (io, server) = tokio::io::duplex(4096);
    let service = service(Limits::default(), echo);
    let task = tokio::spawn(starved(service.serve_connection(server, Peer::Other)));
    let mut raw = Raw::new(io);
    raw.handshake("/", "").await;
    raw.send(CLOSE, &[0x03, 0xe8]).await;
    raw.expect_close(1000).await;
    let start = Instant::now();
    assert!(task.await.unwrap().unwrap().clean);
    assert_eq!(start.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn request_that_does_not_come_is_given_up_in_a_busy_task() {
    let (io, server) = tokio::io::duplex(4096);
    let service = service(Limits::default(), echo);
    tokio::spawn(starved(service.serve_connection(server, Peer::Other)));
    let start = Instant::now();
    assert!(Raw::new(io).head().await.starts_with("HTTP/1.1 408 "));
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[cfg(feature = "client")]
#[tokio::test(start_paused = true)]
async fn client_connects_from_a_busy_task_and_gives_up_in_time() {
    let connect = || ws_server::Connect::new("ws://test/");
    let (ours, theirs) = tokio::io::duplex(4096);
    tokio::spawn(service(Limits::default(), echo).serve_connection(theirs, Peer::Other));
    let mut ws = tokio::spawn(starved(connect().over(ours))).await.unwrap().unwrap();
    ws.send("hello").await.unwrap();
    assert_eq!(ws.recv().await, Some("hello".into()));

    let (ours, _theirs) = tokio::io::duplex(4096);
    let start = Instant::now();
    let connected = tokio::spawn(starved(connect().over(ours))).await.unwrap();
    assert!(matches!(connected, Err(ws_server::ConnectError::Timeout { .. })));
    assert_eq!(start.elapsed().as_secs(), 20);
}

// §7.2 of the design: `recv` consumes the budget.
#[tokio::test(start_paused = true)]
async fn receiving_consumes_the_budget() {
    let (tx, mut counts) = mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let tx = tx.clone();
        async move {
            // All of them are there.
            sleep(Duration::from_secs(1)).await;
            let mut units = 0;
            let mut messages = 0;
            poll_fn(|cx| {
                while units < 120 {
                    ready!(poll_proceed(cx)).made_progress();
                    units += 1;
                }
                while let Poll::Ready(message) = pin!(ws.recv()).poll(cx) {
                    assert!(message.is_some());
                    messages += 1;
                }
                Poll::Ready(())
            })
            .await;
            tx.send(messages)?;
            while ws.recv().await.is_some() {
                messages += 1;
            }
            tx.send(messages)?;
            Ok(())
        }
    };
    let many = limits(|limits| limits.receive_ahead_messages = 10);
    let (mut raw, _) = open(&service(many, handler)).await;
    for _ in 0..200 {
        raw.send(TEXT, b"").await;
    }
    let in_one_turn = counts.recv().await.unwrap();
    assert!((8..=100).contains(&in_one_turn), "{in_one_turn} of 200 with 8 units");
    raw.send(CLOSE, &[0x03, 0xe8]).await;
    assert_eq!(counts.recv().await.unwrap(), 200);
}
