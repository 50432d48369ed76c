//! From a request to its stream.

pub(crate) mod confirm;
mod gathered;

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{
    HeaderMap, Response, Version,
    header::{CONNECTION, UPGRADE},
    request::Parts,
};
use hyper::{
    ext::Protocol,
    rt::{Read, Write},
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::{rt::TokioIo, server::conn::auto};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::oneshot,
};
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;
use tracing::{debug, error, info, warn};
use ws_handshake::ConnectProtocol;
use ws_server::{Accepted, Closed};

use self::{confirm::Opens, gathered::Gathered};

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

    /// The answer that opens the WebSocket. Once it has been sent, the connection is driven in a task of
    /// its own.
    pub(crate) fn open<B>(
        self,
        accepted: Accepted,
        body: B,
        failed: impl FnOnce(UpgradeError) + Send + 'static,
    ) -> Response<B> {
        let mut response = fit(accepted.response(), self.version);
        response.extensions_mut().insert(Opens);
        tokio::spawn(async move {
            let id = accepted.id();
            match self.drive(accepted).await {
                Ok((driven, connection)) => {
                    // In a task as small as it can be: this one has had room for all that was awaited.
                    tokio::spawn(async move {
                        driven.await;
                        drop(connection);
                    });
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
        response.map(|()| body)
    }

    /// What drives the connection, and what the server knows of it as long as that takes.
    async fn drive(self, accepted: Accepted) -> Result<(Driven, Option<Connection>), UpgradeError> {
        match self.confirmed {
            Some(confirmed) => confirmed.await.map_err(|_| UpgradeError::Replaced)?,
            None if self.version <= Version::HTTP_11 => warn_unconfirmed(),
            None => {}
        }
        if self.connection.as_ref().is_some_and(|connection| !connection.has_service) {
            warn_no_service();
        }
        let upgraded = self.on.await.map_err(|error| match error.is_user() {
            true => UpgradeError::NotSupported(error),
            false => UpgradeError::Unsent(error),
        })?;
        if self.version > Version::HTTP_11 {
            return Ok((boxed(accepted, Gathered::new(upgraded)), self.connection));
        }
        let driven = match &self.connection {
            Some(Connection { drive, .. }) => drive(upgraded, accepted),
            None => drive_known(upgraded, accepted),
        };
        Ok((driven?, self.connection))
    }
}

/// A connection that is driven as a WebSocket. How it ends is counted and logged there.
type Driven = Pin<Box<dyn Future<Output = Option<Closed>> + Send>>;

/// What the server of a connection puts into the extensions of its requests.
#[derive(Clone)]
pub(crate) struct Connection {
    /// Drives a WebSocket on the stream itself, whose type the server knows.
    drive: Arc<dyn Fn(Upgraded, Accepted) -> Result<Driven, UpgradeError> + Send + Sync>,
    /// Whether any service was named whose WebSockets end with the server.
    pub(crate) has_service: bool,
    /// Its clones are the requests in progress and the WebSockets of this connection.
    pub(crate) in_use: Arc<()>,
}

impl Connection {
    /// A connection over a stream of this type.
    pub(crate) fn over<Io>(has_service: bool) -> Self
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let drive = |upgraded, accepted| match downcast::<Io>(upgraded)? {
            Ok(io) => Ok(boxed(accepted, io)),
            Err(upgraded) => Ok(boxed(accepted, Gathered::new(upgraded))),
        };
        Self { drive: Arc::new(drive), has_service, in_use: Arc::default() }
    }
}

/// Drives a WebSocket on the stream itself if it is of a known type: the driver can do more with it than
/// with what hyper makes of it.
fn drive_known(upgraded: Upgraded, accepted: Accepted) -> Result<Driven, UpgradeError> {
    let upgraded = match downcast::<TcpStream>(upgraded)? {
        Ok(io) => return Ok(boxed(accepted, io)),
        Err(upgraded) => upgraded,
    };
    #[cfg(unix)]
    let upgraded = match downcast::<UnixStream>(upgraded)? {
        Ok(io) => return Ok(boxed(accepted, io)),
        Err(upgraded) => upgraded,
    };
    #[cfg(feature = "tls")]
    let upgraded = match downcast::<TlsStream<TcpStream>>(upgraded)? {
        Ok(io) => return Ok(boxed(accepted, io)),
        Err(upgraded) => upgraded,
    };
    Ok(boxed(accepted, Gathered::new(upgraded)))
}

fn boxed<Io>(accepted: Accepted, io: Io) -> Driven
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Box::pin(accepted.drive(io, Bytes::new()))
}

/// The stream of a type, whether `hyper::server` or `hyper_util::server::conn::auto` serves it.
fn downcast<Io>(upgraded: Upgraded) -> Result<Result<Io, Upgraded>, UpgradeError>
where
    TokioIo<Io>: Read + Write + Unpin + 'static,
{
    let (io, early) = match auto::upgrade::downcast::<TokioIo<Io>>(upgraded) {
        Ok(parts) => (parts.io, parts.read_buf),
        Err(upgraded) => match upgraded.downcast::<TokioIo<Io>>() {
            Ok(parts) => (parts.io, parts.read_buf),
            Err(upgraded) => return Ok(Err(upgraded)),
        },
    };
    // RFC 6455 §4.1: "the client MUST wait for a response from the server before sending any further
    // data."
    if early.is_empty() { Ok(Ok(io.into_inner())) } else { Err(UpgradeError::EarlyData) }
}

fn warn_no_service() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        warn!(
            "a WebSocket is opened by a server that does not know its service, so the shutdown will \
             not close it with 1001: name the service by Serve::service"
        );
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
