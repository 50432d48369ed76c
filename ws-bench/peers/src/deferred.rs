//! A socket for libraries that write every message at once: what they write is gathered, and
//! written when a read has to wait.
//!
//! So the replies to all messages that one read brought leave in one write, as with the libraries
//! that batch by themselves.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What is gathered at most.
const LIMIT: usize = 64 * 1024;

/// A larger write goes out at once without being copied, together with what was gathered before it.
const COPIED: usize = 8 * 1024;

/// Writes before a read that has to wait, and when too much is gathered. `flush` does nothing.
#[derive(Debug)]
pub struct Deferred<S: AsyncWrite + Unpin = TcpStream> {
    stream: S,
    gathered: BytesMut,
}

impl<S: AsyncWrite + Unpin> Deferred<S> {
    /// With nothing gathered yet.
    pub fn new(stream: S) -> Self {
        Self { stream, gathered: BytesMut::new() }
    }

    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while !self.gathered.is_empty() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.gathered))?;
            self.gathered.advance(n);
        }
        // Back to the start of the buffer.
        self.gathered.clear();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Drop for Deferred<S> {
    /// What is gathered at the end is a Close; a socket has room for it.
    fn drop(&mut self) {
        if !self.gathered.is_empty() {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut self.stream).poll_write(&mut cx, &self.gathered);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Deferred<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_pending() {
            ready!(self.poll_gathered(cx))?;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Deferred<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(octets)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        if len <= COPIED && self.gathered.len() + len <= LIMIT {
            slices.iter().for_each(|slice| self.gathered.extend_from_slice(slice));
            return Poll::Ready(Ok(len));
        }
        loop {
            let Self { stream, gathered } = &mut *self;
            let all: Vec<IoSlice<'_>> =
                std::iter::once(IoSlice::new(gathered)).chain(slices.iter().copied()).collect();
            let n = ready!(Pin::new(stream).poll_write_vectored(cx, &all))?;
            let before = gathered.len();
            gathered.advance(n.min(before));
            if n > before {
                return Poll::Ready(Ok(n - before));
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_gathered(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
