//! From a request to its stream.

pub(crate) mod confirm;
mod gathered;

use std::{error::Error, fmt};

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
use tokio::{net::TcpStream, sync::oneshot};
use tracing::{debug, info};
use ws_handshake::ConnectProtocol;
use ws_server::Accepted;

use self::gathered::Gathered;

/// Why a WebSocket that was accepted got no stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The server did not send the answer.
    Unsent(hyper::Error),
    /// A layer put another answer in its place, as [`ConfirmLayer`](crate::ConfirmLayer) found.
    Replaced,
    /// The client sent something before it had the answer: [`ws_server`] says 400 to that, but here it
    /// is known too late.
    EarlyData,
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsent(error) => write!(f, "the answer was not sent: {error}"),
            Self::Replaced => f.write_str("a layer put another answer in its place"),
            Self::EarlyData => f.write_str("the client sent data before it was answered"),
        }
    }
}

impl Error for UpgradeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unsent(error) => Some(error),
            Self::Replaced | Self::EarlyData => None,
        }
    }
}

/// What becomes the stream of a request once it is answered.
pub(crate) struct Promise {
    on: OnUpgrade,
    /// Received once the answer is known to be the one that was given, where somebody sees to that.
    confirmed: Option<oneshot::Receiver<()>>,
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
        Some(Self { on, confirmed: confirm::take(parts), version: parts.version })
    }

    /// Drives the connection in a task of its own, once the answer has been sent.
    pub(crate) fn drive(
        self,
        accepted: Accepted,
        failed: impl FnOnce(UpgradeError) + Send + 'static,
    ) {
        tokio::spawn(async move {
            if let Some(confirmed) = self.confirmed
                && confirmed.await.is_err()
            {
                info!(id = %accepted.id(), "{}", UpgradeError::Replaced);
                return failed(UpgradeError::Replaced);
            }
            let upgraded = match self.on.await {
                Ok(upgraded) => upgraded,
                Err(error) => {
                    debug!(%error, "a WebSocket was accepted, and its answer was not sent");
                    return failed(UpgradeError::Unsent(error));
                }
            };
            if self.version > Version::HTTP_11 {
                return end(accepted.drive(Gathered::new(upgraded), Bytes::new()).await);
            }
            match Socket::of(upgraded) {
                Ok(Socket::Tcp(io)) => end(accepted.drive(io, Bytes::new()).await),
                #[cfg(unix)]
                Ok(Socket::Unix(io)) => end(accepted.drive(io, Bytes::new()).await),
                #[cfg(feature = "tls")]
                Ok(Socket::Tls(io)) => end(accepted.drive(*io, Bytes::new()).await),
                Ok(Socket::Other(io)) => end(accepted.drive(Gathered::new(io), Bytes::new()).await),
                Err(EarlyData) => {
                    info!(id = %accepted.id(), "{}", UpgradeError::EarlyData);
                    failed(UpgradeError::EarlyData);
                }
            }
        });
    }
}

/// How it ended is counted and logged.
fn end<T>(_: T) {}

/// The client sent something before it had the answer.
struct EarlyData;

/// What HTTP/1.1 was spoken on: the driver can do more with it than with what hyper makes of it.
enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    Other(Upgraded),
}

impl Socket {
    fn of(upgraded: Upgraded) -> Result<Self, EarlyData> {
        let upgraded = match downcast(upgraded)? {
            Ok(io) => return Ok(Self::Tcp(io)),
            Err(upgraded) => upgraded,
        };
        #[cfg(unix)]
        let upgraded = match downcast(upgraded)? {
            Ok(io) => return Ok(Self::Unix(io)),
            Err(upgraded) => upgraded,
        };
        #[cfg(feature = "tls")]
        let upgraded = match downcast(upgraded)? {
            Ok(io) => return Ok(Self::Tls(Box::new(io))),
            Err(upgraded) => upgraded,
        };
        Ok(Self::Other(upgraded))
    }
}

/// The stream of a type, whether `hyper::server` or `hyper_util::server::conn::auto` serves it.
fn downcast<Io>(upgraded: Upgraded) -> Result<Result<Io, Upgraded>, EarlyData>
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
    // RFC 6455 §4.1: the client waits for the answer before it sends any data.
    if early.is_empty() { Ok(Ok(io.into_inner())) } else { Err(EarlyData) }
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
