//! A handshake that was accepted, for an HTTP implementation that owns the stream.

use std::{fmt, sync::Arc};

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{Instrument, Span, error};
use ws_core::Closed;

use crate::{
    ClientId, HandlerError, Outcome, Request, Service, WebSocket,
    drive::{Core, Handling},
    leaves::socket,
    open::{
        admission::Permit,
        decision::Agreement,
        endpoint::StartHandler,
        serving::{Serving, admit, list},
        shared::Shared,
    },
    registry::Entry,
};

/// A handshake that [`Service::upgrade`](crate::Service::upgrade) or
/// [`Service::open`](crate::Service::open) accepted: send its [response](Self::response), then
/// [drive](Self::drive) the connection over the stream that the HTTP implementation gives back.
///
/// It holds a place among the connections of its server, and is listed among its
/// [clients](crate::Service::clients): what is sent to it meanwhile, and a Close, wait until it is driven.
/// Both end when it is dropped.
#[must_use = "a client waits for its response, and the connection must be driven"]
pub struct Accepted {
    agreement: Agreement,
    /// Its entry in the registry, so that access which is revoked meanwhile is revoked for it too.
    entry: Undriven,
    handling: Option<Handling<StartHandler>>,
    permit: Permit,
    span: Span,
    shared: Arc<Shared>,
    below: usize,
}

impl Accepted {
    pub(super) fn new(
        agreement: Agreement,
        handling: Option<Handling<StartHandler>>,
        permit: Permit,
        span: Span,
        shared: Arc<Shared>,
    ) -> Self {
        let entry = Undriven(Some(list(&shared, &agreement.outbox, &agreement.topics)));
        Self { agreement, entry, handling, permit, span, shared, below: 0 }
    }

    /// The 101 with all of its headers. More may be added, `Set-Cookie` for example.
    pub fn response(&self) -> http::Response<()> {
        self.agreement.handshake.response()
    }

    /// The id that the connection will have.
    pub fn id(&self) -> ClientId {
        self.agreement.outbox.id
    }

    /// The request as the handler will see it, with the subprotocol and the extensions agreed on.
    pub fn request(&self) -> &Request {
        &self.agreement.outbox.request
    }

    /// The server that accepted it.
    pub fn service(&self) -> Service {
        Service { shared: Arc::clone(&self.shared) }
    }

    /// Gives the connection this handler, in place of the route's. It is called once, in the task
    /// that drives the connection, and may return nothing or `Result<(), HandlerError>`. Otherwise it
    /// behaves like a [`Handler`](crate::Handler).
    pub fn with<F, Fut>(mut self, handler: F) -> Self
    where
        F: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let outbox = Arc::clone(&self.agreement.outbox);
        let registry = Arc::clone(&self.shared.clients.registry);
        self.handling = Some(Handling::Running(Box::pin(async move {
            handler(WebSocket::new(outbox, Some(registry))).await.into_result()
        })));
        self
    }

    /// Says how many bytes the HTTP implementation holds for this connection where its stream is not read,
    /// and as many where it takes nothing: the window of a stream of HTTP/2 and its send buffer. They count
    /// for [`ServerLimits::max_memory`](crate::ServerLimits::max_memory) while that is so. Default 0, for a
    /// stream that is the socket itself.
    pub fn buffers_below(mut self, bytes: usize) -> Self {
        self.below = bytes;
        self
    }

    /// Drives the connection over `io` until it is closed and its handler has returned. Call it once the
    /// response has been sent: the first octets of `io` are a frame. `read_ahead` are octets that the
    /// HTTP implementation read after the head of the request, if it does not give them again by
    /// `io`, as hyper does.
    ///
    /// Returns how the connection ended; `None` if the server was shut down before.
    ///
    /// The future owns all that it needs and can be spawned. It must run inside a tokio runtime
    /// with time. Without a handler, after [`Service::open`](crate::Service::open) and no
    /// [`with`](Self::with), the connection closes with 1011.
    ///
    /// # Cancel safety
    /// Dropping the future ends the connection, without a Close, and its handler.
    pub fn drive<Io>(
        self,
        io: Io,
        read_ahead: Bytes,
    ) -> impl Future<Output = Option<Closed>> + Send + use<Io>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if let Some(tcp) = socket::tcp(&io) {
            // Fails only if the client has left, which will be noticed soon.
            SockRef::from(&*tcp).set_tcp_nodelay(true).ok();
            socket::bound_unsent(&tcp);
        }
        let Self { agreement, mut entry, handling, permit, span, shared, below } = self;
        let handling = handling.unwrap_or_else(|| Handling::Running(Box::pin(no_handler())));
        let opening = async move {
            let Agreement { ws, outbox, .. } = agreement;
            let mut core = Core::boxed(ws, outbox, BytesMut::new(), read_ahead.into());
            core.set_below(below);
            admit(&shared, io, core, handling, permit, entry.0.take()?)
        };
        Serving::new(opening).instrument(span)
    }
}

/// The entry of a connection that is not driven yet, and was never open if it is not.
struct Undriven(Option<Entry>);

impl Drop for Undriven {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            entry.withdraw();
        }
    }
}

/// Runs in place of a handler that the application forgot.
async fn no_handler() -> Result<(), HandlerError> {
    error!("an accepted connection has no handler: call Accepted::with before Accepted::drive");
    Err("no handler".into())
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("id", &self.id())
            .field("request", self.request())
            .finish_non_exhaustive()
    }
}
