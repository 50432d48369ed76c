//! Messages that are sent in pieces: their frames, who waits for their end, and what ends them early.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use proptest::{collection::vec, prelude::*};
use support::{BINARY, CLOSE, PING, PONG, Raw, TEXT, limits, open, open_with, service};
use tokio::{
    io::AsyncWriteExt,
    sync::{mpsc, oneshot},
    task::{JoinHandle, yield_now},
    time::{sleep, timeout},
};
use ws_server::{
    CloseCode, Closed, HandlerError, Limits, MessageKind, Publication, SendError, Server, Service,
    SlowConsumer, TrySendReason, WebSocket,
};

const TEXT_START: u8 = 0x01;
const BINARY_START: u8 = 0x02;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;

const LONG: Duration = Duration::from_secs(3600);

impl<Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Expect for Raw<Io> {
    async fn expect(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        let frame = timeout(LONG, self.frame()).await.expect("a frame").expect("no end");
        assert_eq!(frame, (first, payload.as_ref().to_vec()));
    }

    async fn expect_no_frame(&mut self) {
        let frame = timeout(Duration::from_secs(1), self.frame()).await;
        assert!(frame.is_err(), "{frame:?}");
    }
}

trait Expect {
    async fn expect(&mut self, first: u8, payload: impl AsRef<[u8]>);
    async fn expect_no_frame(&mut self);
}

/// Polls once, and drops.
async fn once<F: Future>(future: F) -> Poll<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// A connection whose `WebSocket` is used by the test, in a task of its own.
async fn detached(limits: Limits, wire: usize) -> (WebSocket, Raw, JoinHandle<Option<Closed>>) {
    let (ws, raw, task, _) = detached_from(limits, wire).await;
    (ws, raw, task)
}

async fn detached_from(
    limits: Limits,
    wire: usize,
) -> (WebSocket, Raw, JoinHandle<Option<Closed>>, Service) {
    let (tx, mut rx) = mpsc::unbounded_channel();
    let handler = move |ws: WebSocket| {
        let tx = tx.clone();
        async move {
            let over = ws.sender();
            tx.send(ws).map_err(|_| "nobody")?;
            over.closed().await;
            Ok(())
        }
    };
    let service = service(limits, handler);
    let (raw, task) = open_with(&service, "/", "", wire).await;
    (rx.recv().await.unwrap(), raw, task, service)
}

// R6455-6.1-b, R6455-6.1-d
#[tokio::test(start_paused = true)]
async fn pieces_are_fragments_and_go_out_at_once() {
    let handler = |mut ws: WebSocket| async move {
        let mut message = ws.send_streaming(MessageKind::Text);
        message.write("one ").await?;
        // Goes out although the handler waits for something else.
        sleep(Duration::from_secs(1)).await;
        message.write("").await?;
        message.write("and \u{20ac}".as_bytes()).await?;
        sleep(Duration::from_secs(1)).await;
        message.finish().await?;
        let mut message = ws.send_streaming(MessageKind::Binary);
        message.write(vec![7; 100_000]).await?;
        message.finish().await?;
        // An empty one, and whole ones again.
        ws.send_streaming(MessageKind::Text).finish().await?;
        ws.send("whole").await?;
        Ok(())
    };
    let (mut raw, _task) = open(&service(Limits::default(), handler)).await;
    raw.expect(TEXT_START, "one ").await;
    raw.expect_no_frame().await;
    raw.expect(MORE, "and \u{20ac}").await;
    raw.expect(LAST, "").await;
    raw.expect(BINARY_START, [7; 100_000]).await;
    raw.expect(LAST, "").await;
    raw.expect(TEXT, "").await;
    raw.expect(TEXT, "whole").await;
    raw.expect_close(1000).await;
}

#[tokio::test(start_paused = true)]
async fn text_may_be_cut_anywhere_and_has_to_be_utf8() {
    let handler = |mut ws: WebSocket| async move {
        let mut message = ws.send_streaming(MessageKind::Text);
        message.write(b"\xe2\x82").await?;
        assert_eq!(message.write(b"\xff").await, Err(SendError::InvalidUtf8));
        // The refused piece is not part of it.
        message.write(b"\xac").await?;
        assert_eq!(message.write(b"\xed\xa0").await, Err(SendError::InvalidUtf8));
        message.finish().await?;
        let mut message = ws.send_streaming(MessageKind::Text);
        message.write(b"\xe2\x82").await?;
        assert_eq!(message.finish().await, Err(SendError::InvalidUtf8));
        assert_eq!(ws.send("too late").await, Err(SendError::Closed));
        Ok(())
    };
    let (mut raw, _task) = open(&service(Limits::default(), handler)).await;
    raw.expect(TEXT_START, b"\xe2\x82").await;
    raw.expect(MORE, b"\xac").await;
    raw.expect(LAST, "").await;
    raw.expect(TEXT_START, b"\xe2\x82").await;
    raw.expect_close(1011).await;
}

