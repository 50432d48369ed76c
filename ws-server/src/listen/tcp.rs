//! Connections over TCP.

use std::{fmt, future::poll_fn, io, net::SocketAddr, sync::OnceLock};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

use crate::{
    Immediate, Listener, Peer, ServeError,
    leaves::socket::{bound_unsent, is_unsent_bounded},
};

/// Listens for TCP: a [`Listener`], and what others are wrapped around.
///
/// TCP_NODELAY is set, since the driver already coalesces writes, and the operating system holds
/// little unsent, so that what is urgent leaves early enough.
#[derive(Debug)]
pub struct Tcp {
    listener: TcpListener,
    /// Whether sockets have that from their listener, when the first was asked. Most operating
    /// systems do it so, and it spares a call for each.
    inherited: OnceLock<bool>,
}

impl Tcp {
    /// Listens on an address, as [`Server::bind`](crate::Server::bind) does.
    ///
    /// # Errors
    /// [`ServeError::Bind`].
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call listens on nothing.
    pub async fn bind(address: impl ToSocketAddrs + fmt::Debug) -> Result<Self, ServeError> {
        let text = format!("{address:?}");
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(listener.into()),
            Err(error) => Err(ServeError::Bind { address: text.trim_matches('"').into(), error }),
        }
    }

    fn is_inherited(&self, io: &TcpStream) -> bool {
        if let Some(inherited) = self.inherited.get() {
            return *inherited;
        }
        // The question fails if the client has left.
        let inherited = io.nodelay().map(|nodelay| nodelay && is_unsent_bounded(&io.into()));
        inherited.is_ok_and(|inherited| *self.inherited.get_or_init(|| inherited))
    }
}

impl From<TcpListener> for Tcp {
    fn from(listener: TcpListener) -> Self {
        // Where it fails each socket is told.
        SockRef::from(&listener).set_tcp_nodelay(true).ok();
        bound_unsent(&SockRef::from(&listener));
        Self { listener, inherited: OnceLock::new() }
    }
}

impl Listener for Tcp {
    type Pending = Immediate<TcpStream>;

    async fn accept(&mut self) -> io::Result<(Immediate<TcpStream>, Peer)> {
        // By hand: tokio's `accept` registers a waiter of its own each time.
        let (io, address) = poll_fn(|cx| self.listener.poll_accept(cx)).await?;
        if !self.is_inherited(&io) {
            // Fails if the client has left, which is seen soon enough.
            io.set_nodelay(true).ok();
            bound_unsent(&SockRef::from(&io));
        }
        Ok((Immediate(io), Peer::Tcp(address)))
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_sockets_send_at_once_and_hold_little_whatever_they_have_from_their_listener()
    {
        for inherited in [None, Some(false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut listener = Tcp::from(listener);
            if let Some(inherited) = inherited {
                SockRef::from(&listener.listener).set_tcp_nodelay(inherited).unwrap();
                listener.inherited = inherited.into();
            }
            for _ in 0..2 {
                let _client = TcpStream::connect(address).await.unwrap();
                let (Immediate(socket), _) = listener.accept().await.unwrap();
                assert!(socket.nodelay().unwrap());
                assert!(is_unsent_bounded(&SockRef::from(&socket)));
            }
        }
    }
}
