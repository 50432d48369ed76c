//! A server that listens.

use std::{fmt, future::pending, net::SocketAddr};

use tokio::net::TcpListener;

use crate::{Clients, Report, Service, listen::accept};

/// A [`Server`](crate::Server) that listens on an address: clients can connect, and are answered
/// once it serves. Made by [`Server::bind`](crate::Server::bind) and related methods.
///
/// No error ends it while it serves: if the operating system runs out of file descriptors, it waits
/// and goes on.
#[must_use = "clients connect, but get no answer until it serves"]
pub struct BoundServer {
    listener: Listener,
    service: Service,
}

#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl BoundServer {
    pub(super) fn new(listener: Listener, service: Service) -> Self {
        Self { listener, service }
    }

    /// The local TCP address, if it listens on one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.listener {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Listener::Unix(_) => None,
        }
    }

    /// The connections, for handlers and other tasks.
    pub fn clients(&self) -> Clients {
        self.service.clients()
    }

    /// Serves streams and requests from other sources under the same limits, and ends with this
    /// server.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// Serves until the future is dropped, which ends all connections without a Close.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropping the future drops the server.
    pub async fn serve(self) -> ! {
        self.serve_until(pending()).await;
        pending().await
    }

    /// Serves until `shutdown` is ready, then closes the listener and [shuts
    /// down](Service::shutdown).
    ///
    /// # Cancel safety
    /// As [`serve`](Self::serve).
    pub async fn serve_until(self, shutdown: impl Future<Output = ()>) -> Report {
        match self.listener {
            Listener::Tcp(listener) => {
                accept::run(accept::Tcp::new(listener), &self.service, shutdown).await
            }
            #[cfg(unix)]
            Listener::Unix(listener) => accept::run(listener, &self.service, shutdown).await,
        }
    }
}

impl fmt::Debug for BoundServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundServer")
            .field("listener", &self.listener)
            .field("service", &self.service)
            .finish()
    }
}
