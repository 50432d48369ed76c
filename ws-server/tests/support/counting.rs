//! How often a stream is polled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use tokio::io::{AsyncRead, AsyncWrite};

use super::hooked::Hooked;

/// How often a stream was polled.
#[derive(Clone, Default)]
pub(crate) struct Polls(Arc<AtomicUsize>);

impl Polls {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts every call on `io`.
pub(crate) fn counting<Io: AsyncRead + AsyncWrite + Send + Unpin>(
    io: Io,
) -> (impl AsyncRead + AsyncWrite + Send + Unpin, Polls) {
    let polls = Polls::default();
    let counted = polls.clone();
    let count = move |_, _: &mut std::task::Context<'_>| {
        counted.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    };
    (Hooked::new(io, count), polls)
}
