//! The smallest server: it sends every message back.
//!
//! ```text
//! $ cargo run --example echo                                    # prints nothing, and serves
//! $ cargo run --example client --features client -- ws://127.0.0.1:9001/ hello
//! text: hello
//! closed by Local: 1000
//! ```

// ANCHOR: echo
#[tokio::main]
async fn main() -> Result<(), ws_server::ServeError> {
    let echo = |mut ws: ws_server::WebSocket| async move {
        while let Some(message) = ws.recv().await {
            ws.send(message).await?;
        }
        Ok(())
    };
    ws_server::Server::new().any(echo).bind("127.0.0.1:9001").await?.serve().await
}
// ANCHOR_END: echo
