//! Serves one connection over any stream, from its request to its end.

use std::{
    future::{pending, poll_fn},
    io,
    pin::pin,
    sync::{Arc, OnceLock},
    task::Poll,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::unconstrained,
    time::{Instant, sleep_until},
};
use tokio_util::either::Either;
use tracing::{Instrument, info};
use ws_core::Closed;

use crate::{
    AdmissionLimit, ClientId, Immediate, Peer, Pending, Service, Transport,
    leaves::{log_limiter::Escaped, socket},
    listen::{
        busy::refuse,
        http1::{self, ToDrive},
    },
    open::{
        admission::Permit,
        service::connection_span,
        serving::{Admitted, Serving, admit, list},
        shared::Shared,
    },
};

impl Service {
    /// Serves one connection over any stream, from its opening handshake until it is closed and its
    /// handler has returned. `peer` counts for
    /// [`ServerLimits::max_per_ip`](crate::ServerLimits::max_per_ip), and the handler sees it.
    ///
    /// Returns how the connection ended, or `None` if it was never open: the request was rejected,
    /// was a plain one or did not come, or the server had no room for the connection.
    ///
    /// The future owns everything it needs and can be spawned. It must run inside a tokio runtime
    /// with time.
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
    ///
    /// # Cancel safety
    /// Dropping the future ends the connection without a Close, and drops its handler.
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
        match self.shared.enter(peer) {
            Ok(permit) => {
                Either::Left(serve(Arc::clone(&self.shared), Immediate(io), peer, permit))
            }
            Err(_) => Either::Right(async {
                unconstrained(refuse(io)).await;
                None
            }),
        }
    }
}

/// Serves a connection that was admitted.
pub(super) fn serve<P: Pending>(
    shared: Arc<Shared>,
    pending: P,
    peer: Peer,
    permit: Permit,
) -> impl Future<Output = Option<Closed>> + Send {
    let id = shared.clients.registry.next_id();
    let span = connection_span(id, peer);
    // Outside of the budget of a task that has more to do: its deadlines are to hold.
    Serving::new(unconstrained(open(shared, pending, id, peer, permit))).instrument(span)
}

async fn open<P: Pending>(
    shared: Arc<Shared>,
    pending: P,
    id: ClientId,
    peer: Peer,
    mut permit: Permit,
) -> Option<Admitted<P::Io>> {
    let deadline = Instant::now().checked_add(shared.server_limits.head_timeout);
    let (mut io, source) =
        transport(pending, &shared, (peer, &mut permit), deadline).await?.into_parts(peer);
    // Who it is may be known only now.
    if identify(&shared, source.peer, &mut permit).is_err() {
        refuse(io).await;
        return None;
    }
    let ToDrive { core, handling, topics } =
        http1::open(&mut io, &shared, (id, source, &mut permit), deadline).await?;
    let entry = list(&shared, core.outbox(), &topics);
    admit(&shared, io, core, handling, permit, entry)
}

/// Counts a connection as one of the address that its transport names. Behind a trusted proxy the request
/// names it.
fn identify(shared: &Shared, peer: Peer, permit: &mut Permit) -> Result<(), AdmissionLimit> {
    if shared.is_proxy(peer) { Ok(()) } else { shared.count_as(peer, permit) }
}

/// Waits for the second stage of a connection. `None`: there was none in time, or it must give way.
async fn transport<P: Pending>(
    pending: P,
    shared: &Shared,
    (mut peer, permit): (Peer, &mut Permit),
    deadline: Option<Instant>,
) -> Option<Transport<P::Io>> {
    let told = OnceLock::new();
    let tell = |peer| {
        told.set(peer).ok();
    };
    let mut finish = pin!(pending.finish_telling(&tell));
    // Most are there at once, and are not counted for it.
    let first = poll_fn(|cx| Poll::Ready(finish.as_mut().poll(cx))).await;
    let finished = match first {
        Poll::Ready(finished) => finished,
        Poll::Pending => loop {
            let is_told = told.get().is_some();
            if let Some(client) = told.get() {
                peer = *client;
                identify(shared, peer, permit).ok()?;
            }
            let member = shared.admission.begin(permit.client());
            let outcome = match &member {
                None => None,
                Some(member) => tokio::select! {
                    biased;
                    finished = &mut finish => Some(Some(finished)),
                    () = until(deadline) => Some(Some(Err(io::ErrorKind::TimedOut.into()))),
                    () = member.ended() => None,
                    // From then on it is pending as one of that client.
                    () = poll_fn(|_| match told.get() {
                        Some(_) if !is_told => Poll::Ready(()),
                        _ => Poll::Pending,
                    }) => Some(None),
                },
            };
            match outcome {
                Some(Some(finished)) => break finished,
                Some(None) => {}
                None => {
                    if !shared.admission.is_closed() {
                        shared.kept_out(peer, AdmissionLimit::MaxPending);
                    }
                    return None;
                }
            }
        },
    };
    let stats = &shared.clients.registry.stats;
    finished
        .inspect_err(|error| {
            stats.counters.transport_failed();
            if let Some(left_out) = stats.client_log.admit() {
                info!(error = %Escaped(&error.to_string()), left_out, "the transport failed");
            }
        })
        .ok()
}

/// Waits for a deadline, if there is one.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
