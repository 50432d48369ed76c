//! The other end: connects to a server.
//!
//! Imports `drive`, `handles`, `outbox` and `leaves`.

mod endpoint;
mod error;
mod keys;
mod prepared;
mod queue;
mod race;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use ws_core::ExtensionFactory;
use ws_handshake::{ClientOptions, ExtensionSet, Subprotocols, WebSocketUri};

use self::{keys::Keys, prepared::Prepared, queue::Remote};
use crate::{ClientLimits, ConfigError, Limits, Peer, WebSocket, leaves::socket};
pub use error::ConnectError;
pub use queue::ConnectQueue;

/// Connects to a `ws://` URL with the defaults: no extensions, no subprotocol. For more there is
/// [`Connect`].
///
/// ```
/// # use ws_server::{Server, WebSocket};
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// # let echo = |mut ws: WebSocket| async move {
/// #     while let Some(message) = ws.recv().await { ws.send(message).await? }
/// #     Ok(())
/// # };
/// # let server = Server::new().any(echo).bind("127.0.0.1:0").await?;
/// # let url = format!("ws://{}/echo", server.local_addr().unwrap());
/// # tokio::spawn(server.serve());
/// let mut ws = ws_server::connect(&url).await?;
/// ws.send("hello").await?;
/// let echo = ws.recv().await;
/// # assert_eq!(echo, Some("hello".into()));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
///
/// # Errors
/// [`ConnectError`].
///
/// # Cancel safety
/// A dropped call leaves no connection behind.
pub async fn connect(url: &str) -> Result<WebSocket, ConnectError> {
    Connect::new(url).connect().await
}

/// A client: what it asks a server for.
///
/// What comes out is the same [`WebSocket`] that a handler has on the other end. There is no handler
/// here, so a task that is spawned for it drives the connection: Pings are answered, a Close is taken
/// and queued messages go out whatever the application waits for. Dropping the `WebSocket` closes the
/// connection with 1000; the task ends by itself when that is done, and with its runtime.
///
/// [`Limits`] hold for what the server sends, as they do on the other end for what clients send;
/// [`ClientLimits`] hold for connecting.
///
/// ```no_run
/// # #[cfg(feature = "deflate")]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use ws_server::{Connect, Deflate};
///
/// let mut ws = Connect::new("ws://chat.example/room?id=7")
///     .extension(Deflate::default())
///     .subprotocols(["chat.v2", "chat.v1"])
///     .header("Authorization", "Bearer 123")
///     .connect()
///     .await?;
/// println!("{:?}", ws.request().subprotocol());
/// # Ok(())
/// # }
/// ```
///
/// A mistake does not panic: the first one is told by [`connect`](Self::connect) or
/// [`over`](Self::over), before anything is sent.
///
/// Nothing is tried twice: who connects again after a failure should wait, longer each time and not
/// in step with others ([RFC 6455 §7.2.3](https://www.rfc-editor.org/rfc/rfc6455#section-7.2.3)).
/// A redirect is not followed, since the headers would go wherever it points.
#[must_use]
pub struct Connect {
    options: Result<ClientOptions, ConnectError>,
    extensions: ExtensionSet,
    client_limits: ClientLimits,
    limits: Limits,
    queue: Option<ConnectQueue>,
}

impl Connect {
    /// Where to connect: `ws://host[:port]/path?query`.
    pub fn new(url: &str) -> Self {
        let uri = url.parse::<WebSocketUri>();
        Self {
            options: uri.map(ClientOptions::new).map_err(ConnectError::Url),
            extensions: ExtensionSet::new(),
            client_limits: ClientLimits::default(),
            limits: Limits::default(),
            queue: None,
        }
    }

    /// Offers an extension, after those that were added before, nearer to the wire.
    pub fn extension(mut self, factory: impl ExtensionFactory + 'static) -> Self {
        if let Err(error) = self.extensions.push(factory) {
            return self.step(|_| Err(ConfigError::Extensions(error).into()));
        }
        self
    }

    /// Insists on the extension of this name, which must be
    /// [offered](Self::extension): if the server does not take it, the connection is closed with
    /// 1010 and [`ConnectError::MissingExtensions`] is told.
    pub fn require(self, name: &str) -> Self {
        self.step(|options| Ok(options.require(name)))
    }

