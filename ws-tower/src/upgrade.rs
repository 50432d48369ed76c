//! From a request to its stream.

pub(crate) mod bounded;
pub(crate) mod confirm;
mod connection;
mod gathered;

use std::{
    error::Error,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, Response, Version,
    header::{CONNECTION, UPGRADE},
    request::Parts,
};
use hyper::{ext::Protocol, upgrade::OnUpgrade};
use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};
use ws_handshake::{ConnectProtocol, Rejection};
use ws_server::Accepted;

pub(crate) use self::connection::Connection;
use self::{
    confirm::Opens,
    connection::{Driven, boxed, drive_known},
    gathered::Gathered,
};

/// The `Retry-After` of a client that comes during the shutdown, as in `ws_server`.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// What hyper holds for a stream of HTTP/2 in one direction, as [`configure`](crate::configure) has it. Other
/// servers may let it hold more.
const BUFFERS: usize = 64 * 1024;

/// Why a WebSocket that was accepted got no stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The connection ended before the answer was sent.
    Unsent(hyper::Error),
    /// The server does not let its connections be upgraded: a call is missing where it is built.
    NotSupported(hyper::Error),
    /// A layer put another answer in its place, or nobody waited for it any more: the client left, or a
    /// timeout. [`ConfirmLayer`](crate::ConfirmLayer) finds it.
    Replaced,
    /// The client sent something before it had the answer: [`ws_server`] says 400 to that, but here it
    /// is known too late.
    EarlyData,
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsent(error) => write!(f, "the answer was not sent: {error}"),
            Self::NotSupported(_) => f.write_str(NO_UPGRADES),
            Self::Replaced => f.write_str("another answer was sent, or none"),
            Self::EarlyData => f.write_str("the client sent data before it was answered"),
        }
    }
}

impl Error for UpgradeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unsent(error) | Self::NotSupported(error) => Some(error),
            Self::Replaced | Self::EarlyData => None,
        }
    }
}

/// What is missing in a server that upgrades nothing.
pub(crate) const NO_UPGRADES: &str = "the server does not let its connections be upgraded: serve by \
    ws_tower::serve, axum::serve, hyper's http1 with_upgrades(), or hyper-util's \
    serve_connection_with_upgrades; or another extractor took the upgrade";

/// What becomes the stream of a request once it is answered.
pub(crate) struct Promise {
    on: OnUpgrade,
    /// Received once the answer is known to be the one that was given, where somebody sees to that.
    confirmed: Option<oneshot::Receiver<()>>,
    /// What the connection's server knows of its stream.
    connection: Option<Connection>,
    version: Version,
}

impl Promise {
    /// Takes it from a request, and shows `ws_handshake` the `:protocol` that hyper has read. `None`: the
    /// server does not upgrade.
    pub(crate) fn take(parts: &mut Parts) -> Option<Self> {
        if let Some(protocol) = parts.extensions.get::<Protocol>() {
            let protocol = ConnectProtocol::new(protocol.as_str());
            parts.extensions.insert(protocol);
        }
        let on = parts.extensions.remove::<OnUpgrade>()?;
        let connection = parts.extensions.remove();
        Some(Self { on, confirmed: confirm::take(parts), connection, version: parts.version })
    }

    /// The version of HTTP of the request.
    #[cfg(feature = "axum")]
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The answer that opens the WebSocket. Once it has been sent, the connection is driven in a task of
    /// its own.
    pub(crate) fn open<B>(
        self,
        accepted: Accepted,
        failed: impl FnOnce(UpgradeError) + Send + 'static,
    ) -> Response<B>
    where
        B: Default + From<Bytes>,
    {
        let version = self.version;
        if self.connection.as_ref().is_some_and(|connection| !connection.admit(&accepted)) {
            let busy = Rejection::unavailable(RETRY_AFTER).into_response();
            return fit(busy.map(B::from), version);
        }
        let mut response = fit(accepted.response(), version);
        response.extensions_mut().insert(Opens);
        let id = accepted.id();
        // Boxed, so that a connection does not keep the memory of its opening.
        let opening = Box::pin(self.drive(accepted));
        tokio::spawn(async move {
            match opening.await {
                Ok((driven, _connection)) => {
                    driven.await;
                }
                Err(error) => {
                    match error {
                        UpgradeError::NotSupported(_) => error!(%id, "{error}"),
                        UpgradeError::Unsent(_) => debug!(%id, "{error}"),
                        UpgradeError::Replaced | UpgradeError::EarlyData => info!(%id, "{error}"),
                    }
                    failed(error);
                }
            }
        });
        response.map(|()| B::default())
    }

    /// What drives the connection, and over HTTP/2 what its server knows of it, as long as that takes.
    async fn drive(self, accepted: Accepted) -> Result<(Driven, Option<Connection>), UpgradeError> {
        match self.confirmed {
            Some(confirmed) => confirmed.await.map_err(|_| UpgradeError::Replaced)?,
            None if self.version <= Version::HTTP_11 => warn_unconfirmed(),
            None => {}
        }
        let upgraded = self.on.await.map_err(|error| match error.is_user() {
            true => UpgradeError::NotSupported(error),
            false => UpgradeError::Unsent(error),
        })?;
        if self.version > Version::HTTP_11 {
            let accepted = accepted.buffers_below(BUFFERS);
            return Ok((boxed(accepted, Gathered::new(upgraded)), self.connection));
        }
        let driven = match &self.connection {
            Some(connection) => connection.drive(upgraded, accepted),
            None => drive_known(upgraded, accepted),
        };
        Ok((driven?, None))
    }
}

fn warn_unconfirmed() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        warn!(
            "nobody confirms the answers that open WebSockets, so a layer that refuses a client after \
             its handler accepted it does not keep it out: serve by ws_tower::serve, or put \
             ws_tower::ConfirmLayer outside of all layers"
        );
    }
}

/// An answer as the version of HTTP can send it.
pub(crate) fn fit<T>(mut response: Response<T>, version: Version) -> Response<T> {
    if version > Version::HTTP_11 {
        remove_connection_specific(response.headers_mut());
    }
    response
}

/// RFC 9113 §8.2.2: "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific
/// header fields."
fn remove_connection_specific(headers: &mut HeaderMap) {
    headers.remove(CONNECTION);
    headers.remove(UPGRADE);
}
