//! What a client has of an answer that is no 101: status, headers and body.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::echo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::Instant,
};
use ws_server::{ClientLimits, Connect, ConnectError, Refusal, Server, WebSocket, connect};

/// A client whose server has its request, and writes what it is given.
async fn asked(
    limits: ClientLimits,
    answer: &[u8],
) -> (DuplexStream, JoinHandle<Result<WebSocket, ConnectError>>) {
    let (mut server, io) = duplex(1 << 20);
    let client = Connect::new("ws://server.example/").client_limits(limits);
    let connecting = tokio::spawn(client.over(io));
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(server.read_u8().await.unwrap());
    }
    server.write_all(answer).await.unwrap();
    (server, connecting)
}

#[track_caller]
fn refusal(outcome: Result<WebSocket, ConnectError>) -> Box<Refusal> {
    match outcome {
        Err(ConnectError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

// R6455C-4.1-w
#[tokio::test(start_paused = true)]
async fn refusal_brings_its_body() {
    for (head, body) in [
        ("401 Unauthorized\r\nContent-Length: 14", "no such token\n"),
        (
            "503 Service Unavailable\r\nTransfer-Encoding: chunked",
            "e\r\nno such token\n\r\n0\r\n\r\n",
        ),
        ("302 Found\r\nLocation: /login", "no such token\n"),
    ] {
        let answer = format!("HTTP/1.1 {head}\r\n\r\n{body}");
        let (mut server, connecting) = asked(ClientLimits::default(), answer.as_bytes()).await;
        server.shutdown().await.unwrap();
        let refusal = refusal(connecting.await.unwrap());
        assert_eq!(refusal.status.as_str(), &head[..3]);
        assert_eq!((&refusal.body[..], refusal.body_is_whole), (&b"no such token\n"[..], true));
    }
}

// R6455C-4.1-w
#[tokio::test]
async fn our_own_server_says_why() {
    let server = Server::new().route("/here", echo).bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/there", server.local_addr().unwrap());
    tokio::spawn(server.serve());
    let refusal = refusal(connect(&url).await);
    assert_eq!(refusal.status, 404);
    assert_eq!(
        (&refusal.body[..], refusal.body_is_whole),
        (&b"there is nothing at this path\n"[..], true)
    );
}

#[tokio::test(start_paused = true)]
async fn body_that_does_not_end_is_waited_for_2_s_and_kept_as_far_as_it_came() {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked", "Connection: close"] {
        let begin = if head.starts_with('T') { "64\r\nbusy" } else { "busy" };
        let answer = format!("HTTP/1.1 503 Service Unavailable\r\n{head}\r\n\r\n{begin}");
        let before = Instant::now();
        let (_server, connecting) = asked(ClientLimits::default(), answer.as_bytes()).await;
        let refusal = refusal(connecting.await.unwrap());
        assert_eq!((&refusal.body[..], refusal.body_is_whole), (&b"busy"[..], false), "{head}");
        let waited = before.elapsed();
        assert!((2..3).contains(&waited.as_secs()), "{head}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_is_told_before_the_connect_timeout_takes_it() {
    let limits = ClientLimits::default().connect_timeout(Duration::from_secs(1));
    let answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 100\r\n\r\nwho";
    let (_server, connecting) = asked(limits, answer).await;
    let refusal = refusal(connecting.await.unwrap());
    assert_eq!((refusal.status.as_u16(), &refusal.body[..]), (401, &b"who"[..]));
}

// RT-02
#[tokio::test(start_paused = true)]
async fn rt_02_endless_body_is_cut() {
    let answer = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 100_000]].concat();
    let before = Instant::now();
    let (_server, connecting) = asked(ClientLimits::default(), &answer).await;
    let refused = refusal(connecting.await.unwrap());
    assert_eq!((refused.body.len(), refused.body_is_whole), (16 * 1024, false));
    assert!(before.elapsed() < Duration::from_secs(1), "nobody waits for the rest");
    let mut limits = ClientLimits::default();
    limits.head.max_refusal_body = 0;
    let (_server, connecting) = asked(limits, b"HTTP/1.1 200 OK\r\n\r\n").await;
    let refused = refusal(connecting.await.unwrap());
    assert_eq!((refused.body.len(), refused.body_is_whole), (0, false));
    assert!(before.elapsed() < Duration::from_secs(1));
}
