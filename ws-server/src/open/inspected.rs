//! A valid request for a WebSocket, before the application says what it agrees to.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Response, request::Parts};
use tracing::Span;
use ws_handshake::{Rejection, Subprotocols, Upgrade};

use crate::{
    Accepted, Admit, ClientId, Options, Peer,
    leaves::request::Source,
    open::{
        admission::Permit,
        decision::{self, Decision},
        shared::Shared,
        terms::Terms,
    },
};

/// A request that [`Service::inspect`](crate::Service::inspect) found to be a valid opening handshake,
/// and for which there is room. Dropping it gives the room back.
#[must_use = "the client waits for an answer"]
pub struct Inspected {
    pub(super) asking: Asking,
    pub(super) upgrade: Upgrade,
    pub(super) shared: Arc<Shared>,
}

/// A request that was admitted, and what is known of it.
pub(super) struct Asking {
    pub(super) permit: Permit,
    pub(super) id: ClientId,
    pub(super) span: Span,
    pub(super) source: Source,
}

impl Inspected {
    /// The id that the connection will have.
    pub fn id(&self) -> ClientId {
        self.asking.id
    }

    /// Where the connection comes from, as [`Request::peer`](crate::Request::peer) will say.
    pub fn peer(&self) -> Peer {
        self.asking.source.peer
    }

    /// The subprotocols that the client offers, in its order of preference.
    pub fn subprotocols(&self) -> &Subprotocols {
        self.upgrade.subprotocols()
    }

    /// Refuses the request, and counts and logs that.
    pub fn reject(self, request: &Parts, rejection: Rejection) -> Response<Bytes> {
        self.shared.reject(&self.asking.span, rejection, request)
    }

    /// Accepts the request, the same that was inspected, for any path. [`Accepted::with`] sets the
    /// handler.
    ///
    /// # Errors
    /// The response for the client: 403 for a page of another site, 421, 400 for want of a subprotocol,
    /// and 500 for what the application cannot mean, such as limits of zero.
    #[expect(clippy::result_large_err, reason = "the answer is sent as it is")]
    pub fn accept(
        self,
        request: &Parts,
        mut options: Options,
        mut admit: Admit,
    ) -> Result<Accepted, Response<Bytes>> {
        let Self { asking: Asking { permit, id, span, source }, upgrade, shared } = self;
        let decided = span.in_scope(|| {
            let own = match options.limits.take() {
                None => None,
                Some(limits) => {
                    let terms = Terms::new(shared.terms.accept.clone(), limits);
                    Some(terms.map_err(Rejection::internal)?)
                }
            };
            let terms = own.as_ref().unwrap_or(&shared.terms);
            let options = admit.choose(options.over(&terms.accept));
            let decision =
                Decision { id, source, upgrade, options, terms, params: Vec::new(), admit };
            decision::accept(request, &shared, decision)
        });
        match decided {
            Ok(agreement) => Ok(Accepted::new(agreement, None, permit, span, shared)),
            Err(rejection) => Err(shared.reject(&span, rejection, request)),
        }
    }
}

impl fmt::Debug for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspected")
            .field("id", &self.id())
            .field("peer", &self.peer())
            .field("upgrade", &self.upgrade)
            .finish_non_exhaustive()
    }
}
