//! The turns of a connection that is a stream and a sink of messages.
//!
//! Replies are fed while messages are at hand, and flushed before the task waits.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, SinkExt, Stream, StreamExt};

use crate::hub::Seat;
use crate::server::Failure;

/// What a connection brought.
pub enum Turn<M> {
    /// A text or binary message.
    Data(M),
    /// Something that the library has answered.
    Control,
    /// The client's Close.
    Close,
}

/// Sends every message back; `sort` knows the library's items.
///
/// # Errors
/// Whatever ended the connection.
pub async fn echo<W, I, M>(
    mut ws: W,
    sort: fn(I) -> Result<Turn<M>, Failure>,
) -> Result<(), Failure>
where
    W: Stream<Item = I> + Sink<M> + Unpin,
    Failure: From<W::Error>,
{
    poll_fn(|cx| {
        loop {
            ready!(ws.poll_ready_unpin(cx))?;
            match ready!(poll_turn(&mut ws, cx, sort))? {
                Turn::Data(message) => ws.start_send_unpin(message)?,
                Turn::Control => {}
                Turn::Close => return Poll::Ready(Ok::<(), Failure>(())),
            }
        }
    })
    .await?;
    Ok(ws.close().await?)
}

/// Hands every message to `publish`, and sends what stands in the queue of `seat`.
///
/// # Errors
/// Whatever ended the connection.
pub async fn fan_out<W, I, M>(
    mut ws: W,
    sort: fn(I) -> Result<Turn<M>, Failure>,
    mut seat: Seat<M>,
) -> Result<(), Failure>
where
    W: Stream<Item = I> + Sink<M> + Unpin,
    M: Clone,
    Failure: From<W::Error>,
{
    poll_fn(|cx| {
        loop {
            ready!(ws.poll_ready_unpin(cx))?;
            if let Poll::Ready(Some(message)) = seat.queue.poll_recv(cx) {
                ws.start_send_unpin(message)?;
                continue;
            }
            match ready!(poll_turn(&mut ws, cx, sort))? {
                Turn::Data(message) => seat.publish(&message),
                Turn::Control => {}
                Turn::Close => return Poll::Ready(Ok::<(), Failure>(())),
            }
        }
    })
    .await?;
    Ok(ws.close().await?)
}

/// The next turn; what was fed is flushed before it is waited for.
fn poll_turn<W, I, M>(
    ws: &mut W,
    cx: &mut Context<'_>,
    sort: fn(I) -> Result<Turn<M>, Failure>,
) -> Poll<Result<Turn<M>, Failure>>
where
    W: Stream<Item = I> + Sink<M> + Unpin,
    Failure: From<W::Error>,
{
    match ws.poll_next_unpin(cx) {
        Poll::Ready(Some(item)) => Poll::Ready(sort(item)),
        Poll::Ready(None) => Poll::Ready(Ok(Turn::Close)),
        Poll::Pending => {
            ready!(ws.poll_flush_unpin(cx))?;
            Poll::Pending
        }
    }
}
