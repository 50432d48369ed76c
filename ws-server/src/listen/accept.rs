//! Accepts connections until the server shuts down.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    sync::OnceLock,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, error, warn};
use ws_core::Closed;

use crate::{
    Peer, Report, Service,
    leaves::socket::{bound_unsent, is_unsent_bounded},
    listen::{busy::say_busy, connection::serve, watchdog::Watchdog},
};

/// A source of connections.
pub(crate) trait Accept {
    /// The stream of a connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Io, Peer)>>;

    /// Answers 503 if it can be written without blocking, and closes.
    fn refuse(io: Self::Io);
}

/// A TCP listener. Its sockets have TCP_NODELAY set, since the driver already coalesces writes, and
/// the operating system holds little unsent data.
pub(crate) struct Tcp {
    listener: TcpListener,
    /// Whether sockets inherit these options from their listener, known once the first was checked.
    /// On most operating systems they do, which saves a call for each socket.
    inherited: OnceLock<bool>,
}

impl Tcp {
    pub(crate) fn new(listener: TcpListener) -> Self {
        // If this fails, the option is set on each socket.
        SockRef::from(&listener).set_tcp_nodelay(true).ok();
        bound_unsent(&SockRef::from(&listener));
        Self { listener, inherited: OnceLock::new() }
    }

    fn is_inherited(&self, io: &TcpStream) -> bool {
        if let Some(inherited) = self.inherited.get() {
            return *inherited;
        }
        // The check fails if the client has left.
        let inherited = io.nodelay().map(|nodelay| nodelay && is_unsent_bounded(&io.into()));
        inherited.is_ok_and(|inherited| *self.inherited.get_or_init(|| inherited))
    }
}

impl Accept for Tcp {
    type Io = TcpStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, Peer)>> {
        let (io, address) = ready!(self.listener.poll_accept(cx))?;
        if !self.is_inherited(&io) {
            // Fails only if the client has left, which will be noticed soon.
            io.set_nodelay(true).ok();
            bound_unsent(&SockRef::from(&io));
        }
        Poll::Ready(Ok((io, Peer::Tcp(address))))
    }

    fn refuse(io: TcpStream) {
        if let Ok(io) = io.into_std() {
            say_busy(&io);
        }
    }
}

#[cfg(unix)]
impl Accept for tokio::net::UnixListener {
    type Io = tokio::net::UnixStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Io, Peer)>> {
        let (io, _) = ready!(self.poll_accept(cx))?;
        Poll::Ready(Ok((io, Peer::Unix)))
    }

    fn refuse(io: Self::Io) {
        if let Ok(io) = io.into_std() {
            say_busy(&io);
        }
    }
}

/// Serves the connections of `listener` until `shutdown`, then closes all of them in order.
///
/// Each connection has its own task, in a set that aborts them when this future is dropped.
pub(crate) async fn run<L: Accept>(
    listener: L,
    service: &Service,
    shutdown: impl Future<Output = ()>,
) -> Report {
    let _watchdog = Watchdog::start();
    let mut tasks = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let mut backoff = Backoff::default();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = tasks.join_next() => {
                log_panic(ended);
            }
            (io, peer) = next(&listener, &mut backoff) => match service.shared.enter(peer) {
                Ok(permit) => {
                    tasks.spawn(serve(service.shared.clone(), io, peer, permit));
                }
                Err(_) => L::refuse(io),
            },
        }
    }
    drop(listener);
    close(tasks, service).await
}

/// Accepts the next connection.
///
/// # Cancel safety
/// Cancel safe.
async fn next<L: Accept>(listener: &L, backoff: &mut Backoff) -> (L::Io, Peer) {
    loop {
        backoff.wait().await;
        match poll_fn(|cx| listener.poll_accept(cx)).await {
            Ok(accepted) => {
                backoff.succeeded();
                return accepted;
            }
            Err(error) => backoff.failed(&error),
        }
    }
}

/// Pauses accepting, so that the operating system can recover file descriptors or memory.
#[derive(Default)]
struct Backoff {
    delay: Duration,
    until: Option<Instant>,
    last: Option<Instant>,
}

impl Backoff {
    const SHORTEST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);
    /// An episode ends after this long without a failure. Each episode is logged once.
    const EPISODE: Duration = Duration::from_secs(10);

    async fn wait(&mut self) {
        if let Some(until) = self.until {
            sleep_until(until).await;
            self.until = None;
        }
    }

    fn succeeded(&mut self) {
        self.delay = Duration::ZERO;
    }

    fn failed(&mut self, error: &io::Error) {
        // These errors concern only the connection that was to be accepted.
        if let io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::Interrupted = error.kind()
        {
            debug!(%error, "a connection ended before it was accepted");
            return;
        }
        let now = Instant::now();
        if self.last.is_none_or(|last| now - last >= Self::EPISODE) {
            warn!(%error, "cannot accept connections, pausing; if file descriptors ran out, raise ulimit -n");
        }
        self.last = Some(now);
        self.delay = (self.delay * 2).clamp(Self::SHORTEST, Self::LONGEST);
        self.until = Some(now + self.delay);
    }
}

type Ended = Result<Option<Closed>, JoinError>;

/// Closes the open connections, waits for them, and aborts the rest.
async fn close(mut tasks: JoinSet<Option<Closed>>, service: &Service) -> Report {
    // Time for interrupted handshakes and aborted tasks to end. They do, unless a handler blocks
    // its thread.
    const ABORT: Duration = Duration::from_secs(1);

    let mut shutdown = pin!(service.shutdown());
    let report = loop {
        tokio::select! {
            Some(ended) = tasks.join_next() => log_panic(ended),
            report = &mut shutdown => break report,
        }
    };
    let rest = async {
        while let Some(ended) = tasks.join_next().await {
            log_panic(ended);
        }
    };
    timeout(ABORT, rest).await.ok();
    report
}

/// A panic ends only its own connection.
fn log_panic(ended: Ended) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "the task of a connection panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_sockets_send_at_once_and_hold_little_whatever_they_have_from_their_listener()
    {
        for inherited in [None, Some(false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut listener = Tcp::new(listener);
            if let Some(inherited) = inherited {
                SockRef::from(&listener.listener).set_tcp_nodelay(inherited).unwrap();
                listener.inherited = inherited.into();
            }
            for _ in 0..2 {
                let _client = TcpStream::connect(address).await.unwrap();
                let (socket, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
                assert!(socket.nodelay().unwrap());
                assert!(is_unsent_bounded(&SockRef::from(&socket)));
            }
        }
    }
}
