//! WebSockets over HTTP/2 (RFC 8441), by a client that is made by hand.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use axum::{
    Router,
    routing::{any, get},
};
use h2::ext::Protocol;
use http::{Request, StatusCode};
use support::{
    BINARY, CLOSE, Http2, PING, PONG, Running, TEXT, connect, echo,
    log::Log,
    raw::{self, ACK, DATA, Frame, HEADERS, PREFACE, SETTINGS},
    run,
};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};
use ws_server::{
    Admit, CloseCode, ClosedBy, Limits, Opening, Rejection, Route, Server, ServerLimits, Service,
    WebSocket,
};
use ws_tests_support::frame;
use ws_tower::WebSocketUpgrade;

/// An echo by a route of the service and by an extractor, and a handler that receives nothing.
fn start() -> (Running, Service) {
    start_with(Server::new())
}

fn start_with(server: Server) -> (Running, Service) {
    let service = server.route("/echo", echo).service().unwrap();
    let extracted =
        any(async |upgrade: WebSocketUpgrade| upgrade.protocols(["v1"]).on_upgrade(echo));
    let deaf = any(async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(|ws: WebSocket| async move {
            ws.closed().await;
        })
    });
    let app = Router::new()
        .route("/extracted", extracted)
        .route("/deaf", deaf)
        .route("/plain", get(async || "plain"))
        .with_state(service.clone())
        .route_service("/echo", ws_tower::service(&service));
    (run(app), service)
}

// R8441-3-a, R8441-5-f, R8441-5-d, R8441-5-g, R8441-5-h
#[tokio::test(start_paused = true)]
async fn r8441_5_websocket_echoes_and_closes_over_http_2() {
    let (running, service) = start();
    let mut http = running.http2(65_535).await;
    for path in ["/echo", "/extracted"] {
        let mut stream = http.open(path).await;
        assert!(stream.headers.get("sec-websocket-accept").is_none());
        assert!(stream.headers.get("upgrade").is_none());
        stream.send(TEXT, b"hello");
        stream.expect(TEXT, b"hello").await;
        stream.send(PING, b"there?");
        stream.expect(PONG, b"there?").await;
        // A frame in many DATA frames, and two frames in one.
        for octet in frame::masked(BINARY, [9, 8, 7, 6], b"in pieces") {
            stream.write(&[octet]);
        }
        stream.expect(BINARY, b"in pieces").await;
        let mut two = frame::masked(0x01, [9, 8, 7, 6], b"frag");
        two.extend(frame::masked(0x80, [9, 8, 7, 6], b"ments"));
        stream.write(&two);
        stream.expect(TEXT, b"fragments").await;
        stream.send(CLOSE, &[3, 232]);
        stream.expect(CLOSE, &[3, 232]).await;
        assert_eq!(stream.frame().await.unwrap(), None, "END_STREAM");
    }
    let plain = Request::get("http://a.example/plain");
    let (answer, _) = http.ask(plain, true).await;
    assert_eq!(answer.status(), StatusCode::OK, "the connection goes on");
    let metrics = service.clients().metrics();
    assert_eq!((metrics.opened, metrics.connections), (2, 0));
}

