//! The connection of a request, and the stream that its WebSocket gets.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use hyper::{
    rt::{Read, Write},
    upgrade::Upgraded,
};
use hyper_util::{rt::TokioIo, server::conn::auto};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;
use ws_server::{Accepted, Closed};

use super::{UpgradeError, bounded::Bounded, gathered::Gathered};
use crate::services::Services;

/// A connection that is driven as a WebSocket. How it ends is counted and logged there.
pub(super) type Driven = Pin<Box<dyn Future<Output = Option<Closed>> + Send>>;

/// What [`serve`](crate::serve()) puts into the extensions of the requests of a connection.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Inner>);

struct Inner {
    /// Drives a WebSocket on the stream itself, whose type the server knows.
    drive: fn(Upgraded, Accepted) -> Result<Driven, UpgradeError>,
    /// The services that the server shuts down.
    services: Arc<Services>,
    /// Whether a request has come.
    asked: AtomicBool,
}

impl Connection {
    /// A connection over a [`Bounded`] stream of this type, whose server shuts these down.
    pub(crate) fn over<Io>(services: Arc<Services>) -> Self
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self(Arc::new(Inner { drive: drive::<Io>, services, asked: AtomicBool::new(false) }))
    }

    /// A request has come.
    pub(crate) fn ask(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
    }

    /// Whether a request has come.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// Its handles: those of its server, and one for each request in progress and each WebSocket.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Sees to it that the WebSocket ends with the server. Returns `false` if the server shuts down.
    pub(super) fn admit(&self, accepted: &Accepted) -> bool {
        self.0.services.add(accepted)
    }

    pub(super) fn drive(
        &self,
        upgraded: Upgraded,
        accepted: Accepted,
    ) -> Result<Driven, UpgradeError> {
        (self.0.drive)(upgraded, accepted)
    }
}

/// Drives a WebSocket on a stream of this type, if it is one.
fn drive<Io>(upgraded: Upgraded, accepted: Accepted) -> Result<Driven, UpgradeError>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match downcast::<Bounded<Io>>(upgraded)? {
        Ok(io) => Ok(boxed(accepted, io.into_inner())),
        Err(upgraded) => Ok(boxed(accepted, Gathered::new(upgraded))),
    }
}

/// Drives a WebSocket on the stream itself if it is of a known type: the driver can do more with it than
/// with what hyper makes of it.
pub(super) fn drive_known(upgraded: Upgraded, accepted: Accepted) -> Result<Driven, UpgradeError> {
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

pub(super) fn boxed<Io>(accepted: Accepted, io: Io) -> Driven
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
