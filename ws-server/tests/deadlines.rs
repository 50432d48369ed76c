//! How long a client is waited for.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{BINARY, PING, PONG, Raw, TEXT, echo, limits, masked, open, open_with, service};
use tokio::{
    io::AsyncWriteExt,
    sync::mpsc,
    time::{Instant, advance, sleep, timeout},
};
use ws_server::{CloseCode, ClosedBy, Limits, WebSocket};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// That it is about `expected` since `start`.
#[track_caller]
fn assert_at(start: Instant, expected: Duration) {
    let elapsed = start.elapsed();
    assert!(elapsed >= expected && elapsed < expected + secs(1), "{elapsed:?}, not {expected:?}");
}

/// Sends the octets one by one, with a pause before each, until a frame comes.
async fn trickle(
    raw: &mut Raw,
    octets: impl IntoIterator<Item = u8>,
    pause: Duration,
) -> (u8, Vec<u8>) {
    for octet in octets {
        if let Ok(frame) = timeout(pause, raw.frame()).await {
            return frame.unwrap();
        }
        raw.io.write_all(&[octet]).await.unwrap();
    }
    raw.frame().await.unwrap()
}

// T-B12, R6455-5.5.2-c
#[tokio::test(start_paused = true)]
async fn silent_client_is_pinged_and_then_given_up_with_1011() {
    let service = service(Limits::default(), echo);
    let (mut raw, task) = open(&service).await;
    let start = Instant::now();
    assert_eq!(raw.frame().await.unwrap(), (PING, vec![]));
    assert_at(start, secs(20));
    raw.expect_close(1011).await;
    assert_at(start, secs(40));
    assert_eq!(raw.frame().await, None);
    let closed = task.await.unwrap().unwrap();
    assert_at(start, secs(40));
    assert_eq!((closed.by, closed.code), (ClosedBy::Local, CloseCode::INTERNAL_ERROR));
    assert!(!closed.clean);
    assert_eq!(service.clients().count(), 0);
}

// T-B12
#[tokio::test(start_paused = true)]
async fn vanished_client_is_gone_in_time_though_nothing_can_be_written() {
    let handler = |mut ws: WebSocket| async move {
        sleep(secs(19)).await;
        ws.send(vec![0; 100_000]).await?;
        echo(ws).await
    };
    let service = service(Limits::default(), handler);
    let (_raw, task) = open_with(&service, "/", "", 256).await;
    let start = Instant::now();
    let closed = task.await.unwrap().unwrap();
    assert_eq!(closed.code, CloseCode::ABNORMAL);
    assert!(start.elapsed() < secs(41), "{:?}", start.elapsed());
}

// T-B12, R6455-5.5.3-c
#[tokio::test(start_paused = true)]
async fn intervals_are_as_they_are_set() {
    let limits = limits(|limits| {
        (limits.ping_interval, limits.pong_timeout) = (secs(3), secs(5));
    });
    let (mut raw, _) = open(&service(limits, echo)).await;
    let start = Instant::now();
    for i in 1..=10 {
        assert_eq!(raw.frame().await.unwrap(), (PING, vec![]));
        raw.send(PONG, b"").await;
        assert_at(start, secs(3 * i));
    }
    assert_eq!(raw.frame().await.unwrap(), (PING, vec![]));
    raw.expect_close(1011).await;
    assert_at(start, secs(3 * 11 + 5));
}

// T-B12
#[tokio::test(start_paused = true)]
async fn client_that_answers_pings_stays() {
    let (mut raw, _) = open(&service(Limits::default(), echo)).await;
    let start = Instant::now();
    while start.elapsed() < secs(3600) {
        assert_eq!(raw.frame().await.unwrap(), (PING, vec![]));
        sleep(secs(19)).await;
        raw.send(PONG, b"").await;
    }
    raw.send(TEXT, b"still here").await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"still here".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn client_that_is_heard_is_not_pinged() {
    let (mut raw, _) = open(&service(Limits::default(), echo)).await;
    for _ in 0..20 {
        sleep(secs(19)).await;
        raw.send(PONG, b"unasked").await;
    }
    raw.send(TEXT, b"first of all").await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"first of all".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn any_octet_is_a_sign_of_life() {
    let (mut raw, _) = open(&service(Limits::default(), echo)).await;
    let start = Instant::now();
    assert_eq!(raw.frame().await.unwrap(), (PING, vec![]));
    sleep(secs(19)).await;
    let frame = masked(TEXT, b"slow");
    raw.io.write_all(&frame[..1]).await.unwrap();
    sleep(secs(19)).await;
    raw.io.write_all(&frame[1..]).await.unwrap();
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"slow".to_vec()));
    assert_at(start, secs(58));
}

