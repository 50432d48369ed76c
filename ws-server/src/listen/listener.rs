//! Where connections come from.

use std::{any::Any, future::ready, io, net::SocketAddr};

#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::{Peer, leaves::request::Source, listen::busy::say_busy};

/// Where a server's connections come from, in two stages: what accepts must never wait for a client,
/// and a client's TLS handshake, say, takes its time. [`Server::listener`](crate::Server::listener)
/// and [`BoundServer::and`](crate::BoundServer::and) take one.
///
/// [`Tcp`](crate::Tcp) and [`Unix`](crate::Unix) are listeners; so is what others wrap around them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not accept connections for a server",
    label = "not a `Listener`",
    note = "a listener of tokio becomes one by `Tcp::from(listener)` or `Unix::from(listener)`"
)]
pub trait Listener: Send + 'static {
    /// A connection in its first stage. [`Immediate`] where there is no second one.
    type Pending: Pending;

    /// Waits for the next connection, and tells where it comes from.
    ///
    /// # Errors
    /// After an error the server waits, 50 ms at first and 1 s at most, and asks again.
    ///
    /// # Cancel safety
    /// It must be cancel safe: a dropped call loses no connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Pending, Peer)>> + Send;

    /// The address that it listens on, if it is one of TCP. Default `None`.
    fn local_addr(&self) -> Option<SocketAddr> {
        None
    }
}

/// A connection that was accepted, and is no stream of octets yet.
pub trait Pending: Send + 'static {
    /// The stream.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Makes it a stream, in the task of the connection. It counts as pending meanwhile
    /// ([`ServerLimits::max_pending`](crate::ServerLimits::max_pending)), and has
    /// [`ServerLimits::head_timeout`](crate::ServerLimits::head_timeout) together with the head of the
    /// request: then it is dropped.
    ///
    /// # Errors
    /// Why there is no stream, for the log.
    fn finish(self) -> impl Future<Output = io::Result<Transport<Self::Io>>> + Send;

    /// As [`finish`](Self::finish), and calls `tell` as soon as it is known where the connection comes from,
    /// if more is to be waited for after that: a TLS handshake after the PROXY protocol, for example. So
    /// limits per address hold for connections that never finish. One that wraps another one calls this
    /// of it. By default it tells nothing.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    fn finish_telling(
        self,
        tell: &(dyn Fn(Peer) + Sync),
    ) -> impl Future<Output = io::Result<Transport<Self::Io>>> + Send
    where
        Self: Sized,
    {
        let _ = tell;
        self.finish()
    }

    /// Answers that there is no room, if that needs no waiting, and closes. The default closes.
    fn refuse(self)
    where
        Self: Sized,
    {
    }
}

/// A stream of octets, and what its transport knows of the client.
#[derive(Debug)]
pub struct Transport<Io> {
    pub(super) io: Io,
    pub(super) peer: Option<Peer>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<std::sync::Arc<crate::TlsInfo>>,
}

impl<Io> Transport<Io> {
    /// A stream that comes from where it was accepted.
    pub fn new(io: Io) -> Self {
        Self {
            io,
            peer: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Says where it comes from, in place of what [`Listener::accept`] told: another address is known
    /// after the PROXY protocol, for example.
    #[must_use]
    pub fn peer(mut self, peer: Peer) -> Self {
        self.peer = Some(peer);
        self
    }

    /// The stream, for a server of another kind.
    pub fn into_inner(self) -> Io {
        self.io
    }

    /// Where it comes from, if the transport says it: in place of what
    /// [`Listener::accept`] told.
    pub fn told_peer(&self) -> Option<Peer> {
        self.peer
    }

    /// What TLS knows of the client.
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<&std::sync::Arc<crate::TlsInfo>> {
        self.tls.as_ref()
    }

    /// The stream, and where it comes from if the transport does not say.
    pub(super) fn into_parts(self, accepted: Peer) -> (Io, Source) {
        let source = Source {
            peer: self.peer.unwrap_or(accepted),
            host: None,
            forwarded_secure: None,
            #[cfg(feature = "tls")]
            tls: self.tls,
        };
        (self.io, source)
    }
}

/// A stream from the start.
#[derive(Debug)]
pub struct Immediate<Io>(pub Io);

impl<Io> Pending for Immediate<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Io = Io;

    fn finish(self) -> impl Future<Output = io::Result<Transport<Io>>> + Send {
        ready(Ok(Transport::new(self.0)))
    }

    fn refuse(self) {
        let io: &mut dyn Any = &mut Some(self.0);
        if let Some(tcp) = io.downcast_mut::<Option<TcpStream>>()
            && let Some(Ok(tcp)) = tcp.take().map(TcpStream::into_std)
        {
            say_busy(&tcp);
        }
        #[cfg(unix)]
        if let Some(unix) = io.downcast_mut::<Option<UnixStream>>()
            && let Some(Ok(unix)) = unix.take().map(UnixStream::into_std)
        {
            say_busy(&unix);
        }
    }
}
