//! Clients that read slowly, and those that do not read.
#![allow(clippy::unwrap_used)]

mod gate;
mod support;

use std::time::Duration;

use gate::Log;
use support::{BINARY, CLOSE, PING, PONG, Raw, TEXT, echo, limits, open_with, service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};
use ws_server::{CloseCode, ClosedBy, Limits, Peer, Server, WebSocket};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What two systems hold between the two programs, as far as it counts.
const WIRE: usize = 256 * 1024;

/// Reads at so many octets a second, and answers each Ping when it has read it, until a frame of this
/// first octet or the end. The payloads of data that came before.
async fn read_slowly(raw: &mut Raw, rate: usize, last: u8) -> (usize, Option<Vec<u8>>) {
    let (mut input, mut read) = (raw.take_input(), 0);
    let mut octets = vec![0; rate / 10];
    loop {
        while let Some(((first, payload), len)) = support::parse(&input) {
            input.drain(..len);
            match first {
                first if first == last => return (read, Some(payload)),
                PING => raw.send(PONG, &payload).await,
                CLOSE => return (read, None),
                _ => read += payload.len(),
            }
        }
        sleep(Duration::from_millis(100)).await;
        match raw.io.read(&mut octets).await.unwrap() {
            0 => return (read, None),
            n => input.extend_from_slice(&octets[..n]),
        }
    }
}

// T-B12, RT-31
#[tokio::test(start_paused = true)]
async fn slow_but_steady_reader_is_kept() {
    for rate in [2_000, 5_000, 20_000] {
        let handler = |mut ws: WebSocket| async move {
            ws.send(vec![7; 200_000]).await?;
            echo(ws).await
        };
        let (mut raw, _) = open_with(&service(Limits::default(), handler), "/", "", WIRE).await;
        let start = Instant::now();
        // A Ping lies behind all of it.
        assert_eq!(read_slowly(&mut raw, rate, BINARY).await.1.unwrap().len(), 200_000);
        assert!(start.elapsed() >= secs(190_000 / rate as u64));
        raw.send(TEXT, b"here").await;
        assert_eq!(read_slowly(&mut raw, rate, TEXT).await.1.unwrap(), b"here");
    }
}

// T-B12, RT-31
#[tokio::test(start_paused = true)]
async fn slow_but_steady_reader_of_a_stream_is_kept() {
    let handler = |mut ws: WebSocket| async move {
        for _ in 0..100 {
            ws.send(vec![7; 16 * 1024]).await?;
        }
        ws.send("done").await?;
        echo(ws).await
    };
    let (mut raw, _) = open_with(&service(Limits::default(), handler), "/", "", WIRE).await;
    let (read, done) = read_slowly(&mut raw, 5_000, TEXT).await;
    assert_eq!((read, done), (100 * 16 * 1024, Some(b"done".to_vec())));
}

// T-B12
#[tokio::test(start_paused = true)]
async fn program_that_hangs_behind_a_live_system_ends_in_time() {
    for (bytes, longest) in [(0, 41), (10_000, 51), (200_000, 241)] {
        let handler = move |mut ws: WebSocket| async move {
            ws.send(vec![7; bytes]).await?;
            echo(ws).await
        };
        let (_raw, task) = open_with(&service(Limits::default(), handler), "/", "", WIRE).await;
        let start = Instant::now();
        let closed = task.await.unwrap().unwrap();
        assert_eq!((closed.by, closed.code), (ClosedBy::Local, CloseCode::INTERNAL_ERROR));
        assert_eq!(closed.reason.as_str(), "no answer to a Ping");
        assert!(start.elapsed() >= secs(40), "{:?}", start.elapsed());
        assert!(start.elapsed() < secs(longest), "{bytes}: {:?}", start.elapsed());
    }
}

// T-B12
#[tokio::test(start_paused = true)]
async fn what_a_client_has_read_by_its_pong_buys_no_time() {
    let handler = |mut ws: WebSocket| async move {
        ws.send(vec![7; 200_000]).await?;
        echo(ws).await
    };
    let (mut raw, _) = open_with(&service(Limits::default(), handler), "/", "", WIRE).await;
    assert_eq!(raw.frame().await.unwrap().1.len(), 200_000);
    assert_eq!(raw.frame().await.unwrap().0, PING);
    raw.send(PONG, b"").await;
    let start = Instant::now();
    assert_eq!(raw.frame().await.unwrap().0, PING);
    raw.expect_close(1011).await;
    assert!(start.elapsed() < secs(41), "{:?}", start.elapsed());
}

// T-B11, RT-33
#[tokio::test(start_paused = true)]
async fn close_and_what_is_before_it_reach_a_client_that_reads_slowly_and_talks() {
    for (rate, wire) in [(80_000, 4096), (20_000, WIRE)] {
        let handler = |mut ws: WebSocket| async move {
            ws.send(vec![7; 5_000_000]).await?;
            Ok(())
        };
        let (mut raw, task) = open_with(&service(Limits::default(), handler), "/", "", wire).await;
        let mut message = vec![0; 10 + 5_000_000];
        for piece in message.chunks_mut(rate) {
            raw.read_exact(piece).await;
            raw.send(TEXT, b"and you?").await;
            sleep(secs(1)).await;
        }
        raw.expect_close(1000).await;
        raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
        let closed = task.await.unwrap().unwrap();
        assert_eq!((closed.by, closed.code), (ClosedBy::Local, CloseCode::NORMAL));
        assert!(closed.clean);
    }
}

