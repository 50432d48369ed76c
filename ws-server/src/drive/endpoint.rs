//! The driver's view of a connection's owner.

use std::{error::Error, pin::Pin, sync::Arc};

use ws_core::Closed;

use crate::outbox::Outbox;

/// The error with which a handler failed.
pub(super) type Failure = Box<dyn Error + Send + Sync>;

/// The running future of a handler.
pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// Starts a handler.
pub(crate) trait Start: Send + Unpin + 'static {
    /// Called once, in the first turn.
    fn start(&mut self) -> HandlerFuture;
}

/// The owner of a connection: a server's end or a client's.
pub(crate) trait Endpoint: Send + Unpin + 'static {
    /// Whether this end closes TCP first, and tells the handler at once that the connection is
    /// over.
    const SERVER: bool;

    type Handler: Start;

    fn outbox(&self) -> &Arc<Outbox>;

    /// Called once the connection is over.
    fn close(&mut self, closed: &Closed);

    /// Whether the connection must end at once. Checked after each turn.
    fn is_aborted(&self) -> bool;

    /// Waits until the rest of a finished connection must end at once.
    fn aborted(&self) -> impl Future<Output = ()> + Send + use<Self>;

    /// Waits until another connection needs this one's permit, when only the handler is left.
    fn displaced(&mut self) -> impl Future<Output = ()> + Send;
}
