//! The server, as an application configures it.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use tokio::net::{TcpListener, ToSocketAddrs};
use ws_core::{ExtensionFactory, FrameObserver};
use ws_handshake::{AcceptOptions, ExtensionSet, Hosts, OriginPolicy, Subprotocols};

use crate::{
    Clients, ConfigError, Handler, Limits, Opening, Peer, ServeError, ServerLimits, Service,
    SlowConsumer,
    listen::bound::{BoundServer, Listener},
    open::{
        admission::Admission,
        route::Routes,
        shared::{Fallback, Observe, Shared},
    },
};

/// A WebSocket server as an application configures it: what is served, to whom, within which limits.
/// [`bind`](Self::bind) makes it listen; [`service`](Self::service) serves streams and requests that
/// come from elsewhere.
///
/// ```no_run
/// use ws_server::{Limits, Server, ServerLimits, WebSocket};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::new()
///     .route("/echo", |mut ws: WebSocket| async move {
///         while let Some(message) = ws.recv().await {
///             ws.send(message).await?;
///         }
///         Ok(())
///     })
///     .limits(Limits::default().max_message(64 * 1024))
///     .server_limits(ServerLimits::default().max_per_ip(16))
///     .bind("127.0.0.1:9001")
///     .await?;
/// let ctrl_c = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
/// let report = server.serve_until(ctrl_c).await;
/// println!("{} closed, {} aborted", report.closed, report.aborted);
/// # Ok(())
/// # }
/// ```
///
/// A mistake in the configuration does not panic: the first one is told by [`bind`](Self::bind) or
/// [`service`](Self::service).
///
/// What is not a valid opening handshake is answered and closed: a path without a handler with 404,
/// a plain request by the [fallback](Self::fallback), or with 426 if there is none, another
/// method with 405, a page of another site with 403, a host other than [its own](Self::hosts) with
/// 421, a request that does not come in time with 408, one that is too large with 431 or 414, and
/// and anything malformed with 400, octets before the 101 included.
#[must_use = "it serves nothing until it is bound or made a service"]
pub struct Server {
    routes: Routes,
    fallback: Option<Box<Fallback>>,
    observe: Option<Box<Observe>>,
    extensions: ExtensionSet,
    subprotocols: Subprotocols,
    origin: OriginPolicy,
    hosts: Option<Hosts>,
    server_limits: ServerLimits,
    limits: Limits,
    slow_consumer: SlowConsumer,
    clients: Clients,
    mistake: Option<ConfigError>,
}

