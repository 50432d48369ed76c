//! Clients that take what is sent to them slowly, or not at all.
#![allow(clippy::unwrap_used)]

mod support;

use std::{sync::Arc, time::Duration};

use support::{BINARY, CLOSE, PING, PONG, TEXT, echo, limits, masked, open_with, service};
use tokio::{
    io::AsyncWriteExt,
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use ws_server::{
    CloseCode, Limits, Message, PingError, SendError, Sender, Server, TrySendError, TrySendReason,
    UNLIMITED, WebSocket,
};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What a stalled connection holds: the queue, what is encoded ahead, what is taken from the queue
/// for that, a message beyond each, and the wire.
const HELD: usize = (256 + 64 + 64 + 3 * 10 + 4) * 1024;

/// A handler that hands its sender over and waits for the end.
fn sender_of() -> (
    impl Fn(WebSocket) -> futures_util::future::BoxFuture<'static, support::Handled>
    + Send
    + Sync
    + 'static,
    mpsc::UnboundedReceiver<Sender>,
) {
    let (tx, rx) = mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| -> futures_util::future::BoxFuture<'static, _> {
        tx.send(ws.sender()).unwrap();
        Box::pin(async move {
            while ws.recv().await.is_some() {}
            Ok(())
        })
    };
    (handler, rx)
}

// RT-31, T-B5
#[tokio::test(start_paused = true)]
async fn rt_31_sending_waits_for_a_client_that_never_reads_and_ends_at_the_write_timeout() {
    for elsewhere in [false, true] {
        let (tx, mut told) = mpsc::unbounded_channel();
        let handler = move |mut ws: WebSocket| {
            let tx = tx.clone();
            let sending = async move {
                let message: Message = vec![7; 10 * 1024].into();
                let mut sent = 0;
                // 100 MiB, if they were taken.
                for _ in 0..10 * 1024 {
                    if ws.send(message.clone()).await.is_err() {
                        break;
                    }
                    sent += message.len();
                }
                tx.send((sent, ws.closed().await))?;
                Ok(())
            };
            async move { if elsewhere { tokio::spawn(sending).await? } else { sending.await } }
        };
        let service = Server::new().route("/echo", echo).any(handler).service().unwrap();
        let (mut other, _) = open_with(&service, "/echo", "", 4096).await;
        let (_raw, task) = open_with(&service, "/", "", 4096).await;
        let start = Instant::now();
        sleep(secs(10)).await;
        other.send(TEXT, b"others are served").await;
        assert_eq!(other.frame().await.unwrap(), (TEXT, b"others are served".to_vec()));
        assert_eq!(start.elapsed(), secs(10));
        let closed = task.await.unwrap().unwrap();
        assert_eq!(closed.code, CloseCode::ABNORMAL);
        assert!(start.elapsed() >= secs(20) && start.elapsed() < secs(21), "{:?}", start.elapsed());
        let (sent, told) = told.recv().await.unwrap();
        assert_eq!(told, closed);
        assert!((256 * 1024..HELD).contains(&sent), "{sent} bytes were taken");
        assert_eq!(service.clients().count(), 1);
    }
}

