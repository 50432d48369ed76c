//! A server without a listener: it accepts requests and streams, and closes them all at its end.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Response, request::Parts};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{Instrument, Span, field::Empty, field::display, info, info_span};
use ws_core::CloseCode;
use ws_handshake::Rejection;

use crate::{
    Accepted, Admit, ClientId, Clients, Inspected, Options, Peer,
    leaves::{log_limiter::Escaped, request::Source},
    open::{
        admission::RETRY_AFTER, decision, endpoint::StartHandler, inspected::Asking, shared::Shared,
    },
};

/// A server without a listener: it serves streams and requests under common limits. A handle: cloning it is cheap. Made by [`Server::service`](crate::Server::service).
///
/// There are two ways in. [`serve_connection`](Self::serve_connection) takes a stream and reads the
/// request from it. Where an HTTP implementation has read the request, [`upgrade`](Self::upgrade) and
/// [`open`](Self::open) decide on it:
///
/// ```
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use ws_server::{Bytes, Peer, Server, WebSocket};
///
/// let service = Server::new()
///     .any(|mut ws: WebSocket| async move {
///         while let Some(message) = ws.recv().await {
///             ws.send(message).await?;
///         }
///         Ok(())
///     })
///     .service()?;
/// # let (request, ()) = http::Request::get("/").header("Host", "a.example").header("Upgrade", "websocket")
/// #     .header("Connection", "Upgrade").header("Sec-WebSocket-Version", "13")
/// #     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").body(())?.into_parts();
/// # let (client, stream) = tokio::io::duplex(4096);
/// // `request` is an `http::request::Parts`.
/// match service.upgrade(&request, Peer::Other).await {
///     Ok(accepted) => {
///         let response = accepted.response(); // 101: for the HTTP implementation to send
/// #       drop((response, client));
///         tokio::spawn(accepted.drive(stream, Bytes::new()));
///     }
///     Err(response) => println!("rejected: {}", response.status()), // to be sent as it is
/// }
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
///
/// Two handles are equal if they are of the same server.
#[derive(Clone)]
pub struct Service {
    pub(crate) shared: Arc<Shared>,
}

impl Service {
    /// Accepts a request for one of the routes, or returns the response to send: 404 for a path without a
    /// route, 426 for a request that asks for no WebSocket, 403 for a page of another site, 503 where
    /// a limit on connections is reached or the server shuts down, and so on as for
    /// [`Server`](crate::Server). `peer` is counted for [`ServerLimits::max_per_ip`] and shown to the
    /// handler. With the feature `tls`, an `Arc<TlsInfo>` among the
    /// [extensions](http::Extensions) of the request is what
    /// [`Request::tls`](crate::Request) returns.
    ///
    /// An extended CONNECT of HTTP/2 and later has its [`ConnectProtocol`](crate::ConnectProtocol) among
    /// its extensions.
    ///
    /// # Errors
    /// The response for the client, complete with its body.
    ///
    /// # Cancel safety
    /// A dropped call accepts nothing. The future of a [`Gate`](crate::Gate) is dropped where it waits:
    /// drop the call if the client leaves.
    ///
    /// [`ServerLimits::max_per_ip`]: crate::ServerLimits::max_per_ip
    pub async fn upgrade(&self, request: &Parts, peer: Peer) -> Result<Accepted, Response<Bytes>> {
        let shared = &self.shared;
        let Asking { permit, id, span, source } = self.enter(request, peer)?;
        let decide = async {
            let asked = decision::route(request, &source, shared)?;
            let handler = Arc::clone(&asked.route.handler);
            let admit = asked.ask(request, shared, id, &source, permit.client()).await?;
            let agreement = decision::accept(shared, asked.admit(request, id, source, admit))?;
            Ok((agreement, handler))
        };
        match decide.instrument(span.clone()).await {
            Ok((agreement, handler)) => {
                let handling = StartHandler::due(handler, &agreement.outbox, shared);
                Ok(Accepted::new(agreement, Some(handling), permit, span, Arc::clone(shared)))
            }
            Err(rejection) => Err(shared.reject(&span, rejection, || decision::compared(request))),
        }
    }

    /// Accepts a request for any path, or returns the response to send. [`Accepted::with`] sets the
    /// handler: for an extractor, or another crate's router. The service needs no route for it.
    ///
    /// # Errors
    /// As [`upgrade`](Self::upgrade), but for the 404.
    #[expect(clippy::result_large_err, reason = "the answer is sent as it is")]
    pub fn open(
        &self,
        request: &Parts,
        peer: Peer,
        options: Options,
    ) -> Result<Accepted, Response<Bytes>> {
        self.inspect(request, peer)?.accept(options, Admit::new())
    }

    /// Does the first half of [`open`](Self::open): refuses what is no valid opening handshake, and what
    /// there is no room for. [`Inspected::accept`] does the other, once the application knows what it
    /// agrees to.
    ///
    /// # Errors
    /// The response for the client, complete with its body.
    #[expect(clippy::result_large_err, reason = "the answer is sent as it is")]
    pub fn inspect(&self, request: &Parts, peer: Peer) -> Result<Inspected, Response<Bytes>> {
        let (asking, shared) = (self.enter(request, peer)?, Arc::clone(&self.shared));
        let inspected =
            asking.span.in_scope(|| decision::inspect(request, &asking.source, &shared));
        match inspected {
            Ok(upgrade) => Ok(Inspected::new(request, asking, upgrade, shared)),
            Err(rejection) => {
                Err(shared.reject(&asking.span, rejection, || decision::compared(request)))
            }
        }
    }

