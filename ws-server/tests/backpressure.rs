//! Who waits for room gets it, and who makes room is served again.
#![allow(clippy::unwrap_used)]

mod support;

use support::{BINARY, open_with, service};
use ws_server::{Limits, TrySendReason, WebSocket};

/// Messages in the queue leave room for more, but not for one of this size.
const LARGE: usize = 900 * 1024;

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
    let mut lens = Vec::new();
    for _ in 0..5 {
        let (first, payload) = raw.frame().await.unwrap();
        lens.push((first, payload.len()));
    }
    let small = (BINARY, 80 * 1024);
    assert_eq!(lens, [small, small, small, small, (BINARY, LARGE)]);
    raw.expect_close(1000).await;
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
    let mut lens = Vec::new();
    for _ in 0..5 {
        let (first, payload) = raw.frame().await.unwrap();
        lens.push((first, payload.len()));
    }
    let small = (BINARY, 80 * 1024);
    assert_eq!(lens, [small, small, small, small, (BINARY, LARGE)]);
    raw.expect_close(1000).await;
}
