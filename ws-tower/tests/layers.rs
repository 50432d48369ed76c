//! What layers of tower-http do to a WebSocket, over both versions of HTTP.
#![cfg(all(feature = "axum", feature = "client"))]
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    http::{Request, StatusCode},
    middleware::{Next, from_fn},
    response::Response,
    routing::any,
};
use support::{TEXT, connect, run};
use tokio::time::sleep;
use tower_http::{
    compression::CompressionLayer, cors::CorsLayer, timeout::TimeoutLayer, trace::TraceLayer,
};
use ws_server::{Connect, ConnectError, Peer, Server, Service, WebSocket};
use ws_tower::{WebSocketUpgrade, test_client_with};

const LIMIT: Duration = Duration::from_secs(5);

/// An echo, and the number of handlers that ran.
fn app() -> (Router, Service, Arc<AtomicUsize>) {
    let service = Server::new().service().unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ran);
    let handler = async move |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async move |ws: WebSocket| {
            count.fetch_add(1, Ordering::Relaxed);
            support::echo(ws).await
        })
    };
    (Router::new().route("/echo", any(handler)).with_state(service.clone()), service, ran)
}

fn to() -> Connect {
    Connect::new("ws://test/echo")
}

async fn open(app: &Router, connect: Connect) -> Result<WebSocket, ConnectError> {
    test_client_with(app.clone(), connect, Peer::Other).await
}

async fn refused(app: &Router, connect: Connect) -> StatusCode {
    match open(app, connect).await {
        Err(ConnectError::Refused(refusal)) => refusal.status,
        other => panic!("{other:?} was not refused"),
    }
}

async fn echoes(client: &mut WebSocket, text: &str) {
    client.send(text).await.unwrap();
    assert_eq!(client.recv().await, Some(text.into()));
}

/// A page of another site is refused in spite of the layer, and others get their WebSocket, over both
/// versions of HTTP.
async fn leaves_it_as_it_is(layered: impl Fn(Router) -> Router) {
    let (app, _service, ran) = app();
    let app = layered(app);
    let mut client = open(&app, to().header("accept-encoding", "gzip")).await.unwrap();
    echoes(&mut client, "hello").await;
    let evil = to().origin("https://evil.example");
    assert_eq!(refused(&app, evil).await, StatusCode::FORBIDDEN);

    let served = run(app);
    let mut http = served.http2(65_535).await;
    let mut stream = http.open("/echo").await;
    assert!(!stream.headers.contains_key("content-encoding"), "{:?}", stream.headers);
    stream.send(TEXT, b"hello");
    stream.expect(TEXT, b"hello").await;
    let gzip = connect("/echo").header("accept-encoding", "gzip");
    let (answer, _) = http.ask(gzip, false).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!answer.headers().contains_key("content-encoding"), "{answer:?}");
    let evil = connect("/echo").header("origin", "https://evil.example");
    assert_eq!(http.refused(evil).await.0, StatusCode::FORBIDDEN);
    echoes(&mut client, "still here").await;
    while ran.load(Ordering::Relaxed) < 3 {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_at_once_leave_it_as_it_is() {
    leaves_it_as_it_is(|app| {
        app.layer(CompressionLayer::new())
            .layer(CorsLayer::permissive())
            .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LIMIT))
            .layer(TraceLayer::new_for_http())
    })
    .await;
}

// What happens to the WebSocket comes after that, and ws-server logs it.
#[tokio::test(start_paused = true)]
async fn trace_ends_with_the_answer() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let answers = Arc::clone(&seen);
    let failures = Arc::new(AtomicUsize::new(0));
    let failed = Arc::clone(&failures);
    let trace = TraceLayer::new_for_http()
        .on_response(move |response: &Response<_>, _: Duration, _: &tracing::Span| {
            answers.lock().unwrap().push(response.status().as_u16());
        })
        .on_failure(move |_, _: Duration, _: &tracing::Span| {
            failed.fetch_add(1, Ordering::Relaxed);
        });
    let (app, ..) = app();
    let app = app.layer(trace);
    let mut client = open(&app, to()).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [101]);
    echoes(&mut client, "hello").await;
    let evil = to().origin("https://evil.example");
    assert_eq!(refused(&app, evil).await, StatusCode::FORBIDDEN);
    drop(client);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(*seen.lock().unwrap(), [101, 403]);
    assert_eq!(failures.load(Ordering::Relaxed), 0);
}

// It limits the time until the answer: a WebSocket is not in it.
#[tokio::test(start_paused = true)]
async fn timeout_ends_with_the_answer() {
    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LIMIT);
    let (app, service, ran) = app();
    let quick = app.clone().layer(timeout);
    let mut client = open(&quick, to()).await.unwrap();
    sleep(10 * LIMIT).await;
    echoes(&mut client, "still here").await;
    drop(client);
    while service.clients().count() > 0 {
        sleep(Duration::from_millis(1)).await;
    }

    // A layer within waits too long, after the handler has accepted.
    let slow = from_fn(async |request: axum::extract::Request, next: Next| {
        let response = next.run(request).await;
        sleep(2 * LIMIT).await;
        response
    });
    let slow = app.layer(slow).layer(timeout);
    assert_eq!(refused(&slow, to()).await, StatusCode::GATEWAY_TIMEOUT);
    sleep(10 * LIMIT).await;
    assert_eq!((ran.load(Ordering::Relaxed), service.clients().count()), (1, 0));
}

// CORS tells a browser what a page may read. It lets no page open a WebSocket, and stops none.
#[tokio::test(start_paused = true)]
async fn cors_admits_no_page() {
    let (app, ..) = app();
    let app = app.layer(CorsLayer::permissive());
    let evil = to().origin("https://evil.example");
    assert_eq!(refused(&app, evil).await, StatusCode::FORBIDDEN);
    let mut own = open(&app, to().origin("http://test")).await.unwrap();
    echoes(&mut own, "hello").await;
    // It answers preflights itself; for a WebSocket there are none.
    let preflight = Request::options("/echo")
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "GET")
        .body(axum::body::Body::empty());
    let answer = tower::ServiceExt::oneshot(app, preflight.unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

// It puts a 406 in place of the 101 if the client takes no encoding that it knows, not even none.
#[tokio::test(start_paused = true)]
async fn compression_refuses_what_a_handler_accepted() {
    let (app, service, ran) = app();
    let app = app.layer(CompressionLayer::new());
    let nothing = to().header("accept-encoding", "identity;q=0, *;q=0");
    assert_eq!(refused(&app, nothing).await, StatusCode::NOT_ACCEPTABLE);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((ran.load(Ordering::Relaxed), service.clients().count()), (0, 0));
}
