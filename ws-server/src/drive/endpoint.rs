//! What the driver knows of whom it drives a connection for.

use std::{error::Error, pin::Pin, sync::Arc};

use ws_core::Closed;

use crate::outbox::Outbox;

/// Why what handles a connection gave up.
pub(super) type Failure = Box<dyn Error + Send + Sync>;

/// What handles a connection, at work.
pub(crate) type Working = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// Makes what handles a connection.
pub(crate) trait Start: Send + Unpin + 'static {
    /// Called once, in the first turn.
    fn start(&mut self) -> Working;
}

/// Whom a connection is driven for: a server's end or a client's.
pub(crate) trait Endpoint: Send + Unpin + 'static {
    /// Whether TCP is closed here first, and the handler is told at once that the connection is over.
    const SERVER: bool;

    type Handler: Start;

    fn outbox(&self) -> &Arc<Outbox>;

    /// The connection is over.
    fn close(&mut self, closed: &Closed);

    /// Whether the connection must end at once. Asked after each turn.
    fn is_aborted(&self) -> bool;

    /// Waits until what is left of a connection that is over must end at once.
    fn aborted(&self) -> impl Future<Output = ()> + Send + use<Self>;

    /// Waits until another connection needs the place that this one has, while its handler is all that
    /// is left of it.
    fn displaced(&mut self) -> impl Future<Output = ()> + Send;
}
