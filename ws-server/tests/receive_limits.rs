//! What a client may send, and how much of it is held.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{BINARY, CLOSE, PING, PONG, TEXT, limits, masked, open, open_with, service};
use tokio::{
    io::AsyncWriteExt,
    sync::mpsc,
    time::{Instant, advance, sleep},
};
use ws_server::{Closed, ClosedBy, Limits, Service, WebSocket};

/// An echo that tells how its connection ended.
fn telling(limits: Limits) -> (Service, mpsc::UnboundedReceiver<Closed>) {
    let (tx, rx) = mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let tx = tx.clone();
        async move {
            while let Some(message) = ws.recv().await {
                ws.send(message).await?;
            }
            tx.send(ws.closed().await)?;
            Ok(())
        }
    };
    (service(limits, handler), rx)
}

/// A binary frame that announces a payload of so many octets, and has none of them.
fn announced(len: u64) -> Vec<u8> {
    [&[BINARY, 0xff][..], &len.to_be_bytes(), &[0x37, 0xfa, 0x21, 0x3d]].concat()
}

/// A message in so many fragments.
fn fragments(count: usize, payload: &[u8]) -> Vec<u8> {
    (1..=count)
        .flat_map(|i| {
            let opcode = if i == 1 { 0x02 } else { 0x00 };
            let fin = if i == count { 0x80 } else { 0x00 };
            masked(fin | opcode, payload)
        })
        .collect()
}

/// `count` empty fragments between two that are not.
fn empty(count: usize) -> Vec<u8> {
    [masked(0x02, b"a"), masked(0x00, b"").repeat(count), masked(0x80, b"b")].concat()
}

fn small() -> Limits {
    limits(|limits| {
        (limits.max_message, limits.max_frame) = (1000, Some(600));
        (limits.max_fragments, limits.max_empty_fragments) = (10, 5);
    })
}

// T-B4, T-B7
#[tokio::test(start_paused = true)]
async fn what_is_beyond_a_limit_is_refused_and_the_handler_is_told() {
    let (service, mut told) = telling(small());
    for (what, octets, code) in [
        ("frame", masked(BINARY, &[7; 601]), 1009),
        ("announced frame", masked(BINARY, &[7; 601])[..8].to_vec(), 1009),
        ("announced 2^32 + 1", announced((1 << 32) + 1), 1009),
        ("announced 2^63 - 1", announced((1 << 63) - 1), 1009),
        ("announced 2^63", announced(1 << 63), 1002),
        ("message", fragments(2, &[7; 501]), 1009),
        (
            "message, announced",
            [masked(0x02, &[7; 500]), masked(0x80, &[7; 501])[..8].to_vec()].concat(),
            1009,
        ),
        ("fragments", fragments(11, b"7"), 1008),
        ("fragments without an end", fragments(1000, b"7")[..80].to_vec(), 1008),
        ("empty fragments", empty(6), 1008),
    ] {
        let (mut raw, task) = open(&service).await;
        raw.send(TEXT, b"before").await;
        raw.io.write_all(&octets).await.unwrap();
        assert_eq!(raw.frame().await.unwrap(), (TEXT, b"before".to_vec()), "{what}");
        raw.expect_close(code).await;
        assert_eq!(raw.frame().await, None, "{what}");
        let closed = told.recv().await.unwrap();
        assert_eq!((closed.by, closed.code.get()), (ClosedBy::Local, code), "{what}");
        assert!(closed.fault.is_some(), "{what}");
        drop(raw);
        assert_eq!(task.await.unwrap().unwrap(), closed, "{what}");
    }
}

// T-B4
#[tokio::test(start_paused = true)]
async fn what_is_within_the_limits_passes() {
    let (service, _told) = telling(small());
    let (mut raw, _) = open(&service).await;
    for (octets, expected) in [
        (masked(BINARY, &[7; 600]), vec![7; 600]),
        (fragments(2, &[7; 500]), vec![7; 1000]),
        (fragments(10, b"7"), vec![b'7'; 10]),
        (empty(5), b"ab".to_vec()),
    ] {
        raw.io.write_all(&octets).await.unwrap();
        assert_eq!(raw.frame().await.unwrap(), (BINARY, expected));
    }
}

// T-B4
#[tokio::test(start_paused = true)]
async fn flood_of_tiny_fragments_ends_at_the_defaults() {
    let (service, _told) = telling(Limits::default());
    for payload in [&b""[..], b"7"] {
        let (mut raw, _) = open(&service).await;
        // Far more than the server takes.
        let flood = fragments(4096 * 2, payload);
        raw.io.write_all(&flood[..flood.len() - 10]).await.ok();
        raw.expect_close(1008).await;
    }
}

