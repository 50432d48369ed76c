//! A client of octets and frames, so that a test says what is on the wire.
#![allow(dead_code, unused_imports, clippy::unwrap_used)]

pub(crate) mod counting;
#[cfg(feature = "deflate")]
pub(crate) mod engine;
pub(crate) mod hooked;
pub(crate) mod order;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
    time::timeout,
};
use ws_server::{Closed, Handler, HandlerError, Limits, Peer, Server, Service, WebSocket};
pub(crate) use ws_tests_support::frame::{BINARY, CLOSE, PING, PONG, TEXT};
use ws_tests_support::{
    frame::{self, Frame, KEY},
    handshake,
};

/// Far longer than anything takes, in real and in virtual time.
const LONG: Duration = Duration::from_secs(3600);

/// What a handler comes to.
pub(crate) type Handled = Result<(), HandlerError>;

/// What lies between the two ends.
const WIRE: usize = 64 * 1024;

/// A service with one handler for every path.
pub(crate) fn service(limits: Limits, handler: impl Handler) -> Service {
    Server::new().limits(limits).any(handler).service().unwrap()
}

/// Echoes until the end.
pub(crate) async fn echo(mut ws: WebSocket) -> Result<(), HandlerError> {
    while let Some(message) = ws.recv().await {
        ws.send(message).await?;
    }
    Ok(())
}

/// A handler that counts the bytes it receives, and answers nothing.
pub(crate) fn counting() -> (impl Handler + Clone, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let handler = move |mut ws: WebSocket| {
        let counted = Arc::clone(&counted);
        async move {
            while let Some(message) = ws.recv().await {
                counted.fetch_add(message.len(), Ordering::Relaxed);
            }
            Ok(())
        }
    };
    (handler, seen)
}

/// A client's end of a connection.
pub(crate) struct Raw<Io = DuplexStream> {
    pub(crate) io: Io,
    input: Vec<u8>,
}

/// Opens a connection in memory. The task ends when the server is done with it.
pub(crate) async fn open(service: &Service) -> (Raw, JoinHandle<Option<Closed>>) {
    open_with(service, "/", "", WIRE).await
}

/// With a path, more header lines, and so many octets between the two ends.
pub(crate) async fn open_with(
    service: &Service,
    path: &str,
    headers: &str,
    wire: usize,
) -> (Raw, JoinHandle<Option<Closed>>) {
    let (io, server) = tokio::io::duplex(wire);
    let service = service.clone();
    let task = tokio::spawn(async move { service.serve_connection(server, Peer::Other).await });
    let mut raw = Raw { io, input: Vec::new() };
    raw.handshake(path, headers).await;
    (raw, task)
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Raw<Io> {
    pub(crate) fn new(io: Io) -> Self {
        Self { io, input: Vec::new() }
    }

    /// The opening handshake; the head of the answer.
    pub(crate) async fn handshake(&mut self, path: &str, headers: &str) -> String {
        let head = self.ask(path, headers).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        head
    }

    /// Asks for a WebSocket; the head of the answer.
    pub(crate) async fn ask(&mut self, path: &str, headers: &str) -> String {
        let request = handshake::request(path, headers);
        self.io.write_all(request.as_bytes()).await.unwrap();
        self.head().await
    }

    /// The head of an HTTP response.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.input.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.more().await, "no head: {:?}", String::from_utf8_lossy(&self.input));
        }
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let n =
            timeout(LONG, self.io.read(&mut buffer)).await.expect("something comes").unwrap_or(0);
        self.input.extend_from_slice(&buffer[..n]);
        n > 0
    }

    /// Sends one masked frame.
    pub(crate) async fn send(&mut self, first: u8, payload: &[u8]) {
        self.io.write_all(&masked(first, payload)).await.unwrap();
    }

    /// The next frame: its first octet and payload. `None` is the end of the stream.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((frame, len)) = parse(&self.input) {
                self.input.drain(..len);
                return Some(frame);
            }
            if !self.more().await {
                assert!(self.input.is_empty(), "cut frame: {:?}", self.input);
                return None;
            }
        }
    }

    /// The text that comes next.
    pub(crate) async fn text(&mut self) -> String {
        match self.frame().await.unwrap() {
            (TEXT, payload) => String::from_utf8(payload).unwrap(),
            (CLOSE, code) => panic!("closed with {code:?}"),
            other => panic!("{other:?}"),
        }
    }

    /// Nothing comes but these texts and the echo of a last one.
    pub(crate) async fn expect_only(&mut self, expected: &[&str]) {
        self.send(TEXT, b"last").await;
        for expected in expected.iter().chain(&["last"]) {
            assert_eq!(self.text().await, *expected);
        }
    }

    /// What was read ahead of the last frame.
    pub(crate) fn take_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// Exactly these octets.
    pub(crate) async fn read_exact(&mut self, octets: &mut [u8]) {
        let taken = self.input.len().min(octets.len());
        octets[..taken].copy_from_slice(&self.input[..taken]);
        self.input.drain(..taken);
        self.io.read_exact(&mut octets[taken..]).await.unwrap();
    }

    /// The next frame is a Close of this code.
    pub(crate) async fn expect_close(&mut self, code: u16) {
        let (first, body) = self.frame().await.expect("a Close");
        assert_eq!((first, &body[..2]), (CLOSE, &code.to_be_bytes()[..]), "{body:?}");
    }
}

/// A client's frame, its masking key not zero.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame::masked(first, KEY, payload)
}

/// An unmasked frame at the front, and how long it is.
pub(crate) fn parse(bytes: &[u8]) -> Option<((u8, Vec<u8>), usize)> {
    let (frame, len) = Frame::read(bytes)?;
    assert!(!frame.is_masked(), "a server does not mask");
    Some(((frame.first, frame.payload), len))
}

/// The defaults, but for what `change` changes.
pub(crate) fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}