// RT-12, R8441-5-a, R8441-5-e, R8441-8-a, R8441-4-c
#[tokio::test(start_paused = true)]
async fn rt_12_what_is_refused_over_http_1_is_refused_over_http_2() {
    let server = Server::new().subprotocols(["v1"]);
    let (running, service) = start_with(server);
    let mut http = running.http2(65_535).await;
    for path in ["/echo", "/extracted"] {
        let evil = connect(path).header("origin", "https://evil.example");
        assert_eq!(http.refused(evil).await.0, StatusCode::FORBIDDEN);
        let own = connect(path).header("origin", "http://a.example");
        assert_eq!(http.ask(own, false).await.0.status(), StatusCode::OK);
        let mut old = connect(path);
        old.headers_mut().unwrap().insert("sec-websocket-version", "8".parse().unwrap());
        let (status, headers) = http.refused(old).await;
        assert_eq!(status, StatusCode::UPGRADE_REQUIRED);
        assert_eq!(headers["sec-websocket-version"], "13");
        assert!(headers.get("connection").is_none() && headers.get("upgrade").is_none());
        let (status, headers) = http.refused(Request::get(format!("http://a.example{path}"))).await;
        assert_eq!(
            (status, &headers["allow"]),
            (StatusCode::METHOD_NOT_ALLOWED, &"CONNECT".parse().unwrap())
        );
        let other = connect(path).extension(Protocol::from_static("connect-udp"));
        assert_eq!(http.refused(other).await.0, StatusCode::NOT_IMPLEMENTED);
        let chosen = connect(path).header("sec-websocket-protocol", "v2, v1");
        let (answer, _) = http.ask(chosen, false).await;
        assert_eq!(answer.headers()["sec-websocket-protocol"], "v1");
    }
    assert_eq!(http.refused(connect("/nothing")).await.0, StatusCode::NOT_FOUND);
    assert!(service.clients().metrics().rejected.len() >= 4);
}

// RT-12: a layer may put another answer in its place that is a success, too.
#[tokio::test(start_paused = true)]
async fn rt_12_page_that_a_layer_sends_instead_opens_nothing() {
    let service = Server::new().service().unwrap();
    let open = any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo));
    let instead = axum::middleware::map_response(async |_: axum::response::Response| "maintenance");
    let app = Router::new().route("/", open).with_state(service.clone()).layer(instead);
    let running = run(app);
    let mut http = running.http2(65_535).await;
    let (answer, _send) = http.ask(connect("/"), false).await;
    assert_eq!(answer.status(), StatusCode::OK);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((service.clients().count(), service.clients().metrics().opened), (0, 0));
}

// R8441-5-i
#[tokio::test(start_paused = true)]
async fn r8441_5_i_fault_ends_its_own_stream_and_no_other() {
    let (running, service) = start();
    let mut http = running.http2(65_535).await;
    let (mut good, mut bad, mut gone) =
        (http.open("/echo").await, http.open("/echo").await, http.open("/echo").await);
    bad.write(&frame::unmasked(TEXT, b"unmasked"));
    bad.expect_close(1002).await;
    gone.send.send_reset(h2::Reason::CANCEL);
    good.send(TEXT, b"still here");
    good.expect(TEXT, b"still here").await;
    while service.clients().count() > 1 {
        sleep(Duration::from_millis(10)).await;
    }
    let closed = service.clients().metrics().closed;
    // R8441-5-h: a reset is an end without a Close.
    assert_eq!(closed.get(&(CloseCode::ABNORMAL, ClosedBy::Peer)), Some(&1), "{closed:?}");
    good.send(TEXT, b"and here");
    good.expect(TEXT, b"and here").await;
}

// RT-44, R9113-5.2-a: a hundred on one connection, two of which stand still.
#[tokio::test(start_paused = true)]
async fn r9113_5_2_streams_that_stand_still_do_not_stop_the_others() {
    let (running, service) = start();
    let mut http = running.http2(65_535).await;
    let mut deaf = http.open("/deaf").await;
    // Far more than its window and what is received ahead: the rest waits at the client.
    for _ in 0..64 {
        deaf.send(BINARY, &[7; 16 * 1024]);
    }
    // One whose client does not read: its window is full, and so is its room at the server.
    let mut unread = http.open("/echo").await;
    for _ in 0..64 {
        unread.send(BINARY, &[7; 16 * 1024]);
    }
    sleep(Duration::from_secs(1)).await;
    let mut others = Vec::new();
    for n in 0..98 {
        others.push((n, http.open("/echo").await));
    }
    for round in 0..10 {
        for (n, stream) in &mut others {
            stream.send(BINARY, &vec![*n; 1000 * round]);
        }
        for (n, stream) in &mut others {
            let echo = timeout(Duration::from_secs(5), stream.frame()).await.expect("it goes on");
            assert_eq!(echo.unwrap().unwrap().1, vec![*n; 1000 * round]);
        }
    }
    assert_eq!(service.clients().count(), 100);
    // The one that was not read has lost nothing.
    for _ in 0..64 {
        assert_eq!(unread.frame().await.unwrap().unwrap().1.len(), 16 * 1024);
    }
    drop(deaf);
}

