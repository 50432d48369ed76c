//! WebSockets over HTTP/1.1: through layers, in other servers, and the stream that they get.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode, response::Response, routing::any};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use support::{CLOSE, TEXT, connect, echo, run, run_with};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tower::ServiceExt;
use ws_server::{CloseCode, Networks, Peer, ProxyProtocol, Server, Service, WebSocket};
use ws_tests_support::{
    frame::{masked, unmasked},
    handshake,
};
use ws_tower::{ConfirmLayer, UpgradeError, WebSocketUpgrade, serve};

const KEY: [u8; 4] = [1, 2, 3, 4];

async fn ask(io: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str, more: &[u8]) -> String {
    let mut request = handshake::request(path, "").into_bytes();
    request.extend_from_slice(more);
    io.write_all(&request).await.unwrap();
    head(io).await
}

async fn head(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn echoes(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    io.write_all(&masked(TEXT, KEY, b"hello")).await.unwrap();
    let expected = unmasked(TEXT, b"hello");
    let mut echo = vec![0; expected.len()];
    io.read_exact(&mut echo).await.unwrap();
    assert_eq!(echo, expected);
}

fn app(service: &Service) -> Router {
    let extracted = any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo));
    Router::new().route("/echo", extracted).with_state(service.clone())
}

/// A router whose handler counts, behind a layer that refuses everybody, and the count.
fn denied(service: &Service, within: bool) -> (Router, Arc<AtomicUsize>) {
    let ran = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ran);
    let handler = any(async move |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async move |ws: WebSocket| {
            count.fetch_add(1, Ordering::Relaxed);
            echo(ws).await
        })
    });
    let mut app = Router::new().route("/", handler).with_state(service.clone());
    if within {
        // One that is inside of the layer which refuses does not decide.
        app = app.layer(ConfirmLayer::default());
    }
    let deny = |mut response: Response| async move {
        *response.status_mut() = StatusCode::FORBIDDEN;
        response
    };
    (app.layer(axum::middleware::map_response(deny)), ran)
}

