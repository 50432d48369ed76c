//! Serves one connection over any stream, from its request to its end.

use std::sync::Arc;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::unconstrained,
};
use tokio_util::either::Either;
use tracing::Instrument;
use ws_core::Closed;

use crate::{
    ClientId, Peer, Service,
    leaves::socket,
    listen::{
        busy::refuse,
        http1::{self, ToDrive},
    },
    open::{
        admission::Permit,
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
            Ok(permit) => Either::Left(serve(Arc::clone(&self.shared), io, peer, permit)),
            Err(_) => Either::Right(async {
                unconstrained(refuse(io)).await;
                None
            }),
        }
    }
}

/// Serves a connection that was admitted.
pub(super) fn serve<Io>(
    shared: Arc<Shared>,
    io: Io,
    peer: Peer,
    permit: Permit,
) -> impl Future<Output = Option<Closed>> + Send
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let id = shared.clients.registry.next_id();
    let span = connection_span(id, peer);
    // Outside of the caller's task budget, so that the deadlines hold even if the task does more.
    Serving::new(unconstrained(open(shared, io, id, peer, permit))).instrument(span)
}

async fn open<Io>(
    shared: Arc<Shared>,
    mut io: Io,
    id: ClientId,
    peer: Peer,
    permit: Permit,
) -> Option<Admitted<Io>>
where
    Io: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let client = permit.client();
    let ToDrive { core, handling, topics } =
        http1::open(&mut io, &shared, id, peer, client).await?;
    admit(&shared, io, core, handling, permit, &topics)
}