// RT-31, T-B5
#[tokio::test(start_paused = true)]
async fn try_send_gives_the_message_back_and_ready_waits_for_room() {
    let (handler, mut senders) = sender_of();
    let (mut raw, _) = open_with(&service(Limits::default(), handler), "/", "", 4096).await;
    let sender = senders.recv().await.unwrap();
    let message = |i: u32| Message::binary([&i.to_be_bytes()[..], &[7; 10_000]].concat());
    let mut sent = 0;
    let refused = loop {
        sender.ready().await.unwrap();
        // The connection's task encodes what it can before more is queued.
        sleep(Duration::from_millis(1)).await;
        match sender.try_send(message(sent)) {
            Ok(()) => sent += 1,
            Err(refused) => break refused,
        }
        if timeout(secs(1), sender.ready()).await.is_err() {
            break sender.try_send(message(sent)).unwrap_err();
        }
    };
    assert_eq!(refused, TrySendError { message: message(sent), reason: TrySendReason::Full });
    assert!(sent as usize * 10_004 < HELD, "{sent} messages were taken");
    // The client reads: what was given back goes out after all.
    let ((), sending) = tokio::join!(
        async {
            for i in 0..=sent {
                assert_eq!(raw.frame().await.unwrap(), (BINARY, message(i).as_bytes().to_vec()));
            }
        },
        async {
            sender.ready().await.unwrap();
            sender.try_send(refused.message)
        }
    );
    sending.unwrap();
    sender.close(CloseCode::NORMAL, "").unwrap();
    let refused = sender.try_send("late").unwrap_err();
    assert_eq!(refused, TrySendError { message: "late".into(), reason: TrySendReason::Closed });
    assert_eq!(sender.ready().await, Err(SendError::Closed));
    raw.expect_close(1000).await;
}

// T-B5
#[tokio::test(start_paused = true)]
async fn large_message_waits_behind_the_hard_mark_and_then_passes() {
    for ready in [false, true] {
        let (handler, mut senders) = sender_of();
        let (mut raw, _) = open_with(&service(Limits::default(), handler), "/", "", 4096).await;
        let sender = senders.recv().await.unwrap();
        // Fills what is encoded ahead.
        for _ in 0..2 {
            sender.send(vec![1; 100_000]).await.unwrap();
            sleep(secs(1)).await;
        }
        for _ in 0..2 {
            sender.send(vec![1; 90_000]).await.unwrap();
        }
        let large: Message = vec![2; 1_000_000].into();
        // Below the soft mark, but the two do not fit together.
        let refused = sender.try_send(large).unwrap_err();
        assert_eq!(refused.reason, TrySendReason::Full);
        let sending = tokio::spawn(async move {
            if ready {
                let mut message = refused.message;
                for tries in 1.. {
                    assert!(tries < 10, "`ready` did not wait");
                    sender.ready().await.unwrap();
                    match sender.try_send(message) {
                        Ok(()) => break,
                        Err(refused) => message = refused.message,
                    }
                }
            } else {
                sender.send(refused.message).await.unwrap();
            }
        });
        sleep(secs(10)).await;
        assert!(!sending.is_finished());
        for _ in 0..2 {
            assert_eq!(raw.frame().await.unwrap().1.len(), 100_000);
        }
        for _ in 0..2 {
            assert_eq!(raw.frame().await.unwrap().1.len(), 90_000);
        }
        assert_eq!(raw.frame().await.unwrap().1.len(), 1_000_000);
        sending.await.unwrap();
    }
}

// T-B5
#[tokio::test(start_paused = true)]
async fn messages_without_a_byte_are_not_for_free() {
    let (handler, mut senders) = sender_of();
    let (_raw, _) = open_with(&service(Limits::default(), handler), "/", "", 4096).await;
    let sender = senders.recv().await.unwrap();
    let empty = (0..1_000_000).take_while(|_| sender.try_send("").is_ok()).count();
    assert!(empty < 10_000, "{empty} empty messages were queued");
    // Nor are Pings.
    assert_eq!(sender.ping(""), Err(PingError::Full));
}

// RT-31, T-B12
#[tokio::test(start_paused = true)]
async fn client_that_takes_a_large_message_slowly_is_not_given_up() {
    let handler = |mut ws: WebSocket| async move {
        ws.send(vec![7; 199_990]).await?;
        echo(ws).await
    };
    let (mut raw, _) = open_with(&service(Limits::default(), handler), "/", "", 1024).await;
    let start = Instant::now();
    // It cannot know of a Ping that lies behind the message.
    let mut message = vec![0; 10 + 199_990];
    for piece in message.chunks_mut(10_000) {
        sleep(secs(7)).await;
        raw.read_exact(piece).await;
    }
    assert_eq!(start.elapsed(), secs(140));
    assert_eq!(raw.frame().await.unwrap().0, PING);
    sleep(secs(19)).await;
    raw.send(PONG, b"").await;
    raw.send(TEXT, b"here").await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"here".to_vec()));
    // The next one it has to answer.
    let start = Instant::now();
    assert_eq!(raw.frame().await.unwrap().0, PING);
    raw.expect_close(1011).await;
    assert!(start.elapsed() >= secs(40) && start.elapsed() < secs(41), "{:?}", start.elapsed());
}

