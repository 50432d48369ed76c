//! The other end: connects to a server.

mod endpoint;
mod error;
mod keys;
mod queue;
mod race;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};
use tracing::{Instrument, Level, debug, info_span};
use ws_core::{Connection, ExtensionFactory, Role};
use ws_handshake::{
    BodyReader, ClientHandshake, ClientOptions, Connected, ExtensionSet, ResponseError,
    ResponseReader, Subprotocols, WebSocketUri,
};

use self::{
    endpoint::ClientEndpoint,
    keys::Keys,
    queue::{Remote, Turn},
    race::race,
};
use crate::{
    ClientId, ClientLimits, ConfigError, Limits, Peer, Request, WebSocket,
    drive::{Core, Handling, Opened, drive},
    leaves::log_limiter::Escaped,
    leaves::socket,
    outbox::Outbox,
};
pub use error::ConnectError;
pub use queue::ConnectQueue;

/// Room for reading. Most heads fit; more is reserved as they grow.
const READ: usize = 1024;

/// Time for the body of an answer that is no 101, which may never end.
const BODY_TIME: Duration = Duration::from_secs(2);

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
/// A redirect is not followed, since the headers would go where it says.
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

    /// Offers an extension, behind those that were added before, nearer to the wire.
    pub fn extension(mut self, factory: impl ExtensionFactory + 'static) -> Self {
        if let Err(error) = self.extensions.push(factory) {
            return self.step(|_| Err(ConfigError::Extensions(error).into()));
        }
        self
    }

    /// Does not go without the extension of this name, which has to be
    /// [offered](Self::extension): where the server does not take it, the connection is closed with
    /// 1010 and [`ConnectError::MissingExtensions`] is told.
    pub fn require(self, name: &str) -> Self {
        self.step(|options| Ok(options.require(name)))
    }

    /// Offers subprotocols, the favourite first. Which one the server took is in
    /// [`Request::subprotocol`]; it may take none.
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
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// One connection to be.
struct Prepared {
    uri: WebSocketUri,
    handshake: ClientHandshake,
    keys: Keys,
    client_limits: ClientLimits,
    limits: Limits,
    queue: Option<ConnectQueue>,
}

impl Prepared {
    async fn turn(&self, remote: Remote) -> Option<Turn> {
        match &self.queue {
            Some(queue) => Some(queue.turn(remote).await),
            None => None,
        }
    }

    /// Connects to the first address of the host that takes it.
    async fn dial(&self) -> Result<(TcpStream, Peer, Option<Turn>), ConnectError> {
        let (host, port) = (self.uri.host(), self.uri.port());
        let failed =
            |error| ConnectError::Tcp { address: Box::from(format!("{host}:{port}")), error };
        let addresses = lookup_host((host, port)).await.map_err(failed)?;
        let connect = |address| async move {
            // RFC 6455 §4.1: "If multiple connections to the same IP address are attempted
            // simultaneously, the client MUST serialize them so that there is no more than one
            // connection at a time running through the following steps."
            let turn = self.turn(Remote::Address(address)).await;
            Ok((TcpStream::connect(address).await?, Peer::Tcp(address), turn))
        };
        let (io, peer, turn) = race(addresses, connect).await.map_err(failed)?;
        // What goes out is put together by the driver, so that waiting for more only delays. Fails if
        // the server has left, which is seen soon enough.
        io.set_nodelay(true).ok();
        socket::bound_unsent(&SockRef::from(&io));
        Ok((io, peer, turn))
    }

    /// The opening handshake. Then the connection is driven in a task of its own.
    async fn open<Io>(
        self,
        mut io: Io,
        peer: Peer,
        deadline: Option<Instant>,
    ) -> Result<WebSocket, ConnectError>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (connected, input) = self.shake_hands(&mut io, deadline).await?;
        let close = connected.close_if_missing();
        let Connected { extensions, subprotocol, responses, missing, report, .. } = connected;

