//! sockudo-ws inside axum by its extractor (feature `axum-integration`), with the options of sockudo-ws
//! alone: it feeds while messages are available, no timers, `simd`, its deflate `Dedicated`.

#![forbid(unsafe_code)]

use axum::extract::State;
use sockudo_ws::axum_integration::WebSocketUpgrade;
use sockudo_ws::{Compression, Config, Message};
use ws_bench_peers::axum_server::serve;
use ws_bench_peers::server::{Abilities, Failure, Options};
use ws_bench_peers::turns::{Turn, echo};

fn main() -> Result<(), Failure> {
    let options = Options::read(Abilities { deflate: true, ..Abilities::default() })?;
    // Up to 200 ms once, which should not fall into the first connection.
    sockudo_ws::init_clock();
    let compression = if options.deflate { Compression::Dedicated } else { Compression::Disabled };
    let config =
        Config::builder().auto_ping(false).idle_timeout(0).compression(compression).build();
    let handler = async |State(config): State<Config>, upgrade: WebSocketUpgrade| {
        upgrade.config(config).on_upgrade(async |ws| {
            // How a client leaves is nothing to report.
            echo(ws, sort).await.unwrap_or_default();
        })
    };
    serve(options, handler, config)
}

fn sort(item: sockudo_ws::Result<Message>) -> Result<Turn<Message>, Failure> {
    Ok(match item? {
        message @ (Message::Text(_) | Message::Binary(_)) => Turn::Data(message),
        Message::Close(_) => Turn::Close,
        _ => Turn::Control,
    })
}