    /// Admits a request, if there is room for its connection.
    #[expect(clippy::result_large_err, reason = "the answer is sent as it is")]
    fn enter(&self, request: &Parts, peer: Peer) -> Result<Asking, Response<Bytes>> {
        let shared = &self.shared;
        let busy = || Rejection::unavailable(RETRY_AFTER).into_response();
        if shared.admission.running.is_closed() {
            return Err(busy());
        }
        let mut permit = shared.enter(peer).map_err(|_| busy())?;
        let id = shared.clients.registry.next_id();
        let span = connection_span(id, peer);
        span.record("path", display(Escaped(request.uri.path())));
        let mut source = Source::from(peer);
        #[cfg(feature = "tls")]
        {
            source.tls = request.extensions.get().cloned();
        }
        span.in_scope(|| shared.identify(request, &mut source, &mut permit)).map_err(|_| busy())?;
        Ok(Asking { permit, id, span, source })
    }

    /// The connections.
    pub fn clients(&self) -> Clients {
        self.shared.clients.clone()
    }

    /// Shuts down: no connection is accepted any more, opening handshakes are dropped, and every
    /// client is sent a Close with 1001, whichever way its stream came. A client that has not closed after
    /// [`ServerLimits::shutdown_timeout`](crate::ServerLimits::shutdown_timeout) is aborted, and so is a handler
    /// that has not returned.
    ///
    /// # Cancel safety
    /// A dropped call leaves the server closing: nothing is accepted, and nothing is aborted. Connections
    /// that had not had their turn yet remain open.
    pub fn shutdown(&self) -> impl Future<Output = Report> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move { shut_down(&shared).await }
    }
}

/// The span of a connection, whose other fields are recorded as they become known.
pub(crate) fn connection_span(id: ClientId, peer: Peer) -> Span {
    info_span!("connection", %id, %peer, client = Empty, path = Empty, extensions = Empty, subprotocol = Empty)
}

/// Closes all connections, waits for them, and aborts the rest.
async fn shut_down(shared: &Shared) -> Report {
    // Time for aborted tasks to end. They do, unless a handler blocks its thread.
    const ABORT: Duration = Duration::from_secs(1);

    let running = &shared.admission.running;
    info!(clients = shared.clients.count(), "shutting down");
    shared.admission.close();
    let open = running.close();
    // RFC 6455 §7.4.1: "1001 indicates that an endpoint is "going away", such as a server going
    // down or a browser having navigated away from a page."
    let limits = &shared.server_limits;
    let ended = async {
        // Every connection gets its Close, and time to answer it.
        let spread = limits.shutdown_spread.unwrap_or_default().min(limits.shutdown_timeout / 2);
        close_in_turn(shared, spread).await;
        running.ended().await;
    };
    let mut report = Report { closed: open, aborted: 0 };
    if timeout(limits.shutdown_timeout, ended).await.is_err() {
        report.aborted = running.count();
        report.closed = open.saturating_sub(report.aborted);
        running.abort();
        shared.clients.registry.each(|outbox| outbox.wake_task());
        timeout(ABORT, running.ended()).await.ok();
    }
    info!(closed = report.closed, aborted = report.aborted, "shut down");
    report
}

/// Closes all connections, one after the other in random order, so that clients do not come back all
/// at once: at most one each millisecond, and all within `spread`.
async fn close_in_turn(shared: &Shared, spread: Duration) {
    let registry = &shared.clients.registry;
    let mut outboxes = Vec::new();
    registry.each(|outbox| outboxes.push(outbox));
    // Sorted by a hash whose key clients do not know.
    let order = RandomState::new();
    outboxes.sort_by_cached_key(|outbox| order.hash_one(outbox.id));
    let each =
        spread.min(Duration::from_millis(outboxes.len() as u64)) / outboxes.len().max(1) as u32;
    let begun = Instant::now();
    for (nth, outbox) in (0_u32..).zip(outboxes) {
        let due = begun + each * nth;
        // The runtime's clock counts milliseconds: an earlier deadline is due now.
        if due > Instant::now() {
            sleep_until(due).await;
        }
        // A connection that is closing already needs no second Close.
        outbox.close(CloseCode::GOING_AWAY, "server shuts down").ok();
    }
}

/// The fate of the connections that were open when the server shut down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Connections that ended within [`ServerLimits::shutdown_timeout`](crate::ServerLimits::shutdown_timeout).
    pub closed: usize,
    /// Connections that were aborted.
    pub aborted: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} closed, {} aborted", self.closed, self.aborted)
    }
}

impl PartialEq for Service {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Service {}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<&str> = self.shared.routes.paths().collect();
        f.debug_struct("Service")
            .field("routes", &paths)
            .field("clients", &self.shared.clients)
            .finish_non_exhaustive()
    }
}
