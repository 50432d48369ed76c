//! A connection on which nothing happens costs nothing.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{
    BINARY, CLOSE, PING, PONG, Raw, TEXT,
    counting::{Polls, counting},
    echo, limits, masked, service,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{sleep, timeout},
};
use ws_server::{CloseCode, Limits, Peer, Server, ServerLimits, Service, WebSocket};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Calls on the socket that a minute may take. Seldom enough to be no load, and far fewer than any
/// loop would make.
const FEW: usize = 40;

/// Deadlines that do not end what is watched for a minute.
fn patient() -> Limits {
    limits(|limits| {
        limits.close_timeout = secs(1000);
        limits.close_turn = secs(1000);
        limits.linger_timeout = secs(1000);
        limits.write_timeout = secs(1000);
        limits.message_timeout = secs(1000);
        limits.progress_timeout = secs(1000);
        limits.pong_timeout = secs(1000);
    })
}

/// Opens a connection over a wire of so many octets, whose polls are counted.
async fn open_counted(service: &Service, wire: usize) -> (Raw, Polls) {
    let (io, server) = tokio::io::duplex(wire);
    let (server, polls) = counting(server);
    tokio::spawn(service.serve_connection(server, Peer::Other));
    let mut raw = Raw::new(io);
    raw.handshake("/", "").await;
    (raw, polls)
}

/// That a minute takes few polls, and the connection is still there behind it.
async fn assert_quiet(raw: &mut Raw<DuplexStream>, polls: &Polls) {
    sleep(secs(1)).await;
    let before = polls.count();
    sleep(secs(60)).await;
    let polled = polls.count() - before;
    assert!(polled <= FEW, "{polled} polls in a minute");
    // Not the end of the stream yet.
    let mut octet = [0; 1];
    if let Ok(read) = timeout(Duration::from_millis(1), raw.io.read(&mut octet)).await {
        assert_eq!(read.unwrap(), 1);
    }
}

/// A handler that keeps its socket and does nothing else for a long time.
async fn asleep(ws: WebSocket) -> support::Handled {
    sleep(secs(10_000)).await;
    drop(ws);
    Ok(())
}

// RT-35
#[tokio::test(start_paused = true)]
async fn rt_35_idle_connection_is_hardly_polled() {
    let (mut raw, polls) = open_counted(&service(patient(), echo), 4096).await;
    raw.send(TEXT, b"hello").await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"hello".to_vec()));
    assert_quiet(&mut raw, &polls).await;
}

// RT-35
#[tokio::test(start_paused = true)]
async fn rt_35_connection_that_answers_pings_is_hardly_polled() {
    let (mut raw, polls) = open_counted(&service(Limits::default(), echo), 4096).await;
    let before = polls.count();
    for _ in 0..3 {
        assert_eq!(raw.frame().await.unwrap().0, PING);
        raw.send(PONG, b"").await;
    }
    assert!(polls.count() - before <= FEW);
}

// RT-35
#[tokio::test(start_paused = true)]
async fn rt_35_connection_whose_receiver_is_another_task_is_hardly_polled() {
    let handler = |ws: WebSocket| async move { tokio::spawn(echo(ws)).await? };
    let (mut raw, polls) = open_counted(&service(patient(), handler), 4096).await;
    raw.send(TEXT, b"hello").await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"hello".to_vec()));
    assert_quiet(&mut raw, &polls).await;
}

// RT-35
#[tokio::test(start_paused = true)]
async fn rt_35_half_a_frame_is_waited_for_without_polling() {
    for cut in [1, 9, 1000] {
        let (mut raw, polls) = open_counted(&service(patient(), echo), 4096).await;
        raw.io.write_all(&masked(BINARY, &[7; 2000])[..cut]).await.unwrap();
        assert_quiet(&mut raw, &polls).await;
    }
}

// RT-35
#[tokio::test(start_paused = true)]
async fn rt_35_close_that_is_not_answered_is_waited_for_without_polling() {
    for waits in [false, true] {
        let handler = move |mut ws: WebSocket| async move {
            ws.close(CloseCode::NORMAL, "")?;
            if waits {
                ws.closed().await;
            }
            Ok(())
        };
        let (mut raw, polls) = open_counted(&service(patient(), handler), 4096).await;
        assert_quiet(&mut raw, &polls).await;
    }
}

