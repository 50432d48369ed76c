//! The future of one connection, from its opening handshake to its end.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_core::Closed;

use crate::{
    drive::{Core, Drive, Handling, Opened, drive},
    open::{
        admission::Permit,
        endpoint::{ServerEndpoint, StartHandler},
        shared::Shared,
    },
};

/// An open connection, listed and counted.
pub(crate) type Admitted<Io> = Opened<Io, ServerEndpoint>;

/// Lists and counts an accepted connection. Returns `None` if the server shuts down.
pub(crate) fn admit<Io>(
    shared: &Shared,
    io: Io,
    core: Box<Core>,
    handling: Handling<StartHandler>,
    permit: Permit,
    topics: &[Box<str>],
) -> Option<Admitted<Io>> {
    let registry = &shared.clients.registry;
    for topic in topics {
        // Their number and length were checked; a connection that begins is refused for nothing else.
        registry.topics.subscribe(core.outbox(), topic).ok();
    }
    let entry = registry.enter(core.outbox());
    // The connection is listed first: a shutdown first admits no more and then closes all that are
    // listed, so that it misses none.
    if !shared.admission.running.enter() {
        entry.withdraw();
        return None;
    }
    registry.stats.counters.opened();
    Some(Opened { io, core, handling, endpoint: ServerEndpoint { entry, permit } })
}

/// Drives a connection once it is open, until its handler has returned. Written by hand, as [`Drive`] is.
pub(crate) struct Serving<Io>(Stage<Io>);

enum Stage<Io> {
    /// Boxed, so that an open connection does not keep the memory of its handshake.
    Opening(Pin<Box<dyn Future<Output = Option<Admitted<Io>>> + Send>>),
    Open(Drive<Io, ServerEndpoint>),
}

impl<Io> Serving<Io> {
    /// `opening` is the opening handshake, or what is left of it; `None` where nothing was opened.
    pub(crate) fn new(
        opening: impl Future<Output = Option<Admitted<Io>>> + Send + 'static,
    ) -> Self {
        Self(Stage::Opening(Box::pin(opening)))
    }
}

impl<Io> Future for Serving<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = Option<Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Closed>> {
        loop {
            match &mut self.0 {
                Stage::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Some(opened) => self.0 = Stage::Open(drive(opened)),
                    None => return Poll::Ready(None),
                },
                Stage::Open(drive) => return Pin::new(drive).poll(cx).map(Some),
            }
        }
    }
}
