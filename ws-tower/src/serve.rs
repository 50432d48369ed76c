//! A server of HTTP/1.1 and HTTP/2 whose WebSockets end with it.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::{pending, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use tower_layer::Layer;
use tower_service::Service;
use tracing::{debug, error, info, warn};
use ws_server::{Listener, Peer, Pending, Report};

use crate::upgrade::confirm::ConfirmLayer;

/// What an error of a body becomes.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Until the first request, TLS and what else comes before it included.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// Makes hyper-util's builder accept WebSockets over HTTP/2, and bounds what one connection makes it
/// hold: for a server that is not [`serve`](serve()), such as that of axum-server.
///
/// HTTP/2: the extended CONNECT is enabled (RFC 8441); 256 streams at a time; a window of 64 KiB for a
/// stream and of 16 MiB for a connection, so that streams which nobody reads do not stop the others; 64
/// KiB wait to be sent for each stream; heads have 16 KiB; a Ping after 20 s without anything, and 20 s
/// for its answer. HTTP/1.1: 10 s for a head. Both have tokio's timer.
pub fn configure<E>(builder: &mut auto::Builder<E>) {
    const STREAMS: u32 = 256;
    const WINDOW: u32 = 64 * 1024;

    builder.http1().timer(TokioTimer::new()).header_read_timeout(FIRST_REQUEST);
    builder
        .http2()
        .timer(TokioTimer::new())
        // R8441-3-a: RFC 8441 §3: "The value of the parameter MUST be 0 or 1."
        .enable_connect_protocol()
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(STREAMS * WINDOW)
        .max_send_buf_size(WINDOW as usize)
        .max_header_list_size(16 * 1024)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
}

/// Serves a router, or another service of tower, over HTTP/1.1 and HTTP/2, WebSockets over both.
///
/// A listener is one of [`ws_server`]: [`Tcp`](ws_server::Tcp), [`Unix`](ws_server::Listener), TLS and
/// the PROXY protocol around them. Requests have the [`Peer`] among their extensions, in the feature
/// `axum` its `ConnectInfo<SocketAddr>` too.
///
/// ```no_run
/// # #[cfg(feature = "axum")]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::Router;
/// use ws_server::{Server, Tcp, WebSocket};
///
/// let service = Server::new().any(|_: WebSocket| async { Ok(()) }).service()?;
/// let app = Router::new().route_service("/chat", ws_tower::service(&service));
/// let interrupted = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
/// let report = ws_tower::serve(Tcp::bind("127.0.0.1:3000").await?, app)
///     .service(&service)
///     .run_until(interrupted)
///     .await;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
///
/// `axum::serve` serves the same routers. It lets nobody configure its HTTP/2, so no WebSocket comes by
/// it there; HTTP/1.1 is the same.
pub fn serve<L, S>(listener: L, app: S) -> Serve<L, S> {
    Serve { listener, app, service: None, timeout: Duration::from_secs(10) }
}

/// Made by [`serve`](serve()).
#[must_use = "nothing is served until it runs"]
pub struct Serve<L, S> {
    listener: L,
    app: S,
    service: Option<ws_server::Service>,
    timeout: Duration,
}

impl<L, S, B> Serve<L, S>
where
    L: Listener,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    /// The WebSockets that end with this server.
    pub fn service(mut self, service: &ws_server::Service) -> Self {
        self.service = Some(service.clone());
        self
    }

    /// How long requests may take that are being answered at the shutdown. Default 10 s. WebSockets have
    /// [`ServerLimits::shutdown_timeout`](ws_server::ServerLimits::shutdown_timeout).
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Serves until the future is dropped.
    ///
    /// # Cancel safety
    /// Dropping it ends all connections; WebSockets go on without their server.
    pub async fn run(self) -> ! {
        self.run_until(pending()).await;
        pending().await
    }

    /// Serves until `shutdown` is ready. Then it accepts no more, sends every WebSocket a Close with 1001
    /// and every connection of HTTP/2 a GOAWAY, waits for requests that are being answered, and ends what
    /// is left. The report is that of the WebSockets.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Report {
        let Self { mut listener, app, service, timeout: limit } = self;
        let (closing, closed) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.join_next() => if let Err(error) = ended
                    && error.is_panic()
                {
                    error!(%error, "a connection panicked");
                },
                accepted = listener.accept() => match accepted {
                    Ok((pending, peer)) => {
                        backoff = Backoff::default();
                        let (http, app) = (Http::until(&closed), app.clone());
                        connections.spawn(async move { http.serve(pending, app, peer).await });
                    }
                    Err(error) => backoff.wait(&error).await,
                },
            }
        }
        drop(listener);
        info!(connections = connections.len(), "shutting down");
        let deadline = Instant::now().checked_add(limit);
        closing.send_replace(true);
        let report = match &service {
            Some(service) => service.shutdown().await,
            None => Report::default(),
        };
        let ended = async { while connections.join_next().await.is_some() {} };
        match deadline.map(|deadline| deadline.max(Instant::now() + SETTLE)) {
            Some(deadline) => timeout_at(deadline, ended).await.unwrap_or_default(),
            None => ended.await,
        }
        connections.shutdown().await;
        report
    }
}

