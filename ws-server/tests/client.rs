//! The client, against our own server and against octets.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used)]

mod support;

use std::{io, time::Duration};

use support::{CLOSE, PING, PONG, TEXT, echo, service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use ws_handshake::accept_key;
use ws_server::{
    ClientLimits, CloseCode, Closed, ClosedBy, ConfigError, Connect, ConnectError, ConnectQueue,
    Handler, InvalidHeader, Limits, Message, Peer, RequestError, ResponseError, Server, UriError,
    WebSocket, connect,
};
use ws_tests_support::frame::{Frame, unmasked as frame};

/// A server of octets.
struct RawServer {
    io: DuplexStream,
    input: Vec<u8>,
}

impl RawServer {
    /// Connects a client to it, which may have to wait for the answer.
    fn new(client: Connect) -> (Self, JoinHandle<Result<WebSocket, ConnectError>>) {
        let (io, theirs) = duplex(64 * 1024);
        (Self { io, input: Vec::new() }, tokio::spawn(client.over(theirs)))
    }

    /// Opens a connection.
    async fn open(client: Connect) -> (Self, WebSocket) {
        let (mut raw, connecting) = Self::new(client);
        raw.accept("", b"").await;
        (raw, connecting.await.unwrap().unwrap())
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let n = self.io.read(&mut buffer).await.unwrap();
        self.input.extend_from_slice(&buffer[..n]);
        n > 0
    }

    /// The head of the request, behind which nothing comes.
    async fn request(&mut self) -> String {
        while !self.input.ends_with(b"\r\n\r\n") {
            assert!(self.more().await, "{:?}", String::from_utf8_lossy(&self.input));
        }
        String::from_utf8(std::mem::take(&mut self.input)).unwrap()
    }

    /// Reads the request and answers with a 101, with `behind` right behind it; the request.
    async fn accept(&mut self, headers: &str, behind: &[u8]) -> String {
        let request = self.request().await;
        let key = header(&request, "sec-websocket-key").unwrap();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n{headers}\r\n",
            accept_key(key.as_bytes())
        );
        self.io.write_all(&[answer.as_bytes(), behind].concat()).await.unwrap();
        request
    }

    /// Sends an unmasked frame.
    async fn send(&mut self, first: u8, payload: &[u8]) {
        self.io.write_all(&frame(first, payload)).await.unwrap();
    }

    /// The next frame: its first octet, masking key and payload. `None` is the end.
    async fn frame(&mut self) -> Option<(u8, [u8; 4], Vec<u8>)> {
        loop {
            if let Some((frame, len)) = Frame::read(&self.input) {
                self.input.drain(..len);
                let key = frame.key.expect("a client masks");
                return Some((frame.first, key, frame.payload));
            }
            if !self.more().await {
                assert_eq!(self.input, b"");
                return None;
            }
        }
    }

    async fn expect(&mut self, first: u8, payload: &[u8]) {
        let (got, _, body) = self.frame().await.expect("a frame");
        assert_eq!((got, &body[..]), (first, payload));
    }
}

/// The value of a header of a request.
fn header<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    request
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find_map(|(line, value)| line.eq_ignore_ascii_case(name).then_some(value))
}

fn client() -> Connect {
    Connect::new("ws://server.example/chat?room=7")
}

/// A server on a free port, and a URL for it.
async fn serve(handler: impl Handler) -> String {
    let server = Server::new().route("/here", handler).bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/here", server.local_addr().unwrap());
    tokio::spawn(server.serve());
    url
}

/// An answer that is none of a WebSocket, and what the client makes of it.
async fn answered(answer: &[u8]) -> ConnectError {
    let (mut raw, connecting) = RawServer::new(client());
    raw.request().await;
    raw.io.write_all(answer).await.unwrap();
    raw.io.shutdown().await.unwrap();
    let error = connecting.await.unwrap().unwrap_err();
    assert!(!raw.more().await, "the client is gone, and sent nothing");
    error
}

fn tell(closed: &Closed) -> (ClosedBy, u16, bool) {
    (closed.by, closed.code.get(), closed.clean)
}

#[tokio::test]
async fn echo_of_our_own_server_comes_back_in_order() {
    let mut ws = connect(&serve(echo).await).await.unwrap();
    let sizes = [0, 1, 125, 126, 65_535, 65_536, 1_000_000];
    let messages: Vec<Message> = sizes
        .iter()
        .flat_map(|&size| [Message::from("x".repeat(size)), Message::from(vec![7_u8; size])])
        .collect();
    let sender = ws.sender();
    let sent = messages.clone();
    let sending = tokio::spawn(async move {
        for message in sent {
            sender.send(message).await.unwrap();
        }
    });
    for message in messages {
        assert_eq!(ws.recv().await, Some(message));
    }
    sending.await.unwrap();
    ws.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(ws.recv().await, None);
    assert_eq!(tell(&ws.closed().await), (ClosedBy::Local, 1000, true));
}

