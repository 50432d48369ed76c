//! A flush that is over means that the operating system has what was sent before.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use support::{BINARY, PING, PONG, Raw, masked, service};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    sync::mpsc,
    task::yield_now,
    time::{Sleep, sleep},
};
use ws_server::{Limits, Peer, SendError, WebSocket};

/// A stream that says how much it took, and takes its time to flush.
struct Counted {
    io: DuplexStream,
    written: Arc<AtomicUsize>,
    flushed: Arc<AtomicBool>,
    flushing: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = polled {
            self.written.fetch_add(n, Ordering::Relaxed);
            self.flushed.store(false, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.flushed.load(Ordering::Relaxed) {
            let flushing =
                self.flushing.get_or_insert_with(|| Box::pin(sleep(Duration::from_secs(1))));
            std::task::ready!(flushing.as_mut().poll(cx));
            self.flushing = None;
            self.flushed.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A connection over four KiB, whose handler sends messages of these lengths, flushes, and tells how
/// the stream stood when the flush was over: how much was written, and whether it was flushed.
async fn flushing(
    lens: &'static [usize],
) -> (Raw, Arc<AtomicUsize>, mpsc::UnboundedReceiver<(usize, bool)>) {
    let (ours, io) = tokio::io::duplex(4096);
    let written = Arc::new(AtomicUsize::new(0));
    let flushed = Arc::new(AtomicBool::new(true));
    let (tx, told) = mpsc::unbounded_channel();
    let counted = Counted {
        io,
        written: Arc::clone(&written),
        flushed: Arc::clone(&flushed),
        flushing: None,
    };
    let count = Arc::clone(&written);
    let handler = move |mut ws: WebSocket| {
        let (written, flushed, tx) = (Arc::clone(&count), Arc::clone(&flushed), tx.clone());
        async move {
            ws.recv().await;
            for len in lens {
                ws.send(vec![7; *len]).await?;
            }
            ws.flush().await?;
            tx.send((written.load(Ordering::Relaxed), flushed.load(Ordering::Relaxed)))?;
            while ws.recv().await.is_some() {}
            Ok(())
        }
    };
    tokio::spawn(service(Limits::default(), handler).serve_connection(counted, Peer::Other));
    let mut raw = Raw::new(ours);
    raw.handshake("/", "").await;
    sleep(Duration::from_secs(2)).await;
    (raw, written, told)
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_a_message_that_a_pong_overtakes() {
    // Ten times what the wire takes, with the headers: all but the Pong fills it to the brim.
    let (mut raw, written, mut told) = flushing(&[20_000, 20_952]).await;
    let head = written.load(Ordering::Relaxed);
    raw.send(BINARY, b"go").await;
    sleep(Duration::from_secs(1)).await;
    // It goes between the two.
    raw.send(PING, &[1; 125]).await;
    sleep(Duration::from_secs(1)).await;
    let mut order = Vec::new();
    for _ in 0..3 {
        let (first, payload) = raw.frame().await.unwrap();
        order.push((first, payload.len()));
    }
    assert_eq!(order, [(BINARY, 20_000), (PONG, 125), (BINARY, 20_952)]);
    let (written, _) = told.recv().await.unwrap();
    assert_eq!(written - head, 40_960 + 127);
}

#[tokio::test(start_paused = true)]
async fn flush_waits_until_the_stream_is_flushed() {
    let (mut raw, _, mut told) = flushing(&[10]).await;
    raw.send(BINARY, b"go").await;
    assert_eq!(raw.frame().await.unwrap(), (BINARY, vec![7; 10]));
    let (_, flushed) = told.recv().await.unwrap();
    assert!(flushed);
}

// Found by the property test in `cancel_safety.rs`.
#[tokio::test(start_paused = true)]
async fn flush_fails_where_a_message_before_it_came_too_late() {
    let (ours, io) = tokio::io::duplex(4096);
    let (tx, mut told) = mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let tx = tx.clone();
        async move {
            ws.recv().await;
            // The end of the stream is read in this turn, and told when it is over.
            yield_now().await;
            ws.sender().send("late").await?;
            tx.send(ws.flush().await)?;
            Ok(())
        }
    };
    tokio::spawn(service(Limits::default(), handler).serve_connection(io, Peer::Other));
    let mut raw = Raw::new(ours);
    raw.handshake("/", "").await;
    raw.io.write_all(&masked(BINARY, b"go")).await.unwrap();
    raw.io.shutdown().await.unwrap();
    assert_eq!(told.recv().await.unwrap(), Err(SendError::Closed));
}

#[tokio::test(start_paused = true)]
async fn flush_fails_where_messages_before_it_were_dropped() {
    let mut limits = Limits::default();
    (limits.send_buffer, limits.max_send_buffer) = (100_000, 100_000);
    let (tx, mut told) = mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let tx = tx.clone();
        async move {
            ws.recv().await;
            tx.send(ws.flush().await)?;
            Ok(())
        }
    };
    let service = service(limits, handler);
    let (mut raw, _) = support::open(&service).await;
    for _ in 0..10 {
        service.clients().send_all(vec![7; 80_000]);
    }
    assert!(service.clients().dropped() > 0);
    raw.send(BINARY, b"go").await;
    while raw.frame().await.unwrap().0 == BINARY {}
    assert_eq!(told.recv().await.unwrap(), Err(SendError::Closed));
}
