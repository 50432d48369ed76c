//! A connection that its own end gives up is ended at once, whatever the client does.
#![allow(clippy::unwrap_used)]

mod support;

use std::{future::pending, time::Duration};

use support::{CLOSE, PING, Raw, limits, masked, open_with};
use tokio::{
    io::AsyncWriteExt,
    sync::mpsc,
    time::{Instant, timeout},
};
use ws_core::{
    Extension,
    extension::{Chunk, ExtensionError, FixedFactory, Progress, RsvClaim, Scope, Sink},
};
use ws_server::{CloseCode, Closed, ClosedBy, Handler, Server, Service, WebSocket};
use ws_tests_support::extension::{Call, Stub, pass};

const OFFER: &str = "Sec-WebSocket-Extensions: x-fails\r\n";

/// Swallows what is sent, and fails after so many octets of it.
fn failing(after: usize) -> Box<dyn Extension> {
    let mut left = after;
    let transform = move |call, input: &mut Chunk<'_>, out: &mut Sink<'_>| {
        if call == Call::Decode {
            return pass(input, out);
        }
        if left < input.len() {
            return Err(ExtensionError::new(CloseCode::INTERNAL_ERROR, "no more"));
        }
        left -= input.len();
        input.consume(input.len());
        Ok(Progress::Done)
    };
    Box::new(Stub::new(RsvClaim::None, transform))
}

fn service(fails: usize, handler: impl Handler) -> Service {
    let extension = FixedFactory::new("x-fails", Scope::Message, move || failing(fails));
    Server::new().extension(extension).any(handler).service().unwrap()
}

/// What the client gets, which says nothing itself, and how the handler hears of the end: both long
/// before any deadline.
async fn is_ended(mut raw: Raw, started: Instant, ended: &mut mpsc::UnboundedReceiver<Closed>) {
    let (first, body) = raw.frame().await.unwrap();
    assert_eq!((first, &body[..2]), (CLOSE, &1011_u16.to_be_bytes()[..]));
    let closed = timeout(Duration::from_secs(1), ended.recv()).await.unwrap().unwrap();
    assert_eq!((closed.by, closed.code), (ClosedBy::Local, CloseCode::INTERNAL_ERROR));
    assert_eq!(closed.reason, "extension x-fails: no more");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn extension_that_fails_while_output_is_written_ends_the_connection_at_once() {
    // At the first octet, within the call of `send`, and when nobody but the driver is there.
    for fails in [0, 1000, 100_000, 900_000] {
        let (tx, mut ended) = mpsc::unbounded_channel();
        let service = service(fails, move |mut ws: WebSocket| {
            let tx = tx.clone();
            async move {
                ws.send(vec![0; 1_000_000]).await.ok();
                tx.send(ws.closed().await)?;
                Ok(())
            }
        });
        let started = Instant::now();
        let (raw, _task) = open_with(&service, "/", OFFER, 1 << 16).await;
        is_ended(raw, started, &mut ended).await;
    }
}

#[tokio::test(start_paused = true)]
async fn extension_that_fails_at_a_message_to_all_ends_the_connection_at_once() {
    for fails in [0, 100_000] {
        let (tx, mut ended) = mpsc::unbounded_channel();
        let service = service(fails, move |mut ws: WebSocket| {
            let tx = tx.clone();
            async move {
                let received = ws.recv().await;
                assert_eq!(received, None);
                tx.send(ws.closed().await)?;
                Ok(())
            }
        });
        let started = Instant::now();
        let (raw, _task) = open_with(&service, "/", OFFER, 1 << 16).await;
        service.clients().send_all(vec![0; 1_000_000]);
        is_ended(raw, started, &mut ended).await;
    }
}

// T-B3
#[tokio::test(start_paused = true)]
async fn flood_of_pings_behind_our_close_ends_before_the_close_timeout() {
    let limits = limits(|limits| limits.close_timeout = Duration::from_secs(3600));
    let (tx, mut ended) = mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let tx = tx.clone();
        async move {
            ws.close(CloseCode::NORMAL, "")?;
            tx.send(ws.closed().await)?;
            pending::<()>().await;
            Ok(())
        }
    };
    let service = Server::new().limits(limits).any(handler).service().unwrap();
    let started = Instant::now();
    let (mut raw, _task) = open_with(&service, "/", "", 1 << 16).await;
    raw.expect_close(1000).await;
    let pings = masked(PING, b"").repeat(1000);
    let flood = async {
        for _ in 0..100 {
            if raw.io.write_all(&pings).await.is_err() {
                return;
            }
        }
    };
    timeout(Duration::from_secs(60), flood).await.ok();
    let closed = timeout(Duration::from_secs(1), ended.recv()).await.unwrap().unwrap();
    assert_eq!((closed.by, closed.code), (ClosedBy::Local, CloseCode::POLICY_VIOLATION));
    assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
}
