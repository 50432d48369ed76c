//! A server's end of a connection, as its driver knows it.

use std::sync::Arc;

use ws_core::Closed;

use crate::{
    Handler, WebSocket,
    drive::{Endpoint, Start, Working},
    open::admission::Place,
    outbox::Outbox,
    registry::{Entry, Registry},
};

/// What is dropped goes in this order.
pub(crate) struct ServerEndpoint {
    /// Its line in the list of its server, which it leaves when it is over.
    pub(crate) entry: Entry,
    /// Its place among those that its server lets in, which it keeps until its handler has returned.
    pub(crate) place: Place,
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

    fn displaced(&mut self) -> impl Future<Output = ()> + Send {
        self.place.taken()
    }
}

/// A handler that has yet to start.
pub(crate) struct StartHandler {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) registry: Arc<Registry>,
}

impl Start for StartHandler {
    fn start(&mut self) -> Working {
        let ws = WebSocket::new(Arc::clone(&self.outbox), Some(Arc::clone(&self.registry)));
        Arc::clone(&self.handler).start(ws)
    }
}
