//! Requests that another HTTP implementation has read, and streams that it gives back.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use http::{Method, Request, StatusCode, Version, request::Parts};
use support::{CLOSE, PING, PONG, Raw, TEXT, echo, masked};
use tokio::{
    io::duplex,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use ws_server::{
    Accepted, Admit, Bytes, CloseCode, Closed, ClosedBy, HandlerError, Opening, Options,
    OriginPolicy, Peer, Route, SendError, Server, ServerLimits, Service, Subprotocols, WebSocket,
};

/// A request as an HTTP implementation shows it.
fn request(path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::get(path)
        .header("Host", "a.example")
        .header("Upgrade", "websocket")
        .header("Connection", "keep-alive, Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn address(n: u8) -> Peer {
    Peer::Tcp(SocketAddr::from((Ipv4Addr::new(10, 0, 0, n), 1)))
}

fn service(limits: ServerLimits) -> Service {
    Server::new()
        .route("/echo", echo)
        .subprotocols(["chat"])
        .server_limits(limits)
        .service()
        .unwrap()
}

/// Drives it over a stream in memory.
fn drive(accepted: Accepted) -> (Raw, JoinHandle<Option<Closed>>) {
    let (client, server) = duplex(64 * 1024);
    (Raw::new(client), tokio::spawn(accepted.drive(server, Bytes::new())))
}

#[tokio::test(start_paused = true)]
async fn accepted_request_is_answered_and_its_stream_is_driven() {
    let service = service(ServerLimits::default());
    let headers = [("Sec-WebSocket-Protocol", "chat"), ("X-Trace", "7")];
    let accepted = service.upgrade(&request("/echo?room=7", &headers), address(1)).await.unwrap();
    let response = accepted.response();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    // RFC 6455 §1.3
    assert_eq!(response.headers()["Sec-WebSocket-Accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "chat");
    assert_eq!(response.headers()["Upgrade"], "websocket");
    let seen = accepted.request();
    assert_eq!((seen.path(), seen.query()), ("/echo", Some("room=7")));
    assert_eq!((seen.subprotocol(), seen.header("x-trace")), (Some("chat"), Some("7")));
    assert_eq!(seen.peer(), address(1));
    assert_eq!(service.clients().count(), 1, "it is listed before it is driven");

    let id = accepted.id();
    let (mut raw, task) = drive(accepted);
    raw.send(TEXT, b"hello").await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"hello".to_vec()));
    assert_eq!(service.clients().get(id).unwrap().request().path(), "/echo");
    raw.send(CLOSE, &[3, 232]).await;
    assert_eq!(raw.frame().await.unwrap(), (CLOSE, vec![3, 232]));
    assert_eq!(task.await.unwrap().unwrap().code, CloseCode::NORMAL);
    assert_eq!(service.clients().count(), 0);
}

// RT-54
#[tokio::test(start_paused = true)]
async fn what_is_revoked_before_the_connection_is_driven_is_revoked_for_it() {
    let gate = |_: Opening| async { Ok(Admit::new().subscribe("user/ann")) };
    let server = Server::new().route("/echo", Route::new(echo).gate(gate));
    let service = server.service().unwrap();
    let clients = service.clients();
    let accepted = service.upgrade(&request("/echo", &[]), address(1)).await.unwrap();
    // The 101 is on its way.
    let [client] = &clients.subscribed("user/ann")[..] else { panic!("{clients:?}") };
    client.sender().close(CloseCode::POLICY_VIOLATION, "signed out").unwrap();
    let (mut raw, task) = drive(accepted);
    raw.send(TEXT, b"hello").await;
    raw.expect_close(1008).await;
    raw.send(CLOSE, &1008_u16.to_be_bytes()).await;
    assert_eq!(task.await.unwrap().unwrap().code, CloseCode::POLICY_VIOLATION);

    // One that is never driven was never open.
    let accepted = service.upgrade(&request("/echo", &[]), address(1)).await.unwrap();
    clients.publish("user/ann", "hello");
    assert_eq!((clients.count(), clients.subscribers("user/ann")), (1, 1));
    drop(accepted);
    assert_eq!((clients.count(), clients.subscribers("user/ann")), (0, 0));
    let metrics = clients.metrics();
    assert_eq!((metrics.opened, metrics.connections), (1, 0));
}

#[tokio::test]
async fn each_rejection_is_a_response_that_says_why() {
    let service = Server::new().route("/echo", echo).hosts(["a.example"]).service().unwrap();
    let rejected = async |request: Parts| service.upgrade(&request, Peer::Other).await.unwrap_err();

    let foreign = rejected(request("/echo", &[("Origin", "https://evil.example")])).await;
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    assert!(!foreign.body().is_empty());
    assert_eq!(rejected(request("/other", &[])).await.status(), StatusCode::NOT_FOUND);

    let mut plain = request("/echo", &[]);
    plain.headers.remove("Upgrade");
    let plain = rejected(plain).await;
    assert_eq!(plain.status(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(plain.headers()["Sec-WebSocket-Version"], "13");

    let mut post = request("/echo", &[]);
    post.method = Method::POST;
    assert_eq!(rejected(post).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    let mut newer = request("/echo", &[]);
    newer.version = Version::HTTP_2;
    assert_eq!(rejected(newer).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    let mut elsewhere = request("/echo", &[]);
    elsewhere.headers.insert("Host", "b.example".parse().unwrap());
    assert_eq!(rejected(elsewhere).await.status(), StatusCode::MISDIRECTED_REQUEST);

    let metrics = service.clients().metrics();
    assert_eq!(
        metrics.rejected.iter().map(|rejected| rejected.count).sum::<u64>(),
        6,
        "{metrics:?}"
    );
}

// T-B1
#[tokio::test(start_paused = true)]
async fn limits_on_connections_count_requests_and_streams_together() {
    let limits = ServerLimits::default().max_connections(2);
    let service = service(limits);
    let asked = request("/echo", &[]);
    let (first, _task) = drive(service.upgrade(&asked, address(1)).await.unwrap());
    let (_second, _other) = support::open_with(&service, "/echo", "", 4096).await;
    let full = service.upgrade(&asked, address(3)).await.unwrap_err();
    assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(full.headers()["Retry-After"], "10");

    drop(first);
    sleep(Duration::from_secs(1)).await;
    service.upgrade(&asked, address(3)).await.map(drop).unwrap();
}

#[tokio::test]
async fn accepted_request_that_is_dropped_unused_gives_its_place_back() {
    let limits = ServerLimits::default().max_per_ip(1);
    let service = service(limits);
    let asked = request("/echo", &[]);
    for _ in 0..3 {
        let accepted = service.upgrade(&asked, address(1)).await.unwrap();
        let full = service.upgrade(&asked, address(1)).await.unwrap_err();
        assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(accepted);
        // Or one that was to be driven, and never was.
        let accepted = service.upgrade(&asked, address(1)).await.unwrap();
        drop(accepted.drive(duplex(1).0, Bytes::new()));
        assert_eq!(service.clients().count(), 0);
    }
    assert_eq!(service.clients().metrics().opened, 0);
}

#[tokio::test(start_paused = true)]
async fn accepted_request_that_is_never_driven_has_an_end_and_delays_nobody() {
    let service = service(ServerLimits::default());
    let clients = service.clients();
    let accepted = service.upgrade(&request("/echo", &[]), address(1)).await.unwrap();
    let client = clients.get(accepted.id()).unwrap();
    client.subscribe("topic").unwrap();
    for _ in 0..5 {
        let wait = clients.publish_wait("topic", vec![7; 70_000]);
        timeout(Duration::from_secs(21), wait).await.expect("it is passed over");
    }
    let (sender, flushing) = (client.sender(), client.sender());
    let flush = tokio::spawn(async move { flushing.flush().await });
    sleep(Duration::from_millis(1)).await;
    drop(accepted);
    let hour = Duration::from_secs(3600);
    assert_eq!(timeout(hour, flush).await.unwrap().unwrap(), Err(SendError::Closed));
    let closed = timeout(hour, sender.closed()).await.unwrap();
    assert_eq!((closed.code, closed.by), (CloseCode::ABNORMAL, ClosedBy::Local));
}

#[tokio::test(start_paused = true)]
async fn octets_read_ahead_are_frames() {
    let service = service(ServerLimits::default());
    let accepted = service.upgrade(&request("/echo", &[]), Peer::Other).await.unwrap();
    let (client, server) = duplex(4096);
    let mut raw = Raw::new(client);
    let early = [masked(TEXT, b"early"), masked(PING, b"?"), masked(TEXT, b"cut")].concat();
    let (early, late) = early.split_at(early.len() - 2);
    tokio::spawn(accepted.drive(server, Bytes::copy_from_slice(early)));
    let (one, other) = (raw.frame().await.unwrap(), raw.frame().await.unwrap());
    assert!([&one, &other].contains(&&(TEXT, b"early".to_vec())), "{one:?} {other:?}");
    assert!([&one, &other].contains(&&(PONG, b"?".to_vec())), "{one:?} {other:?}");
    tokio::io::AsyncWriteExt::write_all(&mut raw.io, late).await.unwrap();
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"cut".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn opened_request_is_given_its_handler_later() {
    // No route, and no handler for any path.
    let service = Server::new().subprotocols(["chat"]).service().unwrap();
    let asked = request("/anywhere", &[("Sec-WebSocket-Protocol", "v2, chat")]);
    let accepted = service.open(&asked, Peer::Other, Options::default()).unwrap();
    assert_eq!(accepted.response().headers()["Sec-WebSocket-Protocol"], "chat");

    let own = Subprotocols::new(["v2"]).unwrap();
    let options = Options::default().subprotocols(own);
    let accepted = service.open(&asked, Peer::Other, options).unwrap();
    assert_eq!(accepted.response().headers()["Sec-WebSocket-Protocol"], "v2");
    let greeting = String::from("hello");
    // It is called once, so it may give away what it holds.
    let (mut raw, task) = drive(accepted.with(|mut ws| async move {
        ws.send(greeting).await?;
        while ws.recv().await.is_some() {}
        Ok(())
    }));
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"hello".to_vec()));
    raw.send(CLOSE, &[3, 232]).await;
    assert_eq!(task.await.unwrap().unwrap().code, CloseCode::NORMAL);

    let foreign = request("/", &[("Origin", "https://evil.example")]);
    let refused = service.open(&foreign, Peer::Other, Options::default()).unwrap_err();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let welcome = Options::default().origin(OriginPolicy::any());
    service.open(&foreign, Peer::Other, welcome).map(drop).unwrap();
    let no_route = service.upgrade(&asked, Peer::Other).await.unwrap_err();
    assert_eq!(no_route.status(), StatusCode::NOT_FOUND);
}

async fn panicking(_ws: WebSocket) -> Result<(), HandlerError> {
    panic!("on purpose")
}

#[tokio::test(start_paused = true)]
async fn handler_given_later_may_return_nothing_fail_or_panic() {
    let service = service(ServerLimits::default());
    let accepted = async || service.upgrade(&request("/echo", &[]), Peer::Other).await.unwrap();
    let code = async |accepted: Accepted| {
        let (mut raw, _task) = drive(accepted);
        let (first, payload) = raw.frame().await.unwrap();
        assert_eq!(first, CLOSE);
        u16::from_be_bytes([payload[0], payload[1]])
    };
    assert_eq!(code(accepted().await.with(|_ws| async {})).await, 1000);
    assert_eq!(code(accepted().await.with(|_ws| async { Ok(()) })).await, 1000);
    let fails = accepted().await.with(|_ws| async { Err(HandlerError::from("no")) });
    assert_eq!(code(fails).await, 1011);
    let panics = accepted().await.with(panicking);
    assert_eq!(code(panics).await, 1011);
    let panics = accepted().await.with(|_ws| -> std::future::Ready<()> { panic!("on purpose") });
    assert_eq!(code(panics).await, 1011);
    let none = service.open(&request("/", &[]), Peer::Other, Options::default()).unwrap();
    assert_eq!(code(none).await, 1011, "no handler was given");
}

#[tokio::test(start_paused = true)]
async fn shutdown_closes_all_whoever_brought_their_streams() {
    let service = service(ServerLimits::default());
    let asked = request("/echo", &[]);
    let unused = service.upgrade(&asked, Peer::Other).await.unwrap();
    let (mut brought, _one) = drive(service.upgrade(&asked, Peer::Other).await.unwrap());
    let (mut own, _two) = support::open_with(&service, "/echo", "", 4096).await;
    let (mut silent, three) = drive(service.upgrade(&asked, Peer::Other).await.unwrap());
    brought.send(TEXT, b"hi").await;
    brought.frame().await.unwrap();
    silent.send(TEXT, b"hi").await;
    silent.frame().await.unwrap();

    let begun = Instant::now();
    let shutdown = tokio::spawn(service.shutdown());
    for raw in [&mut brought, &mut own] {
        let (first, payload) = raw.frame().await.unwrap();
        assert_eq!((first, &payload[..2]), (CLOSE, &[3, 233][..]));
        raw.send(CLOSE, &[3, 233]).await;
    }
    let refused = service.upgrade(&asked, Peer::Other).await.unwrap_err();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let report = shutdown.await.unwrap();
    assert_eq!((report.closed, report.aborted), (2, 1));
    // Of `ServerLimits::shutdown_timeout`; an aborted connection is gone with the report.
    assert!(begun.elapsed() >= Duration::from_secs(10));
    assert!(three.await.unwrap().is_some_and(|closed| closed.code == CloseCode::ABNORMAL));
    assert_eq!(service.clients().list().len(), 1, "the one that nobody drives");

    let (_raw, task) = drive(unused);
    assert!(task.await.unwrap().is_none(), "accepted before, and driven after the end");
    assert_eq!(service.clients().count(), 0);
    let again = service.shutdown().await;
    assert_eq!((again.closed, again.aborted), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn shutdown_aborts_a_handler_whose_connection_is_over() {
    let service = Server::new().service().unwrap();
    let accepted = service.open(&request("/", &[]), Peer::Other, Options::default()).unwrap();
    let (mut raw, task) = drive(accepted.with(|_ws| std::future::pending::<()>()));
    raw.send(CLOSE, &[3, 232]).await;
    raw.frame().await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(service.clients().count(), 0, "its handler is all that is left");
    let report = timeout(Duration::from_secs(11), service.shutdown()).await.unwrap();
    assert_eq!((report.closed, report.aborted), (0, 1));
    assert!(task.await.unwrap().is_some());
}

// T-B21
#[tokio::test(start_paused = true)]
async fn t_b21_shutdown_spreads_its_closes_over_a_while_in_random_order() {
    let order = async |spread: Option<Duration>| {
        let limits = ServerLimits::default().shutdown_spread(spread);
        let service = Server::new().route("/echo", echo).server_limits(limits).service().unwrap();
        let (told, mut closed) = tokio::sync::mpsc::unbounded_channel();
        for n in 0..100 {
            let (mut raw, _) = support::open_with(&service, "/echo", "", 4096).await;
            let told = told.clone();
            tokio::spawn(async move {
                let (opcode, body) = raw.frame().await.unwrap();
                assert_eq!((opcode, &body[..2]), (CLOSE, &1001_u16.to_be_bytes()[..]));
                told.send((n, Instant::now())).unwrap();
                raw.send(CLOSE, &body[..2]).await;
            });
        }
        let begun = Instant::now();
        let report = service.shutdown().await;
        assert_eq!((report.closed, report.aborted), (100, 0));
        let mut order = Vec::new();
        while let Ok((n, at)) = closed.try_recv() {
            order.push((n, at - begun));
        }
        assert_eq!(order.len(), 100);
        order
    };
    let spread = order(Some(Duration::from_secs(2))).await;
    let (last, first) = (spread.last().unwrap().1, spread[0].1);
    // One in a millisecond: it takes no longer for few.
    assert!(
        last - first >= Duration::from_millis(90) && last < Duration::from_millis(150),
        "{last:?}"
    );
    assert!(!spread.is_sorted_by_key(|(n, _)| *n), "in random order");
    // Each gets its Close, however little time there is.
    let at_once = order(None).await;
    assert!(at_once.last().unwrap().1 < Duration::from_millis(10));
    let short = order(Some(Duration::from_millis(20))).await;
    assert!(short.last().unwrap().1 < Duration::from_millis(40));
}