/// For connections whose WebSockets have just ended.
const SETTLE: Duration = Duration::from_millis(500);

/// Waits after an `accept` that failed: out of file descriptors, for example.
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(Duration::from_millis(50))
    }
}

impl Backoff {
    async fn wait(&mut self, error: &std::io::Error) {
        const LONGEST: Duration = Duration::from_secs(1);
        warn!(%error, "no connection was accepted; it is tried again");
        sleep(self.0).await;
        self.0 = (2 * self.0).min(LONGEST);
    }
}

/// Serves connections.
pub(crate) struct Http {
    builder: auto::Builder<TokioExecutor>,
    closed: Option<watch::Receiver<bool>>,
}

impl Default for Http {
    fn default() -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        configure(&mut builder);
        Self { builder, closed: None }
    }
}

impl Http {
    fn until(closed: &watch::Receiver<bool>) -> Self {
        Self { closed: Some(closed.clone()), ..Self::default() }
    }

    /// Serves a connection that was accepted.
    async fn serve<P, S, B>(self, pending: P, app: S, accepted: Peer)
    where
        P: Pending,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let transport = match timeout(FIRST_REQUEST, pending.finish()).await {
            Ok(Ok(transport)) => transport,
            Ok(Err(error)) => return debug!(peer = %accepted, %error, "no stream"),
            Err(_) => return debug!(peer = %accepted, "no stream in time"),
        };
        let peer = transport.told_peer().unwrap_or(accepted);
        #[cfg(feature = "tls")]
        let app = WithTls { app, tls: transport.tls().cloned() };
        self.serve_one(transport.into_inner(), app, peer).await;
    }

    /// Serves the requests of one stream.
    pub(crate) async fn serve_one<Io, S, B>(self, io: Io, app: S, peer: Peer)
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let Self { builder, closed } = self;
        let app = ConfirmLayer::default().layer(app);
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let asked = Arc::clone(&asked);
            move |mut request: Request<Incoming>| {
                asked.store(true, Ordering::Relaxed);
                request.extensions_mut().insert(peer);
                #[cfg(feature = "axum")]
                if let Peer::Tcp(address) = peer {
                    request.extensions_mut().insert(axum::extract::ConnectInfo(address));
                }
                let mut app = app.clone();
                async move {
                    poll_fn(|cx| app.poll_ready(cx)).await?;
                    app.call(request).await
                }
            }
        });
        let mut connection =
            pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
        let silent = async {
            sleep(FIRST_REQUEST).await;
            if asked.load(Ordering::Relaxed) {
                pending::<()>().await;
            }
        };
        let closing = async {
            match closed {
                // Fails if the server was dropped, and its connections with it.
                Some(mut closed) => closed.wait_for(|closed| *closed).await.map_or((), |_| ()),
                None => pending().await,
            }
        };
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = silent => return debug!(%peer, "no request in time"),
            () = closing => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            debug!(%peer, error, "the connection failed");
        }
    }
}

/// Tells the application what TLS knows of the client.
#[cfg(feature = "tls")]
#[derive(Clone)]
struct WithTls<S> {
    app: S,
    tls: Option<Arc<ws_server::TlsInfo>>,
}

#[cfg(feature = "tls")]
impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for WithTls<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        self.app.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(tls) = &self.tls {
            request.extensions_mut().insert(Arc::clone(tls));
        }
        self.app.call(request)
    }
}

impl<L, S> fmt::Debug for Serve<L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("service", &self.service)
            .field("shutdown_timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
