//! The shutdown of a server: its WebSockets, its connections, and the requests in progress.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used)]

mod support;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    routing::{any, get},
};
use http::StatusCode;
use support::{
    CLOSE, Running, TEXT, connect, echo,
    raw::{self, ACK, DATA, Frame, GOAWAY, HEADERS, PING, PREFACE, SETTINGS},
    run, run_with,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use ws_server::{CloseCode, Server, ServerLimits, Service, WebSocket};
use ws_tests_support::{
    frame::{masked, unmasked},
    handshake,
};
use ws_tower::{WebSocketUpgrade, serve};

const KEY: [u8; 4] = [1, 2, 3, 4];

fn service() -> Service {
    let limits = ServerLimits::default().shutdown_spread(None);
    Server::new().server_limits(limits).route("/mounted", echo).service().unwrap()
}

fn extracted<S>(service: &Service) -> Router<S> {
    let open = any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo));
    Router::new().route("/", open).with_state(service.clone())
}

/// A WebSocket over HTTP/1.1.
async fn open(running: &Running, path: &str) -> DuplexStream {
    let mut io = running.dial();
    io.write_all(handshake::request(path, "").as_bytes()).await.unwrap();
    assert!(head(&mut io).await.starts_with("HTTP/1.1 101 "), "{path}");
    io
}

