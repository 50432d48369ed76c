//! How a connection ends, whoever ends it.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use support::{
    CLOSE, PING, Raw, TEXT, echo,
    hooked::{Call, Hooked},
    masked, open, service,
};
use tokio::{
    io::AsyncWriteExt,
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use ws_server::{
    CloseCode, Closed, ClosedBy, HandlerError, Limits, Peer, PingError, SendError, WebSocket,
};

/// A handler that tells how its connection ended.
fn telling() -> (
    impl Fn(WebSocket) -> futures_util::future::BoxFuture<'static, Result<(), HandlerError>>
    + Send
    + Sync
    + 'static,
    mpsc::UnboundedReceiver<Closed>,
) {
    let (tx, rx) = mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| -> futures_util::future::BoxFuture<'static, _> {
        let tx = tx.clone();
        Box::pin(async move {
            while let Some(message) = ws.recv().await {
                ws.send(message).await?;
            }
            tx.send(ws.closed().await)?;
            Ok(())
        })
    };
    (handler, rx)
}

// R6455-7.3-a
#[tokio::test(start_paused = true)]
async fn handler_that_returns_closes_with_1000_behind_what_it_sent() {
    let handler = |mut ws: WebSocket| async move {
        ws.send("one").await?;
        ws.send("two").await?;
        Ok(())
    };
    let (mut raw, task) = open(&service(Limits::default(), handler)).await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"one".to_vec()));
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"two".to_vec()));
    raw.expect_close(1000).await;
    raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
    assert_eq!(raw.frame().await, None);
    let closed = task.await.unwrap().unwrap();
    assert_eq!((closed.by, closed.code, closed.clean), (ClosedBy::Local, CloseCode::NORMAL, true));
}

// D-16
#[tokio::test(start_paused = true)]
async fn handler_that_fails_closes_with_1011() {
    let handler = |_: WebSocket| async { Err::<(), _>("no database".into()) };
    let (mut raw, _) = open(&service(Limits::default(), handler)).await;
    raw.expect_close(1011).await;
}

// RT-38, T-B15
#[tokio::test(start_paused = true)]
async fn rt_38_handler_that_panics_costs_its_own_connection_alone() {
    let handler = |mut ws: WebSocket| async move {
        while let Some(message) = ws.recv().await {
            assert!(message.as_bytes() != b"panic", "as asked for");
            ws.send(message).await?;
        }
        Ok(())
    };
    let service = service(Limits::default(), handler);
    let (mut other, _) = open(&service).await;
    let (mut raw, task) = open(&service).await;
    raw.send(TEXT, b"fine").await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"fine".to_vec()));
    raw.send(TEXT, b"panic").await;
    raw.expect_close(1011).await;
    raw.send(CLOSE, &1011_u16.to_be_bytes()).await;
    assert_eq!(raw.frame().await, None);
    task.await.unwrap();
    assert_eq!(service.clients().count(), 1);
    other.send(TEXT, b"still here").await;
    assert_eq!(other.frame().await.unwrap(), (TEXT, b"still here".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn dropped_socket_closes_with_1000_while_the_handler_goes_on() {
    let (done, went_on) = oneshot::channel();
    let done = std::sync::Mutex::new(Some(done));
    let handler = move |ws: WebSocket| {
        let done = done.lock().unwrap().take().unwrap();
        async move {
            drop(ws);
            sleep(Duration::from_secs(20)).await;
            done.send(()).unwrap();
            Ok(())
        }
    };
    let (mut raw, _) = open(&service(Limits::default(), handler)).await;
    let before = Instant::now();
    raw.expect_close(1000).await;
    raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
    assert_eq!(raw.frame().await, None);
    assert!(before.elapsed() < Duration::from_secs(1));
    went_on.await.unwrap();
}

// R6455-5.5.1-f
#[tokio::test(start_paused = true)]
async fn messages_before_a_close_are_answered_before_it_is() {
    let (mut raw, _) = open(&service(Limits::default(), echo)).await;
    let read =
        [masked(TEXT, b"a"), masked(TEXT, b"b"), masked(CLOSE, &[0x03, 0xe8]), masked(TEXT, b"c")];
    raw.io.write_all(&read.concat()).await.unwrap();
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"a".to_vec()));
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"b".to_vec()));
    assert_eq!(raw.frame().await.unwrap(), (CLOSE, vec![0x03, 0xe8]));
    assert_eq!(raw.frame().await, None);
}