#[tokio::test]
async fn request_of_a_client_is_what_it_sent() {
    let url = serve(echo).await;
    let ws = Connect::new(&format!("{url}?room=7"))
        .header("X-Token", "secret")
        .origin(&url.replace("ws:", "http:").replace("/here", ""))
        .connect()
        .await
        .unwrap();
    let request = ws.request();
    assert_eq!((request.path(), request.query()), ("/here", Some("room=7")));
    assert_eq!(request.header("x-token").unwrap(), "secret");
    assert!(url.contains(&request.peer().address().unwrap().to_string()));
    assert_eq!((request.subprotocol(), request.extensions()), (None, None));
}

#[tokio::test]
async fn server_that_closes_ends_the_client() {
    let url = serve(|mut ws: WebSocket| async move {
        ws.send("bye").await?;
        ws.close(CloseCode::new(4001), "that was all")?;
        Ok(())
    });
    let mut ws = connect(&url.await).await.unwrap();
    assert_eq!(ws.recv().await, Some("bye".into()));
    assert_eq!(ws.recv().await, None);
    let closed = ws.closed().await;
    assert_eq!(tell(&closed), (ClosedBy::Peer, 4001, true));
    assert_eq!(closed.reason.as_str(), "that was all");
}

#[tokio::test]
async fn client_inside_of_a_handler_makes_a_proxy() {
    let behind = serve(echo).await;
    let proxy = serve(move |mut ws: WebSocket| {
        let behind = behind.clone();
        async move {
            let mut other = connect(&behind).await?;
            loop {
                tokio::select! {
                    message = ws.recv() => match message {
                        Some(message) => other.send(message).await?,
                        None => return Ok(()),
                    },
                    message = other.recv() => match message {
                        Some(message) => ws.send(message).await?,
                        None => return Ok(()),
                    },
                }
            }
        }
    });
    let mut ws = connect(&proxy.await).await.unwrap();
    for i in 0..100 {
        ws.send(i.to_string()).await.unwrap();
    }
    for i in 0..100 {
        assert_eq!(ws.recv().await, Some(i.to_string().into()));
    }
}

// R6455C-4.1-d
#[tokio::test(start_paused = true)]
async fn stream_of_the_application_carries_a_connection() {
    let limits = ClientLimits::default().connect_timeout(Duration::MAX);
    let service = service(Limits::default(), echo);
    for url in ["ws://server.example/", "wss://server.example/"] {
        let (ours, theirs) = duplex(64 * 1024);
        let serving = tokio::spawn(service.serve_connection(theirs, Peer::Other));
        let mut ws = Connect::new(url).client_limits(limits.clone()).over(ours).await.unwrap();
        assert_eq!(ws.request().peer(), Peer::Other);
        ws.send("hello").await.unwrap();
        assert_eq!(ws.recv().await, Some("hello".into()));
        drop(ws);
        assert_eq!(tell(&serving.await.unwrap().unwrap()), (ClosedBy::Peer, 1000, true));
    }
}

#[tokio::test(start_paused = true)]
async fn request_says_what_was_asked_for_and_nothing_comes_behind_it() {
    let client = client().subprotocols(["b", "a"]).header("Cookie", "id=1").origin("http://o");
    let (mut raw, connecting) = RawServer::new(client);
    let request = raw.accept("Sec-WebSocket-Protocol: a\r\n", &frame(TEXT, b"first")).await;
    assert!(request.starts_with("GET /chat?room=7 HTTP/1.1\r\n"), "{request}");
    for (name, value) in [
        ("host", "server.example"),
        ("sec-websocket-protocol", "b, a"),
        ("cookie", "id=1"),
        ("origin", "http://o"),
    ] {
        assert_eq!(header(&request, name), Some(value), "{request}");
    }
    let mut ws = connecting.await.unwrap().unwrap();
    assert_eq!(ws.request().subprotocol(), Some("a"));
    assert_eq!(ws.recv().await, Some("first".into()));
}

