//! What all connections of a server share.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use tracing::{Span, field::display, info};
use ws_core::FrameObserver;
use ws_handshake::{Hosts, Rejection, RequestView};

use crate::{
    AdmissionLimit, Agreed, Clients, Peer, ServerLimits,
    leaves::{budget::Level, request::Source},
    open::{
        admission::{Admission, Permit},
        decision,
        proxies::Proxies,
        routes::{Routes, Served},
        terms::Terms,
    },
};

/// Answers plain HTTP requests.
pub(crate) type Fallback = dyn Fn(&http::Request<()>, Peer) -> http::Response<Bytes> + Send + Sync;

/// May return an observer of a connection's frames.
pub(crate) type Observe = dyn Fn(&Agreed<'_>) -> Option<Box<dyn FrameObserver>> + Send + Sync;

/// The application's configuration, and everything that is counted over all connections.
pub(crate) struct Shared {
    pub(crate) routes: Routes<Served>,
    pub(crate) fallback: Option<Box<Fallback>>,
    pub(crate) observe: Option<Box<Observe>>,
    /// The terms of routes that set none.
    pub(crate) terms: Arc<Terms>,
    pub(crate) proxies: Option<Proxies>,
    /// The hosts that plain requests may name, too.
    pub(crate) hosts: Option<Hosts>,
    pub(crate) server_limits: Arc<ServerLimits>,
    pub(crate) clients: Clients,
    pub(crate) admission: Arc<Admission>,
}

impl Shared {
    /// Admits a connection if no limit is reached. A connection from a trusted proxy counts for no client
    /// until its request names one.
    pub(crate) fn enter(&self, peer: Peer) -> Result<Permit, AdmissionLimit> {
        if self.clients.registry.stats.budget.level() == Level::Full {
            self.kept_out(peer, AdmissionLimit::MaxMemory);
            return Err(AdmissionLimit::MaxMemory);
        }
        let counted = if self.is_proxy(peer) { Peer::Other } else { peer };
        self.admission.enter(counted).inspect_err(|limit| self.kept_out(peer, *limit))
    }

    /// Whether a connection comes from a trusted proxy.
    pub(crate) fn is_proxy(&self, peer: Peer) -> bool {
        self.proxies.as_ref().is_some_and(|proxies| proxies.trust(peer))
    }

    /// Identifies the client of a request and counts it: behind a trusted proxy, the client that it
    /// names. The current span is that of the connection.
    pub(crate) fn identify(
        &self,
        request: &impl RequestView,
        source: &mut Source,
        permit: &mut Permit,
    ) -> Result<(), AdmissionLimit> {
        let Some(proxies) = self.proxies.as_ref().filter(|proxies| proxies.trust(source.peer))
        else {
            return Ok(());
        };
        let told = proxies.read(request);
        source.host = told.host;
        source.forwarded_secure = told.is_secure;
        if let Some(client) = told.client {
            source.peer = Peer::Tcp(client);
            Span::current().record("client", display(source.peer));
        }
        self.count_as(source.peer, permit)
    }

    /// Counts a connection as one of `peer`, who is known only now.
    pub(crate) fn count_as(&self, peer: Peer, permit: &mut Permit) -> Result<(), AdmissionLimit> {
        permit.count_as(peer).inspect_err(|limit| self.kept_out(peer, *limit))
    }

    /// Counts and logs a rejection, and makes it the answer. `compared` is as [`decision::log`] has it.
    pub(super) fn reject(
        &self,
        span: &Span,
        rejection: Rejection,
        compared: impl FnOnce() -> [Option<String>; 2],
    ) -> Response<Bytes> {
        span.in_scope(|| decision::log(&rejection, compared, self));
        rejection.into_response()
    }

    /// Counts and logs a connection that a limit kept out.
    pub(crate) fn kept_out(&self, peer: Peer, limit: AdmissionLimit) {
        let stats = &self.clients.registry.stats;
        stats.counters.kept_out(limit);
        if let Some(left_out) = stats.client_log.admit() {
            info!(%peer, left_out, "not admitted: {}", limit.explain(&self.server_limits));
        }
    }
}
