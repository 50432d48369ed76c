//! Who sent a request.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::request::Parts;
use tracing::warn;
use ws_server::Peer;

/// How the peer of a request is found.
#[derive(Clone, Default)]
pub(crate) struct FindPeer(Option<Arc<Find>>);

type Find = dyn Fn(&Parts) -> Option<Peer> + Send + Sync;

impl FindPeer {
    pub(crate) fn by(find: impl Fn(&Parts) -> Option<Peer> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(find)))
    }

    /// By the application's function, or among the extensions of the request: a [`Peer`], which
    /// [`serve`](crate::serve()) puts there, or axum's `ConnectInfo`. If nobody says it, the request is
    /// counted with no other.
    pub(crate) fn find(&self, parts: &Parts) -> Peer {
        let told = match &self.0 {
            Some(find) => find(parts),
            None => parts.extensions.get().copied().or_else(|| connect_info(parts)),
        };
        told.unwrap_or_else(|| {
            warn_once();
            Peer::Other
        })
    }
}

#[cfg(feature = "axum")]
fn connect_info(parts: &Parts) -> Option<Peer> {
    use axum::extract::ConnectInfo;
    let ConnectInfo(address) = parts.extensions.get::<ConnectInfo<std::net::SocketAddr>>()?;
    Some(Peer::Tcp(*address))
}

#[cfg(not(feature = "axum"))]
fn connect_info(_: &Parts) -> Option<Peer> {
    None
}

fn warn_once() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        warn!(
            "nobody says where requests come from, so max_per_ip limits nobody: serve by \
             ws_tower::serve or into_make_service_with_connect_info::<SocketAddr>(), or say it by \
             MountedService::peer"
        );
    }
}

impl fmt::Debug for FindPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "by a function" } else { "by the request" })
    }
}
