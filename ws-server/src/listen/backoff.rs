//! Waits after a connection could not be accepted.

use std::{io, time::Duration};

use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};

use crate::{Listener, Peer};

/// Accepts connections, and pauses after an error, so that the operating system can recover file
/// descriptors or memory: 50 ms at first, 1 s at most. For an accept loop of your own; a
/// [`BoundServer`](crate::BoundServer) has one.
///
/// ```
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use ws_server::{Backoff, Tcp};
///
/// let mut listener = Tcp::bind("127.0.0.1:0").await?;
/// let mut backoff = Backoff::default();
/// # let client = tokio::net::TcpStream::connect(ws_server::Listener::local_addr(&listener).unwrap());
/// # client.await?;
/// let (_pending, peer) = backoff.accept(&mut listener).await;
/// println!("{peer} connects");
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Debug, Default)]
pub struct Backoff {
    delay: Duration,
    until: Option<Instant>,
    last: Option<Instant>,
}

impl Backoff {
    const SHORTEST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);
    /// An episode ends after this long without a failure. Each episode is logged once.
    const EPISODE: Duration = Duration::from_secs(10);

    /// Accepts the next connection. It logs errors, and tries again.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn accept<L: Listener>(&mut self, listener: &mut L) -> (L::Pending, Peer) {
        loop {
            if let Some(until) = self.until {
                sleep_until(until).await;
                self.until = None;
            }
            match listener.accept().await {
                Ok(accepted) => {
                    self.delay = Duration::ZERO;
                    return accepted;
                }
                Err(error) => {
                    self.failed(&error);
                    // A listener that fails at once, each time, must not hold up its thread.
                    yield_now().await;
                }
            }
        }
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
