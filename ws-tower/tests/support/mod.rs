//! A server in memory, and a client of HTTP/2 that is made by hand.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used)]

pub(crate) mod log;
pub(crate) mod raw;

use std::{io, net::SocketAddr};

use bytes::{Bytes, BytesMut};
use h2::{
    RecvStream, SendStream,
    client::{self, SendRequest},
    ext::Protocol,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, request::Builder};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, duplex},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use ws_server::{HandlerError, Immediate, Listener, Peer, Report, WebSocket};
use ws_tests_support::frame::{self, Frame};
use ws_tower::{Serve, serve};

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;
pub(crate) const CLOSE: u8 = 0x88;

pub(crate) async fn echo(mut ws: WebSocket) -> Result<(), HandlerError> {
    while let Some(message) = ws.recv().await {
        ws.send(message).await?;
    }
    Ok(())
}

/// Gives streams in memory.
pub(crate) struct Channel(mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for Channel {
    type Pending = Immediate<DuplexStream>;

    async fn accept(&mut self) -> io::Result<(Self::Pending, Peer)> {
        match self.0.recv().await {
            Some(io) => Ok((Immediate(io), Peer::Tcp(SocketAddr::from(([192, 0, 2, 1], 7))))),
            None => std::future::pending().await,
        }
    }
}

/// A server that is running.
pub(crate) struct Running {
    dial: mpsc::UnboundedSender<DuplexStream>,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) report: JoinHandle<Report>,
}

pub(crate) fn run(app: axum::Router) -> Running {
    run_on(|channel| channel, app)
}

/// On what `listener` makes of the streams.
pub(crate) fn run_on<L: Listener>(
    listener: impl FnOnce(Channel) -> L,
    app: axum::Router,
) -> Running {
    run_with(|channel| serve(listener(channel), app))
}

/// As it is configured.
pub(crate) fn run_with<L: Listener>(
    configured: impl FnOnce(Channel) -> Serve<L, axum::Router>,
) -> Running {
    let (dial, dialled) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel();
    let serving = configured(Channel(dialled));
    let report = tokio::spawn(serving.run_until(async { stopped.await.unwrap() }));
    Running { dial, stop, report }
}

impl Running {
    /// A connection of which nothing is known.
    pub(crate) fn dial(&self) -> DuplexStream {
        let (ours, theirs) = duplex(1 << 20);
        self.dial.send(theirs).unwrap();
        ours
    }

    /// A connection of HTTP/2, whose streams have a window of so many octets.
    pub(crate) async fn http2(&self, window: u32) -> Http2 {
        Http2::over(self.dial(), window).await
    }
}

impl Http2 {
    pub(crate) async fn over(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        window: u32,
    ) -> Self {
        let mut builder = client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(16 << 20);
        let (ask, connection) = builder.handshake(io).await.unwrap();
        let ended = tokio::spawn(connection);
        let mut ask = ask.ready().await.unwrap();
        // The settings come with the first answer, at the latest.
        while !ask.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
            ask = ask.ready().await.unwrap();
        }
        Http2 { ask, ended }
    }
}

/// A connection of HTTP/2.
pub(crate) struct Http2 {
    pub(crate) ask: SendRequest<Bytes>,
    pub(crate) ended: JoinHandle<Result<(), h2::Error>>,
}

/// An extended CONNECT as RFC 8441 has it.
pub(crate) fn connect(path: &str) -> Builder {
    Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://a.example{path}"))
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"))
}

impl Http2 {
    pub(crate) async fn ask(
        &mut self,
        request: Builder,
        ends: bool,
    ) -> (Response<RecvStream>, SendStream<Bytes>) {
        let (answer, send) = self.ask.send_request(request.body(()).unwrap(), ends).unwrap();
        (answer.await.unwrap(), send)
    }

    /// The status and the headers of a refusal.
    pub(crate) async fn refused(&mut self, request: Builder) -> (StatusCode, HeaderMap) {
        let (answer, _) = self.ask(request, true).await;
        (answer.status(), answer.headers().clone())
    }

    pub(crate) async fn open(&mut self, path: &str) -> Stream {
        let (answer, send) = self.ask(connect(path), false).await;
        assert_eq!(answer.status(), StatusCode::OK);
        Stream::new(answer, send)
    }
}

/// A WebSocket over HTTP/2.
pub(crate) struct Stream {
    pub(crate) recv: RecvStream,
    pub(crate) send: SendStream<Bytes>,
    input: BytesMut,
    pub(crate) headers: HeaderMap,
}

impl Stream {
    pub(crate) fn new(answer: Response<RecvStream>, send: SendStream<Bytes>) -> Self {
        let headers = answer.headers().clone();
        Stream { recv: answer.into_body(), send, input: BytesMut::new(), headers }
    }

    /// Sends octets, as far as the window allows.
    pub(crate) fn write(&mut self, octets: &[u8]) {
        self.send.send_data(Bytes::copy_from_slice(octets), false).unwrap();
    }

    pub(crate) fn send(&mut self, first: u8, payload: &[u8]) {
        self.write(&frame::masked(first, [1, 2, 3, 4], payload));
    }

    /// The next frame, or `None` at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Result<Option<(u8, Vec<u8>)>, h2::Error> {
        loop {
            if let Some((frame, len)) = Frame::read(&self.input) {
                let _ = self.input.split_to(len);
                return Ok(Some((frame.first, frame.payload)));
            }
            match self.recv.data().await.transpose()? {
                Some(data) => {
                    self.recv.flow_control().release_capacity(data.len())?;
                    self.input.extend_from_slice(&data);
                }
                None => {
                    assert!(self.input.is_empty(), "a cut frame");
                    return Ok(None);
                }
            }
        }
    }

    pub(crate) async fn expect(&mut self, first: u8, payload: &[u8]) {
        assert_eq!(self.frame().await.unwrap().unwrap(), (first, payload.to_vec()));
    }

    pub(crate) async fn expect_close(&mut self, code: u16) {
        let (first, body) = self.frame().await.unwrap().expect("a Close");
        assert_eq!((first, &body[..2]), (CLOSE, &code.to_be_bytes()[..]), "{body:?}");
    }
}