// R6455-7.1.2-b
#[tokio::test(start_paused = true)]
async fn fault_is_answered_after_the_messages_before_it() {
    let (handler, mut told) = telling();
    let (mut raw, _) = open(&service(Limits::default(), handler)).await;
    raw.io.write_all(&[masked(TEXT, b"a"), masked(TEXT, b"\xff")].concat()).await.unwrap();
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"a".to_vec()));
    raw.expect_close(1007).await;
    assert_eq!(raw.frame().await, None);
    let closed = told.recv().await.unwrap();
    assert_eq!((closed.by, closed.code), (ClosedBy::Local, CloseCode::INVALID_PAYLOAD));
    assert!(closed.fault.is_some());
}

// RT-33, R6455-7.1.2-c, T-B11
#[tokio::test(start_paused = true)]
async fn rt_33_close_that_is_not_answered_ends_at_the_close_timeout() {
    let (tx, mut told) = mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let tx = tx.clone();
        async move {
            ws.close(CloseCode::new(4000), "enough")?;
            assert_eq!(ws.send("more").await, Err(SendError::Closed));
            assert_eq!(ws.recv().await, None);
            tx.send(ws.closed().await)?;
            Ok(())
        }
    };
    let (mut raw, task) = open(&service(Limits::default(), handler)).await;
    let before = Instant::now();
    raw.expect_close(4000).await;
    // It still talks, but does not answer.
    for _ in 0..5 {
        sleep(Duration::from_secs(1)).await;
        raw.send(PING, b"").await;
    }
    assert_eq!(raw.frame().await, None);
    assert!(before.elapsed() >= Duration::from_secs(10));
    assert!(before.elapsed() < Duration::from_secs(11));
    let closed = told.recv().await.unwrap();
    assert_eq!((closed.by, closed.code.get(), closed.clean), (ClosedBy::Local, 1006, false));
    task.await.unwrap();
}

// RT-33
#[tokio::test(start_paused = true)]
async fn rt_33_close_that_is_answered_by_the_end_of_the_stream_is_not_clean() {
    let handler = |mut ws: WebSocket| async move {
        ws.close(CloseCode::NORMAL, "")?;
        Ok(())
    };
    let (mut raw, task) = open(&service(Limits::default(), handler)).await;
    raw.expect_close(1000).await;
    raw.io.shutdown().await.unwrap();
    let closed = task.await.unwrap().unwrap();
    assert_eq!((closed.by, closed.code.get(), closed.clean), (ClosedBy::Local, 1006, false));
}

// T-B13
#[tokio::test(start_paused = true)]
async fn client_that_vanishes_is_told_as_1006() {
    let (handler, mut told) = telling();
    let service = service(Limits::default(), handler);
    for sent in [&b""[..], &masked(TEXT, b"whole"), &masked(TEXT, b"cut")[..4], &[0x81]] {
        let (mut raw, task) = open(&service).await;
        raw.io.write_all(sent).await.unwrap();
        drop(raw);
        let closed = told.recv().await.unwrap();
        assert_eq!((closed.by, closed.code.get(), closed.clean), (ClosedBy::Peer, 1006, false));
        task.await.unwrap();
    }
    assert_eq!(service.clients().count(), 0);
}

