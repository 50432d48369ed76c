//! fastwebsockets by its echo example, on a socket that gathers writes, as it writes every message
//! at once; `simd`.
//!
//! Its handshake is hyper's, as in its example; the socket is taken out of hyper behind it. It has
//! no permessage-deflate. A `read_frame` that is dropped loses octets, so that one task cannot wait
//! for a message and for a queue: no fan-out.

#![forbid(unsafe_code)]

use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket, upgrade};
use tokio::net::TcpStream;
use ws_bench_peers::deferred::Deferred;
use ws_bench_peers::hyper_upgrade;
use ws_bench_peers::server::{Abilities, Failure, Options, serve};

fn main() -> Result<(), Failure> {
    serve(Options::read(Abilities::default())?, echo)
}

async fn echo(stream: TcpStream) -> Result<(), Failure> {
    let (stream, _) = hyper_upgrade::accept(stream, |request| upgrade::upgrade(request)).await?;
    let ws = WebSocket::after_handshake(Deferred::new(stream), Role::Server);
    let mut ws = FragmentCollector::new(ws);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}
