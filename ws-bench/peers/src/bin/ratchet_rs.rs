//! ratchet by its Autobahn server, on a socket that gathers writes, as it writes every message at
//! once.
//!
//! Whether text is UTF-8 is left to the application, which has simdutf8 here. Its deflate is its
//! default, which never takes a context over; flate2 with the zlib in C that it asks for.

#![forbid(unsafe_code)]

use bytes::BytesMut;
use ratchet_rs::deflate::DeflateExtProvider;
use ratchet_rs::{
    Extension, Message, NoExtProvider, PayloadType, SubprotocolRegistry, WebSocket,
    WebSocketConfig, accept_with,
};
use tokio::io::BufReader;
use ws_bench_peers::deferred::Deferred;
use ws_bench_peers::server::{Abilities, Failure, Options, serve};

type Socket = BufReader<Deferred>;

fn main() -> Result<(), Failure> {
    let options = Options::read(Abilities { deflate: true, ..Abilities::default() })?;
    serve(options, move |stream| async move {
        let socket = BufReader::new(Deferred::new(stream));
        let (config, registry) = (WebSocketConfig::default(), SubprotocolRegistry::default());
        if options.deflate {
            let deflate = DeflateExtProvider::default();
            let upgrader = accept_with(socket, config, deflate, registry).await?;
            echo(upgrader.upgrade().await?.websocket).await
        } else {
            let upgrader = accept_with(socket, config, NoExtProvider, registry).await?;
            echo(upgrader.upgrade().await?.websocket).await
        }
    })
}

async fn echo<E: Extension>(mut ws: WebSocket<Socket, E>) -> Result<(), Failure> {
    let mut message = BytesMut::new();
    loop {
        match ws.read(&mut message).await? {
            Message::Text => {
                simdutf8::basic::from_utf8(&message)?;
                ws.write(&message, PayloadType::Text).await?;
                message.clear();
            }
            Message::Binary => {
                ws.write(&message, PayloadType::Binary).await?;
                message.clear();
            }
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => return Ok(()),
        }
    }
}
