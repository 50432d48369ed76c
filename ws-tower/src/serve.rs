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
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tower_layer::Layer;
use tower_service::Service;
use tracing::{debug, error, info, warn};
use ws_server::{Listener, Peer, Pending, Report};

use crate::upgrade::{Connection, confirm::ConfirmLayer};

/// What an error of a body becomes.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Until the first request, TLS and what else comes before it included.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// A connection without a request in progress and without a WebSocket is ended after so long.
const IDLE: Duration = Duration::from_secs(60);

/// Makes hyper-util's builder accept WebSockets over HTTP/2, and bounds what one connection makes it
/// hold: for a server that is not [`serve`](serve()), such as that of axum-server.
///
/// HTTP/2: the extended CONNECT is enabled (RFC 8441); 128 streams at a time; a window of 64 KiB for a
/// stream and of 8 MiB for a connection, so that streams which nobody reads do not stop the others: 8 MiB
/// is what a connection makes the server hold of what it has received. As much waits to be sent at most,
/// 64 KiB for a stream. Heads have 16 KiB; a Ping follows 20 s without anything, and has 20 s for its
/// answer. HTTP/1.1: 10 s for a head, which has 16 KiB. Both have tokio's timer.
pub fn configure<E>(builder: &mut auto::Builder<E>) {
    const STREAMS: u32 = 128;
    const WINDOW: u32 = 64 * 1024;
    const HEAD: u32 = 16 * 1024;

    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(FIRST_REQUEST)
        .max_buf_size(HEAD as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        // R8441-3-a: RFC 8441 §3: "The value of the parameter MUST be 0 or 1."
        .enable_connect_protocol()
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(STREAMS * WINDOW)
        .max_send_buf_size(WINDOW as usize)
        .max_header_list_size(HEAD)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
}

/// Serves a router, or another service of tower, over HTTP/1.1 and HTTP/2, WebSockets over both.
///
/// A listener is one of [`ws_server`]: [`Tcp`](ws_server::Tcp), `Unix`, TLS and the PROXY protocol around
/// them. Requests have the [`Peer`] among their extensions, in the feature `axum` its
/// `ConnectInfo<SocketAddr>` too.
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
/// A connection has 10 s for its first request, and 60 s without a request and a WebSocket.
/// [`configure`] has what else bounds it.
///
/// `axum::serve` serves the same routers, over HTTP/1.1 in the same way. Over HTTP/2 it lets nobody
/// configure anything: with hyper's windows, a few WebSockets that nobody reads stop all others of their
/// connection.
pub fn serve<L, S>(listener: L, app: S) -> Serve<L, S> {
    let timeout = Duration::from_secs(10);
    Serve { listener, app, services: Vec::new(), timeout, max_connections: 10_000 }
}

/// Made by [`serve`](serve()).
#[must_use = "nothing is served until it runs"]
pub struct Serve<L, S> {
    listener: L,
    app: S,
    services: Vec<ws_server::Service>,
    timeout: Duration,
    max_connections: usize,
}

impl<L, S, B> Serve<L, S>
where
    L: Listener,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    /// The service whose WebSockets end with this server; those of another one do not, over HTTP/1.1, and
    /// get no Close. May be called several times. A WebSocket that is opened without any is logged once.
    pub fn service(mut self, service: &ws_server::Service) -> Self {
        self.services.push(service.clone());
        self
    }

    /// How long requests may take that are being answered at the shutdown. Default 10 s. WebSockets have
    /// [`ServerLimits::shutdown_timeout`](ws_server::ServerLimits::shutdown_timeout).
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connections at a time. Default 10,000; beyond it none is accepted until one ends. A WebSocket over
    /// HTTP/1.1 is no longer one of them: it counts in
    /// [`ServerLimits::max_connections`](ws_server::ServerLimits::max_connections).
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Serves until the future is dropped.
    ///
    /// # Cancel safety
    /// Dropping it ends all connections. WebSockets over HTTP/1.1 go on without their server.
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
        let Self { mut listener, app, services, timeout: limit, max_connections } = self;
        let (closing, closed) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        let mut backoff = Backoff::default();
        loop {
            let next = async {
                sleep(backoff.due).await;
                listener.accept().await
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.join_next() => if let Err(error) = ended
                    && error.is_panic()
                {
                    error!(%error, "a connection panicked");
                },
                accepted = next, if connections.len() < max_connections => match accepted {
                    Ok((pending, peer)) => {
                        backoff = Backoff::default();
                        let (http, app) = (Http::until(&closed, !services.is_empty()), app.clone());
                        connections.spawn(async move { http.serve(pending, app, peer).await });
                    }
                    Err(error) => backoff.failed(&error),
                },
            }
        }
        drop(listener);
        info!(connections = connections.len(), "shutting down");
        let deadline = Instant::now().checked_add(limit);
        closing.send_replace(true);
        let report = shut_down(services).await;
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

/// Shuts all of them down at the same time, and adds their reports up.
async fn shut_down(services: Vec<ws_server::Service>) -> Report {
    let mut ending: JoinSet<Report> = services.iter().map(ws_server::Service::shutdown).collect();
    let mut sum = Report::default();
    while let Some(ended) = ending.join_next().await {
        let report = ended.unwrap_or_default();
        sum.closed += report.closed;
        sum.aborted += report.aborted;
    }
    sum
}

/// Waits after an `accept` that failed: out of file descriptors, for example.
#[derive(Default)]
struct Backoff {
    due: Duration,
}

impl Backoff {
    fn failed(&mut self, error: &std::io::Error) {
        const FIRST: Duration = Duration::from_millis(50);
        const LONGEST: Duration = Duration::from_secs(1);
        warn!(%error, "no connection was accepted; it is tried again");
        self.due = (2 * self.due).clamp(FIRST, LONGEST);
    }
}

/// Serves connections.
pub(crate) struct Http {
    builder: auto::Builder<TokioExecutor>,
    closed: Option<watch::Receiver<bool>>,
    first_request: Instant,
    has_service: bool,
}

impl Default for Http {
    fn default() -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        configure(&mut builder);
        // Nobody shuts down what is tested.
        let (closed, has_service) = (None, true);
        Self { builder, closed, first_request: Instant::now() + FIRST_REQUEST, has_service }
    }
}

