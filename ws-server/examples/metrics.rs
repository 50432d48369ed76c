//! An echo that Prometheus scrapes on the same port: what the server counts, beside a counter of the
//! application's own.
//!
//! ```text
//! $ cargo run --example metrics --features prometheus    # or: -- 127.0.0.1:0, which takes a free port
//! listening on 127.0.0.1:9001
//! $ curl -s http://127.0.0.1:9001/metrics | grep -v '^#'
//! echo_octets_total 0
//! websocket_connections 0
//! websocket_connections_opened_total 0
//! ...
//! ```
//!
//! Without metrics of its own an application needs no registry: `clients.prometheus()` is the page.
//! Who can reach the port can read it, so let a proxy keep `/metrics` inside.

use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use prometheus_client::{encoding::prometheus_text, metrics::counter::Counter, registry::Registry};
use ws_server::{Bytes, PROMETHEUS_TEXT, Peer, ServeError, Server, WebSocket};

#[tokio::main]
async fn main() -> Result<(), ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9001".into());
    let server = Server::new();

    let mut registry = Registry::default();
    let echoed = Counter::<u64>::default();
    registry.register("echo_octets", "Octets that were sent back", echoed.clone());
    registry.register_collector(Box::new(server.clients().collector()));

    let echo = move |mut ws: WebSocket| {
        let echoed = echoed.clone();
        async move {
            while let Some(message) = ws.recv().await {
                echoed.inc_by(message.len() as u64);
                ws.send(message).await?;
            }
            Ok(())
        }
    };
    let page = move |request: &Request<()>, _peer: Peer| {
        let mut response = Response::new(Bytes::new());
        match request.uri().path() {
            "/metrics" => {
                let mut text = String::new();
                prometheus_text::encode(&mut text, &registry).expect("a string takes all");
                *response.body_mut() = text.into();
                let kind = HeaderValue::from_static(PROMETHEUS_TEXT);
                response.headers_mut().insert(CONTENT_TYPE, kind);
            }
            _ => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        response
    };
    let server = server.any(echo).fallback(page).bind(address).await?;
    println!("listening on {}", server.local_addr().expect("TCP"));
    server.serve().await
}
