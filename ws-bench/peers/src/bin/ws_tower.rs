//! ws-server inside axum, by the extractor of ws-tower; only counts of connections are raised.

#![forbid(unsafe_code)]

use ws_bench_peers::axum_server::serve;
use ws_bench_peers::server::{Abilities, Failure, Options};
use ws_server::{Deflate, Server, ServerLimits, WebSocket};
use ws_tower::WebSocketUpgrade;

/// More than any case has.
const CONNECTIONS: usize = 100_000;

fn main() -> Result<(), Failure> {
    let options = Options::read(Abilities { deflate: true, ..Abilities::default() })?;
    let limits = ServerLimits::default().max_connections(CONNECTIONS).max_per_ip(CONNECTIONS);
    let mut server = Server::new().server_limits(limits);
    if options.deflate {
        server = server.extension(Deflate::default());
    }
    let handler = async |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async |mut ws: WebSocket| {
            while let Some(message) = ws.recv().await {
                ws.send(message).await?;
            }
            Ok(())
        })
    };
    serve(options, handler, server.service()?)
}