#[tokio::test(start_paused = true)]
async fn others_wait_for_the_end_of_a_message() {
    // Sent in the handler's turn and in a task of their own.
    for in_turn in [true, false] {
        let handler = move |mut ws: WebSocket| async move {
            let (begun, has_begun) = oneshot::channel();
            let sender = ws.sender();
            let writer = tokio::spawn(async move {
                let mut message = sender.send_streaming(MessageKind::Binary);
                message.write("one").await.unwrap();
                begun.send(()).unwrap();
                sleep(Duration::from_secs(5)).await;
                message.write("two").await.unwrap();
                message.finish().await.unwrap();
                sender.send("after").await.unwrap();
            });
            has_begun.await?;
            assert_eq!(ws.try_send("no").unwrap_err().reason, TrySendReason::Full);
            if in_turn {
                ws.send("waited").await?;
            } else {
                tokio::spawn(async move {
                    ws.send("waited").await.unwrap();
                    ws.closed().await;
                })
                .await?;
                return Ok(());
            }
            writer.await?;
            let refused = ws.try_send("room again");
            assert!(refused.is_ok());
            Ok(())
        };
        let (mut raw, _task) = open(&service(Limits::default(), handler)).await;
        raw.expect(BINARY_START, "one").await;
        raw.expect_no_frame().await;
        raw.expect(MORE, "two").await;
        raw.expect(LAST, "").await;
        raw.expect(TEXT, "waited").await;
        raw.expect(TEXT, "after").await;
        if in_turn {
            raw.expect(TEXT, "room again").await;
        }
        drop(raw);
    }
}