// R6455C-4.1-p, R6455C-5.3-b
#[tokio::test(start_paused = true)]
async fn nonces_and_masking_keys_are_new_each_time() {
    let (mut nonces, mut keys) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let (mut raw, connecting) = RawServer::new(client());
        let request = raw.accept("", b"").await;
        nonces.push(header(&request, "sec-websocket-key").unwrap().to_owned());
        let mut ws = connecting.await.unwrap().unwrap();
        for _ in 0..100 {
            ws.send("x").await.unwrap();
            let (first, key, payload) = raw.frame().await.unwrap();
            assert_eq!((first, &payload[..]), (TEXT, &b"x"[..]));
            keys.push(key);
        }
    }
    assert_ne!(nonces[0], nonces[1]);
    keys.sort_unstable();
    keys.dedup();
    assert!(keys.len() > 195, "200 frames had {} keys", keys.len());
}

#[cfg(feature = "deflate")]
#[tokio::test(start_paused = true)]
async fn compression_is_agreed_on() {
    let service = Server::new().any(echo).extension(ws_server::Deflate::default());
    let service = service.service().unwrap();
    let (ours, theirs) = duplex(64 * 1024);
    tokio::spawn(service.serve_connection(theirs, Peer::Other));
    let client = client().extension(ws_server::Deflate::default()).require("permessage-deflate");
    let mut ws = client.over(ours).await.unwrap();
    let agreed = ws.request().extensions().unwrap();
    assert!(agreed.starts_with("permessage-deflate; "), "{agreed}");
    let message = Message::from("compresses well ".repeat(1000));
    for _ in 0..10 {
        ws.send(message.clone()).await.unwrap();
        assert_eq!(ws.recv().await, Some(message.clone()));
    }
}

// R6455C-7.4.1-a
#[cfg(feature = "deflate")]
#[tokio::test(start_paused = true)]
async fn required_extension_that_is_missing_closes_with_1010() {
    let client = client().extension(ws_server::Deflate::default()).require("permessage-deflate");
    let (mut raw, connecting) = RawServer::new(client);
    raw.accept("", b"").await;
    let error = connecting.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, ConnectError::MissingExtensions { names } if *names == ["permessage-deflate".into()]),
        "{error:?}"
    );
    raw.expect(CLOSE, b"\x03\xf2permessage-deflate").await;
    raw.send(CLOSE, b"\x03\xf2").await;
    raw.io.shutdown().await.unwrap();
    assert!(raw.frame().await.is_none());
}

// R6455C-5.5.1-c, R6455C-7.1.1-a
#[tokio::test(start_paused = true)]
async fn client_that_closes_waits_for_the_server_to_close_tcp() {
    let (mut raw, ws) = RawServer::open(client()).await;
    let sender = ws.sender();
    drop(ws);
    raw.expect(CLOSE, b"\x03\xe8").await;
    raw.send(CLOSE, b"\x03\xe8").await;
    let waited = timeout(Duration::from_secs(5), raw.frame()).await;
    assert!(waited.is_err(), "the client leaves it to the server to close TCP");
    let told = timeout(Duration::from_secs(1), sender.closed()).await;
    assert!(told.is_err(), "and is not closed before");
    raw.io.shutdown().await.unwrap();
    assert!(raw.frame().await.is_none());
    assert_eq!(tell(&sender.closed().await), (ClosedBy::Local, 1000, true));
}

// R6455C-5.5.1-c
#[tokio::test(start_paused = true)]
async fn server_that_does_not_close_tcp_is_not_waited_for_longer_than_the_close_timeout() {
    let (mut raw, mut ws) = RawServer::open(client()).await;
    let before = Instant::now();
    raw.send(CLOSE, b"\x03\xe9gone").await;
    assert_eq!(ws.recv().await, None);
    raw.expect(CLOSE, b"\x03\xe9").await;
    assert!(before.elapsed() < Duration::from_secs(1), "the end is told at once");
    assert!(raw.frame().await.is_none());
    assert!(before.elapsed() >= Duration::from_secs(10));
    // It lingers for a while, after the end of its half.
    assert_eq!(tell(&ws.closed().await), (ClosedBy::Peer, 1001, true));
    assert!(before.elapsed() < Duration::from_secs(13));
}

#[tokio::test(start_paused = true)]
async fn server_that_vanishes_is_told_as_1006() {
    for sent in [&b""[..], &frame(TEXT, b"whole"), &frame(TEXT, b"cut")[..3]] {
        let (mut raw, mut ws) = RawServer::open(client()).await;
        raw.io.write_all(sent).await.unwrap();
        drop(raw);
        while ws.recv().await.is_some() {}
        assert_eq!(tell(&ws.closed().await), (ClosedBy::Peer, 1006, false));
    }
}