// R9113-6.8-a
#[tokio::test(start_paused = true)]
async fn r9113_6_8_shutdown_says_1001_and_goaway_and_ends() {
    let (running, _service) = start();
    let mut http = running.http2(65_535).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(http.open("/echo").await);
    }
    running.stop.send(()).unwrap();
    for stream in &mut streams {
        stream.expect_close(1001).await;
        stream.send(CLOSE, &[3, 233]);
        assert_eq!(stream.frame().await.unwrap(), None);
    }
    let report = running.report.await.unwrap();
    assert_eq!((report.closed, report.aborted), (10, 0));
    let Http2 { ask, ended } = http;
    drop((ask, streams));
    ended.await.unwrap().unwrap();
}

// A hundred clients that let nothing through: the shutdown ends all the same.
#[tokio::test(start_paused = true)]
async fn shutdown_ends_in_time_for_clients_that_let_nothing_through() {
    let limits = ServerLimits::default().shutdown_timeout(Duration::from_secs(3));
    let (running, service) = start_with(Server::new().server_limits(limits));
    let mut http = running.http2(0).await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        let mut stream = http.open("/echo").await;
        stream.send(TEXT, b"to be echoed into a window of 0");
        streams.push(stream);
    }
    while service.clients().metrics().received.messages < 100 {
        sleep(Duration::from_millis(10)).await;
    }
    running.stop.send(()).unwrap();
    let report = timeout(Duration::from_secs(20), running.report).await.expect("it ends").unwrap();
    assert_eq!((report.closed, report.aborted), (0, 100));
    assert_eq!(service.clients().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn large_messages_pass_under_back_pressure() {
    let limits = Limits::default().max_message(8 << 20);
    let (running, _service) = start_with(Server::new().limits(limits));
    let mut http = running.http2(65_535).await;
    let mut stream = http.open("/echo").await;
    let payload = frame::pattern(5 << 20);
    stream.send(BINARY, &payload);
    let (first, echo) = stream.frame().await.unwrap().unwrap();
    assert_eq!(first, BINARY);
    assert!(echo == payload, "the echo differs");
}

// A CONNECT of another protocol, or of none, is 501 where it reaches us; a router has its own 404. One of
// none has no path, so it reaches a fallback alone.
#[tokio::test(start_paused = true)]
async fn connect_of_another_protocol_or_of_none_gets_501() {
    let service = Server::new().service().unwrap();
    let open = any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo));
    let app =
        Router::new().route("/", open.clone()).fallback_service(open.with_state(service.clone()));
    let running = run(app.with_state(service));
    let mut http = running.http2(65_535).await;
    for protocol in ["connect-udp", "WebSocket", "websocket2"] {
        let other = connect("/").extension(Protocol::from(protocol));
        assert_eq!(http.refused(other).await.0, StatusCode::NOT_IMPLEMENTED, "{protocol}");
    }
    let none = Request::connect("a.example:80");
    assert_eq!(http.refused(none).await.0, StatusCode::NOT_IMPLEMENTED);
    drop(http);

    let (running, _service) = start();
    let mut http = running.http2(65_535).await;
    let none = Request::connect("a.example:80");
    assert_eq!(http.refused(none).await.0, StatusCode::NOT_FOUND, "a router's own");
}

// A route that takes GET alone cannot be seen from outside of the router, but its answer can.
#[tokio::test(start_paused = true)]
async fn route_that_takes_get_alone_is_told_once() {
    let (log, _guard) = Log::capture();
    let service = Server::new().service().unwrap();
    let open = get(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo));
    let running = run(Router::new().route("/chat", open).with_state(service));
    let mut http = running.http2(65_535).await;
    let plain = Request::post("http://a.example/chat");
    assert_eq!(http.refused(plain).await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(log.lines("405").len(), 0, "no WebSocket");
    for _ in 0..3 {
        assert_eq!(http.refused(connect("/chat")).await.0, StatusCode::METHOD_NOT_ALLOWED);
    }
    let lines = log.lines("405");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("/chat") && lines[0].contains("any(..)"), "{lines:?}");
}

