//! One connection of HTTP.

use std::{
    future::{pending, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use http::{Extensions, Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
#[cfg(feature = "client")]
use tokio::io::DuplexStream;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};
use tracing::debug;
use ws_server::{Peer, Pending};

use super::{
    addresses::Addresses,
    builder::{FIRST_REQUEST, configure},
    http_service::HttpService,
};
use crate::{
    services::Services,
    upgrade::{
        Connection,
        bounded::Bounded,
        confirm::{Expecting, Told},
    },
};

/// A connection without a request in progress and without a WebSocket is ended after so long.
const IDLE: Duration = Duration::from_secs(60);

/// What all connections of a server share.
pub(crate) struct Http {
    builder: auto::Builder<TokioExecutor>,
    pub(super) services: Arc<Services>,
    pub(super) addresses: Arc<Addresses>,
    /// Whether the server shuts down.
    pub(super) closing: watch::Sender<bool>,
    get_only: Told,
}

impl Default for Http {
    fn default() -> Self {
        Self::new(Addresses::default())
    }
}

impl Http {
    pub(super) fn new(addresses: Addresses) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        configure(&mut builder);
        Self {
            builder,
            services: Arc::default(),
            addresses: Arc::new(addresses),
            closing: watch::Sender::new(false),
            get_only: Told::default(),
        }
    }

    /// Serves a connection that was accepted.
    pub(super) async fn serve<P: Pending>(
        &self,
        pending: P,
        accepted: Peer,
        app: impl HttpService,
    ) {
        let first_request = Instant::now() + FIRST_REQUEST;
        let Some(place) = self.addresses.enter(accepted) else { return pending.refuse() };
        let counted = Mutex::new((accepted, Some(place)));
        let counted_now = || counted.lock().unwrap_or_else(PoisonError::into_inner);
        let count_as = |peer| *counted_now() = (peer, self.addresses.enter(peer));
        let transport = tokio::select! {
            biased;
            finished = timeout_at(first_request, pending.finish_telling(&count_as)) => match finished {
                Ok(Ok(transport)) => transport,
                Ok(Err(error)) => return debug!(peer = %accepted, %error, "no stream"),
                Err(_) => return debug!(peer = %accepted, "no stream in time"),
            },
            () = poll_fn(|_| match counted_now().1 { None => Poll::Ready(()), Some(_) => Poll::Pending }) => return,
            () = self.closed() => return,
        };
        let peer = transport.told_peer().unwrap_or(accepted);
        if peer != counted_now().0 {
            count_as(peer);
        }
        let Some(_place) = counted_now().1.take() else { return };
        let from = Source {
            peer,
            #[cfg(feature = "tls")]
            tls: transport.tls().cloned(),
        };
        self.serve_stream(transport.into_inner(), from, first_request, app).await;
    }

    /// Serves the requests of a stream in memory.
    #[cfg(feature = "client")]
    pub(crate) async fn serve_one(&self, io: DuplexStream, peer: Peer, app: impl HttpService) {
        let from = Source {
            peer,
            #[cfg(feature = "tls")]
            tls: None,
        };
        self.serve_stream(io, from, Instant::now() + FIRST_REQUEST, app).await;
    }

    /// Serves the requests of one stream.
    async fn serve_stream<Io>(
        &self,
        io: Io,
        from: Source,
        first_request: Instant,
        app: impl HttpService,
    ) where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = from.peer;
        let stream = Connection::over::<Io>(Arc::clone(&self.services));
        let service = service_fn({
            let (stream, get_only) = (stream.clone(), self.get_only.clone());
            move |mut request: Request<Incoming>| {
                stream.ask();
                let in_use = stream.clone();
                request.extensions_mut().insert(in_use.clone());
                from.tell(request.extensions_mut());
                let expecting = Expecting::of(&mut request, &get_only);
                let app = app.clone();
                async move {
                    let answer = app.answer(request).await;
                    if let (Some(expecting), Ok(response)) = (expecting, &answer) {
                        expecting.see(response);
                    }
                    drop(in_use);
                    answer
                }
            }
        });
        let connection =
            self.builder.serve_connection_with_upgrades(TokioIo::new(Bounded::new(io)), service);
        let mut connection = pin!(connection);
        // The service has one of its own.
        let is_idle = || stream.handles() <= 2;
        let silent = async {
            sleep_until(first_request).await;
            if stream.is_asked() {
                pending::<()>().await;
            }
        };
        let idle = async {
            let mut since = Instant::now();
            while since.elapsed() < IDLE {
                sleep_until(since + IDLE).await;
                if !is_idle() {
                    since = Instant::now();
                }
            }
        };
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = silent => return debug!(%peer, "no request in time"),
            () = async { tokio::select! { () = self.closed() => {}, () = idle => {} } } => {
                // What is in progress ends before the connection does.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            debug!(%peer, error, "the connection failed");
        }
    }

    /// Waits for the shutdown.
    async fn closed(&self) {
        // It fails if the sender is gone, which is here.
        self.closing.subscribe().wait_for(|closing| *closing).await.ok();
    }
}

/// Where requests come from.
struct Source {
    peer: Peer,
    #[cfg(feature = "tls")]
    tls: Option<Arc<ws_server::TlsInfo>>,
}

impl Source {
    /// Tells the application.
    fn tell(&self, extensions: &mut Extensions) {
        extensions.insert(self.peer);
        #[cfg(feature = "axum")]
        if let Peer::Tcp(address) = self.peer {
            extensions.insert(axum::extract::ConnectInfo(address));
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            extensions.insert(Arc::clone(tls));
        }
    }
}
