//! A stream of octets for the asynchronous ends: it reads what the fuzzer says, in pieces, and keeps what
//! is written.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What was written to a [`Stream`].
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub fn octets(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads octets in pieces of a length, then the end.
pub struct Stream {
    octets: Vec<u8>,
    at: usize,
    step: usize,
    written: Written,
}

impl Stream {
    pub fn new(octets: Vec<u8>, step: usize) -> (Self, Written) {
        let written = Written::default();
        (Self { octets, at: 0, step: step.max(1), written: written.clone() }, written)
    }

    /// What was not read.
    pub fn rest(&self) -> &[u8] {
        &self.octets[self.at..]
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = self.step.min(buffer.remaining()).min(self.rest().len());
        buffer.put_slice(&self.rest()[..n]);
        self.at += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut written = self.written.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(octets);
        Poll::Ready(Ok(octets.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs a future on this thread. Time passes at once where everything waits.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O");
    runtime.block_on(future)
}
