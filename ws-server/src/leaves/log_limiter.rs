//! Log lines about clients and failed handlers, bounded in number and length whatever clients send.

use std::{
    fmt::{self, Write},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{debug, info};
use ws_core::{Closed, ClosedBy};

/// Lets `LINES` lines into the log every `SECONDS` seconds, and counts the others.
// RFC 6455 §7.1.7 asks a server to log what was wrong with a client.
#[derive(Default)]
pub(crate) struct LogLimiter<const LINES: u32 = 10, const SECONDS: u64 = 1>(Mutex<State>);

/// One line a minute, for what every client of a kind does.
pub(crate) type HintLimiter = LogLimiter<1, 60>;

#[derive(Default)]
struct State {
    window: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl<const LINES: u32, const SECONDS: u64> LogLimiter<LINES, SECONDS> {
    /// Whether there is room for a line; then how many were left out before it, if any.
    pub(crate) fn admit(&self) -> Option<Option<u64>> {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.window.is_none_or(|begun| now - begun >= Duration::from_secs(SECONDS)) {
            state.window = Some(now);
            state.lines = 0;
        }
        if state.lines < LINES {
            state.lines += 1;
            Some(Some(std::mem::take(&mut state.left_out)).filter(|left_out| *left_out > 0))
        } else {
            state.left_out += 1;
            None
        }
    }
}

impl LogLimiter {
    /// Logs how a connection ended.
    pub(crate) fn log_close(&self, closed: &Closed) {
        let code = closed.code.get();
        match &closed.fault {
            Some(fault) => {
                if let Some(left_out) = self.admit() {
                    info!(code, %fault, left_out, "the connection failed");
                }
            }
            // A deadline passed, or a limit was met.
            None if closed.by == ClosedBy::Local && !closed.clean && !closed.reason.is_empty() => {
                if let Some(left_out) = self.admit() {
                    info!(code, reason = %Escaped(closed.reason.as_str()), left_out, "the connection was ended");
                }
            }
            None => debug!(code, by = ?closed.by, "the connection closed"),
        }
    }
}

/// Text that a client sent, or that may quote it, made safe for a log: escaped, and cut if long.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

/// Characters that are shown.
const SHOWN: usize = 128;

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.chars();
        for character in rest.by_ref().take(SHOWN) {
            if character.is_ascii_graphic() || character == ' ' {
                f.write_char(character)?;
            } else {
                write!(f, "{}", character.escape_default())?;
            }
        }
        if rest.next().is_some() { f.write_str("...") } else { Ok(()) }
    }
}
