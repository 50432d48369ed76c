//! Raw clients, and a log to look at.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "each test file uses a part of it"
)]

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use tracing::{
    Dispatch, Level,
    subscriber::{DefaultGuard, NoSubscriber},
};
use ws_server::{BoundServer, Closed, Peer, Report, Server, Service, Tcp, WebSocket};
pub(crate) use ws_tests_support::{frame::unmasked as frame, handshake::request as upgrade};

/// A client's frame, with a key of zeros.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    ws_tests_support::frame::masked(first, [0; 4], payload)
}

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A server with an echo at `/echo`.
pub(crate) fn with_echo(server: Server) -> Server {
    server.route("/echo", |mut ws: WebSocket| async move {
        while let Some(message) = ws.recv().await {
            ws.send(message).await?;
        }
        Ok(())
    })
}

/// Makes it listen on a free port.
fn bind(server: Server) -> (BoundServer, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let server = server.listener(Tcp::from(TcpListener::from_std(listener).unwrap())).unwrap();
    let address = server.local_addr().unwrap();
    (server, address)
}

/// Serves in a task; dropping the handle does not end it, the end of the runtime does.
pub(crate) fn spawn(server: Server) -> SocketAddr {
    let (server, address) = bind(server);
    tokio::spawn(server.serve());
    address
}

/// A server that shuts down when told to.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: oneshot::Sender<()>,
    pub(crate) report: JoinHandle<Report>,
}

pub(crate) fn run(server: Server) -> Running {
    let (server, address) = bind(server);
    let (shutdown, told) = oneshot::channel();
    let report = tokio::spawn(server.serve_until(async { told.await.unwrap_or_default() }));
    Running { address, shutdown, report }
}

/// A client's end of a connection that `service` serves in a task.
pub(crate) fn connect(service: &Service, peer: Peer) -> (DuplexStream, JoinHandle<Option<Closed>>) {
    let (client, server) = tokio::io::duplex(64 * 1024);
    (client, tokio::spawn(service.serve_connection(server, peer)))
}

/// Everything up to the end of the stream. A reset is one.
pub(crate) async fn read_all(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    let outcome = timeout(PATIENCE, io.read_to_end(&mut all)).await.expect("an end in time");
    if let Err(error) = outcome {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// A head, its empty line included.
pub(crate) async fn read_head(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match timeout(PATIENCE, io.read_u8()).await.expect("a head in time") {
            Ok(octet) => head.push(octet),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Exactly so many octets.
pub(crate) async fn read_exactly(io: &mut (impl AsyncRead + Unpin), len: usize) -> Vec<u8> {
    let mut octets = vec![0; len];
    timeout(PATIENCE, io.read_exact(&mut octets)).await.expect("in time").unwrap();
    octets
}

/// Writes `request` and reads until the server closes.
pub(crate) async fn exchange(
    io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &str,
) -> String {
    io.write_all(request.as_bytes()).await.unwrap();
    read_all(io).await
}

/// [`exchange`] over TCP.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> String {
    exchange(&mut TcpStream::connect(address).await.unwrap(), request).await
}

/// The status, after a look at what every refusal has.
pub(crate) fn status(answer: &str) -> u16 {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let lower = head.to_ascii_lowercase();
    assert!(
        lower.contains("\r\nconnection: close") || lower.contains("\r\nconnection: upgrade, close")
    );
    assert!(lower.contains(&format!("\r\ncontent-length: {}", body.len())), "{answer:?}");
    head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap()
}

/// Whether `condition` comes true within a few seconds.
pub(crate) async fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..500 {
        if condition() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

/// What was logged in this thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// What this thread logs.
    pub(crate) fn capture() -> (Self, DefaultGuard) {
        Self::capture_at(Level::DEBUG)
    }

    /// What this thread logs at `level` and above.
    pub(crate) fn capture_at(level: Level) -> (Self, DefaultGuard) {
        // While there is one subscriber alone, an event that another thread reaches first is thought
        // to interest nobody, for good. So there are always two.
        static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));
        LazyLock::force(&SECOND);
        let log = Self::default();
        let guard = tracing::subscriber::set_default(log.subscriber(level));
        (log, guard)
    }

    /// What all threads of the process log: for one test of it.
    pub(crate) fn capture_all() -> Self {
        let log = Self::default();
        tracing::subscriber::set_global_default(log.subscriber(Level::DEBUG)).unwrap();
        log
    }

    fn subscriber(&self, level: Level) -> impl tracing::Subscriber + use<> {
        let writer = self.clone();
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines with `part` in them.
    pub(crate) fn lines(&self, part: &str) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(part)).map(Into::into).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