// RT-12: gates of a service that is nested in a router, over HTTP/2.
#[tokio::test(start_paused = true)]
async fn rt_12_gates_of_a_nested_service_decide_over_http_2() {
    async fn gate(opening: Opening) -> Result<Admit, Rejection> {
        match opening.request().header("authorization") {
            Some("Bearer ann") => Ok(Admit::new().data("ann").header("x-user", "ann").unwrap()),
            _ => Err(Rejection::unauthorized("Bearer")),
        }
    }
    let hello = |mut ws: WebSocket| async move {
        let name = *ws.data::<&str>().unwrap();
        ws.send(name).await?;
        echo(ws).await
    };
    let service = Server::new().route("/room", Route::new(hello).gate(gate)).service().unwrap();
    let running = run(Router::new().nest_service("/chat", ws_tower::service(&service)));
    let mut http = running.http2(65_535).await;
    for token in [None, Some("Bearer eve")] {
        let mut request = connect("/chat/room");
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let (status, headers) = http.refused(request).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    }
    let allowed = connect("/chat/room").header("authorization", "Bearer ann");
    let (answer, send) = http.ask(allowed, false).await;
    assert_eq!(
        (answer.status(), &answer.headers()["x-user"]),
        (StatusCode::OK, &"ann".parse().unwrap())
    );
    let mut stream = support::Stream::new(answer, send);
    stream.expect(TEXT, b"ann").await;
    stream.send(TEXT, b"hello");
    stream.expect(TEXT, b"hello").await;
    assert_eq!(service.clients().metrics().opened, 1);
}

// RFC 6455 §4.1 has a client wait for the answer. Over HTTP/2 what it sent before lies in the window of its
// own stream, where hyper shows it to nobody: after the answer it cannot be told from what came later. So
// it is taken as frames if the WebSocket opens, and is nobody's if it does not: no octet reaches another
// request, which is what makes such octets dangerous over HTTP/1.1.
#[tokio::test(start_paused = true)]
async fn octets_before_the_answer_are_frames_or_nothing() {
    let service = Server::new().service().unwrap();
    let slow = any(async |upgrade: WebSocketUpgrade| {
        sleep(Duration::from_secs(1)).await;
        upgrade.on_upgrade(echo)
    });
    let refusing = any(async || {
        sleep(Duration::from_secs(1)).await;
        StatusCode::FORBIDDEN
    });
    let app = Router::new().route("/slow", slow).route("/refusing", refusing);
    let running = run(app.with_state(service.clone()));
    let mut io = running.dial();
    io.write_all(PREFACE).await.unwrap();
    io.write_all(&raw::frame(SETTINGS, 0, 0, &[])).await.unwrap();
    Frame::of(SETTINGS, &mut io).await;
    io.write_all(&raw::frame(SETTINGS, ACK, 0, &[])).await.unwrap();
    let early = frame::masked(TEXT, [1, 2, 3, 4], b"early");
    for (path, stream) in [("/refusing", 1), ("/slow", 3)] {
        io.write_all(&raw::connect(path, stream)).await.unwrap();
        io.write_all(&raw::frame(DATA, 0, stream, &early)).await.unwrap();
    }
    let (mut statuses, mut echoes) = (Vec::new(), Vec::new());
    while echoes.is_empty() || statuses.len() < 2 {
        let next = Frame::read(&mut io).await;
        match next.kind {
            HEADERS => statuses.push((next.stream, next.payload[0])),
            DATA if !next.payload.is_empty() => echoes.push((next.stream, next.payload)),
            _ => {}
        }
    }
    statuses.sort_unstable();
    // 200 is in the table of HPACK, 403 is not.
    assert!(
        statuses[0].0 == 1 && statuses[0].1 != 0x88 && statuses[1] == (3, 0x88),
        "{statuses:?}"
    );
    assert_eq!(echoes, [(3, frame::unmasked(TEXT, b"early"))]);
    assert_eq!(service.clients().metrics().opened, 1);
}
