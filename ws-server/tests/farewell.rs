//! How TCP ends behind a closing handshake: at once where nothing is left to be read, and in stages
//! where a reset would destroy what the server said last.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use support::{CLOSE, PING, PONG, Raw, TEXT, echo, limits, masked, service};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};
use ws_server::{Closed, Handler, Limits, Peer, WebSocket};

/// Lingering that a test would wait for in vain.
fn patient() -> Limits {
    limits(|limits| limits.linger_timeout = Duration::from_secs(1000))
}

/// Far longer than it takes where nobody lingers.
const SOON: Duration = Duration::from_secs(20);

type Served = JoinHandle<Option<Closed>>;

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

async fn open_over_tcp(handler: impl Handler) -> (Raw<TcpStream>, Served) {
    let (client, server) = sockets().await;
    let task = tokio::spawn(service(patient(), handler).serve_connection(server, Peer::Other));
    let mut raw = Raw::new(client);
    raw.handshake("/", "").await;
    (raw, task)
}

// R6455-7.1.1-c
#[tokio::test]
async fn server_hangs_up_at_once_when_both_have_said_close() {
    let (mut raw, task) = open_over_tcp(echo).await;
    raw.io.write_all(&[masked(TEXT, b"a"), masked(CLOSE, &[0x03, 0xe8])].concat()).await.unwrap();
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"a".to_vec()));
    raw.expect_close(1000).await;
    assert_eq!(raw.frame().await, None);
    // The client still holds its end.
    let closed = timeout(SOON, task).await.expect("it does not linger").unwrap().unwrap();
    assert!(closed.clean);
}