// T-B3, RT-30
#[tokio::test(start_paused = true)]
async fn burst_of_control_frames_passes_and_one_more_ends_with_1008() {
    let (service, mut told) = telling(Limits::default());
    for first in [PING, PONG] {
        let (mut raw, _) = open(&service).await;
        for _ in 0..200 {
            raw.send(first, b"x").await;
        }
        raw.send(TEXT, b"fine").await;
        if first == PING {
            for _ in 0..200 {
                assert_eq!(raw.frame().await.unwrap(), (PONG, b"x".to_vec()));
            }
        }
        assert_eq!(raw.frame().await.unwrap(), (TEXT, b"fine".to_vec()));
        // 10 ms make room for one.
        advance(Duration::from_millis(10)).await;
        for _ in 0..2 {
            raw.send(first, b"y").await;
        }
        let mut last = raw.frame().await.unwrap();
        while last.0 == PONG {
            last = raw.frame().await.unwrap();
        }
        assert_eq!((last.0, &last.1[..2]), (CLOSE, &1008_u16.to_be_bytes()[..]));
        assert_eq!(told.recv().await.unwrap().code.get(), 1008);
    }
}

// T-B3
#[tokio::test(start_paused = true)]
async fn control_frames_at_the_rate_go_on_for_ever() {
    let (service, _told) = telling(Limits::default());
    let (mut raw, _) = open(&service).await;
    for i in 0..100_u32 {
        for _ in 0..100 {
            raw.send(PING, &i.to_be_bytes()).await;
            assert_eq!(raw.frame().await.unwrap(), (PONG, i.to_be_bytes().to_vec()));
        }
        sleep(Duration::from_secs(1)).await;
    }
    raw.send(TEXT, b"fine").await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"fine".to_vec()));
}

// T-B3
#[tokio::test(start_paused = true)]
async fn control_rate_is_as_it_is_set_and_messages_do_not_count() {
    let limits = limits(|limits| {
        (limits.control_rate, limits.control_burst) = (1, 3);
    });
    let (service, _told) = telling(limits);
    let (mut raw, _) = open(&service).await;
    for _ in 0..1000 {
        raw.send(TEXT, b"").await;
        assert_eq!(raw.frame().await.unwrap(), (TEXT, vec![]));
    }
    for _ in 0..4 {
        raw.send(PONG, b"").await;
    }
    raw.expect_close(1008).await;
}

/// What a handler does that takes one message and then does something else for a minute.
async fn slow(mut ws: WebSocket, seen: mpsc::UnboundedSender<Vec<u8>>) -> support::Handled {
    if let Some(message) = ws.recv().await {
        seen.send(message.as_bytes().to_vec())?;
    }
    sleep(Duration::from_secs(60)).await;
    while let Some(message) = ws.recv().await {
        seen.send(message.as_bytes().to_vec())?;
    }
    Ok(())
}

/// How many octets the server takes from a client whose handler is slow, of `messages` like
/// `message`, over a wire of so many octets. All messages have to arrive in the end.
async fn taken(
    limits: Limits,
    elsewhere: bool,
    wire: usize,
    message: &[u8],
    messages: u32,
) -> usize {
    let (tx, mut seen) = mpsc::unbounded_channel();
    let handler = move |ws: WebSocket| {
        let slow = slow(ws, tx.clone());
        async move { if elsewhere { tokio::spawn(slow).await? } else { slow.await } }
    };
    let (raw, task) = open_with(&service(limits, handler), "/", "", wire).await;
    let (_reader, mut writer) = tokio::io::split(raw.io);
    let payload = message.to_vec();
    let (written, mut progress) = tokio::sync::watch::channel(0);
    let sending = tokio::spawn(async move {
        for i in 0..messages {
            let frame = masked(BINARY, &[&i.to_be_bytes()[..], &payload].concat());
            for piece in frame.chunks(16) {
                writer.write_all(piece).await.unwrap();
                written.send_modify(|written| *written += piece.len());
            }
        }
        writer.write_all(&masked(CLOSE, &1000_u16.to_be_bytes())).await.unwrap();
        writer
    });
    sleep(Duration::from_secs(30)).await;
    assert!(!sending.is_finished());
    let taken = *progress.borrow_and_update();
    let _writer = sending.await.unwrap();
    assert!(task.await.unwrap().unwrap().clean);
    for i in 0..messages {
        assert_eq!(seen.recv().await.unwrap()[..4], i.to_be_bytes());
    }
    assert!(seen.try_recv().is_err());
    taken - wire
}