impl Http {
    fn until(closed: &watch::Receiver<bool>, has_service: bool) -> Self {
        Self { closed: Some(closed.clone()), has_service, ..Self::default() }
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
        let transport = tokio::select! {
            finished = timeout_at(self.first_request, pending.finish()) => match finished {
                Ok(Ok(transport)) => transport,
                Ok(Err(error)) => return debug!(peer = %accepted, %error, "no stream"),
                Err(_) => return debug!(peer = %accepted, "no stream in time"),
            },
            () = closing(self.closed.clone()) => return,
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
        let Self { builder, closed, first_request, has_service } = self;
        let app = ConfirmLayer::default().layer(app);
        let stream = Connection::over::<Io>(has_service);
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let (asked, stream) = (Arc::clone(&asked), stream.clone());
            move |mut request: Request<Incoming>| {
                asked.store(true, Ordering::Relaxed);
                let in_use = Arc::clone(&stream.in_use);
                let extensions = request.extensions_mut();
                extensions.insert(stream.clone());
                extensions.insert(peer);
                #[cfg(feature = "axum")]
                if let Peer::Tcp(address) = peer {
                    extensions.insert(axum::extract::ConnectInfo(address));
                }
                let mut app = app.clone();
                async move {
                    poll_fn(|cx| app.poll_ready(cx)).await?;
                    let answer = app.call(request).await;
                    drop(in_use);
                    answer
                }
            }
        });
        let mut connection =
            pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
        // The service has one of its own.
        let is_idle = || Arc::strong_count(&stream.in_use) <= 2;
        let silent = async {
            sleep_until(first_request).await;
            if asked.load(Ordering::Relaxed) {
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
            () = async { tokio::select! { () = closing(closed) => {}, () = idle => {} } } => {
                // What is in progress ends before the connection does.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            debug!(%peer, error, "the connection failed");
        }
    }
}

/// Waits for the shutdown.
async fn closing(closed: Option<watch::Receiver<bool>>) {
    match closed {
        // Fails if the server was dropped, and its connections with it.
        Some(mut closed) => closed.wait_for(|closed| *closed).await.map_or((), |_| ()),
        None => pending().await,
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
            .field("services", &self.services)
            .field("shutdown_timeout", &self.timeout)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}