// RT-35
#[tokio::test(start_paused = true)]
async fn rt_35_close_that_waits_for_the_handler_is_not_polled_for() {
    for ending in [&masked(CLOSE, &[0x03, 0xe8])[..], &masked(0x83, b"")] {
        let (mut raw, polls) = open_counted(&service(patient(), asleep), 4096).await;
        raw.io.write_all(ending).await.unwrap();
        assert_quiet(&mut raw, &polls).await;
        let (mut raw, polls) = open_counted(&service(patient(), asleep), 4096).await;
        raw.io.write_all(ending).await.unwrap();
        // More behind it that is not read any more.
        raw.io.write_all(&[7; 2000]).await.unwrap();
        assert_quiet(&mut raw, &polls).await;
    }
}

// RT-35
#[tokio::test(start_paused = true)]
async fn rt_35_closed_connection_lingers_without_polling() {
    let (mut raw, polls) = open_counted(&service(patient(), echo), 4096).await;
    raw.send(CLOSE, &[0x03, 0xe8]).await;
    raw.expect_close(1000).await;
    assert_eq!(raw.frame().await, None);
    let before = polls.count();
    sleep(secs(60)).await;
    assert!(polls.count() - before <= FEW);
}

// RT-35
#[tokio::test(start_paused = true)]
async fn rt_35_half_closed_connection_is_over_and_not_polled() {
    // The handler goes on, without a client.
    let (mut raw, polls) = open_counted(&service(patient(), asleep), 4096).await;
    raw.io.shutdown().await.unwrap();
    sleep(secs(1)).await;
    let before = polls.count();
    sleep(secs(60)).await;
    assert!(polls.count() - before <= FEW);

    // Half closed with octets to be written that nobody reads.
    let handler = |mut ws: WebSocket| async move {
        ws.send(vec![7; 100_000]).await?;
        asleep(ws).await
    };
    let (mut raw, polls) = open_counted(&service(patient(), handler), 256).await;
    raw.io.shutdown().await.unwrap();
    sleep(secs(1)).await;
    let before = polls.count();
    sleep(secs(60)).await;
    assert!(polls.count() - before <= FEW);
}

// RT-35
#[tokio::test(start_paused = true)]
async fn rt_35_connection_that_cannot_write_is_hardly_polled() {
    let flooding = |mut ws: WebSocket| async move {
        loop {
            ws.send(vec![7; 10_000]).await?;
        }
    };
    let (mut raw, polls) = open_counted(&service(patient(), flooding), 256).await;
    assert_quiet(&mut raw, &polls).await;

    // With more that is queued all the time.
    let service = service(patient(), asleep);
    let (mut raw, polls) = open_counted(&service, 256).await;
    let clients = service.clients();
    let sender = clients.list()[0].sender();
    sender.send(vec![7; 100_000]).await.unwrap();
    let queueing = tokio::spawn(async move {
        for _ in 0..1000 {
            sleep(Duration::from_millis(100)).await;
            sender.send("more").await.unwrap();
        }
    });
    assert_quiet(&mut raw, &polls).await;
    queueing.abort();
}

// RT-35
#[tokio::test(start_paused = true)]
async fn rt_35_paused_reading_is_not_polled() {
    for elsewhere in [false, true] {
        let handler = move |ws: WebSocket| async move {
            if elsewhere { tokio::spawn(asleep(ws)).await? } else { asleep(ws).await }
        };
        let (mut raw, polls) = open_counted(&service(patient(), handler), 1 << 20).await;
        for _ in 0..1000 {
            raw.send(BINARY, &[7; 500]).await;
        }
        assert_quiet(&mut raw, &polls).await;
    }
}

// RT-35
#[tokio::test(start_paused = true)]
async fn rt_35_request_that_does_not_come_is_waited_for_without_polling() {
    let limits = ServerLimits::default().head_timeout(secs(1000));
    let service = Server::new().server_limits(limits).any(echo).service().unwrap();
    let (mut io, server) = tokio::io::duplex(4096);
    let (server, polls) = counting(server);
    tokio::spawn(service.serve_connection(server, Peer::Other));
    io.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert_quiet(&mut Raw::new(io), &polls).await;
}
