//! A client: it says what the command line says and prints the answers, or sends back whatever the
//! server sends until that closes.
//!
//! ```text
//! $ cargo run --example client --features client -- ws://127.0.0.1:9001/echo hello
//! text: hello
//! closed by Local: 1000
//! $ cargo run --example client --features client -- ws://127.0.0.1:9002/       # of a server that says hello
//! text: hello
//! closed by Peer: 1000
//! ```

use std::{error::Error, num::NonZeroUsize};

use clap::Parser;
use ws_server::{CloseCode, Connect, Deflate, Limits, Message, WebSocket};

/// A WebSocket client that prints the text it receives. It sends its messages one by one, each
/// after the answer to the previous one, and closes; without messages it echoes the server's until
/// the server closes.
#[derive(Parser)]
#[command(name = "client")]
struct Options {
    /// The server, ws://HOST:PORT/PATH
    url: String,

    /// Messages to send
    messages: Vec<String>,

    /// Do not offer compression
    #[arg(long)]
    no_deflate: bool,

    /// Largest message and frame to accept [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    max_message: Option<NonZeroUsize>,

    /// Maximum number of frames in a message [default: 4096]
    #[arg(long, value_name = "N")]
    max_fragments: Option<NonZeroUsize>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut limits = Limits::default();
    if let Some(bytes) = options.max_message {
        limits.max_message = bytes.get();
    }
    if let Some(count) = options.max_fragments {
        limits.max_fragments = count.get();
    }
    let mut client = Connect::new(&options.url).limits(limits);
    if !options.no_deflate {
        client = client.extension(Deflate::default());
    }

    let mut ws = client.connect().await?;
    if options.messages.is_empty() {
        send_back(&mut ws).await?;
    } else {
        send_all(&mut ws, &options.messages).await?;
    }
    let closed = ws.closed().await;
    println!("closed by {:?}: {} {}", closed.by, closed.code, closed.reason);
    if closed.code == CloseCode::ABNORMAL {
        return Err("the server disconnected without a Close".into());
    }
    Ok(())
}

async fn send_all(ws: &mut WebSocket, messages: &[String]) -> Result<(), Box<dyn Error>> {
    for message in messages {
        ws.send(message.as_str()).await?;
        match ws.recv().await {
            Some(answer) => show(&answer),
            None => return Ok(()),
        }
    }
    ws.close(CloseCode::NORMAL, "")?;
    Ok(())
}

async fn send_back(ws: &mut WebSocket) -> Result<(), Box<dyn Error>> {
    while let Some(message) = ws.recv().await {
        show(&message);
        // The server may have closed in the meantime, which ends the loop anyway.
        if ws.send(message).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn show(message: &Message) {
    if let Message::Text(text) = message {
        println!("text: {}", text.as_str().chars().take(60).collect::<String>());
    }
}
