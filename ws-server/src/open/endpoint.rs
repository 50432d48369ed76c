//! A server's end of a connection, as its driver knows it.

use std::sync::Arc;

use ws_core::Closed;

use crate::{
    Handler, WebSocket,
    drive::{Endpoint, HandlerFuture, Handling, Start},
    open::{admission::Permit, shared::Shared},
    outbox::Outbox,
    registry::{Entry, Registry},
};

/// A connection that [`Running`](crate::open::running::Running) counts. Its fields are dropped in this
/// order.
pub(crate) struct ServerEndpoint {
    /// Its entry in the registry, which ends with the connection.
    pub(crate) entry: Entry,
    /// Its permit, which it keeps until its handler has returned.
    pub(crate) permit: Permit,
}

impl Drop for ServerEndpoint {
    fn drop(&mut self) {
        self.permit.admission().running.leave();
    }
}

impl Endpoint for ServerEndpoint {
    const SERVER: bool = true;

    type Handler = StartHandler;

    #[inline]
    fn outbox(&self) -> &Arc<Outbox> {
        self.entry.outbox()
    }

    fn close(&mut self, closed: &Closed) {
        self.entry.close(closed);
    }

    #[inline]
    fn is_aborted(&self) -> bool {
        self.permit.admission().running.is_aborted()
    }

    fn aborted(&self) -> impl Future<Output = ()> + Send + use<> {
        let admission = Arc::clone(self.permit.admission());
        async move { admission.running.aborted().await }
    }

    fn displaced(&mut self) -> impl Future<Output = ()> + Send {
        self.permit.taken()
    }
}

/// A handler that has yet to start.
pub(crate) struct StartHandler {
    handler: Arc<dyn Handler>,
    outbox: Arc<Outbox>,
    registry: Arc<Registry>,
}

impl StartHandler {
    /// A handler that starts in its first turn.
    pub(crate) fn due(
        handler: Arc<dyn Handler>,
        outbox: &Arc<Outbox>,
        shared: &Shared,
    ) -> Handling<Self> {
        let registry = Arc::clone(&shared.clients.registry);
        Handling::Due(Box::new(Self { handler, outbox: Arc::clone(outbox), registry }))
    }
}

impl Start for StartHandler {
    fn start(&mut self) -> HandlerFuture {
        let ws = WebSocket::new(Arc::clone(&self.outbox), Some(Arc::clone(&self.registry)));
        Arc::clone(&self.handler).start(ws)
    }
}
