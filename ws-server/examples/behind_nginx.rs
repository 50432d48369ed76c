//! A server behind nginx that knows its clients by their own addresses, and how they came.
//! `behind_nginx.conf`, beside this file, is the configuration of nginx.
//!
//! ```text
//! $ cargo run --example behind_nginx
//! listening on 127.0.0.1:9001
//! $ sudo cp ws-server/examples/behind_nginx.conf /etc/nginx/conf.d/ && sudo nginx -s reload
//! $ websocat ws://192.0.2.80:8080/          # from another machine, 192.0.2.7
//! you are 192.0.2.7, and came by ws
//! ```

use std::error::Error;

use ws_server::{Forwarding, HandlerError, Server, WebSocket};

pub(crate) async fn greet(mut ws: WebSocket) -> Result<(), HandlerError> {
    let request = ws.request();
    let scheme = if request.is_secure() { "wss" } else { "ws" };
    let client = request.peer().address().ok_or("everybody comes by TCP")?.ip();
    ws.send(format!("you are {client}, and came by {scheme}")).await?;
    while let Some(message) = ws.recv().await {
        ws.send(message).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let server = Server::new()
        .any(greet)
        // nginx runs on this machine. Nobody else is believed.
        .trust_proxies(["127.0.0.1", "::1"], Forwarding::XForwardedFor)
        .trust_forwarded_proto()
        .bind(&*address)
        .await?;
    println!("listening on {}", server.local_addr().ok_or("no address")?);
    server.serve().await
}