// R6455-7.1.1-c
#[tokio::test]
async fn server_that_closes_first_hangs_up_at_once_when_it_is_answered() {
    let (mut raw, task) = open_over_tcp(|_: WebSocket| async { Ok(()) }).await;
    raw.expect_close(1000).await;
    raw.send(CLOSE, &[0x03, 0xe8]).await;
    assert_eq!(raw.io.read(&mut [0; 1]).await.unwrap(), 0);
    timeout(SOON, task).await.expect("it does not linger").unwrap().unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn server_hangs_up_at_once_over_a_unix_socket_too() {
    let (client, server) = tokio::net::UnixStream::pair().unwrap();
    let task = tokio::spawn(service(patient(), echo).serve_connection(server, Peer::Unix));
    let mut raw = Raw::new(client);
    raw.handshake("/", "").await;
    raw.send(CLOSE, &[0x03, 0xe8]).await;
    raw.expect_close(1000).await;
    assert_eq!(raw.frame().await, None);
    timeout(SOON, task).await.expect("it does not linger").unwrap().unwrap();
}

// R6455-5.5.2-a, R6455-7.1.1-c: a Pong is sent "unless it already received a Close frame".
#[tokio::test]
async fn pong_that_meets_our_close_under_way_resets_nothing() {
    let mut limits = patient();
    limits.ping_interval = Duration::from_millis(50);
    let (client, server) = sockets().await;
    let mut task = tokio::spawn(service(limits, echo).serve_connection(server, Peer::Other));
    let mut raw = Raw::new(client);
    raw.handshake("/", "").await;
    assert_eq!(raw.frame().await.unwrap().0, PING);
    raw.io.write_all(&masked(CLOSE, &[0x03, 0xe8])).await.unwrap();
    raw.expect_close(1000).await;
    assert_eq!(raw.frame().await, None);
    timeout(Duration::from_millis(200), &mut task).await.expect_err("it lingers");
    raw.io.write_all(&masked(PONG, b"")).await.unwrap();
    raw.io.shutdown().await.unwrap();
    assert!(timeout(SOON, task).await.unwrap().unwrap().unwrap().clean);
    assert!(raw.io.take_error().unwrap().is_none());
}

#[tokio::test]
async fn handler_that_goes_on_does_not_hold_back_the_close() {
    let (release, released) = oneshot::channel::<()>();
    let released = std::sync::Mutex::new(Some(released));
    let (mut raw, task) = open_over_tcp(move |mut ws: WebSocket| {
        let released = released.lock().unwrap().take().unwrap();
        async move {
            while ws.recv().await.is_some() {}
            released.await?;
            Ok(())
        }
    })
    .await;
    raw.send(CLOSE, &[0x03, 0xe8]).await;
    timeout(SOON, raw.expect_close(1000)).await.expect("a Close");
    assert_eq!(timeout(SOON, raw.frame()).await.expect("the end of the stream"), None);
    assert!(!task.is_finished());
    release.send(()).unwrap();
    timeout(SOON, task).await.expect("it does not linger").unwrap().unwrap();
}

/// Reads what is there after a while, in which a reset would have come.
async fn read_late(mut raw: Raw<TcpStream>) -> Vec<u8> {
    sleep(Duration::from_millis(100)).await;
    let mut octets = Vec::new();
    raw.io.read_to_end(&mut octets).await.expect("no reset");
    octets
}

// R6455-7.1.1-a, D-9
#[tokio::test]
async fn octets_behind_a_close_do_not_destroy_the_answer_to_it() {
    for behind in [1, 100, 100_000, 1_000_000] {
        let (mut raw, task) = open_over_tcp(echo).await;
        let octets = [masked(CLOSE, &[0x03, 0xe8]), vec![7; behind]].concat();
        raw.io.write_all(&octets).await.unwrap();
        assert_eq!(read_late(raw).await, [CLOSE, 2, 0x03, 0xe8], "{behind}");
        task.await.unwrap().unwrap();
    }
}

// R6455-7.1.1-a, D-9
#[tokio::test]
async fn octets_behind_a_fault_do_not_destroy_the_close_that_tells_of_it() {
    for behind in [0, 100, 1_000_000] {
        let (mut raw, task) = open_over_tcp(echo).await;
        // A reserved opcode.
        let octets = [masked(0x83, b""), vec![7; behind]].concat();
        raw.io.write_all(&octets).await.unwrap();
        let read = read_late(raw).await;
        assert_eq!((read[0], &read[2..4]), (CLOSE, &[0x03, 0xea][..]), "{behind}");
        task.await.unwrap().unwrap();
    }
}

// R6455-7.1.1-a, D-9
#[tokio::test]
async fn octets_that_follow_the_close_of_a_fault_do_not_destroy_it() {
    let (mut raw, task) = open_over_tcp(echo).await;
    raw.send(0x83, b"").await;
    // It does not know yet.
    for _ in 0..10 {
        sleep(Duration::from_millis(5)).await;
        raw.send(TEXT, &[7; 1000]).await;
    }
    let read = read_late(raw).await;
    assert_eq!((read[0], &read[2..4]), (CLOSE, &[0x03, 0xea][..]));
    task.await.unwrap().unwrap();
}

/// A stream around a socket, as that of TLS: what it has read says nothing of what is in the socket.
struct Around(TcpStream);

impl AsyncRead for Around {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Around {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Its own farewell, in front of the end.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = Pin::new(&mut self.0).poll_write(cx, b"bye");
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn stream_around_a_socket_is_closed_in_stages() {
    let (client, server) = sockets().await;
    let task = tokio::spawn(service(patient(), echo).serve_connection(Around(server), Peer::Other));
    let mut raw = Raw::new(client);
    raw.handshake("/", "").await;
    raw.send(CLOSE, &[0x03, 0xe8]).await;
    raw.expect_close(1000).await;
    let mut last = [0; 3];
    raw.read_exact(&mut last).await;
    assert_eq!(&last, b"bye");
    // What still comes of the client is taken.
    sleep(Duration::from_millis(100)).await;
    assert!(!task.is_finished());
    raw.io.write_all(b"bye").await.unwrap();
    assert_eq!(raw.io.read(&mut last).await.expect("no reset"), 0);
    drop(raw);
    timeout(SOON, task).await.expect("the end of lingering").unwrap().unwrap();
}
