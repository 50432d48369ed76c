//! Who sent a request, where nobody says it.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used)]

mod support;

use axum::{Router, routing::any};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use support::{Http2, echo, log::Log};
use tokio::io::duplex;
use ws_server::{Peer, Server, ServerLimits};
use ws_tower::{ConfirmLayer, WebSocketUpgrade};

// By a route and by the extractor: they are counted with nobody, and the log says it once.
#[tokio::test(start_paused = true)]
async fn clients_that_nobody_knows_are_not_counted_together_and_that_is_told_once() {
    let (log, _guard) = Log::capture();
    let limits = ServerLimits::default().max_per_ip(1);
    let service = Server::new().server_limits(limits).route("/mounted", echo).service().unwrap();
    let open = any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo));
    let app = Router::new()
        .route("/extracted", open)
        .with_state(service.clone())
        .route_service("/mounted", ws_tower::service(&service))
        .layer(ConfirmLayer::default());
    let mut builder = auto::Builder::new(TokioExecutor::new());
    ws_tower::configure(&mut builder);
    let (io, theirs) = duplex(1 << 20);
    tokio::spawn(async move {
        let app = TowerToHyperService::new(app);
        builder.serve_connection_with_upgrades(TokioIo::new(theirs), app).await.ok();
    });
    let mut http = Http2::over(io, 65_535).await;
    let mut streams = Vec::new();
    for path in ["/mounted", "/extracted", "/extracted", "/mounted"] {
        streams.push(http.open(path).await);
    }
    assert_eq!(service.clients().count(), 4);
    assert!(service.clients().list().iter().all(|it| it.request().peer() == Peer::Other));
    let lines = log.lines("max_per_ip");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("MountedService::peer"), "{lines:?}");
}
