//! fastwebsockets inside axum by the example in its README (feature `with_axum`), on a stream that gathers
//! writes, as beside fastwebsockets alone; `simd`.

#![forbid(unsafe_code)]

use axum::http::StatusCode;
use fastwebsockets::upgrade::{IncomingUpgrade, UpgradeFut};
use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket};
use ws_bench_peers::axum_server::serve;
use ws_bench_peers::deferred::Deferred;
use ws_bench_peers::server::{Abilities, Failure, Options};

fn main() -> Result<(), Failure> {
    let handler = async |upgrade: IncomingUpgrade| {
        let (response, stream) = upgrade.upgrade().map_err(|_| StatusCode::BAD_REQUEST)?;
        // How a client leaves is nothing to report.
        tokio::spawn(async { echo(stream).await.ok() });
        Ok::<_, StatusCode>(response)
    };
    serve(Options::read(Abilities::default())?, handler, ())
}

async fn echo(stream: UpgradeFut) -> Result<(), Failure> {
    let stream = Deferred::new(stream.await?.into_inner());
    let mut ws = FragmentCollector::new(WebSocket::after_handshake(stream, Role::Server));
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}
