//! The last stage of closing: what the client still sends is taken, so that no reset destroys what
//! was sent to it.

use std::{
    any::Any,
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    task::yield_now,
};

use crate::{Limits, leaves::socket::timeout_when_heard};

/// Bytes that are read at once. They lie on the stack of one poll and are kept nowhere.
const CHUNK: usize = 16 * 1024;
/// Bytes that are thrown away before other tasks get their turn.
const TURN: usize = 256 * 1024;

/// Shuts the sending half down, then reads and throws away until the client is done too, or
/// [`Limits::linger_bytes`] have come, or [`Limits::linger_timeout`] has passed besides the time for
/// `reading` what it may have yet to read. Dropping `io` then closes it.
///
/// # Cancel safety
/// Cancel safe, and then a reset may follow.
pub(crate) async fn linger<Io>(io: &mut Io, limits: &Limits, reading: Duration)
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    // RFC 9112 §9.6: "To avoid the TCP reset problem, servers typically close a connection in
    // stages."
    let stages = async {
        io.shutdown().await?;
        discard(io, limits.linger_bytes).await
    };
    // However it ends, the connection is closed next.
    timeout_when_heard(limits.linger_timeout.saturating_add(reading), stages).await;
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
pub(crate) fn write_last<Io: 'static>(io: &Io, octets: &[u8]) -> usize {
    const MSG_MORE: i32 = 0x8000;
    send(io, octets, MSG_MORE)
}

/// Writes what the socket takes, whether the runtime knows that it takes something or not, where the
/// operating system can do that. How many octets it took.
pub(crate) fn write_now<Io: 'static>(io: &Io, octets: &[u8]) -> usize {
    send(io, octets, 0)
}

#[cfg_attr(not(any(target_os = "linux", target_os = "android")), expect(unused_variables))]
fn send<Io: 'static>(io: &Io, octets: &[u8], flags: i32) -> usize {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(socket) = crate::leaves::socket::tcp(io) {
        // As in <linux/socket.h>, on every architecture.
        const MSG_NOSIGNAL: i32 = 0x4000;
        let sent = socket.send_with_flags(octets, MSG_NOSIGNAL | flags);
        // Writing in the usual way tells why not.
        return sent.unwrap_or(0);
    }
    0
}
