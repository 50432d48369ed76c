//! A client whose messages are not received is heard all the same: its Close, its end, its Pongs.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{CLOSE, PING, PONG, Raw, TEXT, echo, limits, masked, open, open_with, service};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use ws_server::{CloseCode, Closed, Limits, Peer, Service, WebSocket};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Far longer than anything here takes.
const PATIENCE: Duration = secs(60);

/// A handler that waits for the end and receives nothing.
async fn waiting(ws: WebSocket) -> support::Handled {
    ws.closed().await;
    Ok(())
}

/// The same in a task of its own, which took one message.
async fn waiting_elsewhere(mut ws: WebSocket) -> support::Handled {
    tokio::spawn(async move {
        ws.recv().await;
        waiting(ws).await
    })
    .await?
}

fn services(limits: &Limits) -> [Service; 2] {
    [service(limits.clone(), waiting), service(limits.clone(), waiting_elsewhere)]
}

/// Pings, and then a Close of this code.
async fn expect_close_behind_pings(raw: &mut Raw, code: u16) {
    loop {
        match raw.frame().await.unwrap() {
            (PING, _) => {}
            (first, body) => {
                assert_eq!((first, &body[..2]), (CLOSE, &code.to_be_bytes()[..]));
                return;
            }
        }
    }
}

// R6455-5.5.1-i, T-B13
#[tokio::test(start_paused = true)]
async fn close_behind_unread_messages_is_answered_when_the_handler_had_its_turn() {
    // The time of a Ping and a Pong, for each few that are unread beyond the limit.
    for (unread, most) in [(255, 1), (256, 41), (257, 41), (270, 61), (300, 161)] {
        for service in services(&Limits::default()) {
            let (mut raw, task) = open(&service).await;
            let start = Instant::now();
            raw.io.write_all(&masked(TEXT, b"hb").repeat(unread)).await.unwrap();
            raw.send(CLOSE, &[0x03, 0xe8]).await;
            expect_close_behind_pings(&mut raw, 1000).await;
            let waited = start.elapsed();
            assert!(waited.as_secs() <= most, "{unread}: {waited:?}");
            drop(raw);
            let closed = task.await.unwrap().unwrap();
            assert_eq!((closed.code, closed.clean), (CloseCode::NORMAL, true));
            assert_eq!(service.clients().count(), 0);
        }
    }
}

// T-B13
#[tokio::test(start_paused = true)]
async fn end_of_the_stream_behind_unread_messages_is_noticed_by_a_ping() {
    for unread in [255, 256, 257, 300, 600] {
        for service in services(&Limits::default()) {
            let (mut raw, task) = open(&service).await;
            let start = Instant::now();
            raw.io.write_all(&masked(TEXT, b"hb").repeat(unread)).await.unwrap();
            drop(raw);
            let closed = task.await.unwrap().unwrap();
            assert_eq!(closed.code, CloseCode::ABNORMAL);
            assert!(start.elapsed() <= secs(20), "{unread}: {:?}", start.elapsed());
            assert_eq!(service.clients().count(), 0);
        }
    }
}

// T-B9
#[tokio::test(start_paused = true)]
async fn silent_client_with_unread_messages_is_given_up() {
    for unread in [256, 257] {
        for service in services(&Limits::default()) {
            let (mut raw, task) = open(&service).await;
            let start = Instant::now();
            raw.io.write_all(&masked(TEXT, b"hb").repeat(unread)).await.unwrap();
            assert_eq!(raw.frame().await.unwrap().0, PING);
            assert_eq!(start.elapsed().as_secs(), 20);
            // What is unread may be what it sent last.
            expect_close_behind_pings(&mut raw, 1011).await;
            assert!(start.elapsed() <= secs(120), "{:?}", start.elapsed());
            drop(raw);
            assert_eq!(task.await.unwrap().unwrap().code, CloseCode::INTERNAL_ERROR);
        }
    }
}

