//! Who waits for room gets it, and who makes room is served again.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{BINARY, CLOSE, PING, PONG, Raw, TEXT, masked, open, open_with, service};
use tokio::{
    io::AsyncWriteExt,
    sync::mpsc,
    time::{sleep, timeout},
};
use ws_server::{CloseCode, Limits, TrySendReason, WebSocket};

/// Messages in the queue leave room for more, but not for one of this size.
const LARGE: usize = 900 * 1024;

/// The messages come in order, and then the Close.
async fn expect_four_and_a_large_one(raw: &mut Raw) {
    for len in [80 * 1024, 80 * 1024, 80 * 1024, 80 * 1024, LARGE] {
        let (first, payload) = raw.frame().await.unwrap();
        assert_eq!((first, payload.len()), (BINARY, len));
    }
    raw.expect_close(1000).await;
}

#[tokio::test(start_paused = true)]
async fn large_message_that_waits_for_room_gets_it() {
    let handler = |mut ws: WebSocket| async move {
        for octet in 0..4 {
            ws.send(vec![octet; 80 * 1024]).await?;
        }
        ws.send(vec![9; LARGE]).await?;
        Ok(())
    };
    let (mut raw, _) = open_with(&service(Limits::default(), handler), "/", "", 4096).await;
    expect_four_and_a_large_one(&mut raw).await;
}

#[tokio::test(start_paused = true)]
async fn ready_waits_for_room_for_what_was_refused() {
    let handler = |mut ws: WebSocket| async move {
        for octet in 0..4 {
            ws.try_send(vec![octet; 80 * 1024])?;
        }
        let mut message = vec![9; LARGE].into();
        let mut refused = 0;
        loop {
            ws.ready().await?;
            match ws.try_send(message) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    assert_eq!(error.reason, TrySendReason::Full);
                    message = error.message;
                }
            }
            refused += 1;
            assert!(refused < 10, "it spins");
        }
    };
    let (mut raw, _) = open_with(&service(Limits::default(), handler), "/", "", 4096).await;
    expect_four_and_a_large_one(&mut raw).await;
}

/// A handler that sleeps first, tells what it receives, and sends nothing.
fn late() -> (
    impl Fn(WebSocket) -> futures_util::future::BoxFuture<'static, Result<(), ws_server::HandlerError>>
    + Send
    + Sync
    + 'static,
    mpsc::UnboundedReceiver<usize>,
) {
    let (tx, lens) = mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| -> futures_util::future::BoxFuture<'static, _> {
        let tx = tx.clone();
        Box::pin(async move {
            sleep(Duration::from_secs(1)).await;
            while let Some(message) = ws.recv().await {
                tx.send(message.len())?;
            }
            Ok(())
        })
    };
    (handler, lens)
}

#[tokio::test(start_paused = true)]
async fn reading_goes_on_when_a_large_message_was_taken() {
    let (handler, mut lens) = late();
    let (mut raw, task) = open(&service(Limits::default(), handler)).await;
    raw.send(BINARY, &[7; 100_000]).await;
    assert_eq!(lens.recv().await, Some(100_000));
    sleep(Duration::from_secs(1)).await;
    raw.send(TEXT, b"more").await;
    assert_eq!(timeout(Duration::from_secs(1), lens.recv()).await, Ok(Some(4)));
    raw.send(CLOSE, &[0x03, 0xe8]).await;
    raw.expect_close(1000).await;
    assert_eq!(raw.frame().await, None);
    assert!(task.await.unwrap().unwrap().clean);
}

#[tokio::test(start_paused = true)]
async fn reading_goes_on_when_one_of_many_messages_was_taken() {
    let mut limits = Limits::default();
    limits.receive_ahead_messages = 4;
    let handler = |mut ws: WebSocket| async move {
        sleep(Duration::from_secs(1)).await;
        ws.recv().await;
        sleep(Duration::from_secs(1000)).await;
        Ok(())
    };
    let (mut raw, _) = open(&service(limits, handler)).await;
    raw.io.write_all(&masked(TEXT, b"x").repeat(4)).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    raw.send(PING, b"there?").await;
    let pong = timeout(Duration::from_secs(1), raw.frame()).await.expect("there is room");
    assert_eq!(pong.unwrap(), (PONG, b"there?".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn what_is_received_while_our_close_waits_has_no_gap() {
    let mut limits = Limits::default();
    limits.receive_ahead_messages = 2;
    let (tx, mut received) = mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let tx = tx.clone();
        async move {
            ws.close(CloseCode::NORMAL, "")?;
            while let Some(message) = ws.recv().await {
                tx.send(message.as_bytes()[0])?;
                sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        }
    };
    let (mut raw, task) = open(&service(limits, handler)).await;
    raw.expect_close(1000).await;
    for i in 0..40 {
        raw.send(TEXT, &[i]).await;
        sleep(Duration::from_millis(20)).await;
    }
    raw.send(CLOSE, &[0x03, 0xe8]).await;
    task.await.unwrap();
    let mut expected = 0;
    while let Some(octet) = received.recv().await {
        assert_eq!(octet, expected);
        expected += 1;
    }
    assert!(expected >= 2);
}
