//! What waits in hyper counts for the server's memory.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use axum::{Router, routing::any};
use support::run;
use tokio::time::sleep;
use ws_server::{HandlerError, Held, Server, ServerLimits, Service, WebSocket};
use ws_tower::WebSocketUpgrade;

const KIB: usize = 1024;

/// Sends without end.
async fn send(mut ws: WebSocket) -> Result<(), HandlerError> {
    loop {
        ws.send(vec![7; 10 * KIB]).await?;
    }
}

/// Receives nothing.
async fn wait(ws: WebSocket) -> Result<(), HandlerError> {
    ws.closed().await;
    Ok(())
}

fn app(service: &Service) -> Router {
    let send = any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(send));
    let wait = any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(wait));
    Router::new().route("/send", send).route("/wait", wait).with_state(service.clone())
}

async fn held(service: &Service) -> Held {
    sleep(Duration::from_millis(10)).await;
    service.clients().metrics().held
}

// T-B26
#[tokio::test(start_paused = true)]
async fn stream_that_is_stuck_counts_for_what_hyper_holds() {
    let service = Server::new().service().unwrap();
    let running = run(app(&service));
    let mut client = running.http2(65_535).await;
    let unread = client.open("/send").await;
    let stuck = held(&service).await;
    assert_eq!(stuck.transport, 64 * KIB, "{stuck:?}");
    assert!(stuck.sending > 64 * KIB, "{stuck:?}");
    drop(unread);
    assert_eq!(held(&service).await, Held::default());
    let mut ahead = client.open("/wait").await;
    for _ in 0..20 {
        ahead.send(0x82, &[7; 5 * KIB]);
        held(&service).await;
    }
    let paused = held(&service).await;
    assert_eq!(paused.transport, 64 * KIB, "{paused:?}");
    assert!(paused.receiving >= 60 * KIB, "{paused:?}");
    drop((ahead, client));
    // A stream that is not read is known to have ended once no Pong is found in it.
    sleep(Duration::from_secs(600)).await;
    assert_eq!(held(&service).await, Held::default());
}

// T-B26
#[tokio::test(start_paused = true)]
async fn streams_that_nobody_reads_stay_within_the_bound() {
    let limits = ServerLimits::default().max_memory(2 * KIB * KIB);
    let service = Server::new().server_limits(limits).service().unwrap();
    let running = run(app(&service));
    let mut client = running.http2(65_535).await;
    let mut streams = Vec::new();
    for _ in 0..30 {
        streams.push(client.open("/send").await);
        let held = held(&service).await;
        assert!(held.total() < 2 * KIB * KIB, "{held:?}");
    }
    let metrics = service.clients().metrics();
    assert!(metrics.evicted > 10, "{metrics:?}");
    drop((streams, client));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(held(&service).await, Held::default());
}
