//! The server, as an application configures it.

use std::{fmt, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use tokio::net::{TcpListener, ToSocketAddrs};
use ws_core::{ExtensionFactory, FrameObserver};
use ws_handshake::{ExtensionSet, Hosts, OriginPolicy, Subprotocols};

use crate::{
    Clients, ConfigError, Handler, Limits, Opening, Peer, ServeError, Service, SlowConsumer,
    listen::accept,
    open::admission::Admission,
    open::route::Routes,
    open::service::{Fallback, Observe, Shared},
};

/// A WebSocket server.
///
/// ```no_run
/// use ws_server::{Limits, Server, WebSocket};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut limits = Limits::default();
/// limits.max_per_ip = 16;
/// let report = Server::bind("127.0.0.1:9001")
///     .await?
///     .route("/echo", |mut ws: WebSocket| async move {
///         while let Some(message) = ws.recv().await {
///             ws.send(message).await?;
///         }
///         Ok(())
///     })
///     .limits(limits)
///     .serve_until(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
///     .await?;
/// println!("{} closed, {} aborted", report.closed, report.aborted);
/// # Ok(())
/// # }
/// ```
///
/// A mistake in the configuration does not panic: the first one is told by [`serve`](Self::serve),
/// [`serve_until`](Self::serve_until) or [`service`](Self::service).
///
/// What is not a valid opening handshake is answered and closed: a path without a handler with 404,
/// a plain request by the [fallback](Self::fallback), or with 426 where there is none, another
/// method with 405, a page of another site with 403, a host other than [its own](Self::hosts) with
/// 421, a request that does not come in time with 408, one that is too large with 431 or 414, and
/// what is malformed with 400, octets in front of the 101 among them.
pub struct Server {
    listener: Option<Listener>,
    routes: Routes,
    fallback: Option<Box<Fallback>>,
    observe: Option<Box<Observe>>,
    extensions: ExtensionSet,
    subprotocols: Subprotocols,
    origin: OriginPolicy,
    hosts: Option<Hosts>,
    limits: Limits,
    slow_consumer: SlowConsumer,
    clients: Clients,
    mistake: Option<ConfigError>,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Server {
    /// Listens on a TCP address: `"127.0.0.1:9001"`, `("localhost", 9001)`, a
    /// [`SocketAddr`]. Port 0 takes a free one, see [`local_addr`](Self::local_addr). `0.0.0.0` or
    /// `[::]` is every address of this machine.
    ///
    /// From here on clients can connect; they are answered once the server serves.
    ///
    /// # Errors
    /// [`ServeError::Bind`].
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call listens on nothing.
    pub async fn bind(address: impl ToSocketAddrs + fmt::Debug) -> Result<Self, ServeError> {
        let text = format!("{address:?}");
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(Self::from_listener(listener)),
            Err(error) => Err(ServeError::Bind { address: text.trim_matches('"').into(), error }),
        }
    }

    /// Listens on a Unix socket. `path` must not exist; the file is left behind at the end.
    ///
    /// Its connections have no address, so that [`Limits::max_per_ip`] does not count them.
    ///
    /// # Errors
    /// [`ServeError::Bind`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[cfg(unix)]
    pub fn bind_unix(path: impl AsRef<std::path::Path>) -> Result<Self, ServeError> {
        let path = path.as_ref();
        match tokio::net::UnixListener::bind(path) {
            Ok(listener) => Ok(Self::with_listener(Some(Listener::Unix(listener)))),
            Err(error) => Err(ServeError::Bind {
                address: format!("{}{}", crate::leaves::error::UNIX, path.display()).into(),
                error,
            }),
        }
    }

    /// Takes connections from a listener of the application's.
    pub fn from_listener(listener: TcpListener) -> Self {
        Self::with_listener(Some(Listener::Tcp(listener)))
    }

    /// A server without a listener, for a [`service`](Self::service).
    #[expect(clippy::new_without_default, reason = "without a handler it serves nothing")]
    pub fn new() -> Self {
        Self::with_listener(None)
    }

    fn with_listener(listener: Option<Listener>) -> Self {
        Self {
            listener,
            routes: Routes::default(),
            fallback: None,
            observe: None,
            extensions: ExtensionSet::new(),
            subprotocols: Subprotocols::default(),
            origin: OriginPolicy::default(),
            hosts: None,
            limits: Limits::default(),
            slow_consumer: SlowConsumer::default(),
            clients: Clients::default(),
            mistake: None,
        }
    }

    /// Serves requests for `path` with `handler`.
    ///
    /// The path is compared as it was sent, whole, in its case and with its escapes; the query is no
    /// part of it. There are no patterns: where `/room/7` and `/room/8` go to one handler, it is that of
    /// [`any`](Self::any) and looks at [`Request::path`](crate::Request::path). A path that was added
    /// before, a pattern as `/room/{id}`, and a path that no request can have are mistakes in the
    /// configuration.
    #[must_use]
    pub fn route(mut self, path: &str, handler: impl Handler) -> Self {
        let outcome = self.routes.add(path, handler);
        self.note(outcome);
        self
    }

    /// Serves every path that has no [route](Self::route) with `handler`. What is called last
    /// counts.
    #[must_use]
    pub fn any(mut self, handler: impl Handler) -> Self {
        self.routes.set_any(handler);
        self
    }

    /// Answers plain HTTP requests, those that ask for no WebSocket, on every path.
    ///
    /// `Connection` and `Content-Length` are set here; HEAD is answered without the body. The
    /// connection closes after the answer, and a body of the request is not read. A panic is
    /// answered with 500.
    ///
    /// ```
    /// use http::{Response, StatusCode};
    /// use ws_server::{Bytes, Server};
    ///
    /// let server = Server::new().fallback(|request, _peer| {
    ///     let mut response = Response::new(Bytes::from_static(b"<p>hello"));
    ///     match request.uri().path() {
    ///         "/" => drop(response.headers_mut().insert("Content-Type", "text/html".parse().unwrap())),
    ///         _ => *response.status_mut() = StatusCode::NOT_FOUND,
    ///     }
    ///     response
    /// });
    /// ```
    ///
    /// It is called in the task of the connection and must not block. The answer has
    /// [`Limits::write_timeout`] to be taken.
    #[must_use]
    pub fn fallback(
        mut self,
        answer: impl Fn(&http::Request<()>, Peer) -> http::Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.fallback = Some(Box::new(answer));
        self
    }

    /// Asks `observe` about every connection that opens, before its handler starts: it sees the
    /// request and why each extension was taken or not, and may give an observer, which is then
    /// shown every frame. A connection without one costs nothing more.
    ///
    /// ```
    /// use ws_server::{FrameObserver, ObservedFrame, Server};
    ///
    /// let server = Server::new().observe(|opening| {
    ///     println!("{} {}\n{}", opening.id, opening.request.path(), opening.report);
    ///     let id = opening.id;
    ///     let print = move |frame: &ObservedFrame| println!("{id} {frame:?}");
    ///     (opening.request.query() == Some("debug")).then(|| Box::new(print) as Box<dyn FrameObserver>)
    /// });
    /// ```
    ///
    /// Received frames are shown when they are whole, so one that breaks a rule is not; sent ones when
    /// they are encoded. Both functions are called in the task of the connection and must not block. A
    /// panic of `observe` is answered with 500; one of the observer ends its connection without a
    /// Close.
    #[must_use]
    pub fn observe(
        mut self,
        observe: impl Fn(&Opening<'_>) -> Option<Box<dyn FrameObserver>> + Send + Sync + 'static,
    ) -> Self {
        self.observe = Some(Box::new(observe));
        self
    }

    /// Offers an extension, behind those that were added before, nearer to the wire.
    ///
    /// Two extensions of one name, or an order that cannot work, is a mistake in the configuration.
    #[must_use]
    pub fn extension(mut self, factory: impl ExtensionFactory + 'static) -> Self {
        let outcome = self.extensions.push(factory).map_err(ConfigError::Extensions);
        self.note(outcome);
        self
    }

    /// The subprotocols that the handlers speak: the first that the client offered is taken, and
    /// [`Request::subprotocol`](crate::Request::subprotocol) tells which. Without one in common the
    /// connection opens without, and browsers fail it: a line in the log says so, once a minute at
    /// `INFO`.
    #[must_use]
    pub fn subprotocols<S: AsRef<str>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        let outcome = Subprotocols::new(names)
            .map(|names| self.subprotocols = names)
            .map_err(ConfigError::Subprotocols);
        self.note(outcome);
        self
    }

    /// Which web pages may connect. Default [`OriginPolicy::same_origin`]: those of this host and
    /// port, and clients that are no browsers.
    ///
    /// Protects users of browsers, and is no authentication: other clients write what they like into
    /// `Origin`.
    ///
    /// A list is looked at where it is made, so its mistakes are told there and not by
    /// [`serve`](Self::serve), by an error that is no [`ServeError`]:
    ///
    /// ```
    /// # use ws_server::{OriginPolicy, Server};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // Its own pages, and an app's.
    /// let policy = OriginPolicy::same_origin().and_allow(["capacitor://localhost"])?;
    /// let server = Server::new().origin(policy);
    /// # Ok(())
    /// # }
    /// ```
    // R6455-10.1-a
    #[must_use]
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.origin = policy;
        self
    }

    /// The hosts that this server answers for: `["chat.example", "localhost:9001", "[::1]:9001"]`.
    /// Requests for others, plain ones too, get 421. Default all hosts.
    ///
    /// Without a port an entry stands for every port. For servers that only a network protects, on
    /// `127.0.0.1` or in a private one: a page whose name is made to stand for that address (DNS
    /// rebinding) has an `Origin` that equals its `Host`, which [`same_origin`](OriginPolicy) lets
    /// pass. See [`Hosts`]. An entry that is no host, and a list without any, is a mistake in the
    /// configuration.
    #[must_use]
    pub fn hosts<S: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = S>) -> Self {
        let outcome =
            Hosts::new(hosts).map(|hosts| self.hosts = Some(hosts)).map_err(ConfigError::Hosts);
        self.note(outcome);
        self
    }

    /// Replaces the default limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What happens where a message to many meets a client that does not keep up. Default
    /// [`SlowConsumer::Close`]. A [`Publication`](crate::Publication) may say otherwise.
    #[must_use]
    pub fn slow_consumer(mut self, policy: SlowConsumer) -> Self {
        self.slow_consumer = policy;
        self
    }

    /// Keeps the first mistake.
    fn note(&mut self, outcome: Result<(), ConfigError>) {
        if let (Err(mistake), None) = (outcome, &self.mistake) {
            self.mistake = Some(mistake);
        }
    }

    /// The address that the server listens on, if it is one of TCP.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.listener {
            Some(Listener::Tcp(listener)) => listener.local_addr().ok(),
            _ => None,
        }
    }

    /// The connections of this server, for handlers and other tasks. Empty until it serves.
    pub fn clients(&self) -> Clients {
        self.clients.clone()
    }

    /// Serves until the future is dropped, which ends all connections without a Close.
    ///
    /// # Errors
    /// [`ServeError::Config`]. Nothing that happens later ends the server: where the operating
    /// system has no more file descriptors, it waits and goes on.
    ///
    /// # Cancel safety
    /// Not cancel safe: when it is dropped the server is gone.
    pub async fn serve(self) -> Result<(), ServeError> {
        self.serve_until(std::future::pending()).await.map(drop)
    }

    /// Serves until `shutdown` is ready, and then shuts down: the listener is closed, opening
    /// handshakes are dropped, every client is sent a Close with 1001. Who has not closed after
    /// [`Limits::shutdown_timeout`] is aborted, and so is a handler that has not returned.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    ///
    /// # Cancel safety
    /// As [`serve`](Self::serve).
    pub async fn serve_until(
        mut self,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Report, ServeError> {
        let listener = self.listener.take();
        #[cfg(unix)]
        self.limits.fit_file_descriptors();
        let service = self.service()?;
        Ok(match listener.ok_or(ConfigError::NoListener)? {
            Listener::Tcp(listener) => {
                accept::run(accept::Tcp::new(listener), &service, shutdown).await
            }
            #[cfg(unix)]
            Listener::Unix(listener) => accept::run(listener, &service, shutdown).await,
        })
    }

    /// Makes what serves single connections, over streams that the application has. A listener is
    /// dropped.
    ///
    /// # Errors
    /// [`ConfigError`], the first mistake in the configuration.
    pub fn service(self) -> Result<Service, ConfigError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        self.limits.check()?;
        if self.routes.is_empty() {
            return Err(ConfigError::NoRoute);
        }
        let limits = Arc::new(self.limits);
        self.clients.registry.set_slow_consumer(self.slow_consumer);
        Ok(Service {
            shared: Arc::new(Shared {
                routes: self.routes,
                fallback: self.fallback,
                observe: self.observe,
                extensions: self.extensions,
                subprotocols: self.subprotocols,
                origin: self.origin,
                hosts: self.hosts,
                admission: Arc::new(Admission::new(Arc::clone(&limits))),
                config: Arc::new(limits.core()),
                limits,
                clients: self.clients,
            }),
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<&str> = self.routes.paths().collect();
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("routes", &paths)
            .field("extensions", &self.extensions)
            .field("subprotocols", &self.subprotocols)
            .field("origin", &self.origin)
            .field("hosts", &self.hosts)
            .field("limits", &self.limits)
            .field("slow_consumer", &self.slow_consumer)
            .finish_non_exhaustive()
    }
}

/// What became of the connections that were open when the server shut down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Those that ended within [`Limits::shutdown_timeout`].
    pub closed: usize,
    /// Those that had to be aborted.
    pub aborted: usize,
}