// T-B2
#[tokio::test(start_paused = true)]
async fn octets_trickled_into_a_message_end_with_1008_at_the_message_deadline() {
    let payload = masked(BINARY, &[7; 1000]);
    let long_header = masked(BINARY, &[7; 70_000])[..14].to_vec();
    let fragments = [masked(0x01, b"a"), masked(0x00, b"b").repeat(100)].concat();
    let empty_fragments =
        [masked(0x01, b"a"), [masked(0, b""), masked(0, b"b")].concat().repeat(50)];
    let with_pongs = [masked(0x01, b"a"), masked(PONG, b"").repeat(100)].concat();
    let ping = masked(PING, &[7; 125]);
    for (what, octets, pause) in [
        ("payload", payload.clone(), secs(1)),
        ("payload, more slowly", payload, secs(13)),
        ("header", long_header, secs(7)),
        ("fragments", fragments, secs(1)),
        ("empty fragments", empty_fragments.concat(), secs(1)),
        ("Pongs between fragments", with_pongs, secs(1)),
        ("control frame", ping, secs(1)),
    ] {
        let (mut raw, _) = open(&service(Limits::default(), echo)).await;
        raw.io.write_all(&octets[..1]).await.unwrap();
        let start = Instant::now();
        let (first, body) = trickle(&mut raw, octets[1..].iter().copied(), pause).await;
        assert_eq!((first, &body[..2]), (0x88, &1008_u16.to_be_bytes()[..]), "{what}");
        assert_at(start, secs(60));
    }
}

// T-B2
#[tokio::test(start_paused = true)]
async fn message_that_stops_in_the_middle_ends_with_1008_at_the_progress_deadline() {
    let frame = masked(BINARY, &[7; 70_000]);
    let fragment = masked(0x02, b"begun");
    let ping = masked(PING, b"there?");
    for (what, octets) in [
        ("header", &frame[..1]),
        ("longer header", &frame[..13]),
        ("header alone", &frame[..14]),
        ("payload", &frame[..69_000]),
        ("between fragments", &fragment),
        ("control frame", &ping[..8]),
    ] {
        let (mut raw, _) = open_with(&service(Limits::default(), echo), "/", "", 1 << 20).await;
        let start = Instant::now();
        raw.io.write_all(octets).await.unwrap();
        assert_eq!(raw.frame().await.unwrap().0, PING, "{what}");
        raw.expect_close(1008).await;
        assert_at(start, secs(30));
    }
}

// T-B2
#[tokio::test(start_paused = true)]
async fn answering_pings_does_not_prolong_a_message() {
    let (mut raw, _) = open(&service(Limits::default(), echo)).await;
    let start = Instant::now();
    raw.send(0x01, b"never finished").await;
    while let (PING, _) = raw.frame().await.unwrap() {
        raw.send(PONG, b"").await;
    }
    assert_at(start, secs(60));
    assert_eq!(raw.frame().await, None);
}

#[tokio::test(start_paused = true)]
async fn each_message_and_each_control_frame_has_its_own_time() {
    let (mut raw, _) = open(&service(Limits::default(), echo)).await;
    // Between two pauses the end of one frame comes with the begin of the next.
    for first in [TEXT, PONG] {
        let frame = masked(first, b"cut in halves");
        raw.io.write_all(&frame[..9]).await.unwrap();
        for _ in 0..20 {
            sleep(secs(10)).await;
            raw.io.write_all(&[&frame[9..], &frame[..9]].concat()).await.unwrap();
            if first == TEXT {
                assert_eq!(raw.frame().await.unwrap(), (TEXT, b"cut in halves".to_vec()));
            }
        }
        raw.io.write_all(&frame[9..]).await.unwrap();
        if first == TEXT {
            assert_eq!(raw.frame().await.unwrap(), (TEXT, b"cut in halves".to_vec()));
        }
    }
    raw.send(TEXT, b"fine").await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"fine".to_vec()));
}

