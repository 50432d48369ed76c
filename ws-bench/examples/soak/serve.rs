//! The server: one service, over plain TCP, TLS, axum and HTTP/2, with short limits.

use std::{
    io::{self, Read, Write},
    thread,
    time::Duration,
};

use axum::{Router, response::Response, routing::any};
use serde_json::json;
use tokio::sync::watch;
use ws_server::{
    Deflate, DeflatePool, Limits, Listener, Pem, Report, Route, Server, ServerLimits, Service, Tcp,
    Tls, WebSocket,
};
use ws_tower::WebSocketUpgrade;

use crate::{Outcome, handlers, leak::Leak, sampling};

#[derive(clap::Args)]
pub(crate) struct ServerOptions {
    /// What all clients together may make the server hold, in MiB
    #[arg(long, default_value_t = 24)]
    pub(crate) max_memory: usize,
    /// Keep something of every connection that echoes, to see the verdict fail
    #[arg(long)]
    pub(crate) leak: Option<Leak>,
}

/// Prints its addresses, then a sample each second, and how it ended, each as a line of JSON.
pub(crate) fn serve(options: &ServerOptions) -> Outcome {
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_keep_alive(Duration::from_secs(1))
        .enable_all()
        .build()?;
    runtime.block_on(async { runtime.spawn(listen(options.max_memory << 20, options.leak)).await? })
}

async fn listen(max_memory: usize, leak: Option<Leak>) -> Outcome {
    let names = ["localhost", "127.0.0.1"].map(String::from);
    let signed = rcgen::generate_simple_self_signed(names)?;
    let (certificate, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let tls = || Tls::new(Pem::text(&certificate), Pem::text(&key));
    let any_port = "127.0.0.1:0";

    let secure = tls()?.bind(any_port).await?;
    let pool = DeflatePool::new(POOL);
    let bound = server(max_memory, leak, &pool).listener(secure)?.and(Tcp::bind(any_port).await?);
    let service = bound.service();
    let [secure, plain] = *bound.local_addrs() else { return Err("no addresses".into()) };
    let (axum, http2) = (Tcp::bind(any_port).await?, tls()?.http2()?.bind(any_port).await?);
    let listening = json!({
        "kind": "listening",
        "plain": plain.to_string(),
        "tls": secure.to_string(),
        "axum": axum.local_addr().ok_or("no address")?.to_string(),
        "http2": http2.local_addr().ok_or("no address")?.to_string(),
        "certificate": certificate,
        "max_memory": max_memory,
    });
    say(&listening)?;

    let (stop, stopped) = watch::channel(false);
    thread::spawn(move || {
        // The end of this input is the end of whoever started it, too.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        stop.send_replace(true);
    });
    let until = || {
        let mut stopped = stopped.clone();
        async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }
    };
    let clients = bound.clients();
    let news = tokio::spawn(handlers::publish_news(clients.clone()));
    thread::spawn(move || sampling::sample(&clients, &pool));
    let within = ws_tower::serve(axum, router(&service)).max_per_ip(PER_IP).run_until(until());
    let over2 = ws_tower::serve(http2, router(&service)).max_per_ip(PER_IP).run_until(until());
    let ends = tokio::join!(bound.serve_until(until()), within, over2);
    news.abort();
    let sum = |of: fn(&Report) -> usize| of(&ends.0) + of(&ends.1) + of(&ends.2);
    let closed = sum(|report| report.closed);
    say(&json!({ "kind": "end", "closed": closed, "aborted": sum(|report| report.aborted) }))
}

/// A line of output, whole.
pub(crate) fn say(line: &serde_json::Value) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    Ok(out.flush()?)
}

/// Connections from an address: each client has one of its own, and a connection of HTTP/2 carries
/// several.
const PER_IP: usize = 64;

/// What compression may take: its states, which it keeps for the next who needs one, among them.
const POOL: usize = 8 << 20;

/// So short that a run of minutes meets them, and so long that a good client on a machine that has much
/// else to do does not.
fn limits() -> Limits {
    Limits::default()
        .send_buffer(64 * 1024)
        .max_send_buffer(256 * 1024)
        .park_after(Duration::from_secs(2))
        .ping_interval(Duration::from_secs(3))
        .message_timeout(Duration::from_secs(15))
        .progress_timeout(Duration::from_secs(10))
        .write_timeout(Duration::from_secs(15))
        .handler_grace(Duration::from_secs(5))
}

fn server(max_memory: usize, leak: Option<Leak>, pool: &DeflatePool) -> Server {
    let server_limits = ServerLimits::default()
        .max_connections(1000)
        .max_per_ip(PER_IP)
        .max_pending(64)
        .max_memory(max_memory);
    let pieces = || limits().streaming(true);
    Server::new()
        .extension(Deflate::default().pool(pool.clone()))
        .limits(limits())
        .server_limits(server_limits)
        .route("/echo", move |ws: WebSocket| handlers::echo(ws, leak))
        .route("/chat/{room}", handlers::chat)
        .route("/news/{policy}", Route::new(handlers::news).gate(handlers::news_gate))
        .route("/upload", Route::new(handlers::upload).limits(pieces()))
        .route("/mirror", Route::new(handlers::mirror).limits(pieces()))
        .route("/lazy", handlers::lazy)
        .route("/refused", Route::new(handlers::news).gate(handlers::refuse))
}

/// The routes of the service, and one whose handler is an extractor's.
fn router(service: &Service) -> Router {
    let extracted = any(async |upgrade: WebSocketUpgrade| -> Response {
        upgrade.on_upgrade(|ws| handlers::echo(ws, None))
    });
    Router::new()
        .route("/extracted", extracted)
        .with_state(service.clone())
        .fallback_service(ws_tower::service(service))
}
