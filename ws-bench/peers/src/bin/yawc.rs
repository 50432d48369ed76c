//! yawc as its own comparison tunes it: a read buffer of 128 KiB, writing from 64 KiB on.
//!
//! Replies are fed while messages are at hand, and flushed before the task waits. It runs on the
//! socket itself, which is cheaper than hyper's upgraded connection.

#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use futures_util::SinkExt;
use tokio::net::TcpStream;
use ws_bench_peers::opening;
use ws_bench_peers::server::{Failure, serve};
use yawc::{OpCode, Options, Role, WebSocket};

fn main() -> Result<(), Failure> {
    serve(echo)
}

async fn echo(mut stream: TcpStream) -> Result<(), Failure> {
    opening::accept(&mut stream).await?;
    let options = Options::default()
        .with_utf8()
        .without_compression()
        .with_read_buffer_capacity(128 * 1024)
        .with_backpressure_boundary(64 * 1024);
    let mut ws = WebSocket::from_stream(stream, Role::Server, options)?;
    poll_fn(|cx| poll_echo(&mut ws, cx)).await
}

fn poll_echo(ws: &mut WebSocket<TcpStream>, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
    loop {
        ready!(ws.poll_ready_unpin(cx))?;
        match ws.poll_next_frame(cx) {
            Poll::Ready(frame) => {
                let frame = frame?;
                match frame.opcode() {
                    OpCode::Text | OpCode::Binary => ws.start_send_unpin(frame)?,
                    OpCode::Close => {
                        ready!(ws.poll_close_unpin(cx))?;
                        return Poll::Ready(Ok(()));
                    }
                    _ => {}
                }
            }
            Poll::Pending => {
                ready!(ws.poll_flush_unpin(cx))?;
                return Poll::Pending;
            }
        }
    }
}
