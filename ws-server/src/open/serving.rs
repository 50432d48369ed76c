//! The future of one connection, from its opening handshake to its end.

use std::{
    pin::Pin,
    sync::Arc,
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
    outbox::Outbox,
    registry::Entry,
};

/// An open connection, listed and counted.
pub(crate) type Admitted<Io> = Opened<Io, ServerEndpoint>;

/// Lists an accepted connection, with what it subscribes to from the start.
pub(crate) fn list(shared: &Shared, outbox: &Arc<Outbox>, topics: &[Box<str>]) -> Entry {
    let registry = &shared.clients.registry;
    for topic in topics {
        // Their number and length were checked; a connection that begins is refused for nothing else.
        registry.subscribe(outbox, topic).ok();
    }
    registry.enter(outbox)
}

/// Counts a connection that is listed. Returns `None` if the server shuts down.
pub(crate) fn admit<Io>(
    shared: &Shared,
    io: Io,
    core: Box<Core>,
    handling: Handling<StartHandler>,
    permit: Permit,
    entry: Entry,
) -> Option<Admitted<Io>> {
    // The connection is listed first: a shutdown first admits no more and then closes all that are
    // listed, so that it misses none.
    if !shared.admission.running.enter() {
        entry.withdraw();
        return None;
    }
    shared.clients.registry.stats.counters.opened();
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
