//! A client's end of a connection, as the driver sees it.

use std::{convert::Infallible, future::pending, sync::Arc};

use ws_core::Closed;

use crate::{
    drive::{Endpoint, HandlerFuture, Start},
    leaves::log_limiter::LogLimiter,
    outbox::Outbox,
};

pub(super) struct ClientEndpoint(pub(super) Arc<Outbox>);

impl Endpoint for ClientEndpoint {
    const SERVER: bool = false;

    type Handler = NoHandler;

    #[inline]
    fn outbox(&self) -> &Arc<Outbox> {
        &self.0
    }

    fn close(&mut self, closed: &Closed) {
        // Without a limit: the application decides how often it connects.
        LogLimiter::default().log_close(closed);
    }

    #[inline]
    fn is_aborted(&self) -> bool {
        false
    }

    fn aborted(&self) -> impl Future<Output = ()> + Send + use<> {
        pending()
    }

    fn displaced(&mut self) -> impl Future<Output = ()> + Send {
        pending()
    }
}

/// A client has no handler: the application holds the connection itself.
pub(super) struct NoHandler(Infallible);

impl Start for NoHandler {
    fn start(&mut self) -> HandlerFuture {
        match self.0 {}
    }
}
