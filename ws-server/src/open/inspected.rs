//! A valid request for a WebSocket, before the application says what it agrees to.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Response, request::Parts, uri::Authority};
use tracing::Span;
use ws_handshake::{Rejection, RequestView, Subprotocols, Upgrade};

use crate::{
    Accepted, Admit, ClientId, Options, Peer, Request,
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
    asking: Asking,
    upgrade: Upgrade,
    /// The request, with nothing agreed on yet.
    seen: Request,
    /// The host of an absolute request-target, or of an extended CONNECT.
    authority: Option<Authority>,
    shared: Arc<Shared>,
}

/// A request that was admitted, and what is known of it.
pub(super) struct Asking {
    pub(super) permit: Permit,
    pub(super) id: ClientId,
    pub(super) span: Span,
    pub(super) source: Source,
}

impl Inspected {
    pub(super) fn new(
        request: &Parts,
        asking: Asking,
        upgrade: Upgrade,
        shared: Arc<Shared>,
    ) -> Self {
        let headers = request.header_lines();
        let seen = Request::new(&request.uri, headers, &asking.source, &[], None, None);
        Self { asking, upgrade, seen, authority: request.uri.authority().cloned(), shared }
    }

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
    pub fn reject(self, rejection: Rejection) -> Response<Bytes> {
        let Self { asking, seen, authority, shared, .. } = self;
        shared.reject(&asking.span, rejection, || compared(&seen, authority.as_ref()))
    }

    /// Accepts the request, for any path. [`Accepted::with`] sets the
    /// handler.
    ///
    /// # Errors
    /// The response for the client: 403 for a page of another site, 421, 400 for want of a subprotocol,
    /// and 500 for what the application cannot mean, such as limits of zero.
    #[expect(clippy::result_large_err, reason = "the answer is sent as it is")]
    pub fn accept(
        self,
        mut options: Options,
        mut admit: Admit,
    ) -> Result<Accepted, Response<Bytes>> {
        let Self { asking: Asking { permit, id, span, source }, upgrade, seen, authority, shared } =
            self;
        // If nothing is agreed on, it stays as it is.
        let mut seen = Some(seen);
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
            let agreed = |extensions: Option<&str>, subprotocol: Option<&str>| {
                seen.take().map_or_else(Request::none, |seen| seen.agreed(extensions, subprotocol))
            };
            let peer = source.peer;
            let decision = Decision { id, peer, upgrade, options, terms, admit, seen: agreed };
            decision::accept(&shared, decision)
        });
        match decided {
            Ok(agreement) => Ok(Accepted::new(agreement, None, permit, span, shared)),
            Err(rejection) => Err(shared.reject(&span, rejection, || match &seen {
                Some(seen) => compared(seen, authority.as_ref()),
                // It was accepted before the application refused it, and nothing was compared.
                None => Default::default(),
            })),
        }
    }
}

fn compared(seen: &Request, authority: Option<&Authority>) -> [Option<String>; 2] {
    decision::compared_of(seen, authority.map(Authority::as_str))
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
