//! A relay: what a client sends goes to an upstream server, and what that sends to the client, piece by
//! piece. Messages may be larger than memory, and whoever is slow slows the other.
//!
//! ```text
//! $ cargo run --example demo -- --listen 127.0.0.1:9002
//! $ cargo run --example relay --features client -- 127.0.0.1:9001 ws://127.0.0.1:9002/echo
//! listening on 127.0.0.1:9001
//! $ cargo run --example client --features client -- ws://127.0.0.1:9001/ hello
//! text: hello
//! closed by Local: 1000
//! ```

// ANCHOR: relay
use std::sync::Mutex;

use http::StatusCode;
use ws_server::{
    Admit, CloseCode, Connect, HandlerError, Limits, Opening, Rejection, Route, Sender, Server,
    WebSocket,
};

/// The connection to the upstream, from the gate to the handler.
pub(crate) struct Upstream(pub(crate) Mutex<Option<WebSocket>>);

/// Connects to the upstream, and agrees with the client on the subprotocol that the upstream chose.
async fn connect(opening: Opening, url: &str, limits: Limits) -> Result<Admit, Rejection> {
    let upstream = Connect::new(url).limits(limits).subprotocols(opening.subprotocols().iter());
    let upstream = match upstream.connect().await {
        Ok(upstream) => upstream,
        Err(_) => return Err(Rejection::new(StatusCode::BAD_GATEWAY)),
    };
    let mut admit = Admit::new();
    if let Some(chosen) = upstream.request().subprotocol() {
        admit = admit.subprotocol(chosen);
    }
    Ok(admit.data(Upstream(Mutex::new(Some(upstream)))))
}

/// Passes messages on until `from` has ended, and then its Close.
async fn pass(from: &mut WebSocket, to: &Sender) -> Result<(), HandlerError> {
    while let Some(mut message) = from.recv_streaming().await {
        let mut passed = to.send_streaming(message.kind());
        loop {
            match message.chunk().await {
                Ok(Some(piece)) => passed.write(piece).await?,
                Ok(None) => break passed.finish().await?,
                // Before the writer is dropped, which would close with 1011.
                Err(_) => return pass_close(from, to).await,
            }
        }
    }
    pass_close(from, to).await
}

async fn pass_close(from: &WebSocket, to: &Sender) -> Result<(), HandlerError> {
    let closed = from.closed().await;
    let code = match closed.code {
        CloseCode::NO_STATUS => CloseCode::NORMAL,
        code if code.is_sendable() => code,
        _ => CloseCode::GOING_AWAY,
    };
    Ok(to.close(code, closed.reason.as_str())?)
}

pub(crate) async fn relay(mut client: WebSocket) -> Result<(), HandlerError> {
    let upstream = client.data::<Upstream>().and_then(|upstream| upstream.0.lock().ok()?.take());
    let mut upstream = upstream.ok_or("the gate has connected")?;
    let (to_client, to_upstream) = (client.sender(), upstream.sender());
    // Either ends with the end that it receives from, or because the other is over.
    let ends = tokio::join!(pass(&mut client, &to_upstream), pass(&mut upstream, &to_client));
    ends.0.and(ends.1)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:9001".into());
    let url = arguments.next().unwrap_or("ws://127.0.0.1:9002/echo".into());
    let limits = Limits::default().streaming(true);
    let gate = {
        let limits = limits.clone();
        move |opening| {
            let (url, limits) = (url.clone(), limits.clone());
            async move { connect(opening, &url, limits).await }
        }
    };
    let route = Route::new(relay).gate(gate).limits(limits);
    let server = Server::new().any(route).bind(address).await?;
    println!("listening on {}", server.local_addr().expect("TCP"));
    server.serve().await
}
// ANCHOR_END: relay
