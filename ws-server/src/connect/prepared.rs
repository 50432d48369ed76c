//! A prepared client: dials, performs the handshake, and starts its driver.

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
use ws_core::{Connection, Role};
use ws_handshake::{
    BodyReader, ClientHandshake, Connected, ResponseError, ResponseReader, WebSocketUri,
};

#[cfg(feature = "tls")]
use super::tls::ClientTls;
use super::{
    endpoint::ClientEndpoint,
    error::ConnectError,
    keys::Keys,
    queue::{ConnectQueue, Remote, Slot},
    race::race,
};
use crate::{
    ClientId, ClientLimits, Limits, Peer, Request, WebSocket,
    drive::{Core, Handling, Opened, drive},
    leaves::{log_limiter::Escaped, request::Source, socket},
    outbox::Outbox,
};

/// Capacity of the read buffer. Most heads fit; it grows for longer ones.
const READ: usize = 1024;

/// Time to read the body of an answer other than a 101, which may never end.
const BODY_TIME: Duration = Duration::from_secs(2);

/// The configuration of one connection attempt.
pub(super) struct Prepared {
    pub(super) uri: WebSocketUri,
    pub(super) handshake: ClientHandshake,
    pub(super) keys: Keys,
    pub(super) client_limits: ClientLimits,
    pub(super) limits: Limits,
    pub(super) queue: Option<ConnectQueue>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<ClientTls>,
}

impl Prepared {
    pub(super) async fn slot(&self, remote: Remote) -> Option<Slot> {
        match &self.queue {
            Some(queue) => Some(queue.slot(remote).await),
            None => None,
        }
    }

    /// Connects to the first address of the host that takes it.
    pub(super) async fn dial(&self) -> Result<(TcpStream, Peer, Option<Slot>), ConnectError> {
        let (host, port) = (self.uri.host(), self.uri.port());
        let failed =
            |error| ConnectError::Tcp { address: Box::from(format!("{host}:{port}")), error };
        let addresses = lookup_host((host, port)).await.map_err(failed)?;
        let connect = |address| async move {
            // RFC 6455 §4.1: "If multiple connections to the same IP address are attempted
            // simultaneously, the client MUST serialize them so that there is no more than one
            // connection at a time running through the following steps."
            let slot = self.slot(Remote::Address(address)).await;
            Ok((TcpStream::connect(address).await?, Peer::Tcp(address), slot))
        };
        let (io, peer, slot) = race(addresses, connect).await.map_err(failed)?;
        // The driver already coalesces writes. Fails only if the server has left, which will be
        // noticed soon.
        io.set_nodelay(true).ok();
        socket::bound_unsent(&SockRef::from(&io));
        Ok((io, peer, slot))
    }

    /// Speaks TLS over what was dialled.
    // R6455C-4.1-g: RFC 6455 §4.1: "If /secure/ is true, the client MUST perform a TLS handshake over
    // the connection after opening the connection and before sending the handshake data"
    #[cfg(feature = "tls")]
    pub(super) async fn secure(
        &self,
        io: TcpStream,
        peer: Peer,
    ) -> Result<(tokio_rustls::client::TlsStream<TcpStream>, Source), ConnectError> {
        let tls = match &self.tls {
            Some(tls) => tls.clone(),
            None => ClientTls::platform().map_err(ConnectError::TlsConfig)?,
        };
        let host = self.uri.host();
        let failed = |error| ConnectError::Tls { host: host.into(), error };
        let (io, info) = tls.connect(host, io).await.map_err(failed)?;
        Ok((io, Source { tls: Some(info), ..peer.into() }))
    }

    /// The opening handshake. Then the connection is driven in a task of its own.
    pub(super) async fn open<Io>(
        self,
        mut io: Io,
        source: Source,
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
        let request = Request::new(
            request.uri(),
            headers,
            &source,
            &[],
            agreed.as_deref(),
            subprotocol.as_deref(),
        );
        let id = next_id();
        let span = info_span!(
            "client", %id, peer = %source.peer, path = request.path(),
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
            // Fails only for a connection that is closing, and this one is new.
            outbox.close(*code, reason).ok();
        }
        let connection = Connection::new(Role::client(self.keys), config, extensions);
        let opened = Opened {
            io,
            core: Core::boxed(connection, Arc::clone(&outbox), BytesMut::new(), input),
            // In place of a handler: waits until the connection has ended.
            handling: Handling::Running(Box::pin({
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

    /// Sends the request and reads the answer. Returns it with the octets that came after it.
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
                // The body is what came in time.
                timeout_at(until, read_body(io, &mut body, &mut buffer)).await.ok();
                (refusal.body, refusal.body_is_whole) = body.into_body();
                Err(ConnectError::Refused(refusal))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads a body until it or the stream ends.
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
            // The stream failed before the end of the body.
            Err(_) => return,
        }
    }
}

/// Returns an id among this process's client connections.
fn next_id() -> ClientId {
    static IDS: AtomicU64 = AtomicU64::new(1);
    ClientId(IDS.fetch_add(1, Ordering::Relaxed))
}
