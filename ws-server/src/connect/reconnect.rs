//! Connects again, after random waits that grow.

use std::time::Duration;

use http::{StatusCode, header::RETRY_AFTER};
use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::error::ConnectError;
use crate::{UNLIMITED, WebSocket};

/// The longest that a server's `Retry-After` is waited for.
const LONGEST: Duration = Duration::from_secs(3600);

/// Connects again and again, with random waits between the attempts that grow as long as they fail
/// ([RFC 6455 §7.2.3](https://www.rfc-editor.org/rfc/rfc6455#section-7.2.3)): the clients of a server
/// that was restarted do not come back all at once.
///
/// ```no_run
/// # async fn run() -> Result<(), ws_server::ConnectError> {
/// use ws_server::{Connect, Reconnect};
///
/// let mut reconnect = Reconnect::default();
/// loop {
///     let connect = || Connect::new("ws://chat.example/room").connect();
///     let mut ws = reconnect.connect(connect).await?;
///     while let Some(message) = ws.recv().await {
///         println!("{message:?}");
///     }
///     println!("{}", ws.closed().await);
/// }
/// # }
/// ```
///
/// The first attempt is made at once. Each later one waits for a random part of a time that begins
/// with [`first_delay`](Self::first_delay) and doubles up to [`max_delay`](Self::max_delay) ("full
/// jitter"), and begins anew after a connection that lasted [`stable_after`](Self::stable_after).
/// Attempts that end in a [temporary](ConnectError::is_temporary) error are repeated; every other
/// error is returned. Each is logged.
#[derive(Debug)]
#[must_use]
pub struct Reconnect {
    first_delay: Duration,
    max_delay: Duration,
    stable_after: Duration,
    max_attempts: usize,
    /// Waits since the last stable connection; the next attempt is preceded by one, but for the first.
    waits: Option<u32>,
    /// When the next attempt is due, once that is decided.
    due: Option<Instant>,
    opened: Option<Instant>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            // RFC 6455 §7.2.3: "this delay SHOULD be chosen randomly [...] A value chosen randomly
            // between 0 and 5 seconds is a reasonable initial delay"
            first_delay: Duration::from_secs(5),
            max_delay: Duration::from_secs(60),
            stable_after: Duration::from_secs(30),
            max_attempts: UNLIMITED,
            waits: None,
            due: None,
            opened: None,
        }
    }
}

impl Reconnect {
    /// The bound of the first random wait. Default 5 s.
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// The bound of each random wait. Default 60 s. A server's `Retry-After` (429 and 503, in seconds)
    /// is waited for too, up to an hour.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// How long a connection lasts, from when it opened until [`connect`](Self::connect) is called
    /// again, to count as a success. Default 30 s. Shorter ones count as failures, so that a server that
    /// accepts and drops everybody is not asked without end.
    pub fn stable_after(mut self, time: Duration) -> Self {
        self.stable_after = time;
        self
    }

    /// Attempts of one call before it returns the last error. Default [`UNLIMITED`]; zero counts as
    /// one.
    pub fn max_attempts(mut self, attempts: usize) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Makes attempts until one succeeds. Each calls `attempt` anew: for another token, another
    /// server, or a stream of the application's own.
    ///
    /// # Errors
    /// The [`ConnectError`] of an attempt that is not [temporary](ConnectError::is_temporary), or of
    /// the last one that [`max_attempts`](Self::max_attempts) allows.
    ///
    /// # Panics
    /// As [`Connect::connect`](crate::Connect::connect).
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt. The next call goes on with the wait that this one began.
    pub async fn connect<F>(
        &mut self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<WebSocket, ConnectError>
    where
        F: Future<Output = Result<WebSocket, ConnectError>>,
    {
        if self.opened.take().is_some_and(|opened| opened.elapsed() >= self.stable_after) {
            self.waits = Some(0);
        }
        let mut attempts = 1;
        loop {
            if self.due.is_none() && self.waits.is_some() {
                self.wait_for(Duration::ZERO)?;
            }
            if let Some(due) = self.due {
                sleep_until(due).await;
            }
            self.due = None;
            self.waits = Some(self.waits.map_or(0, |waits| waits.saturating_add(1)));
            match attempt().await {
                Ok(ws) => {
                    self.opened = Some(Instant::now());
                    return Ok(ws);
                }
                Err(error) if !error.is_temporary() => return Err(error),
                Err(error) => {
                    self.wait_for(error.retry_after().unwrap_or_default().min(LONGEST))?;
                    if attempts >= self.max_attempts {
                        return Err(error);
                    }
                    info!(%error, attempts, "not connected, which will be tried again");
                }
            }
            attempts += 1;
        }
    }

    /// Decides when the next attempt is due: after what the server `asked`, and a random wait.
    fn wait_for(&mut self, asked: Duration) -> Result<(), ConnectError> {
        let delay = asked + self.random_delay(self.waits.unwrap_or(0))?;
        self.due = Instant::now().checked_add(delay);
        Ok(())
    }

    /// RFC 6455 §7.2.3: "truncated binary exponential backoff", of which a random part.
    fn random_delay(&self, waits: u32) -> Result<Duration, ConnectError> {
        let factor = 1_u32.checked_shl(waits).unwrap_or(u32::MAX);
        let longest = self.first_delay.saturating_mul(factor).min(self.max_delay);
        let random = getrandom::u32().map_err(ConnectError::Random)?;
        Ok(longest.mul_f64(f64::from(random) / f64::from(u32::MAX)))
    }
}

impl ConnectError {
    /// Whether the same attempt may succeed later: the network or the server failed, or it is too
    /// busy. A mistake in the configuration, and a refusal that this request will meet again (401, 403,
    /// 404, a redirect), is not temporary.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Tcp { .. } | Self::Io(_) | Self::Timeout { .. } => true,
            // What rustls refuses is no failure of the network.
            #[cfg(feature = "tls")]
            Self::Tls { error, .. } => error.kind() != std::io::ErrorKind::InvalidData,
            Self::Refused(refusal) => match refusal.status {
                StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_EARLY
                | StatusCode::TOO_MANY_REQUESTS => true,
                StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => false,
                status => status.is_server_error(),
            },
            _ => false,
        }
    }

    /// The seconds of a refusal's `Retry-After`.
    fn retry_after(&self) -> Option<Duration> {
        let Self::Refused(refusal) = self else { return None };
        let seconds = refusal.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}