impl Server {
    /// A server without a handler, with the default limits.
    #[expect(clippy::new_without_default, reason = "without a handler it serves nothing")]
    pub fn new() -> Self {
        Self {
            routes: Routes::default(),
            fallback: None,
            observe: None,
            extensions: ExtensionSet::new(),
            subprotocols: Subprotocols::default(),
            origin: OriginPolicy::default(),
            hosts: None,
            server_limits: ServerLimits::default(),
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
    pub fn route(mut self, path: &str, handler: impl Handler) -> Self {
        let outcome = self.routes.add(path, handler);
        self.note(outcome);
        self
    }

    /// Serves every path that has no [route](Self::route) with `handler`. What is called last
    /// counts.
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
    pub fn observe(
        mut self,
        observe: impl Fn(&Opening<'_>) -> Option<Box<dyn FrameObserver>> + Send + Sync + 'static,
    ) -> Self {
        self.observe = Some(Box::new(observe));
        self
    }

    /// Offers an extension, after those that were added before, nearer to the wire.
    ///
    /// Two extensions of one name, or an order that cannot work, is a mistake in the configuration.
    pub fn extension(mut self, factory: impl ExtensionFactory + 'static) -> Self {
        let outcome = self.extensions.push(factory).map_err(ConfigError::Extensions);
        self.note(outcome);
        self
    }

    /// The subprotocols that the handlers speak: the first that the client offered is taken, and
    /// [`Request::subprotocol`](crate::Request::subprotocol) tells which. Without one in common the
    /// connection opens without, and browsers fail it: a line in the log says so, once a minute at
    /// `INFO`.
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
    /// A list is checked where it is made, so a mistake in it is an error there and not from
    /// [`bind`](Self::bind), and no [`ServeError`]:
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
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.origin = policy;
        self
    }

    /// The hosts that this server answers for: `["chat.example", "localhost:9001", "[::1]:9001"]`.
    /// Requests for others, plain ones too, get 421. Default all hosts.
    ///
    /// Without a port an entry means every port. For servers that only a network protects, on
    /// `127.0.0.1` or in a private one: a page whose name is made to resolve to that address (DNS
    /// rebinding) has an `Origin` that equals its `Host`, which [`same_origin`](OriginPolicy) lets
    /// pass. See [`Hosts`]. An entry that is no host, and a list without any, is a mistake in the
    /// configuration.
    pub fn hosts<S: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = S>) -> Self {
        let outcome =
            Hosts::new(hosts).map(|hosts| self.hosts = Some(hosts)).map_err(ConfigError::Hosts);
        self.note(outcome);
        self
    }

    /// Replaces the default limits of the server as a whole.
    pub fn server_limits(mut self, limits: ServerLimits) -> Self {
        self.server_limits = limits;
        self
    }

    /// Replaces the default limits of each connection.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What happens when a message to many meets a client that does not keep up. Default
    /// [`SlowConsumer::Close`]. A [`Publication`](crate::Publication) may say otherwise.
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

    /// The connections that this server will have, for handlers and other tasks.
    pub fn clients(&self) -> Clients {
        self.clients.clone()
    }

    /// Listens on a TCP address: `"127.0.0.1:9001"`, `("localhost", 9001)`, a
    /// [`SocketAddr`](std::net::SocketAddr). Port 0 takes a free one, see
    /// [`BoundServer::local_addr`]. `0.0.0.0` or `[::]` is every address of this machine.
    ///
    /// From here on clients can connect; they are answered once the server serves.
    ///
    /// # Errors
    /// [`ServeError::Config`], the first mistake in the configuration; then nothing was listened on.
    /// [`ServeError::Bind`].
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call listens on nothing.
    pub async fn bind(
        self,
        address: impl ToSocketAddrs + fmt::Debug,
    ) -> Result<BoundServer, ServeError> {
        let service = self.listening()?;
        let text = format!("{address:?}");
        match TcpListener::bind(address).await {
            Ok(listener) => Ok(BoundServer::new(Listener::Tcp(listener), service)),
            Err(error) => Err(ServeError::Bind { address: text.trim_matches('"').into(), error }),
        }
    }

    /// Listens on a Unix socket. `path` must not exist; the file remains at the end.
    ///
    /// Its connections have no address, so that [`ServerLimits::max_per_ip`] does not count them.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[cfg(unix)]
    pub fn bind_unix(self, path: impl AsRef<std::path::Path>) -> Result<BoundServer, ServeError> {
        let service = self.listening()?;
        let path = path.as_ref();
        match tokio::net::UnixListener::bind(path) {
            Ok(listener) => Ok(BoundServer::new(Listener::Unix(listener), service)),
            Err(error) => Err(ServeError::Bind {
                address: format!("{}{}", crate::leaves::error::UNIX, path.display()).into(),
                error,
            }),
        }
    }

    /// Takes connections from a listener of the application's.
    ///
    /// # Errors
    /// [`ConfigError`], the first mistake in the configuration.
    pub fn listener(self, listener: TcpListener) -> Result<BoundServer, ConfigError> {
        Ok(BoundServer::new(Listener::Tcp(listener), self.listening()?))
    }

    /// As [`listener`](Self::listener), for a Unix socket.
    ///
    /// # Errors
    /// As there.
    #[cfg(unix)]
    pub fn unix_listener(
        self,
        listener: tokio::net::UnixListener,
    ) -> Result<BoundServer, ConfigError> {
        Ok(BoundServer::new(Listener::Unix(listener), self.listening()?))
    }

    /// What serves the connections of a listener.
    #[cfg_attr(not(unix), expect(unused_mut))]
    fn listening(mut self) -> Result<Service, ConfigError> {
        if self.mistake.is_none() && self.routes.is_empty() {
            return Err(ConfigError::NoRoute);
        }
        #[cfg(unix)]
        self.server_limits.fit_file_descriptors();
        self.service()
    }

    /// Makes what serves streams that the application has, and requests that another HTTP
    /// implementation reads. It needs no route: [`Service::open`] takes a handler for each.
    ///
    /// # Errors
    /// [`ConfigError`], the first mistake in the configuration.
    pub fn service(self) -> Result<Service, ConfigError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        self.server_limits.check()?;
        self.limits.check()?;
        let mut accept = AcceptOptions::default()
            .extensions(self.extensions)
            .subprotocols(self.subprotocols)
            .origin(self.origin);
        if let Some(hosts) = &self.hosts {
            accept = accept.hosts(hosts.clone());
        }
        let limits = Arc::new(self.limits);
        let server_limits = Arc::new(self.server_limits);
        self.clients.registry.set_slow_consumer(self.slow_consumer);
        Ok(Service {
            shared: Arc::new(Shared {
                routes: self.routes,
                fallback: self.fallback,
                observe: self.observe,
                accept,
                hosts: self.hosts,
                admission: Arc::new(Admission::new(Arc::clone(&server_limits))),
                config: Arc::new(limits.core()),
                limits,
                server_limits,
                clients: self.clients,
            }),
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<&str> = self.routes.paths().collect();
        f.debug_struct("Server")
            .field("routes", &paths)
            .field("extensions", &self.extensions)
            .field("subprotocols", &self.subprotocols)
            .field("origin", &self.origin)
            .field("hosts", &self.hosts)
            .field("server_limits", &self.server_limits)
            .field("limits", &self.limits)
            .field("slow_consumer", &self.slow_consumer)
            .finish_non_exhaustive()
    }
}