#[tokio::test(start_paused = true)]
async fn fault_of_the_server_fails_the_connection() {
    let mut limits = Limits::default();
    limits.max_message = 100;
    for (sent, code) in [
        (support::masked(TEXT, b"masked"), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, &[b'x'; 101]), 1009),
    ] {
        let (mut raw, mut ws) = RawServer::open(client().limits(limits.clone())).await;
        raw.io.write_all(&sent).await.unwrap();
        assert_eq!(ws.recv().await, None);
        let (first, _, body) = raw.frame().await.unwrap();
        assert_eq!((first, &body[..2]), (CLOSE, &u16::to_be_bytes(code)[..]));
        raw.io.shutdown().await.unwrap();
        let closed = ws.closed().await;
        assert_eq!((closed.by, closed.code.get()), (ClosedBy::Local, code));
    }
}

#[tokio::test(start_paused = true)]
async fn connection_lives_while_the_application_does_something_else() {
    let (mut raw, mut ws) = RawServer::open(client()).await;
    let application = tokio::spawn(async move {
        ws.send("before").await.unwrap();
        sleep(Duration::from_secs(300)).await;
        let message = ws.recv().await;
        (message, ws)
    });
    raw.expect(TEXT, b"before").await;
    raw.send(PING, b"there?").await;
    raw.expect(PONG, b"there?").await;
    raw.send(TEXT, b"take your time").await;
    // Nothing comes from the server, so it is asked whether it is alive.
    raw.expect(PING, b"").await;
    raw.send(PONG, b"").await;
    let answering = tokio::spawn(async move {
        while let Some((PING, _, payload)) = raw.frame().await {
            raw.send(PONG, &payload).await;
        }
    });
    let (message, ws) = application.await.unwrap();
    assert_eq!(message, Some("take your time".into()));
    drop(ws);
    answering.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn messages_before_a_close_are_answered_before_it_is() {
    let (mut raw, mut ws) = RawServer::open(client()).await;
    raw.io.write_all(&[frame(TEXT, b"a"), frame(CLOSE, b"\x03\xe8")].concat()).await.unwrap();
    sleep(Duration::from_millis(500)).await;
    let message = ws.recv().await.unwrap();
    ws.send(message).await.unwrap();
    assert_eq!(ws.recv().await, None);
    raw.expect(TEXT, b"a").await;
    raw.expect(CLOSE, b"\x03\xe8").await;
}

#[tokio::test(start_paused = true)]
async fn refusal_is_told_with_its_status_and_headers() {
    for (answer, status, name, value) in [
        ("401 Unauthorized\r\nWWW-Authenticate: Basic", 401, "www-authenticate", "Basic"),
        ("404 Not Found\r\nContent-Type: text/html", 404, "content-type", "text/html"),
        ("302 Found\r\nLocation: ws://else.example/", 302, "location", "ws://else.example/"),
        ("200 OK\r\nUpgrade: websocket", 200, "upgrade", "websocket"),
    ] {
        let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 4\r\n\r\nbody");
        match answered(answer.as_bytes()).await {
            ConnectError::Refused(refusal) => {
                assert_eq!(refusal.status.as_u16(), status);
                assert_eq!(refusal.headers[name], value);
            }
            error => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn path_that_our_server_does_not_have_is_refused_with_404() {
    let url = serve(echo).await.replace("/here", "/there");
    let error = connect(&url).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Refused(refusal) if refusal.status == 404), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn answer_that_opens_no_websocket_is_told() {
    let wrong = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
    let error = answered(wrong).await;
    assert!(matches!(error, ConnectError::Response(ResponseError::Accept)), "{error:?}");
    let error = answered(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    assert!(matches!(error, ConnectError::Response(ResponseError::Head(_))), "{error:?}");
    let error = answered(&[b'x'; 20_000]).await;
    assert!(matches!(error, ConnectError::Response(ResponseError::Head(_))), "{error:?}");
    for cut in [&b""[..], b"HTTP/1.1 101 Switching"] {
        let error = answered(cut).await;
        let is_eof = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
        assert!(matches!(&error, ConnectError::Io(error) if is_eof(error)), "{error:?}");
    }
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn secure_url_is_told_before_anything_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let error = connect(&url).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoTls), "{error:?}");
    assert!(timeout(Duration::from_millis(50), listener.accept()).await.is_err());
}

// R6455C-4.1-a
#[tokio::test(start_paused = true)]
async fn mistakes_are_told_before_anything_is_sent() {
    let told = async |client: Connect| {
        let (ours, mut theirs) = duplex(1024);
        let error = client.over(ours).await.unwrap_err();
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
        assert!(!error.to_string().is_empty());
        error
    };
    for (url, fault) in [
        ("http://server.example/", UriError::Scheme),
        ("server.example", UriError::Scheme),
        ("ws://", UriError::Host),
        ("ws://h:0/", UriError::Host),
        ("ws://h/#here", UriError::Fragment),
        ("ws://h/a b", UriError::Path(' ')),
    ] {
        let error = told(Connect::new(url).header("\n", "")).await;
        assert!(matches!(&error, ConnectError::Url(error) if *error == fault), "{url}: {error:?}");
    }
    for (name, value, fault) in [
        ("X-A", "1\r\nX-B: 2", InvalidHeader::Value),
        ("X A", "1", InvalidHeader::Name),
        ("Host", "other", InvalidHeader::Reserved),
        ("Sec-WebSocket-Key", "AAAA", InvalidHeader::Reserved),
    ] {
        let error = told(client().header(name, value)).await;
        assert!(
            matches!(&error, ConnectError::Header { name: at, error } if **at == *name && *error == fault),
            "{error:?}"
        );
    }
    let error = told(client().origin("http://é")).await;
    assert!(matches!(error, ConnectError::Header { .. }), "{error:?}");
    let error = told(client().subprotocols(["a", "a"])).await;
    assert!(matches!(error, ConnectError::Config(ConfigError::Subprotocols(_))), "{error:?}");
    let error = told(client().require("x-missing")).await;
    assert!(
        matches!(error, ConnectError::Request(RequestError::RequiredNotOffered { .. })),
        "{error:?}"
    );
    let limits = ClientLimits::default().connect_timeout(Duration::ZERO);
    let error = told(client().client_limits(limits)).await;
    assert!(
        matches!(
            error,
            ConnectError::Config(ConfigError::ZeroLimit { field: "ClientLimits::connect_timeout" })
        ),
        "{error:?}"
    );
}

// R6455C-4.1-f
#[tokio::test]
async fn port_where_nobody_listens_is_told_and_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    match connect(&format!("ws://{address}/")).await.unwrap_err() {
        ConnectError::Tcp { address: at, error } => {
            assert_eq!(*at, *address);
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
        error => panic!("{error:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn server_that_does_not_answer_is_left_after_the_connect_timeout() {
    let before = Instant::now();
    let (mut raw, connecting) = RawServer::new(client());
    raw.request().await;
    let dribbling = async {
        for octet in b"HTTP/1.1 101 Switching Protocols".iter().cycle() {
            sleep(Duration::from_secs(1)).await;
            if raw.io.write_all(&[*octet]).await.is_err() {
                break;
            }
        }
    };
    let (error, ()) = tokio::join!(connecting, dribbling);
    let error = error.unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { limit } if limit == Duration::from_secs(20)));
    assert!(before.elapsed() < Duration::from_secs(22));
}

#[tokio::test(start_paused = true)]
async fn dropped_call_leaves_nothing_behind() {
    let (mut raw, connecting) = RawServer::new(client());
    raw.request().await;
    connecting.abort();
    assert!(!raw.more().await);
}

// R6455C-4.1-b, R6455C-4.1-c
#[tokio::test(start_paused = true)]
async fn clients_of_a_queue_connect_to_one_host_one_after_the_other() {
    let queue = ConnectQueue::new();
    let (mut one, first) = RawServer::new(client().queue(&queue));
    let (mut two, second) = RawServer::new(client().queue(&queue));
    let (mut three, third) = RawServer::new(client().queue(&queue));
    let (mut other, _) = RawServer::new(Connect::new("ws://other.example/").queue(&queue));
    one.request().await;
    other.request().await;
    assert!(timeout(Duration::from_secs(1), two.request()).await.is_err());
    // One that has failed makes room, as one that is open does.
    drop(one);
    assert!(first.await.unwrap().is_err());
    two.accept("", b"").await;
    let _open = second.await.unwrap().unwrap();
    three.accept("", b"").await;
    third.await.unwrap().unwrap();
}

// R6455C-4.1-b
#[tokio::test]
async fn clients_of_a_queue_connect_to_one_address_one_after_the_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let queue = ConnectQueue::new();
    let spawn = |host: &str| {
        let client = Connect::new(&format!("ws://{host}:{port}/")).queue(&queue);
        tokio::spawn(client.connect())
    };
    // Two names of one address.
    let first = spawn("127.0.0.1");
    let (accepted, _) = listener.accept().await.unwrap();
    let second = spawn("localhost");
    assert!(timeout(Duration::from_millis(100), listener.accept()).await.is_err());
    drop(accepted);
    assert!(first.await.unwrap().is_err());
    drop(listener.accept().await.unwrap());
    assert!(second.await.unwrap().is_err());
}