#[tokio::test(start_paused = true)]
async fn writers_take_turns() {
    let (ws, mut raw, _task) = detached(Limits::default(), 64 * 1024).await;
    let mut writers = Vec::new();
    for name in ["a", "b", "c"] {
        let sender = ws.sender();
        writers.push(tokio::spawn(async move {
            let mut message = sender.send_streaming(MessageKind::Text);
            for _ in 0..3 {
                message.write(name).await.unwrap();
                sleep(Duration::from_millis(100)).await;
            }
            message.finish().await.unwrap();
        }));
        yield_now().await;
    }
    for name in ["a", "b", "c"] {
        raw.expect(TEXT_START, name).await;
        raw.expect(MORE, name).await;
        raw.expect(MORE, name).await;
        raw.expect(LAST, "").await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn message_waits_for_those_that_came_before() {
    let (mut ws, mut raw, _task) = detached(Limits::default(), 4096).await;
    // More than there is room for: two of them wait.
    let sender = ws.sender();
    let mut sends = Vec::new();
    for octet in 0..5_u8 {
        let sender = sender.clone();
        sends.push(tokio::spawn(async move { sender.send(vec![octet; 100_000]).await }));
        yield_now().await;
    }
    let write = async {
        let mut message = ws.send_streaming(MessageKind::Binary);
        message.write("piece").await.unwrap();
        message.finish().await.unwrap();
        ws.flush().await.unwrap();
    };
    let read = async {
        for octet in 0..5_u8 {
            raw.expect(BINARY, vec![octet; 100_000]).await;
        }
        raw.expect(BINARY_START, "piece").await;
        raw.expect(LAST, "").await;
    };
    tokio::join!(write, read);
}

#[tokio::test(start_paused = true)]
async fn pings_and_pongs_go_between_the_pieces() {
    let (mut ws, mut raw, _task) = detached(Limits::default(), 64 * 1024).await;
    let sender = ws.sender();
    let mut message = ws.send_streaming(MessageKind::Binary);
    message.write("one").await.unwrap();
    sender.ping("ours").unwrap();
    raw.expect(BINARY_START, "one").await;
    raw.expect(PING, "ours").await;
    raw.send(PING, b"theirs").await;
    raw.expect(PONG, "theirs").await;
    // And a flush waits for what is there, not for the end.
    timeout(Duration::from_secs(1), sender.flush()).await.unwrap().unwrap();
    // The heartbeat, too.
    let (first, _) = timeout(Duration::from_secs(30), raw.frame()).await.unwrap().unwrap();
    assert_eq!(first, PING);
    raw.send(PONG, b"").await;
    message.write("two").await.unwrap();
    message.finish().await.unwrap();
    raw.expect(MORE, "two").await;
    raw.expect(LAST, "").await;
}

// R6455-6.1-d
#[tokio::test(start_paused = true)]
async fn dropped_writer_closes_with_1011_once_it_has_begun() {
    // Nothing written: nothing sent, and the others have their turns.
    let (mut ws, mut raw, task) = detached(Limits::default(), 64 * 1024).await;
    drop(ws.send_streaming(MessageKind::Text));
    let mut turn = ws.send_streaming(MessageKind::Text);
    turn.write("").await.unwrap();
    drop(turn);
    ws.send("whole").await.unwrap();
    raw.expect(TEXT, "whole").await;
    let sender = ws.sender();
    let mut message = ws.send_streaming(MessageKind::Text);
    message.write("begun").await.unwrap();
    let waiting = tokio::spawn(async move { sender.send("waits").await });
    yield_now().await;
    drop(message);
    assert_eq!(waiting.await.unwrap(), Err(SendError::Closed));
    assert_eq!(ws.send("late").await, Err(SendError::Closed));
    raw.expect(TEXT_START, "begun").await;
    let (first, body) = raw.frame().await.unwrap();
    assert_eq!((first, &body[..]), (CLOSE, &b"\x03\xf3message given up"[..]));
    raw.send(CLOSE, &1011_u16.to_be_bytes()).await;
    let closed = task.await.unwrap().unwrap();
    assert_eq!((closed.code.get(), closed.clean), (1011, true));
}

#[tokio::test(start_paused = true)]
async fn end_of_the_handler_in_the_middle_is_1011() {
    // By its return, and by a dropped `WebSocket`.
    for returns in [true, false] {
        let handler = move |ws: WebSocket| async move {
            let sender = ws.sender();
            let mut message = sender.send_streaming(MessageKind::Text);
            message.write("begun").await?;
            let kept = tokio::spawn(async move {
                sleep(Duration::from_secs(5)).await;
                assert_eq!(message.write("late").await, Err(SendError::Closed));
                assert_eq!(message.finish().await, Err(SendError::Closed));
            });
            drop(ws);
            if !returns {
                kept.await?;
            }
            Ok(())
        };
        let (mut raw, _task) = open(&service(Limits::default(), handler)).await;
        raw.expect(TEXT_START, "begun").await;
        raw.expect_close(1011).await;
    }
}

// R6455-5.5.1-d
#[tokio::test(start_paused = true)]
async fn close_cuts_a_message() {
    let (mut ws, mut raw, task, service) = detached_from(Limits::default(), 64 * 1024).await;
    let sender = ws.sender();
    let mut message = ws.send_streaming(MessageKind::Text);
    message.write("begun").await.unwrap();
    let closing = tokio::spawn(async move { sender.close(CloseCode::GOING_AWAY, "enough") });
    closing.await.unwrap().unwrap();
    assert_eq!(message.write("late").await, Err(SendError::Closed));
    drop(message);
    raw.expect(TEXT_START, "begun").await;
    raw.expect_close(1001).await;
    // What came before the answer is still received.
    raw.send(TEXT, b"last words").await;
    assert_eq!(ws.recv().await, Some("last words".into()));
    raw.send(CLOSE, &1001_u16.to_be_bytes()).await;
    assert!(task.await.unwrap().unwrap().clean);
    drop(service);
}

#[tokio::test(start_paused = true)]
async fn shutdown_and_the_peers_close_cut_a_message() {
    let (mut ws, mut raw, _task, service) = detached_from(Limits::default(), 64 * 1024).await;
    let mut message = ws.send_streaming(MessageKind::Text);
    message.write("begun").await.unwrap();
    let down = tokio::spawn(async move { service.shutdown().await });
    raw.expect(TEXT_START, "begun").await;
    raw.expect_close(1001).await;
    assert_eq!(message.write("late").await, Err(SendError::Closed));
    drop(raw);
    down.await.unwrap();

    let (mut ws, mut raw, task) = detached(Limits::default(), 64 * 1024).await;
    let mut message = ws.send_streaming(MessageKind::Text);
    message.write("begun").await.unwrap();
    raw.expect(TEXT_START, "begun").await;
    raw.send(CLOSE, &3000_u16.to_be_bytes()).await;
    // The message has its turn before the answer, and no longer than any handler's.
    sleep(Duration::from_millis(100)).await;
    message.write("more").await.unwrap();
    raw.expect(MORE, "more").await;
    raw.expect_close(3000).await;
    assert_eq!(message.write("late").await, Err(SendError::Closed));
    assert_eq!(task.await.unwrap().unwrap().code.get(), 3000);
}

#[tokio::test(start_paused = true)]
async fn write_waits_for_a_client_that_does_not_read() {
    let (mut ws, mut raw, _task) = detached(Limits::default(), 4096).await;
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let write = tokio::spawn(async move {
        let mut message = ws.send_streaming(MessageKind::Binary);
        for _ in 0..1000 {
            message.write(vec![7; 1000]).await.unwrap();
            counted.fetch_add(1000, Ordering::Relaxed);
        }
        message.finish().await.unwrap();
        ws.flush().await.unwrap();
        ws
    });
    sleep(Duration::from_secs(10)).await;
    let ahead = written.load(Ordering::Relaxed);
    assert!((256 * 1024..400 * 1024).contains(&ahead), "{ahead} octets ahead");
    let mut octets = 0;
    loop {
        let (first, payload) = raw.frame().await.unwrap();
        assert!([BINARY_START, MORE, LAST].contains(&first));
        octets += payload.len();
        if first == LAST {
            break;
        }
    }
    assert_eq!(octets, 1_000_000);
    write.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn piece_larger_than_the_buffers_passes() {
    let (mut ws, mut raw, _task) = detached(Limits::default(), 4096).await;
    let write = async {
        let mut message = ws.send_streaming(MessageKind::Binary);
        message.write("small").await.unwrap();
        message.write(vec![7; 3 << 20]).await.unwrap();
        message.write(vec![8; 3 << 20]).await.unwrap();
        message.finish().await.unwrap();
    };
    let read = async {
        raw.expect(BINARY_START, "small").await;
        raw.expect(MORE, vec![7; 3 << 20]).await;
        raw.expect(MORE, vec![8; 3 << 20]).await;
        raw.expect(LAST, "").await;
    };
    tokio::join!(write, read);
}

#[tokio::test(start_paused = true)]
async fn dropped_write_sends_nothing_and_keeps_its_turn() {
    let (mut ws, mut raw, _task) = detached(Limits::default(), 4096).await;
    let sender = ws.sender();
    let mut first = ws.send_streaming(MessageKind::Binary);
    let mut second = sender.send_streaming(MessageKind::Text);
    first.write(vec![7; 300_000]).await.unwrap();
    assert!(once(first.write("dropped")).await.is_pending());
    // Waits in the line, before this one.
    assert!(once(second.write("dropped")).await.is_pending());
    let third = sender.clone();
    let third = tokio::spawn(async move { third.send("third").await });
    yield_now().await;
    let read = async {
        raw.expect(BINARY_START, vec![7; 300_000]).await;
        raw.expect(MORE, "kept").await;
        raw.expect(LAST, "").await;
        raw.expect(TEXT_START, "second").await;
        raw.expect(LAST, "").await;
        raw.expect(TEXT, "third").await;
    };
    let write = async {
        first.write("kept").await.unwrap();
        first.finish().await.unwrap();
        sleep(Duration::from_millis(500)).await;
        second.write("second").await.unwrap();
        second.finish().await.unwrap();
    };
    tokio::join!(read, write);
    third.await.unwrap().unwrap();

    // A place in the line, and a turn, are given back with the writer.
    let mut first = ws.send_streaming(MessageKind::Binary);
    first.write("first").await.unwrap();
    let mut second = sender.send_streaming(MessageKind::Text);
    let mut third = sender.send_streaming(MessageKind::Text);
    assert!(once(second.write("never")).await.is_pending());
    assert!(once(third.write("never")).await.is_pending());
    drop(second);
    first.finish().await.unwrap();
    // It has its turn and has not learnt of it.
    drop(third);
    let sent = timeout(Duration::from_secs(1), ws.send("last")).await;
    sent.unwrap().unwrap();
    raw.expect(BINARY_START, "first").await;
    raw.expect(LAST, "").await;
    raw.expect(TEXT, "last").await;
}

#[tokio::test(start_paused = true)]
async fn ready_waits_for_the_end_of_a_message() {
    let (mut ws, mut raw, _task) = detached(Limits::default(), 64 * 1024).await;
    let sender = ws.sender();
    let mut message = ws.send_streaming(MessageKind::Binary);
    message.write("one").await.unwrap();
    let ready = tokio::spawn(async move {
        sender.ready().await.unwrap();
        sender.try_send("ready").unwrap();
    });
    sleep(Duration::from_secs(5)).await;
    assert!(!ready.is_finished());
    message.finish().await.unwrap();
    ready.await.unwrap();
    raw.expect(BINARY_START, "one").await;
    raw.expect(LAST, "").await;
    raw.expect(TEXT, "ready").await;
    // The other way round: a writer waits for a reservation, and no longer than it lasts.
    let sender = ws.sender();
    sender.ready().await.unwrap();
    let mut message = ws.send_streaming(MessageKind::Binary);
    timeout(Duration::from_secs(2), message.write("two")).await.unwrap().unwrap();
    message.finish().await.unwrap();
    raw.expect(BINARY_START, "two").await;
}

#[tokio::test(start_paused = true)]
async fn broadcasts_wait_for_the_end_of_a_message() {
    let (mut ws, mut raw, _task, service) = detached_from(Limits::default(), 64 * 1024).await;
    let clients = service.clients();
    ws.subscribe("topic").unwrap();
    clients.publish("topic", "before");
    let mut message = ws.send_streaming(MessageKind::Binary);
    message.write("one").await.unwrap();
    clients.publish("topic", "first");
    raw.expect(TEXT, "before").await;
    raw.expect(BINARY_START, "one").await;
    clients.publish("topic", "second");
    raw.expect_no_frame().await;
    message.write("two").await.unwrap();
    raw.expect(MORE, "two").await;
    raw.expect_no_frame().await;
    message.finish().await.unwrap();
    raw.expect(LAST, "").await;
    raw.expect(TEXT, "first").await;
    raw.expect(TEXT, "second").await;
    // In the order of calls, whatever comes after them.
    let mut message = ws.send_streaming(MessageKind::Binary);
    message.write("one").await.unwrap();
    clients.publish("topic", "third");
    message.finish().await.unwrap();
    ws.send("own").await.unwrap();
    clients.publish("topic", "fourth");
    let mut message = ws.send_streaming(MessageKind::Binary);
    message.write("two").await.unwrap();
    message.finish().await.unwrap();
    raw.expect(BINARY_START, "one").await;
    raw.expect(LAST, "").await;
    raw.expect(TEXT, "third").await;
    raw.expect(TEXT, "own").await;
    raw.expect(TEXT, "fourth").await;
    raw.expect(BINARY_START, "two").await;
}

// T-B5
#[tokio::test(start_paused = true)]
async fn broadcasts_behind_a_half_sent_message_meet_the_policy() {
    for policy in [SlowConsumer::Close, SlowConsumer::DropOldest, SlowConsumer::DropNewest] {
        let limits = limits(|limits| limits.max_send_buffer = 300_000);
        let (mut ws, mut raw, _task, service) = detached_from(limits, 64 * 1024).await;
        let clients = service.clients();
        ws.subscribe("topic").unwrap();
        let mut message = ws.send_streaming(MessageKind::Binary);
        message.write("begun").await.unwrap();
        raw.expect(BINARY_START, "begun").await;
        for octet in 0..10_u8 {
            clients.publish("topic", Publication::from(vec![octet; 70_000]).slow_consumer(policy));
            // The driver has its turns, and leaves them where the policy finds them.
            sleep(Duration::from_millis(1)).await;
        }
        if let SlowConsumer::Close = policy {
            raw.expect_close(1013).await;
            assert_eq!(message.write("late").await, Err(SendError::Closed));
            continue;
        }
        // The message does not wait for those that wait for its end.
        timeout(Duration::from_secs(1), message.write("more")).await.unwrap().unwrap();
        raw.expect(MORE, "more").await;
        message.finish().await.unwrap();
        raw.expect(LAST, "").await;
        let kept = if let SlowConsumer::DropOldest = policy { 6..10 } else { 0..4 };
        for octet in kept {
            raw.expect(BINARY, [octet; 70_000]).await;
        }
        assert_eq!(clients.metrics().dropped, 6);
        ws.send("last").await.unwrap();
        raw.expect(TEXT, "last").await;
    }
}

#[tokio::test(start_paused = true)]
async fn empty_messages_to_a_client_that_does_not_read_wait_for_room() {
    let (mut ws, _raw, _task) = detached(Limits::default().send_buffer(10_000), 4096).await;
    for _ in 0..5000 {
        let message = ws.send_streaming(MessageKind::Binary);
        if timeout(Duration::from_secs(1), message.finish()).await.is_err() {
            return;
        }
    }
    panic!("5000 messages wait");
}

#[tokio::test(start_paused = true)]
async fn send_that_waits_goes_before_what_is_published_later() {
    let (mut ws, mut raw, _task, service) = detached_from(Limits::default(), 64 * 1024).await;
    ws.subscribe("topic").unwrap();
    let sender = ws.sender();
    let mut message = ws.send_streaming(MessageKind::Text);
    message.write("one").await.unwrap();
    let waiting = tokio::spawn(async move { sender.send("sent first").await });
    sleep(Duration::from_millis(1)).await;
    service.clients().publish("topic", "published later");
    // None of them uses up the place of the one that was sent first.
    message.write("two").await.unwrap();
    message.write("three").await.unwrap();
    message.finish().await.unwrap();
    waiting.await.unwrap().unwrap();
    raw.expect(TEXT_START, "one").await;
    raw.expect(MORE, "two").await;
    raw.expect(MORE, "three").await;
    raw.expect(LAST, "").await;
    raw.expect(TEXT, "sent first").await;
    raw.expect(TEXT, "published later").await;
}

#[tokio::test(start_paused = true)]
async fn writer_that_does_not_begin_in_its_turn_delays_nobody() {
    let (mut ws, mut raw, _task) = detached(Limits::default(), 64 * 1024).await;
    let sender = ws.sender();
    let mut first = ws.send_streaming(MessageKind::Binary);
    first.write("first").await.unwrap();
    let mut second = sender.send_streaming(MessageKind::Text);
    assert!(once(second.write("too late")).await.is_pending());
    first.finish().await.unwrap();
    // It has its turn now, and is not polled.
    timeout(Duration::from_secs(2), ws.send("others")).await.unwrap().unwrap();
    // Its message comes in its next turn.
    second.write("second").await.unwrap();
    second.finish().await.unwrap();
    raw.expect(BINARY_START, "first").await;
    raw.expect(LAST, "").await;
    raw.expect(TEXT, "others").await;
    raw.expect(TEXT_START, "second").await;
    raw.expect(LAST, "").await;
    // A piece that is empty takes no turn.
    let mut idle = sender.send_streaming(MessageKind::Text);
    idle.write("").await.unwrap();
    assert!(once(ws.send("at once")).await.is_ready());
}

#[tokio::test(start_paused = true)]
async fn send_in_the_turn_goes_after_those_in_line() {
    let handler = |mut ws: WebSocket| async move {
        let (first, second, third) = (ws.sender(), ws.sender(), ws.sender());
        let mut message = first.send_streaming(MessageKind::Binary);
        message.write("message").await?;
        let mut unseen = second.send_streaming(MessageKind::Text);
        assert!(once(unseen.write("never")).await.is_pending());
        let waiting = tokio::spawn(async move { third.send("first").await });
        sleep(Duration::from_millis(1)).await;
        message.finish().await?;
        sleep(Duration::from_millis(1)).await;
        // Nothing is queued, but a writer has its turn, and another waits for it.
        ws.send("second").await?;
        waiting.await?.map_err(Into::into)
    };
    let (mut raw, _task) = open(&service(Limits::default(), handler)).await;
    raw.expect(BINARY_START, "message").await;
    raw.expect(LAST, "").await;
    raw.expect(TEXT, "first").await;
    raw.expect(TEXT, "second").await;
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_broadcasts_that_wait_for_a_message() {
    let (mut ws, mut raw, _task, service) = detached_from(Limits::default(), 64 * 1024).await;
    ws.subscribe("topic").unwrap();
    let sender = ws.sender();
    let mut message = ws.send_streaming(MessageKind::Text);
    message.write("one").await.unwrap();
    // Nothing else was sent.
    timeout(Duration::from_secs(1), sender.flush()).await.unwrap().unwrap();
    service.clients().publish("topic", "published");
    let flush = tokio::spawn(async move { sender.flush().await });
    sleep(Duration::from_secs(5)).await;
    assert!(!flush.is_finished());
    message.finish().await.unwrap();
    timeout(Duration::from_secs(1), flush).await.unwrap().unwrap().unwrap();
    raw.expect(TEXT_START, "one").await;
    raw.expect(LAST, "").await;
    raw.expect(TEXT, "published").await;
}

#[tokio::test(start_paused = true)]
async fn queue_bytes_count_what_waits_for_the_end_of_a_message() {
    let (mut ws, _raw, _task, service) = detached_from(Limits::default(), 64 * 1024).await;
    ws.subscribe("topic").unwrap();
    let queue_bytes = || service.clients().metrics().queue_bytes;
    let mut message = ws.send_streaming(MessageKind::Text);
    message.write("one").await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(queue_bytes(), 0);
    service.clients().publish("topic", vec![7; 10_000]);
    sleep(Duration::from_millis(1)).await;
    assert!(queue_bytes() > 10_000, "{}", queue_bytes());
    message.finish().await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(queue_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn key_behind_a_half_sent_message_meets_the_limit() {
    let limits = limits(|limits| limits.max_send_buffer = 300_000);
    let (mut ws, mut raw, _task, service) = detached_from(limits, 64 * 1024).await;
    ws.subscribe("topic").unwrap();
    let mut message = ws.send_streaming(MessageKind::Binary);
    message.write("begun").await.unwrap();
    raw.expect(BINARY_START, "begun").await;
    let publish = |octet: u8, len| {
        let publication = Publication::from(vec![octet; len]).key("key");
        let publication = publication.slow_consumer(SlowConsumer::DropNewest);
        service.clients().publish("topic", publication).here()
    };
    assert_eq!(publish(1, 10), 1);
    assert_eq!(publish(2, 1_000_000), 0);
    assert_eq!(publish(3, 200_000), 1);
    message.finish().await.unwrap();
    raw.expect(LAST, "").await;
    raw.expect(BINARY, vec![3; 200_000]).await;
}

#[tokio::test(start_paused = true)]
async fn publisher_that_waits_passes_over_a_client_whose_message_is_unfinished() {
    let limits = Limits::default().write_timeout(Duration::from_secs(5));
    let (mut ws, mut raw, _task, service) = detached_from(limits, 64 * 1024).await;
    ws.subscribe("topic").unwrap();
    let clients = service.clients();
    let mut message = ws.send_streaming(MessageKind::Text);
    message.write("one").await.unwrap();
    raw.expect(TEXT_START, "one").await;
    for octet in 0..4_u8 {
        clients.publish("topic", vec![octet; 70_000]);
    }
    let publish = |octet: u8| clients.publish_wait("topic", vec![octet; 70_000]);
    assert!(timeout(Duration::from_secs(4), publish(4)).await.is_err(), "it may finish");
    timeout(Duration::from_secs(6), publish(4)).await.unwrap();
    // Nor does the next one,
    timeout(Duration::from_secs(1), publish(5)).await.unwrap();
    message.finish().await.unwrap();
    raw.expect(LAST, "").await;
    for octet in 0..6_u8 {
        raw.expect(BINARY, vec![octet; 70_000]).await;
    }
    // until it takes something.
    for octet in 6..11_u8 {
        clients.publish("topic", vec![octet; 70_000]);
    }
    assert!(once(publish(11)).await.is_pending());
}

#[tokio::test(start_paused = true)]
async fn writer_is_copied_to_by_tokio() {
    let handler = |mut ws: WebSocket| async move {
        let data = vec![7; 1_000_000];
        let mut message = ws.send_streaming(MessageKind::Binary);
        tokio::io::copy(&mut &data[..], &mut message).await?;
        message.shutdown().await?;
        message.shutdown().await?;
        let late = message.write_all(b"late").await.unwrap_err();
        assert_eq!(late.kind(), std::io::ErrorKind::BrokenPipe);
        drop(message);
        let mut text = ws.send_streaming(MessageKind::Text);
        let invalid = text.write_all(b"\xff").await.unwrap_err();
        assert_eq!(invalid.kind(), std::io::ErrorKind::InvalidData);
        drop(text);
        ws.send("whole").await?;
        Ok(())
    };
    let (mut raw, _task) = open(&service(Limits::default(), handler)).await;
    let mut octets = 0;
    loop {
        let (first, payload) = raw.frame().await.unwrap();
        octets += payload.len();
        if first == LAST {
            break;
        }
    }
    assert_eq!(octets, 1_000_000);
    raw.expect(TEXT, "whole").await;
}

#[tokio::test(start_paused = true)]
async fn metrics_count_a_message_in_pieces_once() {
    let (mut ws, mut raw, task, service) = detached_from(Limits::default(), 64 * 1024).await;
    let mut message = ws.send_streaming(MessageKind::Binary);
    message.write(vec![7; 1000]).await.unwrap();
    message.write(vec![7; 1000]).await.unwrap();
    message.finish().await.unwrap();
    let mut message = ws.send_streaming(MessageKind::Text);
    message.write("text").await.unwrap();
    message.finish().await.unwrap();
    ws.close(CloseCode::NORMAL, "").unwrap();
    while raw.frame().await.unwrap().0 != CLOSE {}
    raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
    task.await.unwrap();
    let sent = service.clients().metrics().sent;
    assert_eq!((sent.messages, sent.texts, sent.payload), (2, 1, 2004));
}

// Generated

/// What one task does.
#[derive(Clone, Debug)]
enum Doing {
    /// Sends a whole message of so many octets.
    Send(usize),
    /// Sends a message in pieces, with naps between them; a piece is first polled once and dropped.
    Write(Vec<usize>, u64, bool),
    Publish(usize),
    Ping,
    Nap(u64),
}

fn doing() -> impl Strategy<Value = Doing> {
    let len = prop_oneof![1..50_usize, 1..3000_usize, 60_000..70_000_usize];
    prop_oneof![
        len.clone().prop_map(Doing::Send),
        (vec(len.clone(), 0..6), 0..20_u64, any::<bool>())
            .prop_map(|(pieces, nap, drops)| Doing::Write(pieces, nap, drops)),
        len.prop_map(Doing::Publish),
        Just(Doing::Ping),
        (0..20_u64).prop_map(Doing::Nap),
    ]
}

/// A message that says whose it is: the sender, its number among this sender's, and a length.
fn message(sender: u8, number: usize, len: usize) -> Vec<u8> {
    let mut data = vec![sender, number as u8];
    data.resize(2 + len, 7);
    data
}

async fn act(
    place: u8,
    plan: Vec<Doing>,
    ws: Arc<tokio::sync::Mutex<Option<WebSocket>>>,
    service: Service,
) -> Result<Vec<usize>, HandlerError> {
    let (sender, clients) = {
        let ws = ws.lock().await;
        (ws.as_ref().unwrap().sender(), service.clients())
    };
    let mut lens = Vec::new();
    for doing in plan {
        match doing {
            Doing::Send(len) => {
                sender.send(message(place, lens.len(), len)).await?;
                lens.push(2 + len);
            }
            Doing::Write(pieces, nap, drops) => {
                let mut writer = sender.send_streaming(MessageKind::Binary);
                writer.write(message(place, lens.len(), 0)).await?;
                for len in &pieces {
                    let data = vec![7; *len];
                    if drops && once(writer.write(data.clone())).await.is_ready() {
                        continue;
                    }
                    writer.write(data).await?;
                    sleep(Duration::from_millis(nap)).await;
                }
                writer.finish().await?;
                lens.push(2 + pieces.iter().sum::<usize>());
            }
            Doing::Publish(len) => {
                clients.publish_wait("topic", message(place, lens.len(), len)).await;
                lens.push(2 + len);
            }
            Doing::Ping => {
                sender.ping("").ok();
            }
            Doing::Nap(millis) => sleep(Duration::from_millis(millis)).await,
        }
    }
    Ok(lens)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever tasks do at the same time, each message is whole on the wire, and those of a task come in
    /// the order of its calls.
    #[test]
    fn messages_are_whole_and_in_order(
        plans in vec(vec(doing(), 0..8), 1..5),
        wire in prop_oneof![Just(300_usize), Just(4096), Just(1 << 20)],
        send_buffer in prop_oneof![Just(1_usize), Just(5000), Just(256 * 1024)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let limits = Limits::default().send_buffer(send_buffer).max_send_buffer(1 << 20);
            let (ws, mut raw, _task, service) = detached_from(limits, wire).await;
            ws.subscribe("topic").unwrap();
            let ws = Arc::new(tokio::sync::Mutex::new(Some(ws)));
            let tasks: Vec<_> = plans
                .into_iter()
                .enumerate()
                .map(|(i, plan)| tokio::spawn(act(i as u8, plan, Arc::clone(&ws), service.clone())))
                .collect();
            let closing = tokio::spawn(async move {
                let mut lens = Vec::new();
                for task in tasks {
                    lens.push(timeout(LONG, task).await.expect("an end").unwrap().unwrap());
                }
                let mut ws = ws.lock().await.take().unwrap();
                ws.close(CloseCode::NORMAL, "").unwrap();
                lens
            });
            let mut seen: Vec<Vec<usize>> = vec![Vec::new(); 5];
            let mut open: Option<Vec<u8>> = None;
            loop {
                let (first, payload) = timeout(LONG, raw.frame()).await.expect("stuck").unwrap();
                let whole = match (first, &mut open) {
                    (PING, _) => { raw.send(PONG, &payload).await; None }
                    (CLOSE, _) => break,
                    (BINARY, None) => Some(payload),
                    (BINARY_START, None) => { open = Some(payload); None }
                    (MORE, Some(gathered)) => { gathered.extend(payload); None }
                    (LAST, Some(gathered)) => { gathered.extend(payload); open.take() }
                    (first, open) => panic!("{first:#x} while {:?}", open.as_ref().map(Vec::len)),
                };
                if let Some(whole) = whole {
                    let seen = &mut seen[usize::from(whole[0])];
                    assert_eq!(usize::from(whole[1]), seen.len(), "the order of a task");
                    assert!(whole[2..].iter().all(|octet| *octet == 7));
                    seen.push(whole.len());
                }
            }
            let lens = closing.await.unwrap();
            assert_eq!(&seen[..lens.len()], &lens[..]);
        });
    }
}

#[cfg(feature = "deflate")]
mod with_deflate {
    use support::engine::open_deflate;
    use ws_core::Event;
    use ws_server::{Compression, Deflate};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pieces_are_compressed_as_one_message() {
        let handler = |mut ws: WebSocket| async move {
            ws.send("whole").await?;
            for compression in [Compression::Auto, Compression::Never] {
                let mut message = ws.send_streaming(MessageKind::Text).compression(compression);
                for _ in 0..1000 {
                    message
                        .write("all work and no play makes Jack a dull boy\n".repeat(20))
                        .await?;
                }
                message.finish().await?;
            }
            let mut cut = ws.send_streaming(MessageKind::Text);
            cut.write("x".repeat(100_000)).await?;
            Ok(())
        };
        let server = Server::new().extension(Deflate::default()).any(handler);
        let (mut client, _task) = open_deflate(&server.service().unwrap(), 4096).await;
        assert_eq!(client.message().await, "whole".into());
        for _ in 0..2 {
            let message = client.message().await;
            assert_eq!(message.len(), 1000 * 20 * 43);
        }
        loop {
            match client.event().await.expect("an end") {
                Event::Closed(closed) => break assert_eq!(closed.code.get(), 1011),
                Event::Message(message) => panic!("{}", message.len()),
                _ => {}
            }
        }
    }
}

#[test]
fn futures_can_be_sent_to_other_threads() {
    fn is_send<T: Send>(_: T) {}
    #[allow(dead_code)]
    async fn check(mut ws: WebSocket) {
        is_send(ws.recv_streaming());
        if let Some(mut reader) = ws.recv_streaming().await {
            is_send(reader.chunk());
        }
        let mut writer = ws.sender().send_streaming(MessageKind::Text);
        is_send(writer.write("x"));
        is_send(writer.finish());
        let _: Result<(), HandlerError> = Ok(());
    }
}