// T-B9
#[tokio::test(start_paused = true)]
async fn client_with_unread_messages_that_answers_pings_stays_for_days() {
    let handler = |ws: WebSocket| async move {
        sleep(secs(3 * 24 * 60 * 60)).await;
        echo(ws).await
    };
    let (mut raw, _) = open(&service(Limits::default(), handler)).await;
    raw.io.write_all(&masked(TEXT, b"hb").repeat(300)).await.unwrap();
    let mut echoes = 0;
    while echoes < 300 {
        match raw.frame().await.unwrap() {
            (PING, _) => raw.send(PONG, b"").await,
            (first, payload) => {
                assert_eq!((first, &payload[..]), (TEXT, &b"hb"[..]));
                echoes += 1;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn so_much_is_received_beyond_the_limit_and_no_more() {
    const MESSAGE: usize = 100;
    let four = limits(|limits| limits.receive_ahead_messages = 4);
    let handler = |ws: WebSocket| async move {
        sleep(secs(600)).await;
        echo(ws).await
    };
    let (raw, _) = open_with(&service(four, handler), "/", "", 256).await;
    let (mut reader, mut writer) = tokio::io::split(raw.io);
    let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = written.clone();
    let writing = tokio::spawn(async move {
        for _ in 0..1000 {
            writer.write_all(&masked(TEXT, &[b'x'; MESSAGE])).await.unwrap();
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        writer
    });
    // It is pinged, to see whether the network reaches it, and not given up: its Pong would be behind.
    sleep(secs(590)).await;
    let written = written.load(std::sync::atomic::Ordering::Relaxed);
    assert!((10..=80).contains(&written), "{written} messages");
    let mut octets = Vec::new();
    let mut pings = 0;
    let mut echoes = 0;
    while echoes < 1000 {
        octets.resize(2, 0);
        tokio::io::AsyncReadExt::read_exact(&mut reader, &mut octets).await.unwrap();
        match octets[..] {
            [PING, 0] => pings += 1,
            [TEXT, len] => {
                octets.resize(usize::from(len), 0);
                tokio::io::AsyncReadExt::read_exact(&mut reader, &mut octets).await.unwrap();
                echoes += 1;
            }
            _ => panic!("{octets:?}"),
        }
    }
    assert!((10..=40).contains(&pings), "{pings} Pings");
    writing.await.unwrap();
}

// T-B10
#[tokio::test(start_paused = true)]
async fn client_with_unread_messages_that_takes_nothing_ends_at_the_write_timeout() {
    let handler = |mut ws: WebSocket| async move {
        ws.send(vec![7; 1_000_000]).await?;
        waiting(ws).await
    };
    let (mut raw, task) = open_with(&service(Limits::default(), handler), "/", "", 8192).await;
    let start = Instant::now();
    raw.io.write_all(&masked(TEXT, b"hb").repeat(300)).await.unwrap();
    task.await.unwrap().unwrap();
    assert!(start.elapsed() <= secs(41), "{:?}", start.elapsed());
}

const MESSAGES: usize = 500;

/// More than is received ahead and beyond, and read at once: the socket has the rest.
fn flood() -> Vec<u8> {
    masked(TEXT, &[b'x'; 300]).repeat(MESSAGES)
}

/// How a connection ends whose client does `last` after a flood, on which kind of socket.
async fn end_after_a_flood<Io>(
    service: &Service,
    (client, server): (Io, Io),
    last: impl AsyncFnOnce(Raw<Io>),
) -> Closed
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let task = tokio::spawn(service.serve_connection(server, Peer::Other));
    let mut raw = Raw::new(client);
    raw.handshake("/", "").await;
    raw.io.write_all(&flood()).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    assert_eq!(service.clients().count(), 1);
    last(raw).await;
    let closed = timeout(PATIENCE, task).await.expect("an end").unwrap().unwrap();
    assert_eq!(service.clients().count(), 0);
    closed
}

/// Two ends, of which the server's has room for the flood.
async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpSocket::new_v4().unwrap();
    listener.set_recv_buffer_size(1 << 20).unwrap();
    listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listener.listen(1).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

// T-B13
#[cfg(unix)]
#[tokio::test]
async fn end_of_a_socket_is_noticed_though_much_in_it_is_unread() {
    for service in services(&Limits::default()) {
        let start = Instant::now();
        let fin = async |raw: Raw<TcpStream>| drop(raw);
        let closed = end_after_a_flood(&service, tcp().await, fin).await;
        assert_eq!(closed.code, CloseCode::ABNORMAL);

        let reset = async |raw: Raw<TcpStream>| raw.io.set_zero_linger().unwrap();
        let closed = end_after_a_flood(&service, tcp().await, reset).await;
        assert_eq!(closed.code, CloseCode::ABNORMAL);

        let fin = async |raw: Raw<tokio::net::UnixStream>| drop(raw);
        let pair = tokio::net::UnixStream::pair().unwrap();
        let closed = end_after_a_flood(&service, pair, fin).await;
        assert_eq!(closed.code, CloseCode::ABNORMAL);
        // A second each, and no Ping in between.
        assert!(start.elapsed() < secs(18), "{:?}", start.elapsed());
    }
}

// T-B13: its end is behind what the network could not deliver, and a Ping finds nobody there.
#[cfg(unix)]
#[tokio::test]
async fn client_that_is_gone_with_octets_on_their_way_is_found_by_a_ping() {
    let limits = limits(|limits| limits.ping_interval = Duration::from_millis(100));
    let service = service(limits, waiting);
    let vanishes = async |mut raw: Raw<TcpStream>| {
        let more = flood();
        while timeout(Duration::from_millis(50), raw.io.write_all(&more)).await.is_ok() {}
        drop(raw);
    };
    let closed = end_after_a_flood(&service, tcp().await, vanishes).await;
    assert_eq!(closed.code, CloseCode::ABNORMAL);
}

// T-B13
#[cfg(unix)]
#[tokio::test]
async fn close_far_behind_unread_messages_is_found_once_the_client_is_gone() {
    let service = service(Limits::default(), waiting);
    let close = async |mut raw: Raw<TcpStream>| {
        raw.send(CLOSE, &[0x03, 0xe8]).await;
        raw.io.shutdown().await.unwrap();
        raw.expect_close(1000).await;
    };
    let closed = end_after_a_flood(&service, tcp().await, close).await;
    assert_eq!((closed.code, closed.clean), (CloseCode::NORMAL, true));
}

// T-B13
#[cfg(unix)]
#[tokio::test]
async fn handler_that_receives_in_time_gets_all_that_a_client_sent_before_it_left() {
    let (tx, mut counts) = mpsc::unbounded_channel();
    let (wake, woken) = tokio::sync::watch::channel(false);
    let handler = move |mut ws: WebSocket| {
        let (tx, mut woken) = (tx.clone(), woken.clone());
        async move {
            woken.changed().await?;
            let mut messages = 0;
            while let Some(message) = ws.recv().await {
                assert_eq!(message.len(), 300);
                messages += 1;
            }
            tx.send(messages)?;
            Ok(())
        }
    };
    let limits = limits(|limits| limits.close_turn = PATIENCE);
    let leaves = async |raw: Raw<TcpStream>| {
        drop(raw);
        sleep(Duration::from_millis(100)).await;
        wake.send_replace(true);
    };
    end_after_a_flood(&service(limits, handler), tcp().await, leaves).await;
    let messages = counts.recv().await.unwrap();
    assert_eq!(messages, MESSAGES);
}
