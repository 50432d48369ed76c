//! The server of `cargo xtask slow-paths`: large messages and streams for clients on slow links.
//!
//! `/big?BYTES` sends one message and waits for the client to close, `/farewell?BYTES` sends one and
//! returns, `/stream` sends messages of 16 KiB for as long as the connection lasts, `/upload` waits for
//! a message, replies with its size and returns. The ends of connections are logged to standard error.
//!
//! ```text
//! $ cargo run --release -p ws-bench --example slow_path_server -- 127.0.0.1:9001
//! listening on 127.0.0.1:9001
//! ```

use std::error::Error;

use ws_server::{HandlerError, Message, Server, WebSocket};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let listen = std::env::args().nth(1).ok_or("missing argument: ADDRESS:PORT to listen on")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::new()
            .route("/big", big)
            .route("/farewell", farewell)
            .route("/stream", stream)
            .route("/upload", upload)
            .bind(listen.as_str())
            .await?;
        println!("listening on {}", server.local_addr().ok_or("not a TCP address")?);
        server.serve().await
    })
}

/// A message with the number of bytes in the query.
fn message(ws: &WebSocket) -> Message {
    let bytes = ws.request().query().and_then(|query| query.parse().ok()).unwrap_or(1 << 20);
    Message::from(vec![7; bytes])
}

async fn big(mut ws: WebSocket) -> Result<(), HandlerError> {
    let message = message(&ws);
    let sent = async {
        ws.send(message).await?;
        while ws.recv().await.is_some() {}
        Ok(())
    };
    let outcome = sent.await;
    eprintln!("/big: {:?}", ws.closed().await);
    outcome
}

async fn farewell(mut ws: WebSocket) -> Result<(), HandlerError> {
    let message = message(&ws);
    ws.send(message).await?;
    Ok(())
}

async fn stream(mut ws: WebSocket) -> Result<(), HandlerError> {
    while ws.send(vec![7; 16 * 1024]).await.is_ok() {}
    eprintln!("/stream: {:?}", ws.closed().await);
    Ok(())
}

async fn upload(mut ws: WebSocket) -> Result<(), HandlerError> {
    match ws.recv().await {
        Some(message) => ws.send(message.len().to_string()).await?,
        None => eprintln!("/upload: {:?}", ws.closed().await),
    }
    Ok(())
}