// RT-12: a layer refuses what a handler accepted; hyper gives the stream away when the connection ends, as
// the client may ask.
#[tokio::test(start_paused = true)]
async fn rt_12_client_that_a_layer_refused_does_not_reach_the_handler() {
    for within in [false, true] {
        let service = Server::new().service().unwrap();
        let (app, ran) = denied(&service, within);
        let served = run(app.clone());
        // In a server that is not ours, by the layer.
        let (elsewhere, theirs) = duplex(4096);
        let app = app.layer(ConfirmLayer::default());
        let hyper = hyper::service::service_fn(move |request| app.clone().oneshot(request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(theirs), hyper);
        tokio::spawn(connection.with_upgrades());
        for mut io in [served.dial(), elsewhere] {
            let closing = handshake::request("/", "").replace(": Upgrade", ": Upgrade, close");
            io.write_all(closing.as_bytes()).await.unwrap();
            assert!(head(&mut io).await.starts_with("HTTP/1.1 403 "));
            io.write_all(&masked(TEXT, KEY, b"let me in")).await.ok();
            let mut rest = Vec::new();
            timeout(Duration::from_secs(60), io.read_to_end(&mut rest)).await.unwrap().ok();
            assert_eq!(rest, b"");
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(ran.load(Ordering::Relaxed), 0);
        assert_eq!((service.clients().count(), service.clients().metrics().opened), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn server_without_upgrades_is_told_what_is_missing() {
    // A request that no server has read.
    let service = Server::new().any(echo).service().unwrap();
    let request = http::Request::get("/")
        .header("host", "a.example")
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "13");
    let answer = ws_tower::service(&service).oneshot(request.body(()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);

    // hyper, without `with_upgrades`.
    let (told, mut failures) = mpsc::unbounded_channel();
    let handler = any(async move |upgrade: WebSocketUpgrade| {
        upgrade.on_failed_upgrade(move |error| told.send(error).unwrap()).on_upgrade(echo)
    });
    let app = Router::new().route("/", handler).with_state(service.clone());
    let (mut io, theirs) = duplex(4096);
    let hyper = hyper_util::service::TowerToHyperService::new(app);
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(theirs), hyper.clone()));
    assert!(ask(&mut io, "/", b"").await.starts_with("HTTP/1.1 101 "));
    let failure = failures.recv().await.unwrap();
    assert!(matches!(failure, UpgradeError::NotSupported(_)), "{failure}");
    assert!(failure.to_string().contains("with_upgrades()"), "{failure}");
    assert_eq!(service.clients().count(), 0);

    // With it.
    let (mut io, theirs) = duplex(4096);
    let connection = http1::Builder::new().serve_connection(TokioIo::new(theirs), hyper);
    tokio::spawn(connection.with_upgrades());
    assert!(ask(&mut io, "/", b"").await.starts_with("HTTP/1.1 101 "));
    echoes(&mut io).await;
}

// Over a stream that only the server knows.
#[tokio::test(start_paused = true)]
async fn early_octets_end_the_stream_unread_whatever_it_is() {
    let (told, mut failures) = mpsc::unbounded_channel();
    let handler = any(async move |upgrade: WebSocketUpgrade| {
        upgrade.on_failed_upgrade(move |error| told.send(error).unwrap()).on_upgrade(echo)
    });
    let service = Server::new().service().unwrap();
    let running = run(Router::new().route("/", handler).with_state(service.clone()));
    let mut early = running.dial();
    assert!(ask(&mut early, "/", &masked(TEXT, KEY, b"early")).await.starts_with("HTTP/1.1 101 "));
    let mut rest = Vec::new();
    early.read_to_end(&mut rest).await.ok();
    assert_eq!(rest, b"");
    assert!(matches!(failures.recv().await, Some(UpgradeError::EarlyData)));
    assert_eq!((service.clients().count(), service.clients().metrics().opened), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn connections_that_do_nothing_are_ended_and_websockets_are_not() {
    let service = Server::new().service().unwrap();
    let running = run(app(&service));
    let mut websocket = running.dial();
    assert!(ask(&mut websocket, "/echo", b"").await.starts_with("HTTP/1.1 101 "));
    let mut http2 = running.http2(65_535).await;
    let mut stream = http2.open("/echo").await;
    let mut silent = running.dial();
    let mut idle = running.dial();
    idle.write_all(b"GET /none HTTP/1.1\r\nhost: a.example\r\n\r\n").await.unwrap();
    let mut gone = running.http2(65_535).await;
    assert_eq!(gone.refused(connect("/none")).await.0, StatusCode::NOT_FOUND);

    let mut rest = Vec::new();
    let at = Instant::now();
    silent.read_to_end(&mut rest).await.ok();
    assert!(rest.is_empty() && at.elapsed() < Duration::from_secs(15), "{:?}", at.elapsed());
    idle.read_to_end(&mut rest).await.ok();
    assert!(at.elapsed() < Duration::from_secs(125), "{:?}", at.elapsed());
    timeout(Duration::from_secs(130), gone.ended).await.expect("GOAWAY").unwrap().ok();
    // Frames keep the WebSockets alive meanwhile: their Pings are answered by nobody here.
    let _ = timeout(Duration::from_millis(1), stream.frame()).await;
    assert!(service.clients().metrics().opened == 2);
}

#[tokio::test(start_paused = true)]
async fn nested_service_sees_the_rest_of_the_path() {
    let service = Server::new()
        .route("/room/{id}", async |mut ws: WebSocket| {
            let id = ws.request().param("id").unwrap().to_owned();
            ws.send(id).await?;
            Ok(())
        })
        .service()
        .unwrap();
    let app = Router::new().nest_service("/chat", ws_tower::service(&service));
    let mut client = ws_tower::test_client(app.clone(), "/chat/room/7").await.unwrap();
    assert_eq!(client.recv().await, Some("7".into()));
    let refused = ws_tower::test_client(app, "/chat/hall").await.unwrap_err();
    assert!(refused.to_string().contains("404"), "{refused}");
}

// `axum::serve`, over TCP: the socket itself is had, so what came early is seen.
#[tokio::test]
async fn axum_serve_gives_the_socket_and_early_octets_end_the_stream() {
    let service = Server::new().service().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app(&service).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut io = TcpStream::connect(address).await.unwrap();
    let own = io.local_addr().unwrap();
    assert!(ask(&mut io, "/echo", b"").await.starts_with("HTTP/1.1 101 "));
    echoes(&mut io).await;
    assert_eq!(service.clients().list()[0].request().peer(), Peer::Tcp(own));

    let mut early = TcpStream::connect(address).await.unwrap();
    let answer = ask(&mut early, "/echo", &masked(TEXT, KEY, b"early")).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "hyper has answered by then");
    let mut rest = Vec::new();
    early.read_to_end(&mut rest).await.ok();
    assert_eq!(rest, b"", "it was not read as a frame");
    echoes(&mut io).await;
    assert_eq!(service.clients().metrics().opened, 1);
}

// A thousand WebSockets of a router: all see 1001, the future ends, and they are counted.
#[tokio::test(start_paused = true)]
async fn shutdown_of_a_router_includes_its_thousand_websockets() {
    const COUNT: usize = 1000;
    let limits = ws_server::ServerLimits::default().max_per_ip(COUNT);
    let service = Server::new().server_limits(limits).service().unwrap();
    let running = run(app(&service));
    let mut clients = Vec::new();
    for _ in 0..COUNT {
        let mut io = running.dial();
        assert!(ask(&mut io, "/echo", b"").await.starts_with("HTTP/1.1 101 "));
        clients.push(io);
    }
    // One that is idle between requests.
    let mut idle = running.dial();
    idle.write_all(b"GET /none HTTP/1.1\r\nhost: a.example\r\n\r\n").await.unwrap();
    assert!(head(&mut idle).await.starts_with("HTTP/1.1 404 "));
    assert_eq!(service.clients().count(), COUNT);
    running.stop.send(()).unwrap();
    for io in &mut clients {
        let expected = unmasked(CLOSE, b"\x03\xe9server shuts down");
        let mut close = vec![0; expected.len()];
        io.read_exact(&mut close).await.unwrap();
        assert_eq!(close, expected);
        io.write_all(&masked(CLOSE, KEY, &[3, 233])).await.unwrap();
    }
    let report = running.report.await.unwrap();
    assert_eq!((report.closed, report.aborted), (COUNT, 0));
    let going = CloseCode::GOING_AWAY;
    assert_eq!(service.clients().count(), 0, "{going}");
    let mut rest = Vec::new();
    assert!(idle.read_to_end(&mut rest).await.is_ok());
}

// What a service of tower may be asked for at any time.
#[tokio::test(start_paused = true)]
async fn mounted_service_is_always_ready_and_never_fails() {
    fn check<S>(_: &S)
    where
        S: tower::Service<http::Request<()>, Error = Infallible> + Clone + Send + Sync + 'static,
    {
    }
    let service = Server::new().any(echo).service().unwrap();
    let mut mounted = ws_tower::service(&service).peer(|_| Some(Peer::Unix));
    check(&mounted);
    let ready = tower::ServiceExt::<http::Request<()>>::ready(&mut mounted);
    ready.await.unwrap();
    let plain = mounted.oneshot(http::Request::get("/").body(()).unwrap()).await.unwrap();
    assert_eq!(plain.status(), StatusCode::BAD_REQUEST, "it has no Host");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_one_ends() {
    let listener = ws_server::Tcp::bind("127.0.0.1:0").await.unwrap();
    let address = ws_server::Listener::local_addr(&listener).unwrap();
    let app = app(&Server::new().service().unwrap());
    tokio::spawn(ws_tower::serve(listener, app).max_connections(1).run());
    let plain = b"GET /none HTTP/1.1\r\nhost: a.example\r\n\r\n";
    let mut one = TcpStream::connect(address).await.unwrap();
    one.write_all(plain).await.unwrap();
    assert!(head(&mut one).await.starts_with("HTTP/1.1 404 "));
    let mut two = TcpStream::connect(address).await.unwrap();
    two.write_all(plain).await.unwrap();
    assert!(timeout(Duration::from_millis(300), two.readable()).await.is_err(), "it waits");
    drop(one);
    assert!(head(&mut two).await.starts_with("HTTP/1.1 404 "));
}

const PLAIN: &[u8] = b"GET /none HTTP/1.1\r\nhost: a.example\r\n\r\n";

/// Whether a connection that begins with these octets is served, as the GET that follows shows.
async fn is_served(io: &mut (impl AsyncRead + AsyncWrite + Unpin), begin: &[u8]) -> bool {
    let octets = [begin, PLAIN].concat();
    io.write_all(&octets).await.is_ok() && io.read_u8().await.is_ok_and(|first| first == b'H')
}

// As ws-server has it: by the address of the socket, but for proxies, which have many clients.
#[tokio::test(start_paused = true)]
async fn connections_of_one_address_have_a_limit() {
    let service = Server::new().service().unwrap();
    let running = run_with(|channel| serve(channel, app(&service)).max_per_ip(2));
    // A WebSocket counts in its service alone.
    let mut websocket = running.dial();
    assert!(ask(&mut websocket, "/echo", b"").await.starts_with("HTTP/1.1 101 "));
    sleep(Duration::from_millis(1)).await;
    let mut two = [running.dial(), running.dial()];
    for io in &mut two {
        assert!(is_served(io, b"").await);
    }
    assert!(!is_served(&mut running.dial(), b"").await);
    drop(two);
    sleep(Duration::from_millis(1)).await;
    assert!(is_served(&mut running.dial(), b"").await);
    echoes(&mut websocket).await;

    let proxies = Networks::new(["192.0.2.0/24"]).unwrap();
    let running =
        run_with(|channel| serve(channel, app(&service)).max_per_ip(1).trust_proxies(proxies));
    let mut three = [running.dial(), running.dial(), running.dial()];
    for io in &mut three {
        assert!(is_served(io, b"").await);
    }
}

// Who the client is comes first in the stream: nobody counts before it, and then the client does.
#[tokio::test(start_paused = true)]
async fn limit_by_address_is_that_of_the_client_behind_the_proxy_protocol() {
    let service = Server::new().service().unwrap();
    let running =
        run_with(|channel| serve(ProxyProtocol::new(channel), app(&service)).max_per_ip(1));
    let mut ios = Vec::new();
    for (client, served) in [(1, true), (2, true), (1, false), (3, true), (2, false)] {
        let mut io = running.dial();
        let header = format!("PROXY TCP4 198.51.100.{client} 192.0.2.1 7 80\r\n");
        assert_eq!(is_served(&mut io, header.as_bytes()).await, served, "{client}");
        ios.push(io);
    }
}