    /// Offers subprotocols, the favourite first. Which one the server took is in
    /// [`Request::subprotocol`](crate::Request::subprotocol); it may take none.
    pub fn subprotocols<S: AsRef<str>>(self, names: impl IntoIterator<Item = S>) -> Self {
        self.step(|options| {
            let names = Subprotocols::new(names).map_err(ConfigError::Subprotocols)?;
            Ok(options.subprotocols(names))
        })
    }

    /// Adds a header, `Authorization` or `Cookie` for example. Those of the handshake itself are
    /// refused.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.step(|options| {
            let named = |error| ConnectError::Header { name: name.into(), error };
            options.header(name, value).map_err(named)
        })
    }

    /// Sends `Origin`, as browsers do.
    pub fn origin(self, origin: &str) -> Self {
        self.step(|options| {
            let named = |error| ConnectError::Header { name: "Origin".into(), error };
            options.origin(origin).map_err(named)
        })
    }

    /// Replaces the default limits on connecting.
    pub fn client_limits(mut self, limits: ClientLimits) -> Self {
        self.client_limits = limits;
        self
    }

    /// Replaces the default limits of the connection.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Waits for its turn: of all that share `queue`, one at a time is connecting to one address and
    /// port. The wait is part of [`ClientLimits::connect_timeout`].
    pub fn queue(mut self, queue: &ConnectQueue) -> Self {
        self.queue = Some(queue.clone());
        self
    }

    /// Keeps the first mistake.
    fn step(
        mut self,
        change: impl FnOnce(ClientOptions) -> Result<ClientOptions, ConnectError>,
    ) -> Self {
        self.options = self.options.and_then(change);
        self
    }

    /// Connects over TCP, to the first address of the host that takes it: addresses are tried 250 ms
    /// after one another, IPv6 and IPv4 in turn, until one is connected
    /// ([RFC 8305](https://www.rfc-editor.org/rfc/rfc8305)).
    ///
    /// # Errors
    /// [`ConnectError`]; [`ConnectError::Timeout`] after [`ClientLimits::connect_timeout`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    ///
    /// # Cancel safety
    /// A dropped call leaves no connection behind.
    pub async fn connect(self) -> Result<WebSocket, ConnectError> {
        let client = self.prepare()?;
        if client.uri.is_secure() {
            return Err(ConnectError::NoTls);
        }
        let limit = client.client_limits.connect_timeout;
        let deadline = Instant::now().checked_add(limit);
        let connecting = async {
            let (io, peer, turn) = client.dial().await?;
            let opened = client.open(io, peer, deadline).await;
            drop(turn);
            opened
        };
        socket::timeout_when_heard(limit, connecting)
            .await
            .unwrap_or(Err(ConnectError::Timeout { limit }))
    }

    /// Connects over a stream that is there already: a Unix socket, a tunnel through a proxy, TLS of
    /// the application's for a `wss` URL. The URL says what is asked for, and nothing is resolved.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    /// Outside of a tokio runtime with time.
    ///
    /// # Cancel safety
    /// A dropped call drops the stream.
    // R6455C-4.1-d: RFC 6455 §4.1 has a client ask a proxy with CONNECT, which leads here.
    pub async fn over<Io>(self, io: Io) -> Result<WebSocket, ConnectError>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let client = self.prepare()?;
        let limit = client.client_limits.connect_timeout;
        let deadline = Instant::now().checked_add(limit);
        let connecting = async {
            // RFC 6455 §4.1: "If the client cannot determine the IP address of the remote host […],
            // then the client MUST assume for the purposes of this step that each host name refers
            // to a distinct remote host"
            let host = Remote::Host(client.uri.host().into(), client.uri.port());
            let turn = client.turn(host).await;
            let opened = client.open(io, Peer::Other, deadline).await;
            drop(turn);
            opened
        };
        socket::timeout_when_heard(limit, connecting)
            .await
            .unwrap_or(Err(ConnectError::Timeout { limit }))
    }

    /// Everything that can fail without I/O.
    fn prepare(self) -> Result<Prepared, ConnectError> {
        let options = self.options?.extensions(self.extensions);
        self.client_limits.check()?;
        self.limits.check()?;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(ConnectError::Random)?;
        Ok(Prepared {
            handshake: options.handshake(nonce).map_err(ConnectError::Request)?,
            uri: options.uri().clone(),
            keys: Keys::new().map_err(ConnectError::Random)?,
            client_limits: self.client_limits,
            limits: self.limits,
            queue: self.queue,
        })
    }
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("options", &self.options)
            .field("extensions", &self.extensions)
            .field("client_limits", &self.client_limits)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
