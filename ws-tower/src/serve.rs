//! A server of HTTP/1.1 and HTTP/2 whose WebSockets end with it.

mod addresses;
mod builder;
pub(crate) mod http;
pub(crate) mod http_service;

use std::{
    error::Error,
    fmt,
    future::{IntoFuture, pending},
    io,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tracing::{error, info};
use ws_server::{Backoff, Listener, Networks, Report, Service};

use self::{addresses::Addresses, http::Http};
pub use self::{builder::configure, http_service::HttpService};

/// What an error of a body becomes.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Serves a router, or another service of tower, over HTTP/1.1 and HTTP/2, WebSockets over both.
///
/// A listener is one of [`ws_server`]: [`Tcp`](ws_server::Tcp), `Unix`, TLS and the PROXY protocol around
/// them. Requests have the [`Peer`](ws_server::Peer) among their extensions, in the feature `axum` its
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
/// let listener = Tcp::bind("127.0.0.1:3000").await?;
/// println!("{}", ws_tower::serve(listener, app).run_until(interrupted).await);
/// # Ok(())
/// # }
/// ```
///
/// HTTP/3 is not served: hyper has none.
///
/// A connection has 10 s for its first request, and 60 s without a request and a WebSocket. One that takes
/// nothing of what is to be written for 20 s ends.
/// [`configure`] has what else bounds it.
///
/// `axum::serve` serves the same routers, over HTTP/1.1 in the same way. Over HTTP/2 it lets nobody
/// configure anything: with hyper's windows, a few WebSockets that nobody reads stop all others of their
/// connection.
// R9220-3-a: RFC 9220 has the same for HTTP/3.
pub fn serve<L, S>(listener: L, app: S) -> Serve<L, S> {
    let addresses = Addresses::default();
    Serve { listener, app, addresses, timeout: Duration::from_secs(10), max_connections: 10_000 }
}

/// Made by [`serve`](serve()). Awaiting it is [`run`](Self::run).
#[must_use = "nothing is served until it runs"]
pub struct Serve<L, S> {
    listener: L,
    app: S,
    addresses: Addresses,
    timeout: Duration,
    max_connections: usize,
}

impl<L: Listener, S: HttpService> Serve<L, S> {
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

    /// Connections at a time from one IP address, or from one /64 of IPv6. Default 256; more are closed as
    /// soon as they are accepted, over TCP with a 503. Those without an IP address are not counted, nor are
    /// WebSockets over HTTP/1.1: they have
    /// [`ServerLimits::max_per_ip`](ws_server::ServerLimits::max_per_ip).
    ///
    /// Behind a proxy every client has its address: see [`trust_proxies`](Self::trust_proxies).
    pub fn max_per_ip(mut self, connections: usize) -> Self {
        self.addresses.limit = connections;
        self
    }

    /// Proxies in front of this server, whose connections [`max_per_ip`](Self::max_per_ip) does not count.
    /// Default none. Who the client of a WebSocket is,
    /// [`Server::trust_proxies`](ws_server::Server::trust_proxies) reads.
    pub fn trust_proxies(mut self, networks: Networks) -> Self {
        self.addresses.proxies = networks;
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
    /// A [`Service`] whose WebSockets are open here is [shut down](Service::shutdown) as a whole, and opens no
    /// more: servers that share one end its WebSockets with the first of them. One that has none may be left
    /// as it is.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Report {
        let Self { mut listener, app, addresses, timeout: limit, max_connections } = self;
        let http = Arc::new(Http::new(addresses));
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
                (pending, peer) = backoff.accept(&mut listener), if connections.len() < max_connections => {
                    let (http, app) = (Arc::clone(&http), app.clone());
                    connections.spawn(async move { http.serve(pending, peer, app).await });
                }
            }
        }
        drop(listener);
        info!(connections = connections.len(), "shutting down");
        let deadline = Instant::now().checked_add(limit);
        http.closing.send_replace(true);
        let report = shut_down(http.services.close()).await;
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
async fn shut_down(services: Vec<Service>) -> Report {
    let mut ending: JoinSet<Report> = services.iter().map(Service::shutdown).collect();
    let mut sum = Report::default();
    while let Some(ended) = ending.join_next().await {
        let report = ended.unwrap_or_default();
        sum.closed += report.closed;
        sum.aborted += report.aborted;
    }
    sum
}

/// As with `axum::serve`, it never ends, and gives no error.
impl<L: Listener, S: HttpService> IntoFuture for Serve<L, S> {
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.run().await })
    }
}

impl<L, S> fmt::Debug for Serve<L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("shutdown_timeout", &self.timeout)
            .field("max_connections", &self.max_connections)
            .field("max_per_ip", &self.addresses.limit)
            .finish_non_exhaustive()
    }
}