// T-B11
#[tokio::test(start_paused = true)]
async fn close_that_is_read_late_may_be_answered_late() {
    let handler = |mut ws: WebSocket| async move {
        ws.send(vec![7; 200_000]).await?;
        Ok(())
    };
    let (mut raw, task) = open_with(&service(Limits::default(), handler), "/", "", WIRE).await;
    let (read, close) = read_slowly(&mut raw, 5_000, CLOSE).await;
    assert_eq!((read, close.unwrap()), (200_000, 1000_u16.to_be_bytes().to_vec()));
    raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
    assert!(task.await.unwrap().unwrap().clean);
}

// D-9
#[tokio::test(start_paused = true)]
async fn lingering_ends_when_a_client_may_have_read_everything_and_not_before() {
    let handler = |mut ws: WebSocket| async move {
        ws.send(vec![7; 100_000]).await?;
        echo(ws).await
    };
    for reads in [true, false] {
        let service = service(Limits::default(), handler);
        let (mut raw, mut task) = open_with(&service, "/", "", WIRE).await;
        // A frame that is not masked: 1002 is queued behind the message.
        raw.io.write_all(&[TEXT, 0]).await.unwrap();
        let start = Instant::now();
        if reads {
            let (read, close) = read_slowly(&mut raw, 5_000, CLOSE).await;
            assert_eq!((read, &close.unwrap()[..2]), (100_000, &1002_u16.to_be_bytes()[..]));
            assert!(!task.is_finished());
            raw.io.shutdown().await.unwrap();
        }
        (&mut task).await.unwrap();
        let expected = if reads { 19..22 } else { 98..103 };
        assert!(expected.contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }
}

// T-B5
#[tokio::test(start_paused = true)]
async fn client_that_takes_less_than_the_least_rate_ends() {
    for (rate, stays) in [(2048, true), (1100, true), (900, false), (100, false)] {
        let handler = |mut ws: WebSocket| async move {
            ws.send(vec![7; 1_000_000]).await?;
            echo(ws).await
        };
        let service = service(Limits::default(), handler);
        let (mut raw, mut task) = open_with(&service, "/", "", 1024).await;
        let start = Instant::now();
        let mut octets = vec![0; rate];
        while start.elapsed() < secs(300) && !task.is_finished() {
            if raw.io.read_exact(&mut octets).await.is_err() {
                break;
            }
            sleep(secs(1)).await;
        }
        assert_eq!(!task.is_finished(), stays, "{rate}: {:?}", start.elapsed());
        if !stays {
            let closed = (&mut task).await.unwrap().unwrap();
            assert_eq!((closed.by, closed.code), (ClosedBy::Local, CloseCode::ABNORMAL));
            assert_eq!(closed.reason.as_str(), "took less than 1024 bytes a second");
            assert!(start.elapsed() < secs(63), "{:?}", start.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answer_without_a_websocket_reaches_a_slow_client_too() {
    let page = vec![b'x'; 1_000_000];
    let answer = page.clone();
    let service =
        Server::new().any(echo).fallback(move |_, _| http::Response::new(answer.clone().into()));
    let service = service.service().unwrap();
    let (mut client, io) = tokio::io::duplex(16 * 1024);
    let task = tokio::spawn(service.serve_connection(io, Peer::Other));
    client.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let (mut read, mut octets) = (Vec::new(), vec![0; 20_000]);
    loop {
        sleep(secs(1)).await;
        match client.read(&mut octets).await.unwrap() {
            0 => break,
            n => read.extend_from_slice(&octets[..n]),
        }
    }
    assert!(read.ends_with(&page), "{} octets", read.len());
    drop(client);
    task.await.unwrap();
}

// RT-55
#[tokio::test(start_paused = true)]
async fn end_at_a_deadline_is_told_and_logged() {
    let (log, _guard) = Log::capture();
    let sends = |mut ws: WebSocket| async move {
        ws.send(vec![7; 100_000]).await?;
        echo(ws).await
    };
    let closes = |mut ws: WebSocket| async move {
        ws.close(CloseCode::new(4000), "enough")?;
        Ok(())
    };
    let limits = limits(|limits| limits.write_timeout = Duration::from_millis(2500));
    let stuck = service(limits, sends);
    let deaf = service(Limits::default(), closes);
    for (service, reason) in
        [(stuck, "took nothing for 2.5 s"), (deaf, "no answer to a Close for 10 s")]
    {
        let (_raw, task) = open_with(&service, "/", "", 1024).await;
        let closed = task.await.unwrap().unwrap();
        assert_eq!((closed.by, closed.code), (ClosedBy::Local, CloseCode::ABNORMAL));
        assert_eq!(closed.reason.as_str(), reason);
        let lines = log.lines(reason);
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in [" INFO ", "connection{id=1 ", "code=1006"] {
            assert!(lines[0].contains(part), "{part}: {}", lines[0]);
        }
    }
}

// RT-55, RT-32
#[tokio::test(start_paused = true)]
async fn client_that_does_not_keep_up_is_logged_when_it_is_closed() {
    let (log, _guard) = Log::capture();
    let subscribe = |mut ws: WebSocket| async move {
        ws.subscribe("news")?;
        while ws.recv().await.is_some() {}
        Ok(())
    };
    let service = service(Limits::default(), subscribe);
    let (_raw, _task) = open_with(&service, "/", "", 1024).await;
    sleep(secs(1)).await;
    for _ in 0..20 {
        service.clients().publish("news", vec![7; 100_000]);
        sleep(secs(1)).await;
    }
    let lines = log.lines("closing with 1013");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in [" INFO ", "id=1 ", "path=/ ", "does not keep up"] {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
}
