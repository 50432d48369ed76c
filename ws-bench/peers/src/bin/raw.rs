//! An echo of octets, without WebSocket: what tokio and the kernel cost alone.

#![forbid(unsafe_code)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use ws_bench_peers::server::{Abilities, Failure, Options, serve};

fn main() -> Result<(), Failure> {
    serve(Options::read(Abilities::default())?, echo)
}

async fn echo(mut stream: TcpStream) -> Result<(), Failure> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}
