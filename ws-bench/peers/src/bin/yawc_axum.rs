//! yawc inside axum by its extractor (feature `axum`), with the options of yawc alone.

#![forbid(unsafe_code)]

use axum::extract::State;
use axum::http::StatusCode;
use ws_bench_peers::axum_server::serve;
use ws_bench_peers::server::{Abilities, Failure};
use ws_bench_peers::turns::{Turn, echo};
use yawc::{DeflateOptions, Frame, IncomingUpgrade, OpCode, Options, UpgradeFut};

fn main() -> Result<(), Failure> {
    let abilities = Abilities { deflate: true, ..Abilities::default() };
    let command = ws_bench_peers::server::Options::read(abilities)?;
    let options = Options {
        compression: command.deflate.then(DeflateOptions::default),
        ..Options::default()
            .with_utf8()
            .with_limits(2 * 1024 * 1024, 4 * 1024 * 1024)
            .with_read_buffer_capacity(128 * 1024)
            .with_backpressure_boundary(64 * 1024)
    };
    let handler = async |State(options): State<Options>, upgrade: IncomingUpgrade| {
        let (response, ws) = upgrade.upgrade(options).map_err(|_| StatusCode::BAD_REQUEST)?;
        // How a client leaves is nothing to report.
        tokio::spawn(async { serve_one(ws).await.ok() });
        Ok::<_, StatusCode>(response)
    };
    serve(command, handler, options)
}

async fn serve_one(ws: UpgradeFut) -> Result<(), Failure> {
    echo(ws.await?, sort).await
}

fn sort(frame: Frame) -> Result<Turn<Frame>, Failure> {
    Ok(match frame.opcode() {
        OpCode::Text | OpCode::Binary => Turn::Data(frame),
        OpCode::Close => Turn::Close,
        _ => Turn::Control,
    })
}
