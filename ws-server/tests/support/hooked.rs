//! A stream with something before each call.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A call on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Write,
    Flush,
    Shutdown,
}

/// Asks `before` first: what is not ready or an error takes the place of the call on the stream within.
pub(crate) struct Hooked<Io, F> {
    io: Io,
    before: F,
}

impl<Io: Unpin, F> Hooked<Io, F>
where
    F: FnMut(Call, &mut Context<'_>) -> Poll<io::Result<()>> + Unpin,
{
    pub(crate) fn new(io: Io, before: F) -> Self {
        Self { io, before }
    }

    fn call(&mut self, call: Call, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut Io>>> {
        ready!((self.before)(call, cx))?;
        Poll::Ready(Ok(Pin::new(&mut self.io)))
    }
}

impl<Io: AsyncRead + Unpin, F> AsyncRead for Hooked<Io, F>
where
    F: FnMut(Call, &mut Context<'_>) -> Poll<io::Result<()>> + Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.call(Call::Read, cx))?.poll_read(cx, buffer)
    }
}

impl<Io: AsyncWrite + Unpin, F> AsyncWrite for Hooked<Io, F>
where
    F: FnMut(Call, &mut Context<'_>) -> Poll<io::Result<()>> + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.call(Call::Write, cx))?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.call(Call::Write, cx))?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.call(Call::Flush, cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.call(Call::Shutdown, cx))?.poll_shutdown(cx)
    }
}
