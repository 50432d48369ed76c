//! wtx by its WebSocket server example, on a socket that gathers writes, as it writes every message
//! at once; `optimization`, which is SIMD for UTF-8.
//!
//! Its deflate never takes a context over; flate2 with zlib-rs, which its feature asks for.

#![forbid(unsafe_code)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use ws_bench_peers::deferred::Deferred;
use ws_bench_peers::server::{Abilities, Failure, Options, serve};
use wtx::collection::Vector;
use wtx::rng::Xorshift64;
use wtx::stream::{StreamReader, StreamWriter};
use wtx::web_socket::compression::{Flate2, NegotiatedCompression};
use wtx::web_socket::{OpCode, WebSocketAcceptor, WebSocketOwned, WebSocketPayloadOrigin};

struct Socket(Deferred);

impl StreamReader for Socket {
    async fn read(&mut self, octets: &mut [u8]) -> wtx::Result<usize> {
        Ok(self.0.read(octets).await?)
    }
}

impl StreamWriter for Socket {
    async fn write_all(&mut self, octets: &[u8]) -> wtx::Result<()> {
        Ok(self.0.write_all(octets).await?)
    }

    async fn write_all_vectored(&mut self, slices: &[&[u8]]) -> wtx::Result<()> {
        for slice in slices {
            self.0.write_all(slice).await?;
        }
        Ok(())
    }
}

fn main() -> Result<(), Failure> {
    let options = Options::read(Abilities { deflate: true, ..Abilities::default() })?;
    serve(options, move |stream| async move {
        let socket = Socket(Deferred::new(stream));
        let acceptor = WebSocketAcceptor::default().no_masking(false);
        if options.deflate {
            echo(acceptor.compression(Flate2::default()).accept(socket).await?).await
        } else {
            echo(acceptor.accept(socket).await?).await
        }
    })
}

async fn echo<C>(mut ws: WebSocketOwned<C, Xorshift64, Socket, false>) -> Result<(), Failure>
where
    C: NegotiatedCompression,
{
    let mut buffer = Vector::new();
    let (mut common, mut reader, mut writer) = ws.split_mut();
    loop {
        let mut frame =
            reader.read_frame(&mut buffer, &mut common, WebSocketPayloadOrigin::Adaptive).await?;
        match frame.op_code() {
            OpCode::Binary | OpCode::Text => writer.write_frame(&mut common, &mut frame).await?,
            OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}