#[tokio::test(start_paused = true)]
async fn so_many_messages_are_received_ahead_of_the_handler() {
    let (message, frame) = ([7; 46], 6 + 50);
    for elsewhere in [false, true] {
        let limits = Limits::default();
        let taken = taken(limits, elsewhere, 64, &message, 1000).await;
        // The handler's one (which another task still has to its account), those ahead, and what was
        // read behind them.
        let expected = (usize::from(!elsewhere) + 256) * frame;
        assert!(taken + 64 >= expected, "{taken} octets were taken, {elsewhere}");
        assert!(taken <= expected + 3 * 64, "{taken} octets were taken, {elsewhere}");
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_bytes_are_received_ahead_of_the_handler() {
    let (message, frame) = ([7; 1996], 8 + 2000);
    for elsewhere in [false, true] {
        let limits = Limits::default();
        let taken = taken(limits, elsewhere, 64, &message, 100).await;
        // One message goes beyond the mark.
        let expected = (usize::from(!elsewhere) + (64 * 1024_usize).div_ceil(2000)) * frame;
        assert!(taken + 64 >= expected, "{taken} octets were taken, {elsewhere}");
        assert!(taken <= expected + 3 * 64, "{taken} octets were taken, {elsewhere}");
    }
}

#[tokio::test(start_paused = true)]
async fn bounds_ahead_of_the_handler_are_as_they_are_set_and_one_message_always_passes() {
    for elsewhere in [false, true] {
        for change in [(|limits| limits.receive_ahead = 1) as fn(&mut Limits), |limits| {
            limits.receive_ahead_messages = 1;
        }] {
            let taken = taken(limits(change), elsewhere, 64, &[7; 4996], 20).await;
            let expected = (usize::from(!elsewhere) + 1) * 5008;
            assert!(taken + 64 >= expected, "{taken} octets were taken, {elsewhere}");
            assert!(taken <= expected + 3 * 64, "{taken} octets were taken, {elsewhere}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_below_the_bound_and_wait_at_it() {
    let (tx, _seen) = mpsc::unbounded_channel();
    let handler = move |ws: WebSocket| slow(ws, tx.clone());
    let limits = limits(|limits| {
        limits.receive_ahead_messages = 4;
        // Nothing is looked for beyond the bound before.
        limits.ping_interval = Duration::from_secs(100);
    });
    let (mut raw, _) = open(&service(limits, handler)).await;
    let start = Instant::now();
    for i in 0..8_u8 {
        raw.send(TEXT, b"message").await;
        raw.send(PING, &[i]).await;
    }
    // One is with the handler, and four are ahead of it.
    for i in 0..4 {
        assert_eq!(raw.frame().await.unwrap(), (PONG, vec![i]));
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    for i in 4..8 {
        assert_eq!(raw.frame().await.unwrap(), (PONG, vec![i]));
    }
    assert_eq!(start.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_held_for_a_handler_that_receives_no_more() {
    let handler = |ws: WebSocket| async move {
        ws.sender().send("ready").await?;
        drop(ws);
        sleep(Duration::from_secs(60)).await;
        Ok(())
    };
    let limits = limits(|limits| limits.close_timeout = Duration::from_secs(5));
    let (mut raw, task) = open_with(&service(limits, handler), "/", "", 1 << 20).await;
    assert_eq!(raw.frame().await.unwrap().0, TEXT);
    raw.expect_close(1000).await;
    for _ in 0..10_000 {
        raw.send(BINARY, &[7; 1000]).await;
    }
    raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
    assert_eq!(raw.frame().await, None);
    assert!(task.await.unwrap().unwrap().clean);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_goes_on_whenever_a_receiver_on_another_thread_makes_room() {
    const MESSAGES: usize = 20_000;
    let handler = |mut ws: WebSocket| async move {
        let receiving = async move {
            let mut seen = 0;
            while ws.recv().await.is_some() {
                seen += 1;
            }
            assert_eq!(seen, MESSAGES);
            Ok(())
        };
        tokio::spawn(receiving).await?
    };
    let limits = limits(|limits| limits.receive_ahead_messages = 2);
    let (raw, task) = open(&service(limits, handler)).await;
    let (mut reader, mut writer) = tokio::io::split(raw.io);
    let whole = async {
        let frame = masked(BINARY, b"small");
        for _ in 0..MESSAGES {
            writer.write_all(&frame).await.unwrap();
        }
        writer.write_all(&masked(CLOSE, &1000_u16.to_be_bytes())).await.unwrap();
        let mut close = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut close).await.unwrap();
        assert_eq!(close, [CLOSE, 2, 0x03, 0xe8]);
    };
    tokio::time::timeout(Duration::from_secs(60), whole).await.expect("it does not get stuck");
    drop((reader, writer));
    assert!(task.await.unwrap().unwrap().clean);
}
