//! Servers that are not ours, made ready by `configure`: WebSockets over both versions of HTTP.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;

use axum::{Router, routing::any};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use support::{CLOSE, Http2, TEXT, echo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use ws_server::{Server, ServerLimits, Service};
use ws_tests_support::{
    frame::{masked, unmasked},
    handshake,
};
use ws_tower::{ConfirmLayer, WebSocketUpgrade};

fn service() -> Service {
    let limits = ServerLimits::default().shutdown_spread(None);
    Server::new().server_limits(limits).service().unwrap()
}

fn app(service: &Service) -> Router {
    let open = any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo));
    Router::new().route("/", open).with_state(service.clone()).layer(ConfirmLayer::default())
}

/// Echoes over HTTP/1.1 and over HTTP/2, where one unread stream does not stop another; and a shutdown.
async fn serves_both(address: SocketAddr, service: &Service) {
    let mut io = TcpStream::connect(address).await.unwrap();
    io.write_all(handshake::request("/", "").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    io.write_all(&masked(TEXT, [1, 2, 3, 4], b"hello")).await.unwrap();
    let mut echo = vec![0; 7];
    io.read_exact(&mut echo).await.unwrap();
    assert_eq!(echo, unmasked(TEXT, b"hello"));

    let mut http = Http2::over(TcpStream::connect(address).await.unwrap(), 65_535).await;
    let mut unread = http.open("/").await;
    for _ in 0..64 {
        unread.send(TEXT, &[b'x'; 16 * 1024]);
    }
    let mut stream = http.open("/").await;
    stream.send(TEXT, b"hello");
    stream.expect(TEXT, b"hello").await;

    let shutdown = tokio::spawn(service.shutdown());
    stream.expect_close(1001).await;
    stream.send(CLOSE, &[3, 233]);
    let expected = unmasked(CLOSE, b"\x03\xe9server shuts down");
    let mut close = vec![0; expected.len()];
    io.read_exact(&mut close).await.unwrap();
    assert_eq!(close, expected);
    io.write_all(&masked(CLOSE, [1, 2, 3, 4], &[3, 233])).await.unwrap();
    drop((unread, stream, http, io));
    let report = shutdown.await.unwrap();
    assert_eq!(report.closed + report.aborted, 3);
}

#[tokio::test]
async fn axum_server_serves_both_versions_once_it_is_configured() {
    let service = service();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut server = axum_server::from_tcp(listener).unwrap();
    ws_tower::configure(server.http_builder());
    let app = app(&service).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(server.serve(app));
    serves_both(address, &service).await;
}

#[tokio::test]
async fn hyper_util_serves_both_versions_once_it_is_configured() {
    let service = service();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = TowerToHyperService::new(app(&service));
    tokio::spawn(async move {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        ws_tower::configure(&mut builder);
        while let Ok((io, _)) = listener.accept().await {
            let (builder, app) = (builder.clone(), app.clone());
            tokio::spawn(async move {
                builder.serve_connection_with_upgrades(TokioIo::new(io), app).await.ok();
            });
        }
    });
    serves_both(address, &service).await;
}