        let responses: Vec<String> = responses.iter().map(ToString::to_string).collect();
        let agreed = (!responses.is_empty()).then(|| responses.join(", "));
        let request = self.handshake.request();
        let headers = request.headers().iter();
        let headers = headers.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let request =
            Request::new(request.uri(), headers, peer, agreed.as_deref(), subprotocol.as_deref());
        let id = next_id();
        let span = info_span!(
            "client", %id, %peer, path = request.path(),
            extensions = request.extensions(), subprotocol = request.subprotocol()
        );
        if tracing::enabled!(Level::DEBUG) {
            span.in_scope(|| {
                for line in report.to_string().lines() {
                    debug!("extension {}", Escaped(line));
                }
                debug!("open");
            });
        }

        let config = self.limits.core();
        let outbox = Outbox::new(id, request, Arc::new(self.limits), None);
        let ws = WebSocket::new(Arc::clone(&outbox), None);
        if let Some((code, reason)) = &close {
            // Fails for a connection that is closing, and this one was never in use.
            outbox.close(*code, reason).ok();
        }
        let connection = Connection::new(Role::client(self.keys), config, extensions);
        let opened = Opened {
            io,
            core: Core::boxed(connection, Arc::clone(&outbox), BytesMut::new(), input),
            // In place of a handler: it is there until the connection has ended.
            handling: Handling::AtWork(Box::pin({
                let outbox = Arc::clone(&outbox);
                async move {
                    outbox.closed().await;
                    Ok(())
                }
            })),
            endpoint: ClientEndpoint(outbox),
        };
        tokio::spawn(drive(opened).instrument(span));
        match close {
            Some(_) => Err(ConnectError::MissingExtensions { names: missing }),
            None => Ok(ws),
        }
    }

    /// Sends the request and reads the answer; then what came behind it.
    async fn shake_hands<Io>(
        &self,
        io: &mut Io,
        deadline: Option<Instant>,
    ) -> Result<(Connected, BytesMut), ConnectError>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let mut buffer = BytesMut::new();
        self.handshake.write_request(&mut buffer);
        io.write_all(&buffer).await.map_err(ConnectError::Io)?;
        io.flush().await.map_err(ConnectError::Io)?;
        buffer.clear();
        let mut reader = ResponseReader::new(self.client_limits.head.clone());
        let response = loop {
            buffer.reserve(READ);
            if io.read_buf(&mut buffer).await.map_err(ConnectError::Io)? == 0 {
                return Err(ConnectError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            if let Some(response) = reader.read(&mut buffer).map_err(ResponseError::Head)? {
                break response;
            }
        };
        match self.handshake.verify_within(&response, &self.client_limits.head) {
            Ok(connected) => Ok((connected, buffer)),
            // RFC 6455 §4.1: "If the status code received from the server is not 101, the client
            // handles the response per HTTP [RFC2616] procedures."
            Err(ResponseError::Refused(mut refusal)) => {
                let mut body = BodyReader::new(&response, &self.client_limits.head);
                let most = Instant::now() + BODY_TIME;
                let until = deadline.map_or(most, |deadline| deadline.min(most));
                // What came in time is what there is.
                timeout_at(until, read_body(io, &mut body, &mut buffer)).await.ok();
                (refusal.body, refusal.body_is_whole) = body.into_body();
                Err(ConnectError::Refused(refusal))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads a body, to its end or that of the stream.
async fn read_body<Io: AsyncRead + Unpin>(
    io: &mut Io,
    body: &mut BodyReader,
    buffer: &mut BytesMut,
) {
    while !body.read(buffer) {
        buffer.reserve(READ);
        match io.read_buf(buffer).await {
            Ok(1..) => {}
            Ok(0) => return body.input_ended(),
            // Lost before its end.
            Err(_) => return,
        }
    }
}

/// An id among the connections that this process makes.
fn next_id() -> ClientId {
    static IDS: AtomicU64 = AtomicU64::new(1);
    ClientId(IDS.fetch_add(1, Ordering::Relaxed))
}
