//! Serves one connection over any stream, from its request to its end.

use std::{
    future::{pending, poll_fn},
    io,
    pin::pin,
    sync::Arc,
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
        admission::{Client, Permit},
        service::connection_span,
        serving::{Admitted, Serving, admit},
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
    let client = permit.client();
    let deadline = Instant::now().checked_add(shared.server_limits.head_timeout);
    let (mut io, source) =
        transport(pending, &shared, (peer, client), deadline).await?.into_parts(peer);
    // Who it is may be known only now. Behind a trusted proxy the request says it.
    if !shared.is_proxy(source.peer) && permit.count_as(source.peer).is_err() {
        shared.kept_out(source.peer, AdmissionLimit::MaxPerIp);
        refuse(io).await;
        return None;
    }
    let ToDrive { core, handling, topics } =
        http1::open(&mut io, &shared, (id, source, &mut permit), deadline).await?;
    admit(&shared, io, core, handling, permit, &topics)
}

/// Waits for the second stage of a connection. `None`: there was none in time, or it must give way.
async fn transport<P: Pending>(
    pending: P,
    shared: &Shared,
    (peer, client): (Peer, Option<Client>),
    deadline: Option<Instant>,
) -> Option<Transport<P::Io>> {
    let mut finish = pin!(pending.finish());
    // Most are there at once, and are not counted for it.
    let first = poll_fn(|cx| Poll::Ready(finish.as_mut().poll(cx))).await;
    let finished = match first {
        Poll::Ready(finished) => finished,
        Poll::Pending => {
            let turned_away = || {
                if !shared.admission.is_closed() {
                    shared.kept_out(peer, AdmissionLimit::MaxPending);
                }
            };
            let Some(member) = shared.admission.begin(client) else {
                turned_away();
                return None;
            };
            tokio::select! {
                biased;
                finished = &mut finish => finished,
                () = until(deadline) => Err(io::ErrorKind::TimedOut.into()),
                () = member.ended() => {
                    turned_away();
                    return None;
                }
            }
        }
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
