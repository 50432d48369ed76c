//! One page with several WebSockets on one connection: HTTP/2 over TLS, agreed on by ALPN.
//!
//! ```text
//! $ cargo run -p ws-tower --example http2 --features axum,tls   # then open https://127.0.0.1:9001/
//! listening on 127.0.0.1:9001
//! ```
//!
//! The certificate signs itself, which a browser asks about once. With arguments it is one of files:
//! `-- 127.0.0.1:9001 cert.pem key.pem`.

use std::{collections::HashSet, env::args, error::Error};

use axum::{
    Router,
    extract::State,
    response::{Html, Response},
    routing::{any, get},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use ws_server::{Deflate, Peer, Pem, Server, Service, Tls, WebSocket};
use ws_tower::WebSocketUpgrade;

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut ws: WebSocket| {
        while let Some(message) = ws.recv().await {
            ws.send(message).await?;
        }
        Ok(())
    })
}

/// It takes nothing that its client sends, and the other streams of the connection go on.
async fn deaf(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |ws: WebSocket| {
        ws.closed().await;
    })
}

/// WebSockets with the same peer, port included, are on the same connection.
async fn count(State(service): State<Service>) -> String {
    let clients = service.clients().list();
    let peers: HashSet<Peer> = clients.iter().map(|client| client.request().peer()).collect();
    format!("{} WebSockets, {} of TCP", clients.len(), peers.len())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = args().nth(1).unwrap_or("127.0.0.1:9001".into());
    let tls = match (args().nth(2), args().nth(3)) {
        (Some(certificate), Some(key)) => Tls::new(certificate, key)?,
        _ => {
            let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names)?;
            Tls::new(Pem::text(cert.pem()), Pem::text(signing_key.serialize_pem()))?
        }
    };
    let service = Server::new().extension(Deflate::default()).service()?;
    let router = Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/count", get(count))
        // Not `get`: over HTTP/2 a WebSocket is a CONNECT.
        .route("/echo", any(echo))
        .route("/deaf", any(deaf))
        .with_state(service);
    let listener = tls.http2()?.bind(&*address).await?;
    println!("listening on {}", ws_server::Listener::local_addr(&listener).ok_or("no address")?);
    let interrupted = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    let report = ws_tower::serve(listener, router).run_until(interrupted).await;
    println!("{report}");
    Ok(())
}

const PAGE: &str = r#"<!doctype html>
<title>WebSockets over HTTP/2</title>
<p>Each of these echoes on a stream of its own; the connection is one.</p>
<pre id="log"></pre>
<script>
  const log = (line) => document.getElementById("log").append(line + "\n");
  let echoes = 0;
  for (let n = 1; n <= 5; n++) {
    const ws = new WebSocket(`wss://${location.host}/echo`);
    const began = performance.now();
    ws.onopen = () => ws.send(`hello from ${n}`);
    ws.onmessage = async (event) => {
      log(`${event.data}, after ${(performance.now() - began).toFixed(1)} ms`);
      if (++echoes == 5) log(`connections: ${await (await fetch("/count")).text()}`);
    };
    ws.onclose = (event) => log(`${n}: closed: ${event.code}`);
  }
  const protocol = performance.getEntriesByType("navigation")[0].nextHopProtocol;
  log(`this page came by ${protocol}`);
</script>
"#;