// T-B2
#[tokio::test(start_paused = true)]
async fn large_message_passes_at_the_least_rate_and_not_below() {
    let frame = masked(BINARY, &vec![7; 1 << 20]);
    for (rate, passes) in [(10 * 1024, true), (4 * 1024, false)] {
        let (mut raw, _) = open_with(&service(Limits::default(), echo), "/", "", 1 << 21).await;
        let start = Instant::now();
        for piece in frame.chunks(rate) {
            if raw.io.write_all(piece).await.is_err() {
                break;
            }
            sleep(secs(1)).await;
        }
        if passes {
            assert_eq!(raw.frame().await.unwrap(), (BINARY, vec![7; 1 << 20]));
            assert!(start.elapsed() > secs(100));
        } else {
            raw.expect_close(1008).await;
        }
    }
}

// T-B2
#[tokio::test(start_paused = true)]
async fn message_below_the_least_rate_ends_when_its_time_is_over() {
    let (raw, _) = open(&service(Limits::default(), echo)).await;
    let start = Instant::now();
    let frame = masked(BINARY, &vec![7; 1 << 20]);
    let (mut reader, mut writer) = tokio::io::split(raw.io);
    let writing = tokio::spawn(async move {
        for piece in frame.chunks(4 * 1024) {
            if writer.write_all(piece).await.is_err() {
                break;
            }
            sleep(secs(1)).await;
        }
    });
    let mut close = [0; 4];
    tokio::io::AsyncReadExt::read_exact(&mut reader, &mut close).await.unwrap();
    assert_eq!(close[2..], 1008_u16.to_be_bytes());
    // 60 s, and 1 s for each 8 KiB of what came: at half of that rate it is twice as long.
    assert!(start.elapsed() >= secs(118) && start.elapsed() <= secs(122), "{:?}", start.elapsed());
    writing.abort();
}

#[tokio::test(start_paused = true)]
async fn deadlines_stand_still_while_reading_is_paused_behind_the_handler() {
    // More than is looked at in that time, beyond what is received ahead.
    const MESSAGES: usize = 1000;
    for elsewhere in [false, true] {
        let (tx, mut resumed) = mpsc::unbounded_channel();
        let handler = move |mut ws: WebSocket| {
            let tx = tx.clone();
            let slow = async move {
                let first = ws.recv().await.unwrap();
                sleep(secs(300)).await;
                tx.send(Instant::now())?;
                ws.send(first).await?;
                echo(ws).await
            };
            async move { if elsewhere { tokio::spawn(slow).await? } else { slow.await } }
        };
        let (mut raw, _) = open(&service(Limits::default(), handler)).await;
        let start = Instant::now();
        for _ in 0..MESSAGES {
            raw.send(TEXT, b"more than is received ahead").await;
        }
        // And one that stops in the middle.
        let frame = masked(TEXT, b"halved");
        raw.io.write_all(&frame[..8]).await.unwrap();
        let mut pings = 0;
        for _ in 0..MESSAGES {
            let mut frame = raw.frame().await.unwrap();
            while frame.0 == PING {
                pings += 1;
                frame = raw.frame().await.unwrap();
            }
            let expected = (TEXT, b"more than is received ahead".to_vec());
            assert_eq!(frame, expected, "no Close before");
        }
        assert!((5..=15).contains(&pings), "{pings} Pings, whose answers may be behind the rest");
        assert_at(start, secs(300));
        let resumed = resumed.recv().await.unwrap();
        // They run again, from here on.
        assert_eq!(raw.frame().await.unwrap().0, PING);
        assert_at(resumed, secs(20));
        raw.io.write_all(&frame[8..]).await.unwrap();
        assert_eq!(raw.frame().await.unwrap(), (TEXT, b"halved".to_vec()));
        let last = Instant::now();
        assert_eq!(raw.frame().await.unwrap().0, PING);
        assert_at(last, secs(20));
        raw.expect_close(1011).await;
        assert_at(last, secs(40));
    }
}