// RT-31
#[tokio::test(start_paused = true)]
async fn write_timeout_begins_anew_whenever_something_is_taken() {
    let limits = limits(|limits| (limits.write_timeout, limits.min_write_rate) = (secs(5), 100));
    let handler = |mut ws: WebSocket| async move {
        ws.send(vec![7; 50_000]).await?;
        ws.recv().await;
        Ok(())
    };
    let (mut raw, task) = open_with(&service(limits, handler), "/", "", 1024).await;
    let mut octets = [0; 1000];
    for _ in 0..20 {
        sleep(secs(4)).await;
        raw.read_exact(&mut octets).await;
    }
    assert!(!task.is_finished());
    let start = Instant::now();
    assert_eq!(task.await.unwrap().unwrap().code, CloseCode::ABNORMAL);
    assert!(start.elapsed() >= secs(5) && start.elapsed() < secs(6), "{:?}", start.elapsed());
}

// RT-29, T-B3
#[tokio::test(start_paused = true)]
async fn rt_29_ping_flood_without_reading_owes_one_pong_at_most() {
    const PINGS: u32 = 100_000;
    let limits = limits(|limits| {
        (limits.control_rate, limits.control_burst) = (UNLIMITED, UNLIMITED);
    });
    let (raw, task) = open_with(&service(limits, echo), "/", "", 4096).await;
    let (reader, mut writer) = tokio::io::split(raw.io);
    let start = Instant::now();
    for i in 1..=PINGS {
        let payload = [&i.to_be_bytes()[..], &[7; 121]].concat();
        writer.write_all(&masked(PING, &payload)).await.unwrap();
    }
    writer.write_all(&masked(CLOSE, &1000_u16.to_be_bytes())).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO, "reading goes on");
    let mut raw = support::Raw::new(tokio::io::join(reader, writer));
    let (mut pongs, mut last) = (0, 0);
    loop {
        let (first, payload) = raw.frame().await.unwrap();
        if first == CLOSE {
            break;
        }
        assert_eq!(first, PONG);
        let i = u32::from_be_bytes(payload[..4].try_into().unwrap());
        assert!(i > last, "{i} after {last}");
        (pongs, last) = (pongs + 1, i);
    }
    assert_eq!(last, PINGS, "the newest one is answered");
    assert!(pongs < (64 + 4 + 1) * 1024 / 127, "{pongs} Pongs");
    assert!(task.await.unwrap().unwrap().clean);
}

// T-B5
#[tokio::test(start_paused = true)]
async fn client_that_sends_and_does_not_read_ends_at_the_write_timeout() {
    let service = service(Limits::default(), echo);
    let (raw, task) = open_with(&service, "/", "", 4096).await;
    let (_reader, mut writer) = tokio::io::split(raw.io);
    let start = Instant::now();
    let taken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let flood = tokio::spawn(async move {
        let frame = masked(BINARY, &[7; 1000]);
        while writer.write_all(&frame).await.is_ok() {
            counted.fetch_add(frame.len(), std::sync::atomic::Ordering::Relaxed);
        }
    });
    assert_eq!(task.await.unwrap().unwrap().code, CloseCode::ABNORMAL);
    assert!(start.elapsed() >= secs(20) && start.elapsed() < secs(24), "{:?}", start.elapsed());
    let taken = taken.load(std::sync::atomic::Ordering::Relaxed);
    // What it sent waits as an echo, ahead of the handler, or in the buffer for reading.
    assert!(taken < HELD + 3 * 64 * 1024, "{taken} octets were taken");
    flood.await.unwrap();
}
