//! The last stage of closing: what the client still sends is taken, so that no reset destroys what
//! was sent to it.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use crate::Limits;

/// Bytes that are read at once. They lie on the stack of one poll and are kept nowhere.
const CHUNK: usize = 16 * 1024;

/// Shuts the sending half down, then reads and throws away until the client is done too,
/// [`Limits::linger_timeout`] has passed or [`Limits::linger_bytes`] have come. Dropping `io` then
/// closes it.
///
/// # Cancel safety
/// Cancel safe, and then a reset may follow.
pub(crate) async fn linger<Io>(io: &mut Io, limits: &Limits)
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    // RFC 9112 §9.6: "To avoid the TCP reset problem, servers typically close a connection in
    // stages."
    let stages = async {
        io.shutdown().await?;
        let mut left = limits.linger_bytes;
        while left > 0 {
            match poll_fn(|cx| poll_discard(io, left, cx)).await? {
                0 => break,
                read => left -= read,
            }
        }
        io::Result::Ok(())
    };
    // However it ends, the connection is closed next.
    timeout(limits.linger_timeout, stages).await.ok();
}

fn poll_discard<Io: AsyncRead + Unpin>(
    io: &mut Io,
    most: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut chunk = [const { MaybeUninit::uninit() }; CHUNK];
    let mut chunk = ReadBuf::uninit(&mut chunk[..most.min(CHUNK)]);
    ready!(Pin::new(io).poll_read(cx, &mut chunk))?;
    Poll::Ready(Ok(chunk.filled().len()))
}