async fn head(io: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

// Nobody names them: the server knows whose WebSockets it has opened.
#[tokio::test(start_paused = true)]
async fn services_of_all_websockets_end_with_the_server() {
    let [one, two, three, unused] = [(); 4].map(|()| service());
    let app = Router::new()
        .nest("/one", extracted(&one))
        .nest_service("/two", ws_tower::service(&two))
        .nest("/deep", Router::new().nest("/three", extracted(&three)))
        .nest("/unused", extracted(&unused));
    let running = run(app);
    let paths = ["/one", "/two/mounted", "/deep/three", "/one"];
    let mut clients = Vec::new();
    for path in paths {
        clients.push(open(&running, path).await);
    }
    let mut http = running.http2(65_535).await;
    let mut streams = Vec::new();
    for path in paths {
        streams.push(http.open(path).await);
    }
    running.stop.send(()).unwrap();
    for io in &mut clients {
        let expected = unmasked(CLOSE, b"\x03\xe9server shuts down");
        let mut close = vec![0; expected.len()];
        io.read_exact(&mut close).await.unwrap();
        assert_eq!(close, expected);
        io.write_all(&masked(CLOSE, KEY, &[3, 233])).await.unwrap();
    }
    for stream in &mut streams {
        stream.expect_close(1001).await;
        stream.send(CLOSE, &[3, 233]);
    }
    let report = running.report.await.unwrap();
    assert_eq!((report.closed, report.aborted), (8, 0));
    for service in [&one, &two, &three] {
        assert_eq!(service.clients().count(), 0);
    }
    // It opened nothing here, and goes on elsewhere.
    let client = client_of(&unused).await;
    assert_eq!(unused.clients().count(), 1);
    drop(client);
}

/// A WebSocket of a service without this crate.
async fn client_of(service: &Service) -> DuplexStream {
    let (mut client, io) = tokio::io::duplex(4096);
    tokio::spawn(service.serve_connection(io, ws_server::Peer::Other));
    client.write_all(handshake::request("/mounted", "").as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
    client
}

// The requests of a connection go on during the shutdown, but open nothing any more.
#[tokio::test(start_paused = true)]
async fn websocket_that_is_accepted_during_the_shutdown_gets_503() {
    let (service, go) = (service(), Arc::new(Notify::new()));
    let wait = Arc::clone(&go);
    let slow = any(async move |upgrade: WebSocketUpgrade| {
        wait.notified().await;
        upgrade.on_upgrade(echo)
    });
    let running = run(Router::new().route("/", slow).with_state(service.clone()));
    let mut io = running.dial();
    io.write_all(handshake::request("/", "").as_bytes()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    running.stop.send(()).unwrap();
    sleep(Duration::from_secs(1)).await;
    go.notify_waiters();
    let answer = head(&mut io).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after"), "{answer}");
    assert_eq!(running.report.await.unwrap().closed, 0);
    assert_eq!((service.clients().count(), service.clients().metrics().opened), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn requests_in_progress_are_answered_until_the_deadline() {
    let after = |seconds| {
        get(async move || {
            sleep(Duration::from_secs(seconds)).await;
            "late"
        })
    };
    let app = Router::new().route("/3", after(3)).route("/30", after(30));
    let running = run_with(|channel| serve(channel, app).shutdown_timeout(Duration::from_secs(7)));
    let mut ios = Vec::new();
    for path in ["/3", "/30"] {
        let mut io = running.dial();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a.example\r\n\r\n");
        io.write_all(request.as_bytes()).await.unwrap();
        ios.push(io);
    }
    let mut http = running.http2(65_535).await;
    let [soon, late] = ["/3", "/30"].map(|path| {
        let request = http::Request::get(format!("http://a.example{path}")).body(()).unwrap();
        http.ask.send_request(request, true).unwrap().0
    });
    sleep(Duration::from_secs(1)).await;
    let at = Instant::now();
    running.stop.send(()).unwrap();
    assert!(head(&mut ios[0]).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(soon.await.unwrap().status(), StatusCode::OK);
    let report = running.report.await.unwrap();
    assert_eq!((report.closed, report.aborted), (0, 0));
    let took = at.elapsed().as_secs_f64();
    assert!((7.0..8.0).contains(&took), "{took}");
    assert_eq!(ios[1].read(&mut [0; 9]).await.unwrap_or(0), 0, "it ended unanswered");
    assert!(late.await.is_err());
}

/// A connection of HTTP/2 with a WebSocket on stream 1.
async fn raw_websocket(running: &Running) -> DuplexStream {
    let mut io = running.dial();
    io.write_all(PREFACE).await.unwrap();
    io.write_all(&raw::frame(SETTINGS, 0, 0, &[])).await.unwrap();
    Frame::of(SETTINGS, &mut io).await;
    io.write_all(&raw::frame(SETTINGS, ACK, 0, &[])).await.unwrap();
    io.write_all(&raw::connect("/", 1)).await.unwrap();
    // The index of ":status: 200" (RFC 7541, appendix A).
    assert_eq!(Frame::of(HEADERS, &mut io).await.payload[0], 0x88);
    io
}

// R9113-6.8-a: octet by octet. GOAWAY and 1001 come together; then each has its deadline.
#[tokio::test(start_paused = true)]
async fn r9113_6_8_goaway_and_1001_come_together() {
    let service = service();
    let running = run(extracted(&service));
    let mut io = raw_websocket(&running).await;
    let mut deaf = raw_websocket(&running).await;
    let at = Instant::now();
    running.stop.send(()).unwrap();
    let (mut goaways, mut close) = (Vec::new(), None);
    while goaways.is_empty() || close.is_none() {
        let next = Frame::read(&mut io).await;
        match next.kind {
            // RFC 9113 §6.8: first it may carry the last stream there can be, "and a NO_ERROR code".
            GOAWAY => goaways.push(next.payload),
            DATA => close = Some(next.payload),
            PING => io.write_all(&raw::frame(PING, ACK, 0, &next.payload)).await.unwrap(),
            kind => assert_eq!(kind, SETTINGS),
        }
    }
    assert!(at.elapsed() < Duration::from_millis(100), "{:?}", at.elapsed());
    assert_eq!(goaways[0], [0x7f, 255, 255, 255, 0, 0, 0, 0]);
    assert_eq!(close.unwrap(), unmasked(CLOSE, b"\x03\xe9server shuts down"));
    // The stream goes on meanwhile, and ends as ever; then the connection does.
    let close = masked(CLOSE, KEY, &[3, 233]);
    io.write_all(&raw::frame(DATA, raw::END_STREAM, 1, &close)).await.unwrap();
    let mut ended = false;
    while let Some(next) = Frame::next(&mut io).await {
        match next.kind {
            DATA => ended |= next.flags & raw::END_STREAM != 0,
            GOAWAY => goaways.push(next.payload),
            PING => io.write_all(&raw::frame(PING, ACK, 0, &next.payload)).await.unwrap(),
            _ => {}
        }
    }
    assert!(ended, "END_STREAM");
    assert_eq!(goaways.last().unwrap()[..8], [0, 0, 0, 1, 0, 0, 0, 0]);
    assert!(at.elapsed() < Duration::from_secs(2), "{:?}", at.elapsed());
    // The one that answers nothing is dropped at the deadline.
    let mut rest = Vec::new();
    timeout(Duration::from_secs(60), deaf.read_to_end(&mut rest)).await.unwrap().ok();
    let took = at.elapsed();
    assert!(took > Duration::from_secs(2) && took < Duration::from_secs(15), "{took:?}");
    let report = running.report.await.unwrap();
    assert_eq!(report.closed + report.aborted, 2, "{report}");
}

// As users of axum know it.
#[tokio::test]
async fn server_can_be_awaited() {
    async fn run(listener: ws_tower::ws_server::Tcp, app: Router) -> std::io::Result<()> {
        ws_tower::serve(listener, app).await?;
        Ok(())
    }
    let listener = ws_server::Tcp::bind("127.0.0.1:0").await.unwrap();
    let address = ws_server::Listener::local_addr(&listener).unwrap();
    let server = tokio::spawn(run(listener, Router::new()));
    let mut io = tokio::net::TcpStream::connect(address).await.unwrap();
    io.write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").await.unwrap();
    assert_eq!(io.read_u8().await.unwrap(), b'H');
    server.abort();
    io.read_to_end(&mut Vec::new()).await.ok();
}

// What a handler waits for at the shutdown ends with its connection.
#[tokio::test(start_paused = true)]
async fn handlers_that_wait_learn_of_the_shutdown() {
    let service = service();
    let told = Arc::new(Notify::new());
    let tell = Arc::clone(&told);
    let wait = any(async move |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async move |ws: WebSocket| {
            assert_eq!(ws.closed().await.code, CloseCode::GOING_AWAY);
            tell.notify_one();
        })
    });
    let running = run(Router::new().route("/", wait).with_state(service));
    let mut http = running.http2(65_535).await;
    let mut stream = http.open("/").await;
    stream.send(TEXT, b"nobody receives it");
    let (refused, _) = http.ask(connect("/none"), true).await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    running.stop.send(()).unwrap();
    stream.expect_close(1001).await;
    stream.send(CLOSE, &[3, 233]);
    told.notified().await;
    running.report.await.unwrap();
}
