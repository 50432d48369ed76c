//! The connection lives while the handler waits.
#![allow(clippy::unwrap_used)]

mod support;

use std::{sync::Arc, time::Duration};

use support::{CLOSE, PING, PONG, TEXT, echo, open, service};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep},
};
use ws_server::{CloseCode, ClosedBy, HandlerError, Limits, Sender, WebSocket};

/// A handler that sleeps five seconds and then says so.
async fn sleeper(mut ws: WebSocket) -> Result<(), HandlerError> {
    sleep(Duration::from_secs(5)).await;
    ws.send("awake").await?;
    Ok(())
}

// R6455-5.5.2-b
#[tokio::test(start_paused = true)]
async fn ping_is_answered_while_the_handler_sleeps() {
    let (mut raw, _) = open(&service(Limits::default(), sleeper)).await;
    let before = Instant::now();
    raw.send(PING, b"there?").await;
    assert_eq!(raw.frame().await.unwrap(), (PONG, b"there?".to_vec()));
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"awake".to_vec()));
}

// R6455-5.5.1-i
#[tokio::test(start_paused = true)]
async fn close_is_taken_while_the_handler_sleeps_and_answered_within_a_second() {
    let (tx, mut told) = mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let tx = tx.clone();
        async move {
            sleep(Duration::from_secs(5)).await;
            let late = ws.send("late").await.is_err();
            tx.send((ws.recv().await, ws.closed().await, late))?;
            Ok(())
        }
    };
    let (mut raw, task) = open(&service(Limits::default(), handler)).await;
    let before = Instant::now();
    raw.send(CLOSE, &[0x0f, 0xa1, b'b', b'y', b'e']).await;
    assert_eq!(raw.frame().await.unwrap(), (CLOSE, vec![0x0f, 0xa1]));
    assert_eq!(raw.frame().await, None, "the server closes TCP without waiting for the client");
    assert!(before.elapsed() >= Duration::from_secs(1), "the handler had its turn");
    assert!(before.elapsed() < Duration::from_secs(2));
    let (message, closed, late) = told.recv().await.unwrap();
    assert_eq!((message, late), (None, true));
    assert_eq!((closed.by, closed.code.get(), closed.clean), (ClosedBy::Peer, 4001, true));
    assert_eq!(closed.reason.as_str(), "bye");
    assert_eq!(task.await.unwrap().unwrap().code.get(), 4001);
}

#[tokio::test(start_paused = true)]
async fn message_from_another_task_goes_out_while_the_handler_sleeps() {
    let (tx, mut senders) = mpsc::unbounded_channel::<Sender>();
    let handler = move |ws: WebSocket| {
        tx.send(ws.sender()).unwrap();
        sleeper(ws)
    };
    let (mut raw, _) = open(&service(Limits::default(), handler)).await;
    let sender = senders.recv().await.unwrap();
    let before = Instant::now();
    sender.send("from afar").await.unwrap();
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"from afar".to_vec()));
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"awake".to_vec()));
    raw.expect_close(1000).await;
    assert!(sender.is_closed());
}

// R6455-6.1-f
#[tokio::test(start_paused = true)]
async fn reply_followed_by_a_sleep_leaves_before_the_sleep() {
    let handler = |mut ws: WebSocket| async move {
        while let Some(message) = ws.recv().await {
            ws.send(message).await?;
            sleep(Duration::from_secs(100)).await;
        }
        Ok(())
    };
    let (mut raw, _) = open(&service(Limits::default(), handler)).await;
    let before = Instant::now();
    raw.send(TEXT, b"quick").await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"quick".to_vec()));
    assert!(before.elapsed() < Duration::from_secs(1));
}

// R6455-4.2.2-q
#[tokio::test(start_paused = true)]
async fn server_may_speak_first() {
    let handler = |mut ws: WebSocket| async move {
        ws.send("welcome").await?;
        echo(ws).await
    };
    let (mut raw, _) = open(&service(Limits::default(), handler)).await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"welcome".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn flood_during_a_long_sleep_is_bounded_and_loses_nothing() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let handler = move |mut ws: WebSocket| {
        let seen = Arc::clone(&kept);
        async move {
            sleep(Duration::from_secs(60)).await;
            while let Some(message) = ws.recv().await {
                seen.lock().await.push(message);
            }
            Ok(())
        }
    };
    let (raw, task) = open(&service(Limits::default(), handler)).await;
    let (mut reader, mut writer) = tokio::io::split(raw.io);
    let flood = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        for i in 0..10_000_u32 {
            let frame = support::masked(0x82, &[&i.to_be_bytes()[..], &[7; 96]].concat());
            writer.write_all(&frame).await.unwrap();
        }
        writer.write_all(&support::masked(CLOSE, &[0x03, 0xe8])).await.unwrap();
        writer
    });
    sleep(Duration::from_secs(59)).await;
    assert!(!flood.is_finished(), "reading pauses: what is not read stays with the client");
    flood.await.unwrap();
    let closed = task.await.unwrap().unwrap();
    assert_eq!((closed.code, closed.clean), (CloseCode::NORMAL, true));
    let seen = seen.lock().await;
    assert_eq!(seen.len(), 10_000);
    for (i, message) in (0_u32..).zip(seen.iter()) {
        assert_eq!(message.as_bytes()[..4], i.to_be_bytes());
    }
    let mut rest = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut rest).await.unwrap();
    assert_eq!(&rest[rest.len() - 4..], [CLOSE, 2, 0x03, 0xe8]);
}
