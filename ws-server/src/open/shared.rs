//! What all connections of a server share.

use std::sync::Arc;

use bytes::Bytes;
use tracing::info;
use ws_core::FrameObserver;
use ws_handshake::Hosts;

use crate::{
    AdmissionLimit, Agreed, Clients, Peer, ServerLimits,
    open::{
        admission::{Admission, Permit},
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
    /// What is agreed on where a route does not say otherwise.
    pub(crate) terms: Arc<Terms>,
    /// The hosts that plain requests may name, too.
    pub(crate) hosts: Option<Hosts>,
    pub(crate) server_limits: Arc<ServerLimits>,
    pub(crate) clients: Clients,
    pub(crate) admission: Arc<Admission>,
}

impl Shared {
    /// Admits a connection if no limit is reached.
    pub(crate) fn enter(&self, peer: Peer) -> Result<Permit, AdmissionLimit> {
        self.admission.enter(peer).inspect_err(|limit| self.kept_out(peer, *limit))
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
