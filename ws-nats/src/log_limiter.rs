//! Log lines that others cause, bounded in number.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// Lets ten lines into the log every ten seconds, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct LogLimiter(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    window: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl LogLimiter {
    /// Whether there is room for a line; then how many were left out before it.
    pub(crate) fn admit(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.window.is_none_or(|begun| now - begun >= WINDOW) {
            state.window = Some(now);
            state.lines = 0;
        }
        if state.lines == LINES {
            state.left_out += 1;
            return None;
        }
        state.lines += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}
