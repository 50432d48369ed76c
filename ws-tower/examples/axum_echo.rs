//! An echo inside axum, over HTTP/1.1 and HTTP/2, with compression, behind the usual layers of
//! tower-http.
//!
//! ```text
//! $ cargo run -p ws-tower --example axum_echo --features axum -- --listen 127.0.0.1:9001
//! listening on 127.0.0.1:9001
//! $ npx wscat -c ws://127.0.0.1:9001/echo
//! ```
//!
//! It speaks the subprotocol `echo.v1` with clients that offer it. `--max-message BYTES` and
//! `--max-fragments N` raise the default limits.

use std::{error::Error, time::Duration};

use axum::{Router, extract::State, http::StatusCode, response::Response, routing::any};
use tower_http::{
    compression::CompressionLayer, cors::CorsLayer, timeout::TimeoutLayer, trace::TraceLayer,
};
use ws_server::{Deflate, Limits, Listener, Server, Service, Tcp, WebSocket};
use ws_tower::WebSocketUpgrade;

/// A request is to be answered within this time; a WebSocket may stay.
const ANSWER: Duration = Duration::from_secs(5);

#[derive(Clone, axum::extract::FromRef)]
struct App {
    service: Service,
    limits: Limits,
}

async fn echo(State(limits): State<Limits>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["echo.v1"]).limits(limits).on_upgrade(async |mut ws: WebSocket| {
        while let Some(message) = ws.recv().await {
            ws.send(message).await?;
        }
        Ok(())
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut listen, mut limits) = ("127.0.0.1:9001".to_owned(), Limits::default());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        match &*word {
            "--listen" => listen = value,
            "--max-message" => limits = limits.max_message(value.parse()?),
            "--max-fragments" => limits = limits.max_fragments(value.parse()?),
            _ => return Err(format!("there is no {word}").into()),
        }
    }
    let service = Server::new().extension(Deflate::default()).service()?;
    let app = App { service, limits };
    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, ANSWER);
    let router = Router::new()
        .route("/echo", any(echo))
        .with_state(app)
        .layer(CompressionLayer::new())
        .layer(CorsLayer::permissive())
        .layer(timeout)
        .layer(TraceLayer::new_for_http());
    let listener = Tcp::bind(&*listen).await?;
    println!("listening on {}", listener.local_addr().ok_or("no address")?);
    let interrupted = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    println!("{}", ws_tower::serve(listener, router).run_until(interrupted).await);
    Ok(())
}
