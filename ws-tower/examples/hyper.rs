//! An echo inside a server of hyper's own, without axum.
//!
//! ```text
//! $ cargo run -p ws-tower --example hyper
//! listening on 127.0.0.1:9001
//! $ npx wscat -c ws://127.0.0.1:9001/echo
//! ```

use std::error::Error;

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::Layer;
use ws_server::{Peer, Server, WebSocket};
use ws_tower::ConfirmLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9001".into());
    let echo = |mut ws: WebSocket| async move {
        while let Some(message) = ws.recv().await {
            ws.send(message).await?;
        }
        Ok(())
    };
    let service = Server::new().route("/echo", echo).service()?;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // WebSockets over HTTP/2, and limits on what a connection makes hyper hold.
    ws_tower::configure(&mut builder);
    let layer = ConfirmLayer::default();
    let listener = TcpListener::bind(&address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (io, from) = listener.accept().await?;
        let mounted = ws_tower::service(&service).peer(move |_| Some(Peer::Tcp(from)));
        let builder = builder.clone();
        let mounted = TowerToHyperService::new(layer.layer(mounted));
        tokio::spawn(async move {
            let served = builder.serve_connection_with_upgrades(TokioIo::new(io), mounted);
            if let Err(error) = served.await {
                eprintln!("{from}: {error}");
            }
        });
    }
}
