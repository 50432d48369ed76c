//! The client: connects to a server.
//!
//! This room imports `drive`, `handles`, `outbox` and `leaves`.

mod endpoint;
mod error;
mod keys;
mod prepared;
mod queue;
mod race;
mod reconnect;
#[cfg(feature = "tls")]
mod tls;

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
pub use reconnect::Reconnect;
#[cfg(feature = "tls")]
pub use tls::ClientTls;

/// Connects to a `ws://` URL, or to a `wss://` URL with the feature `tls`, with the defaults: no
/// extensions, no subprotocol. [`Connect`] offers more.
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
/// Dropping the future closes the connection.
pub async fn connect(url: &str) -> Result<WebSocket, ConnectError> {
    Connect::new(url).connect().await
}

/// A client and its request to a server.
///
/// Connecting returns the same [`WebSocket`] that a handler has on the other end. A client has no
/// handler, so a spawned task drives the connection: it answers Pings and a Close, and sends queued
/// messages, whatever the application waits for. Dropping the `WebSocket` closes the connection with
/// 1000. The task ends once the connection is closed, or with its runtime.
///
/// [`Limits`] apply to messages from the server, as they do at the other end to messages from
/// clients; [`ClientLimits`] apply to connecting.
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
/// A mistake does not panic: [`connect`](Self::connect) or [`over`](Self::over) returns the first
/// one before anything is sent.
///
/// Nothing is tried twice; [`Reconnect`] connects again after a failure, with waits in between.
/// Redirects are not followed, since the headers would go wherever they point.
#[must_use]
pub struct Connect {
    options: Result<ClientOptions, ConnectError>,
    extensions: ExtensionSet,
    client_limits: ClientLimits,
    limits: Limits,
    queue: Option<ConnectQueue>,
    #[cfg(feature = "tls")]
    tls: Option<ClientTls>,
}

impl Connect {
    /// Where to connect: `ws://host[:port]/path?query`, or `wss://` with the feature `tls`.
    pub fn new(url: &str) -> Self {
        let uri = url.parse::<WebSocketUri>();
        Self {
            options: uri.map(ClientOptions::new).map_err(ConnectError::Url),
            extensions: ExtensionSet::new(),
            client_limits: ClientLimits::default(),
            limits: Limits::default(),
            queue: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Offers an extension, after those added before, nearer to the wire.
    pub fn extension(mut self, factory: impl ExtensionFactory + 'static) -> Self {
        if let Err(error) = self.extensions.push(factory) {
            return self.step(|_| Err(ConfigError::Extensions(error).into()));
        }
        self
    }

    /// Requires the extension of this name, which must be [offered](Self::extension). If the server
    /// does not accept it, the connection is closed with 1010, and connecting fails with
    /// [`ConnectError::MissingExtensions`].
    pub fn require(self, name: &str) -> Self {
        self.step(|options| Ok(options.require(name)))
    }

    /// Offers subprotocols in order of preference.
    /// [`Request::subprotocol`](crate::Request::subprotocol) says which one the server chose; it
    /// may choose none.
    pub fn subprotocols<S: AsRef<str>>(self, names: impl IntoIterator<Item = S>) -> Self {
        self.step(|options| {
            let names = Subprotocols::new(names).map_err(ConfigError::Subprotocols)?;
            Ok(options.subprotocols(names))
        })
    }

    /// Adds a header, for example `Authorization` or `Cookie`. The headers of the handshake itself
    /// are refused.
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

    /// Waits for a slot in `queue`: of all clients that share it, one at a time connects to an
    /// address and port. The wait is part of [`ClientLimits::connect_timeout`].
    pub fn queue(mut self, queue: &ConnectQueue) -> Self {
        self.queue = Some(queue.clone());
        self
    }

    /// Whom `wss://` trusts, and what it shows of itself, in place of [`ClientTls::platform`].
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: &ClientTls) -> Self {
        self.tls = Some(tls.clone());
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

    /// Connects over TCP to the first address of the host that accepts. Addresses are tried at
    /// intervals of 250 ms, IPv6 and IPv4 alternating, until one accepts ([RFC
    /// 8305](https://www.rfc-editor.org/rfc/rfc8305)).
    ///
    /// # Errors
    /// [`ConnectError`]; [`ConnectError::Timeout`] after [`ClientLimits::connect_timeout`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn connect(self) -> Result<WebSocket, ConnectError> {
        let client = self.prepare()?;
        #[cfg(not(feature = "tls"))]
        if client.uri.is_secure() {
            return Err(ConnectError::NoTls);
        }
        let limit = client.client_limits.connect_timeout;
        let deadline = Instant::now().checked_add(limit);
        let connecting = async {
            let (io, peer, slot) = client.dial().await?;
            #[cfg(feature = "tls")]
            if client.uri.is_secure() {
                let (io, source) = client.secure(io, peer).await?;
                let opened = client.open(io, source, deadline).await;
                drop(slot);
                return opened;
            }
            let opened = client.open(io, peer.into(), deadline).await;
            drop(slot);
            opened
        };
        socket::timeout_when_heard(limit, connecting)
            .await
            .unwrap_or(Err(ConnectError::Timeout { limit }))
    }

    /// Connects over an existing stream: a Unix socket, a tunnel through a proxy, or the
    /// application's own TLS for a `wss` URL. The URL gives the host and the path for the request;
    /// no name is resolved. No proxy that the system or the environment names is ever asked: the tunnel
    /// is the caller's.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    /// Outside of a tokio runtime with time.
    ///
    /// # Cancel safety
    /// Dropping the future drops the stream.
    // R6455C-4.1-d, R6455C-4.1-e: RFC 6455 §4.1 has a client ask a proxy with CONNECT, and the one that
    // "the user agent is configured to use". The tunnel is then passed in here.
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
            let slot = client.slot(host).await;
            let opened = client.open(io, Peer::Other.into(), deadline).await;
            drop(slot);
            opened
        };
        socket::timeout_when_heard(limit, connecting)
            .await
            .unwrap_or(Err(ConnectError::Timeout { limit }))
    }

    /// Does everything that can fail without I/O.
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
            #[cfg(feature = "tls")]
            tls: self.tls,
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
