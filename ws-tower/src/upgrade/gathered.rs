//! A stream that hyper makes: of HTTP/2, or of what nobody knows.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Octets given to hyper in one call. It takes megabytes at once, however small the window of the peer
/// is, and holds them where no limit counts them.
const WRITE: usize = 16 * 1024;

/// Puts small pieces together, since hyper takes one at a time, and keeps large ones small.
pub(crate) struct Gathered(TokioIo<Upgraded>);

impl Gathered {
    pub(crate) fn new(upgraded: Upgraded) -> Self {
        Self(TokioIo::new(upgraded))
    }
}

impl AsyncRead for Gathered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Gathered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let some = octets.get(..WRITE).unwrap_or(octets);
        Pin::new(&mut self.0).poll_write(cx, some)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Freed at once: a connection at rest holds no buffer.
        let mut buffer = Vec::new();
        for piece in pieces {
            let room = WRITE - buffer.len();
            buffer.extend_from_slice(piece.get(..room).unwrap_or(piece));
        }
        Pin::new(&mut self.0).poll_write(cx, &buffer)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    // RFC 8441 §5: "Orderly TCP-level closures are represented as END_STREAM flags".
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
