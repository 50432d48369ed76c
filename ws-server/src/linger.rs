//! The last stage of closing: what the client still sends is taken, so that no reset destroys what
//! was sent to it.

use std::{
    any::Any,
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    task::{unconstrained, yield_now},
    time::timeout,
};

use crate::Limits;

/// Bytes that are read at once. They lie on the stack of one poll and are kept nowhere.
const CHUNK: usize = 16 * 1024;
/// Bytes that are thrown away before other tasks get their turn.
const TURN: usize = 256 * 1024;

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
        discard(io, limits.linger_bytes).await
    };
    // However it ends, the connection is closed next. Outside of the task's budget, which a handler
    // may have spent: without one the time does not count.
    unconstrained(timeout(limits.linger_timeout, stages)).await.ok();
}

/// Reads and throws away until the end, or until so many octets have come.
pub(crate) async fn discard<Io: AsyncRead + Unpin>(io: &mut Io, most: usize) -> io::Result<()> {
    let mut left = most;
    let mut turn = TURN;
    while left > 0 {
        match poll_fn(|cx| poll_discard(io, left.min(turn), cx)).await? {
            0 => break,
            read => (left, turn) = (left - read, turn - read),
        }
        if turn == 0 {
            turn = TURN;
            yield_now().await;
        }
    }
    Ok(())
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

/// Whether `io` is a socket of the operating system, of which one knows that all was read when a read
/// gets less than it has room for, and whose end is an orderly one when it is dropped then. A stream
/// around one, of TLS say, may have more in the socket, and has to say its own farewell.
pub(crate) fn is_socket<Io: 'static>(io: &Io) -> bool {
    let io: &dyn Any = io;
    #[cfg(unix)]
    if io.is::<tokio::net::UnixStream>() {
        return true;
    }
    io.is::<TcpStream>()
}

/// Writes what is to stay until the socket is closed, which is to be at once: our Close and the end of
/// the stream go in one packet, where the operating system can do that. How many octets it took.
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), expect(unused_variables))]
pub(crate) fn write_last<Io: 'static>(io: &Io, octets: &[u8]) -> usize {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(socket) = (io as &dyn Any).downcast_ref::<TcpStream>() {
        // As in <linux/socket.h>, on every architecture.
        const MSG_NOSIGNAL: i32 = 0x4000;
        const MSG_MORE: i32 = 0x8000;
        let sent = socket2::SockRef::from(socket).send_with_flags(octets, MSG_NOSIGNAL | MSG_MORE);
        // Writing in the usual way tells why not.
        return sent.unwrap_or(0);
    }
    0
}
