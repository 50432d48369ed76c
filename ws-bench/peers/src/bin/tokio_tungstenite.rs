//! tokio-tungstenite with a read buffer of 32 KiB in place of 128 KiB.
//!
//! It clears the buffer for every read: its default takes half as much CPU again for a small
//! message that comes alone, and gains nothing in any case.
//!
//! It writes when its buffer is full or flushed: replies are fed while messages are at hand, and
//! flushed before the task waits.

#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};
use ws_bench_peers::server::{Failure, serve};

fn main() -> Result<(), Failure> {
    serve(echo)
}

async fn echo(stream: TcpStream) -> Result<(), Failure> {
    let config = WebSocketConfig::default().read_buffer_size(32 * 1024);
    let mut ws = accept_async_with_config(stream, Some(config)).await?;
    poll_fn(|cx| poll_echo(&mut ws, cx)).await
}

fn poll_echo(
    ws: &mut WebSocketStream<TcpStream>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Failure>> {
    loop {
        ready!(ws.poll_ready_unpin(cx))?;
        match ws.poll_next_unpin(cx) {
            Poll::Ready(Some(message)) => {
                let message = message?;
                if message.is_text() || message.is_binary() {
                    ws.start_send_unpin(message)?;
                }
            }
            Poll::Ready(None) => return Poll::Ready(Ok(())),
            Poll::Pending => {
                ready!(ws.poll_flush_unpin(cx))?;
                return Poll::Pending;
            }
        }
    }
}
