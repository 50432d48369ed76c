//! A client that sends back whatever a server sends, until it closes.
//!
//! ```text
//! $ cargo run --example client --features client -- ws://127.0.0.1:9002/
//! text: hello
//! closed by Peer: 1000
//! ```

use std::{error::Error, num::NonZeroUsize};

use clap::Parser;
use ws_server::{CloseCode, Connect, Deflate, Limits, Message};

/// A WebSocket client that sends back whatever the server sends, and prints what is text. It ends
/// when the server closes.
#[derive(Parser)]
#[command(name = "client")]
struct Options {
    /// Where to connect, ws://HOST:PORT/PATH
    url: String,

    /// Do not offer to compress
    #[arg(long)]
    no_deflate: bool,

    /// Largest message to take, and largest frame [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    max_message: Option<NonZeroUsize>,

    /// Most frames of one message [default: 4096]
    #[arg(long, value_name = "N")]
    max_fragments: Option<NonZeroUsize>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut limits = Limits::default();
    if let Some(bytes) = options.max_message {
        (limits.max_message, limits.max_frame) = (bytes.get(), bytes.get());
    }
    if let Some(count) = options.max_fragments {
        limits.max_fragments = count.get();
    }
    let mut client = Connect::new(&options.url).limits(limits);
    if !options.no_deflate {
        client = client.extension(Deflate::default());
    }

    let mut ws = client.connect().await?;
    while let Some(message) = ws.recv().await? {
        if let Message::Text(text) = &message {
            println!("text: {}", text.chars().take(60).collect::<String>());
        }
        // It may have closed in the meantime, which is how this ends anyway.
        if ws.send(message).await.is_err() {
            break;
        }
    }
    let closed = ws.closed().await;
    println!("closed by {:?}: {} {}", closed.by, closed.code, closed.reason);
    if closed.code == CloseCode::ABNORMAL {
        return Err("the server went away without a Close".into());
    }
    Ok(())
}
