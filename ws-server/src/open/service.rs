//! Serves one connection after the other, whatever they run over.

use std::{
    fmt,
    future::poll_fn,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::unconstrained,
};
use tokio_util::either::Either;
use tracing::{Instrument, field::Empty, info, info_span};
use ws_core::{Closed, Config, FrameObserver};
use ws_handshake::{ExtensionSet, Hosts, OriginPolicy, Subprotocols};

use crate::{
    AdmissionLimit, ClientId, Clients, Limits, Opening, Peer,
    drive::{Drive, Opened, drive},
    leaves::socket,
    open::admission::{Admission, Place},
    open::endpoint::ServerEndpoint,
    open::opening,
    open::route::Routes,
};

/// Answers plain HTTP requests.
pub(crate) type Fallback = dyn Fn(&http::Request<()>, Peer) -> http::Response<Bytes> + Send + Sync;

/// May give an observer of a connection's frames.
pub(crate) type Observe = dyn Fn(&Opening<'_>) -> Option<Box<dyn FrameObserver>> + Send + Sync;

/// What a connection over capacity gets, where it can be had at once.
pub(crate) const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\n\
    Connection: close\r\nContent-Length: 0\r\n\r\n";

/// A server without a listener: it serves the streams that it is given, under the limits that they
/// share. A handle: cloning it is cheap. Made by [`Server::service`](crate::Server::service).
///
/// ```
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use ws_server::{Peer, Server, WebSocket};
///
/// let service = Server::new()
///     .any(|mut ws: WebSocket| async move {
///         while let Some(message) = ws.recv().await {
///             ws.send(message).await?;
///         }
///         Ok(())
///     })
///     .service()?;
/// let (ours, theirs) = tokio::io::duplex(4096);
/// let task = tokio::spawn(service.serve_connection(theirs, Peer::Other));
/// # drop(ours);
/// # assert!(task.await?.is_none());
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Clone)]
pub struct Service {
    pub(crate) shared: Arc<Shared>,
}

/// What all connections of a server share.
pub(crate) struct Shared {
    pub(crate) routes: Routes,
    pub(crate) fallback: Option<Box<Fallback>>,
    pub(crate) observe: Option<Box<Observe>>,
    pub(crate) extensions: ExtensionSet,
    pub(crate) subprotocols: Subprotocols,
    pub(crate) origin: OriginPolicy,
    pub(crate) hosts: Option<Hosts>,
    pub(crate) limits: Arc<Limits>,
    /// The engine's part of them.
    pub(crate) config: Arc<Config>,
    pub(crate) clients: Clients,
    pub(crate) admission: Arc<Admission>,
}

impl Service {
    /// Serves one connection over any stream, from its opening handshake until it is closed and its
    /// handler has returned. `peer` is who is counted for [`Limits::max_per_ip`], and what the
    /// handler is told.
    ///
    /// How it ended, or `None` if it was never open: the request was rejected or a plain one, it did
    /// not come, or there was no room for the connection.
    ///
    /// The future owns all that it needs and can be spawned. It has to run inside of a tokio runtime
    /// with time.
    ///
    /// # Cancel safety
    /// Dropping the future ends the connection, without a Close, and its handler.
    pub fn serve_connection<Io>(
        &self,
        io: Io,
        peer: Peer,
    ) -> impl Future<Output = Option<Closed>> + Send + use<Io>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if let Some(tcp) = socket::tcp(&io) {
            socket::bound_unsent(&tcp);
        }
        match self.enter(peer) {
            Ok(place) => Either::Left(serve(Arc::clone(&self.shared), io, peer, place)),
            Err(_) => Either::Right(async {
                unconstrained(refuse(io)).await;
                None
            }),
        }
    }

    /// The connections.
    pub fn clients(&self) -> Clients {
        self.shared.clients.clone()
    }

    /// A place for a connection, if there is one.
    pub(crate) fn enter(&self, peer: Peer) -> Result<Place, AdmissionLimit> {
        let place = self.shared.admission.enter(peer);
        if let Err(limit) = place {
            self.shared.kept_out(peer, limit);
        }
        place
    }
}

impl Shared {
    /// Counts and logs a connection that a limit kept out.
    pub(crate) fn kept_out(&self, peer: Peer, limit: AdmissionLimit) {
        let stats = &self.clients.registry.stats;
        stats.counters.kept_out(limit);
        if let Some(left_out) = stats.client_log.admit() {
            info!(%peer, left_out, "not let in: {}", limit.explain(&self.limits));
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<&str> = self.shared.routes.paths().collect();
        f.debug_struct("Service")
            .field("routes", &paths)
            .field("clients", &self.shared.clients)
            .finish_non_exhaustive()
    }
}

/// Serves a connection that was let in.
pub(crate) fn serve<Io>(
    shared: Arc<Shared>,
    io: Io,
    peer: Peer,
    place: Place,
) -> impl Future<Output = Option<Closed>> + Send
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let id = shared.clients.registry.next_id();
    let span = info_span!(
        "connection", %id, %peer, path = Empty, extensions = Empty, subprotocol = Empty
    );
    // Outside of the budget of a task that has more to do: its deadlines are to hold.
    let opening = unconstrained(open(shared, io, id, peer, place));
    Serving(Stage::Opening(Box::pin(opening))).instrument(span)
}

/// From the opening handshake to the end. By hand, as [`Drive`] is.
struct Serving<Io>(Stage<Io>);

type OpeningFuture<Io> = dyn Future<Output = Option<Opened<Io, ServerEndpoint>>> + Send;

enum Stage<Io> {
    /// In a box, so that an open connection does not keep the room that its handshake took.
    Opening(Pin<Box<OpeningFuture<Io>>>),
    Open(Drive<Io, ServerEndpoint>),
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

async fn open<Io>(
    shared: Arc<Shared>,
    mut io: Io,
    id: ClientId,
    peer: Peer,
    place: Place,
) -> Option<Opened<Io, ServerEndpoint>>
where
    Io: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let client = place.client();
    let opening::Parts { core, handling } =
        opening::open(&mut io, &shared, id, peer, client).await?;
    let entry = shared.clients.registry.enter(core.outbox());
    // In this order: whoever closes the server closes the door first and then all that are listed,
    // so that nobody slips through.
    if shared.admission.is_closed() {
        entry.withdraw();
        return None;
    }
    shared.clients.registry.stats.counters.opened();
    Some(Opened { io, core, handling, endpoint: ServerEndpoint { entry, place } })
}

/// Says why, if the stream takes it at once. What came is read, because closing with unread octets
/// would reset the connection.
pub(crate) async fn refuse<Io: AsyncRead + AsyncWrite + Unpin>(mut io: Io) {
    poll_fn(|cx| {
        let mut chunk = [MaybeUninit::uninit(); 4096];
        let _ = Pin::new(&mut io).poll_read(cx, &mut ReadBuf::uninit(&mut chunk));
        // Best effort.
        let _ = Pin::new(&mut io).poll_write(cx, BUSY);
        Poll::Ready(())
    })
    .await;
}
