//! The server, as an application configures it.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use tokio::net::ToSocketAddrs;
use ws_core::{ExtensionFactory, FrameObserver};
use ws_handshake::{AcceptOptions, ExtensionSet, Hosts, OriginPolicy, Subprotocols};

use crate::{
    Agreed, Backplane, Clients, ConfigError, Forwarding, IntoRoute, Limits, Listener, Peer,
    ServeError, ServerLimits, Service, SlowConsumer, Tcp,
    listen::bound::BoundServer,
    open::{
        admission::Admission,
        proxies::Trusted,
        routes::Routes,
        shared::{Fallback, Observe, Shared},
        terms::Terms,
    },
};

/// A WebSocket server as an application configures it: its handlers, who may connect, and its limits.
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
/// A mistake in the configuration does not panic: [`bind`](Self::bind) or [`service`](Self::service)
/// returns the first one.
///
/// Any request other than a valid opening handshake gets an answer, and its connection is closed:
///
/// | request | answer |
/// |---|---|
/// | a path without a handler | 404 |
/// | a plain request | the [fallback](Self::fallback)'s, or 426 without one |
/// | a method other than GET | 405 |
/// | a page of another site | 403 |
/// | a host other than [the server's own](Self::hosts) | 421 |
/// | not in time | 408 |
/// | too large | 431 or 414 |
/// | anything malformed, octets before the 101 included | 400 |
#[must_use = "it serves nothing until `bind` or `service` is called"]
pub struct Server {
    routes: Routes,
    fallback: Option<Box<Fallback>>,
    observe: Option<Box<Observe>>,
    extensions: ExtensionSet,
    subprotocols: Subprotocols,
    origin: OriginPolicy,
    hosts: Option<Hosts>,
    proxies: Trusted,
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
            proxies: Trusted::default(),
            server_limits: ServerLimits::default(),
            limits: Limits::default(),
            slow_consumer: SlowConsumer::default(),
            clients: Clients::default(),
            mistake: None,
        }
    }

    /// Serves requests for `path`, by a handler or a [`Route`](crate::Route), which is a handler with
    /// what holds for this path alone: who may connect, from where, what is spoken, which limits.
    ///
    /// `/room/{room}` takes every path of two segments that begins with `/room/`, and
    /// [`Request::param`](crate::Request::param) has the second; `{*path}` at the end takes the rest of
    /// a path with all its slashes. Everything else is compared as it was sent, whole, in its case and
    /// with its escapes. The query is no part of it. Where two routes match, what is written out goes
    /// before a parameter. A path that was added before, patterns that match the same paths, and a
    /// path that no request can have are mistakes in the configuration.
    ///
    /// ```
    /// use ws_server::{Server, WebSocket};
    ///
    /// let server = Server::new().route("/room/{room}", |mut ws: WebSocket| async move {
    ///     let room = ws.request().param("room").unwrap_or_default().to_owned();
    ///     ws.send(format!("welcome to {room}")).await?;
    ///     Ok(())
    /// });
    /// ```
    pub fn route(mut self, path: &str, route: impl IntoRoute) -> Self {
        let outcome = self.routes.add(path, route.into_route());
        self.note(outcome);
        self
    }

    /// Serves every path that has no [route](Self::route) of its own. What is called last counts.
    pub fn any(mut self, route: impl IntoRoute) -> Self {
        let outcome = self.routes.set_any(route.into_route());
        self.note(outcome);
        self
    }

    /// Answers plain HTTP requests, which ask for no WebSocket, on every path.
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
    /// It is called in the task of the connection and must not block. The client has
    /// [`Limits::write_timeout`] to take the answer.
    pub fn fallback(
        mut self,
        answer: impl Fn(&http::Request<()>, Peer) -> http::Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.fallback = Some(Box::new(answer));
        self
    }

    /// Calls `observe` for every connection that opens, before its handler starts. It sees the request
    /// and why each extension was accepted or declined, and may return an observer, which then sees
    /// every frame. A connection without an observer costs nothing more.
    ///
    /// ```
    /// use ws_server::{FrameObserver, ObservedFrame, Server};
    ///
    /// let server = Server::new().observe(|agreed| {
    ///     println!("{} {}\n{}", agreed.id, agreed.request.path(), agreed.report);
    ///     let id = agreed.id;
    ///     let print = move |frame: &ObservedFrame| println!("{id} {frame:?}");
    ///     (agreed.request.query() == Some("debug")).then(|| Box::new(print) as Box<dyn FrameObserver>)
    /// });
    /// ```
    ///
    /// Received frames are shown once they are complete, so a frame that breaks a rule is not; sent
    /// ones once they are encoded. Both functions are called in the task of the connection and must
    /// not block. A panic of `observe` is answered with 500; a panic of the observer ends its
    /// connection without a Close.
    pub fn observe(
        mut self,
        observe: impl Fn(&Agreed<'_>) -> Option<Box<dyn FrameObserver>> + Send + Sync + 'static,
    ) -> Self {
        self.observe = Some(Box::new(observe));
        self
    }

    /// Adds an extension after those added before, nearer to the wire.
    ///
    /// Two extensions of one name, or an order that cannot work, are mistakes in the configuration.
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

    /// Trusts the proxies in these networks (`["10.0.0.0/8", "2001:db8::7"]`) to name their client, in
    /// the headers of one family. The other family is ignored, and so are both from anybody else.
    /// [`Request::peer`](crate::Request::peer), the log and [`ServerLimits::max_per_ip`] then see the
    /// client: the rightmost hop that is none of the proxies.
    ///
    /// The proxy must append to the header or replace it: in nginx
    /// `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`. A request of a proxy that names no
    /// client counts as the proxy's own. `"unix:"` among the networks is a proxy that comes by a
    /// [Unix socket](crate::Server::bind_unix), which has no address. A network that does not parse is a
    /// mistake in the configuration.
    ///
    /// ```
    /// use ws_server::{Forwarding, Server};
    ///
    /// let server = Server::new().trust_proxies(["10.0.0.0/8"], Forwarding::XForwardedFor);
    /// ```
    // T-B22
    pub fn trust_proxies<S: AsRef<str>>(
        mut self,
        networks: impl IntoIterator<Item = S>,
        forwarding: Forwarding,
    ) -> Self {
        let outcome = self.proxies.trust(networks, forwarding);
        self.note(outcome);
        self
    }

    /// Also trusts the [proxies](Self::trust_proxies) to name the host that was asked for (`host=` of
    /// `Forwarded`, or `X-Forwarded-Host`), if they change `Host`: origins and [hosts](Self::hosts) are
    /// compared with it. Without proxies it is a mistake in the configuration.
    ///
    /// The proxy must replace the header: a page of another site could send it otherwise.
    pub fn trust_forwarded_host(mut self) -> Self {
        self.proxies.host = true;
        self
    }

    /// Also trusts the [proxies](Self::trust_proxies) to say whether the client came over TLS (`proto=` of
    /// `Forwarded`, or `X-Forwarded-Proto`), where they end it:
    /// [`Request::is_secure`](crate::Request::is_secure) tells it, and
    /// [`OriginPolicy::same_origin`] compares the scheme of the origin with it, so that a page that came
    /// without TLS may not connect over it. Without proxies it is a mistake in the configuration.
    ///
    /// The proxy must replace the header: in nginx `proxy_set_header X-Forwarded-Proto $scheme;`.
    pub fn trust_forwarded_proto(mut self) -> Self {
        self.proxies.proto = true;
        self
    }

    /// Replaces the default limits of the whole server.
    pub fn server_limits(mut self, limits: ServerLimits) -> Self {
        self.server_limits = limits;
        self
    }

    /// Replaces the default limits of each connection.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What happens to a broadcast for a client that does not keep up. Default
    /// [`SlowConsumer::Close`]. A [`Publication`](crate::Publication) may choose another policy.
    pub fn slow_consumer(mut self, policy: SlowConsumer) -> Self {
        self.slow_consumer = policy;
        self
    }

    /// Lets its topics span other servers: what is published goes by `backplane`, which delivers it
    /// here too. Default none: then a publication goes to the subscribers here.
    ///
    /// It counts from now on, for the [`clients`](Self::clients) that were taken before too, and is told
    /// at once which topics have subscribers. So it can be made of these `clients`, before the server
    /// listens. A second one is a mistake in the configuration, and is not used.
    pub fn backplane(mut self, backplane: Arc<dyn Backplane>) -> Self {
        let is_first = self.clients.registry.set_backplane(backplane);
        self.note(is_first.then_some(()).ok_or(ConfigError::SecondBackplane));
        self
    }

    /// Keeps the first mistake.
    fn note(&mut self, outcome: Result<(), ConfigError>) {
        if let (Err(mistake), None) = (outcome, &self.mistake) {
            self.mistake = Some(mistake);
        }
    }

    /// The connections of this server, for handlers and other tasks.
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
        Ok(BoundServer::new(Tcp::bind(address).await?, service))
    }

    /// Listens on a Unix socket, as [`Unix::bind`](crate::Unix::bind) does.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[cfg(unix)]
    pub fn bind_unix(self, path: impl AsRef<std::path::Path>) -> Result<BoundServer, ServeError> {
        let service = self.listening()?;
        Ok(BoundServer::new(crate::Unix::bind(path)?, service))
    }

    /// Takes connections from `listener`: from [`Tcp`] that is wrapped into TLS, for example, or from
    /// a listener of the application's. [`BoundServer::and`] adds further ones.
    ///
    /// # Errors
    /// [`ConfigError`], the first mistake in the configuration.
    pub fn listener(self, listener: impl Listener) -> Result<BoundServer, ConfigError> {
        Ok(BoundServer::new(listener, self.listening()?))
    }

    /// Combines a listener with the service for its connections.
    #[cfg_attr(not(unix), expect(unused_mut))]
    fn listening(mut self) -> Result<Service, ConfigError> {
        if self.mistake.is_none() && self.routes.is_empty() {
            return Err(ConfigError::NoRoute);
        }
        #[cfg(unix)]
        self.server_limits.fit_file_descriptors();
        self.service()
    }

    /// Makes a [`Service`] for the application's own streams, and for requests that another HTTP
    /// implementation reads. It needs no route: [`Service::open`] takes a handler for each request.
    ///
    /// # Errors
    /// [`ConfigError`], the first mistake in the configuration.
    pub fn service(self) -> Result<Service, ConfigError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        self.server_limits.check()?;
        let mut accept = AcceptOptions::default()
            .extensions(self.extensions)
            .subprotocols(self.subprotocols)
            .origin(self.origin);
        if let Some(hosts) = &self.hosts {
            accept = accept.hosts(hosts.clone());
        }
        let terms = Arc::new(Terms::new(accept, self.limits)?);
        let server_limits = Arc::new(self.server_limits);
        self.clients.registry.set_defaults(self.slow_consumer, &terms.limits);
        self.clients.registry.bound_memory(server_limits.max_memory);
        Ok(Service {
            shared: Arc::new(Shared {
                routes: self.routes.settle(&terms)?,
                terms,
                fallback: self.fallback,
                observe: self.observe,
                hosts: self.hosts,
                proxies: self.proxies.settle()?,
                admission: Arc::new(Admission::new(Arc::clone(&server_limits))),
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
            .field("proxies", &self.proxies)
            .field("server_limits", &self.server_limits)
            .field("limits", &self.limits)
            .field("slow_consumer", &self.slow_consumer)
            .finish_non_exhaustive()
    }
}
