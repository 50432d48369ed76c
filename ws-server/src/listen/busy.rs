//! The answer to connections beyond the server's capacity.

use std::{
    future::poll_fn,
    io::{Read, Write},
    mem::MaybeUninit,
    pin::Pin,
    task::Poll,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The answer to a connection over capacity, if it can be written without blocking.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\n\
    Connection: close\r\nContent-Length: 0\r\n\r\n";

/// Reads what has arrived, because closing with unread octets would reset the connection, and
/// answers. The socket is non-blocking.
pub(super) fn say_busy<'a, Io>(io: &'a Io)
where
    &'a Io: Read + Write,
{
    let mut io = io;
    // Best effort.
    let _ = io.read(&mut [0; 4096]);
    let _ = io.write(BUSY);
}

/// Answers if the stream takes it at once. Reads what has arrived, because closing with unread
/// octets would reset the connection.
pub(super) async fn refuse<Io: AsyncRead + AsyncWrite + Unpin>(mut io: Io) {
    poll_fn(|cx| {
        let mut chunk = [MaybeUninit::uninit(); 4096];
        let _ = Pin::new(&mut io).poll_read(cx, &mut ReadBuf::uninit(&mut chunk));
        // Best effort.
        let _ = Pin::new(&mut io).poll_write(cx, BUSY);
        Poll::Ready(())
    })
    .await;
}
