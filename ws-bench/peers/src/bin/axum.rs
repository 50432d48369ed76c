//! `axum::extract::ws`, which is tokio-tungstenite on what hyper makes of the socket.
//!
//! It feeds while messages are available and flushes before waiting, which writes less often than the
//! `recv` and `send` of its example; a read buffer of 32 KiB, as beside tokio-tungstenite alone.

#![forbid(unsafe_code)]

use axum::Error;
use axum::extract::ws::{Message, WebSocketUpgrade};
use ws_bench_peers::axum_server::serve;
use ws_bench_peers::server::{Abilities, Failure, Options};
use ws_bench_peers::turns::{Turn, echo};

fn main() -> Result<(), Failure> {
    let handler = async |upgrade: WebSocketUpgrade| {
        upgrade.read_buffer_size(32 * 1024).on_upgrade(async |ws| {
            // How a client leaves is nothing to report.
            echo(ws, sort).await.unwrap_or_default();
        })
    };
    serve(Options::read(Abilities::default())?, handler, ())
}

fn sort(item: Result<Message, Error>) -> Result<Turn<Message>, Failure> {
    Ok(match item? {
        message @ (Message::Text(_) | Message::Binary(_)) => Turn::Data(message),
        Message::Close(_) => Turn::Close,
        _ => Turn::Control,
    })
}