// T-B13
#[tokio::test(start_paused = true)]
async fn client_that_vanishes_while_our_close_waits_after_unsent_data_was_closed_by_us() {
    // More than is encoded ahead of the socket, and more than is taken from the queue at a time.
    for len in [10_000, 100_000] {
        let (tx, mut told) = mpsc::unbounded_channel();
        let handler = move |mut ws: WebSocket| {
            let tx = tx.clone();
            async move {
                while ws.try_send(vec![0; len]).is_ok() {}
                ws.close(CloseCode::new(4000), "enough")?;
                tx.send(ws.closed().await)?;
                Ok(())
            }
        };
        let (raw, task) = open(&service(Limits::default(), handler)).await;
        sleep(Duration::from_secs(1)).await;
        drop(raw);
        let closed = told.recv().await.unwrap();
        assert_eq!((closed.by, closed.code.get(), closed.clean), (ClosedBy::Local, 1006, false));
        assert_eq!(closed.reason, "enough");
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_connections_task_wakes_everybody() {
    let (tx, mut sockets) = mpsc::unbounded_channel::<WebSocket>();
    let handler = move |ws: WebSocket| {
        tx.send(ws).unwrap();
        std::future::pending()
    };
    let (_raw, task) = open(&service(Limits::default(), handler)).await;
    let mut ws = sockets.recv().await.unwrap();
    let receiving = tokio::spawn(async move { (ws.recv().await, ws.closed().await) });
    sleep(Duration::from_secs(1)).await;
    task.abort();
    let (message, closed) = receiving.await.unwrap();
    assert_eq!((message, closed.code.get()), (None, 1006));
}

// R6455-5.5.1-c: a reason that holds a name which a client chose is no trap.
#[tokio::test(start_paused = true)]
async fn reason_that_is_too_long_is_cut_and_the_code_arrives() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let tell = tell.clone();
        async move {
            ws.close(CloseCode::new(4001), &format!("{}é is taken", "x".repeat(122)))?;
            tell.send(ws.closed().await)?;
            Ok(())
        }
    };
    let (mut raw, _) = open(&service(Limits::default(), handler)).await;
    let body = [b"\x0f\xa1", "x".repeat(122).as_bytes()].concat();
    assert_eq!(raw.frame().await.unwrap(), (CLOSE, body));
    raw.send(CLOSE, b"\x0f\xa1").await;
    let closed = told.recv().await.unwrap();
    assert_eq!((closed.by, closed.code.get()), (ClosedBy::Local, 4001));
    assert_eq!(closed.reason, *"x".repeat(122));
}

#[tokio::test(start_paused = true)]
async fn misuse_is_an_error_and_changes_nothing() {
    let handler = |mut ws: WebSocket| async move {
        assert_eq!(
            ws.close(CloseCode::new(1005), ""),
            Err(SendError::InvalidCloseCode(1005.into()))
        );
        assert_eq!(ws.ping(vec![0; 126]), Err(PingError::TooLong { len: 126 }));
        echo(ws).await
    };
    let (mut raw, _) = open(&service(Limits::default(), handler)).await;
    raw.send(TEXT, b"fine").await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"fine".to_vec()));
}

// RT-35, T-B13
#[tokio::test(start_paused = true)]
async fn close_that_cannot_be_answered_ends_the_connection() {
    let service = service(Limits::default(), echo);
    let (ours, io) = tokio::io::duplex(4096);
    let cut = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&cut);
    let io = Hooked::new(io, move |call, _: &mut Context<'_>| {
        let refused = call == Call::Write && told.load(Ordering::Relaxed);
        Poll::Ready(if refused { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) })
    });
    let task = tokio::spawn(service.serve_connection(io, Peer::Other));
    let mut raw = Raw::new(ours);
    raw.handshake("/", "").await;
    cut.store(true, Ordering::Relaxed);
    raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
    let ended = timeout(Duration::from_secs(60), task).await;
    ended.expect("nothing is left to wait for").unwrap().unwrap();
    assert_eq!(service.clients().count(), 0);
}

// R6455-5.5.1-i
#[tokio::test(start_paused = true)]
async fn handler_that_closes_in_its_turn_is_not_waited_for() {
    let handler = |mut ws: WebSocket| async move {
        ws.recv().await;
        // The client's Close was read meanwhile.
        sleep(Duration::from_millis(10)).await;
        ws.close(CloseCode::new(4000), "")?;
        ws.closed().await;
        Ok(())
    };
    let (mut raw, task) = open(&service(Limits::default(), handler)).await;
    let before = Instant::now();
    raw.io.write_all(&[masked(TEXT, b"a"), masked(CLOSE, &[0x03, 0xe8])].concat()).await.unwrap();
    raw.expect_close(4000).await;
    assert_eq!(raw.frame().await, None);
    assert!(before.elapsed() < Duration::from_millis(500), "{:?}", before.elapsed());
    drop(raw);
    let closed = task.await.unwrap().unwrap();
    assert_eq!((closed.by, closed.code), (ClosedBy::Peer, CloseCode::NORMAL));
}
