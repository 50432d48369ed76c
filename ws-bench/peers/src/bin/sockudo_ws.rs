//! sockudo-ws by the echo loop of its README: replies are fed, and `next` writes them before it
//! waits for more input. Its timers are off, as in its own benchmarks over sockets.

#![forbid(unsafe_code)]

use futures_util::{SinkExt, StreamExt};
use sockudo_ws::{Config, Message, WebSocketStream};
use tokio::net::TcpStream;
use ws_bench_peers::opening;
use ws_bench_peers::server::{Failure, serve};

fn main() -> Result<(), Failure> {
    // Up to 200 ms once, which should not fall into the first connection.
    sockudo_ws::init_clock();
    serve(echo)
}

async fn echo(mut stream: TcpStream) -> Result<(), Failure> {
    opening::accept(&mut stream).await?;
    let config = Config::builder().auto_ping(false).idle_timeout(0).build();
    let mut ws = WebSocketStream::server(stream, config);
    while let Some(message) = ws.next().await {
        match message? {
            message @ (Message::Text(_) | Message::Binary(_)) => ws.feed(message).await?,
            Message::Close(_) => break,
            _ => {}
        }
    }
    Ok(())
}