// RT-33
#[tokio::test(start_paused = true)]
async fn close_that_waits_behind_a_slow_handler_is_taken_once_it_is_reached() {
    let handler = |mut ws: WebSocket| async move {
        while ws.recv().await.is_some() {
            sleep(secs(1)).await;
        }
        Ok(())
    };
    let limits = limits(|limits| limits.receive_ahead_messages = 4);
    let (mut raw, task) = open(&service(limits, handler)).await;
    let start = Instant::now();
    for _ in 0..30 {
        raw.send(TEXT, b"work").await;
    }
    raw.send(0x88, &1000_u16.to_be_bytes()).await;
    raw.expect_close(1000).await;
    assert!(start.elapsed() >= secs(26) && start.elapsed() < secs(31), "{:?}", start.elapsed());
    assert!(task.await.unwrap().unwrap().clean);
}

// T-B11, RT-33
#[tokio::test(start_paused = true)]
async fn client_that_floods_in_place_of_answering_a_close_ends_at_the_close_timeout() {
    let handler = |mut ws: WebSocket| async move {
        ws.close(CloseCode::NORMAL, "")?;
        Ok(())
    };
    let (raw, task) = open_with(&service(Limits::default(), handler), "/", "", 1 << 20).await;
    let start = Instant::now();
    let (_reader, mut writer) = tokio::io::split(raw.io);
    let flood = tokio::spawn(async move {
        // More than the server reads in one turn lies there at any time.
        let octets = masked(BINARY, &[7; 1000]).repeat(1000);
        while start.elapsed() < secs(100) && writer.write_all(&octets).await.is_ok() {}
    });
    let clock = tokio::spawn(async {
        loop {
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    });
    let closed = task.await.unwrap().unwrap();
    assert_eq!((closed.by, closed.code), (ClosedBy::Local, CloseCode::ABNORMAL));
    // The close timeout, and what is thrown away in the end.
    assert!(start.elapsed() >= secs(10) && start.elapsed() < secs(14), "{:?}", start.elapsed());
    flood.abort();
    clock.abort();
}

// T-B11
#[tokio::test(start_paused = true)]
async fn close_turn_and_close_timeout_are_as_they_are_set() {
    let own = limits(|limits| {
        (limits.close_turn, limits.close_timeout) = (secs(7), secs(3));
    });
    let sleeper = |ws: WebSocket| async move {
        sleep(secs(100)).await;
        drop(ws);
        Ok(())
    };
    let (mut raw, _) = open(&service(own.clone(), sleeper)).await;
    let start = Instant::now();
    raw.send(0x88, &1000_u16.to_be_bytes()).await;
    raw.expect_close(1000).await;
    assert_at(start, secs(7));

    let handler = |mut ws: WebSocket| async move {
        ws.close(CloseCode::NORMAL, "")?;
        assert_eq!(ws.recv().await, None);
        Ok(())
    };
    let (mut raw, task) = open(&service(own, handler)).await;
    let start = Instant::now();
    raw.expect_close(1000).await;
    assert_eq!(task.await.unwrap().unwrap().code, CloseCode::ABNORMAL);
    assert_at(start, secs(3));
}

// R6455-5.5.2-b, T-B4: a turn that ends early, with something unread, is not one in which more came.
#[tokio::test(start_paused = true)]
async fn client_of_a_handler_that_always_has_work_is_judged() {
    let handler = |ws: WebSocket| async move {
        let topic = ws.subscribe("all")?;
        while topic.subscribers() == 1 {
            for _ in 0..300 {
                topic.publish_to_others("x");
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    let service = service(Limits::default(), handler);
    let (mut raw, _) = open_with(&service, "/", "", 4096).await;
    raw.send(TEXT, b"unread").await;
    for _ in 0..60 {
        advance(secs(1)).await;
    }
    assert_eq!(service.clients().count(), 0);
}
