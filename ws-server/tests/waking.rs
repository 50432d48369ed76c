//! Whoever waits on a connection wakes up, whatever it waits in.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use futures_util::{StreamExt, future::join, stream::FuturesUnordered};
use support::{CLOSE, TEXT, open, open_with, service};
use tokio::{sync::mpsc, time::sleep};
use ws_server::{Limits, WebSocket};

/// Sends three messages with pauses and expects the echo of each.
async fn three_echoes(raw: &mut support::Raw) {
    for text in [&b"one"[..], b"two", b"three"] {
        raw.send(TEXT, text).await;
        assert_eq!(raw.frame().await.unwrap(), (TEXT, text.to_vec()));
        sleep(Duration::from_secs(1)).await;
    }
    raw.send(CLOSE, &[0x03, 0xe8]).await;
    assert_eq!(raw.frame().await.unwrap().0, CLOSE);
    assert_eq!(raw.frame().await, None);
}

#[tokio::test(start_paused = true)]
async fn receiving_inside_of_select_loses_nothing() {
    let handler = |mut ws: WebSocket| async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(70));
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                message = ws.recv() => match message {
                    Some(message) => ws.send(message).await?,
                    None => return Ok(()),
                },
            }
        }
    };
    let (mut raw, task) = open(&service(Limits::default(), handler)).await;
    three_echoes(&mut raw).await;
    assert!(task.await.unwrap().unwrap().clean);
}

#[tokio::test(start_paused = true)]
async fn receiving_inside_of_futures_unordered_wakes_up() {
    let handler = |mut ws: WebSocket| async move {
        let sender = ws.sender();
        loop {
            // Each future has a waker of its own there, which is not the task's.
            let mut receiving = FuturesUnordered::new();
            receiving.push(ws.recv());
            match receiving.next().await.unwrap() {
                Some(message) => {
                    let mut sending = FuturesUnordered::new();
                    sending.push(sender.send(message));
                    sending.next().await.unwrap()?;
                }
                None => return Ok(()),
            }
        }
    };
    let (mut raw, task) = open(&service(Limits::default(), handler)).await;
    three_echoes(&mut raw).await;
    assert!(task.await.unwrap().unwrap().clean);
}

#[tokio::test(start_paused = true)]
async fn receiving_in_a_spawned_task_wakes_up() {
    let handler = |ws: WebSocket| async move { tokio::spawn(support::echo(ws)).await? };
    let (mut raw, task) = open(&service(Limits::default(), handler)).await;
    three_echoes(&mut raw).await;
    assert!(task.await.unwrap().unwrap().clean);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receiving_on_another_thread_wakes_up() {
    let handler = |ws: WebSocket| async move { tokio::spawn(support::echo(ws)).await? };
    let service = service(Limits::default(), handler);
    for _ in 0..20 {
        let (mut raw, task) = open(&service).await;
        for i in 0..200_u32 {
            let text = i.to_string();
            raw.send(TEXT, text.as_bytes()).await;
            assert_eq!(raw.frame().await.unwrap(), (TEXT, text.into_bytes()));
        }
        raw.send(CLOSE, &[0x03, 0xe8]).await;
        assert_eq!(raw.frame().await.unwrap().0, CLOSE);
        drop(raw);
        assert!(task.await.unwrap().unwrap().clean);
    }
}

#[tokio::test(start_paused = true)]
async fn senders_that_wait_for_room_get_it_when_the_client_reads() {
    let (tx, mut waited) = mpsc::unbounded_channel();
    let handler = move |ws: WebSocket| {
        let tx = tx.clone();
        async move {
            let (one, other) = (ws.sender(), ws.sender());
            let send = |sender: ws_server::Sender, octet: u8| async move {
                for _ in 0..100 {
                    sender.send(vec![octet; 20_000]).await.unwrap();
                }
            };
            join(send(one, 1), send(other, 2)).await;
            ws.flush().await?;
            tx.send(())?;
            Ok(())
        }
    };
    let (mut raw, _) = open_with(&service(Limits::default(), handler), "/", "", 4096).await;
    sleep(Duration::from_secs(5)).await;
    assert!(waited.try_recv().is_err(), "they wait for a client that does not read");
    let mut counts = [0; 3];
    loop {
        let (first, payload) = raw.frame().await.unwrap();
        if first == CLOSE {
            break;
        }
        assert_eq!(payload.len(), 20_000);
        counts[usize::from(payload[0])] += 1;
    }
    assert_eq!(counts, [0, 100, 100]);
    waited.recv().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_what_was_sent_before_and_no_longer() {
    let (tx, mut flushed) = mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let tx = tx.clone();
        async move {
            ws.send(vec![7; 100_000]).await?;
            ws.flush().await?;
            tx.send(())?;
            support::echo(ws).await
        }
    };
    let (mut raw, _) = open_with(&service(Limits::default(), handler), "/", "", 4096).await;
    sleep(Duration::from_secs(5)).await;
    assert!(flushed.try_recv().is_err());
    assert_eq!(raw.frame().await.unwrap().1.len(), 100_000);
    flushed.recv().await.unwrap();
}
