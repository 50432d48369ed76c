//! tokio-tungstenite with a read buffer of 32 KiB in place of 128 KiB.
//!
//! It clears the buffer for every read: its default takes half as much CPU again for a small
//! message that comes alone, and gains nothing in any case. It has no permessage-deflate.

#![forbid(unsafe_code)]

use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use ws_bench_peers::hub::Hub;
use ws_bench_peers::server::{Abilities, Failure, Options, serve};
use ws_bench_peers::turns::{Turn, echo, fan_out};

fn main() -> Result<(), Failure> {
    let options = Options::read(Abilities { broadcast: true, ..Abilities::default() })?;
    let hub = Hub::default();
    let config = WebSocketConfig::default().read_buffer_size(32 * 1024);
    serve(options, move |stream| {
        let hub = hub.clone();
        async move {
            let ws = accept_async_with_config(stream, Some(config)).await?;
            if options.broadcast {
                fan_out(ws, sort, hub.join()).await
            } else {
                echo(ws, sort).await
            }
        }
    })
}

fn sort(item: Result<Message, Error>) -> Result<Turn<Message>, Failure> {
    Ok(match item? {
        message @ (Message::Text(_) | Message::Binary(_)) => Turn::Data(message),
        Message::Close(_) => Turn::Close,
        _ => Turn::Control,
    })
}
