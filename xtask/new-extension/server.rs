//! An echo server that speaks `NAME`.
//!
//! ```text
//! $ cargo run --example server
//! listening on 127.0.0.1:9001
//! ```

use MODULE::TYPE;
use ws_server::{Server, WebSocket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let echo = |mut ws: WebSocket| async move {
        while let Some(message) = ws.recv().await {
            ws.send(message).await?;
        }
        Ok(())
    };
    let server = Server::new().extension(TYPE).any(echo).bind(address.as_str()).await?;
    if let Some(address) = server.local_addr() {
        println!("listening on {address}");
    }
    server.serve().await
}
