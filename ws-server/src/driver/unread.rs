//! What a client may have yet to read of what was written to it.

use std::time::Duration;

use tokio::time::Instant;

use crate::Limits;

/// How long a client that reads at [`Limits::min_write_rate`] takes for what it has yet to read.
///
/// What a system took is not what its program has read, and no system tells. So it is reckoned: what
/// is written is read at the least rate, and what was written before a Ping that is answered was read.
#[derive(Debug)]
pub(super) struct Unread {
    /// When all is read that was written by the last reckoning.
    until: Instant,
    written: u64,
    /// When something was written last.
    wrote: Instant,
}

impl Unread {
    pub(super) fn new(now: Instant) -> Self {
        Self { until: now, written: 0, wrote: now }
    }

    /// Something was written.
    #[inline]
    pub(super) fn wrote(&mut self, now: Instant) {
        self.wrote = now;
    }

    /// Time for what is unread when so many bytes were written in all.
    pub(super) fn time(&mut self, written: u64, limits: &Limits, now: Instant) -> Duration {
        let more = limits.time_to_read(written - self.written);
        let most = now + limits.time_to_read(u64::MAX);
        self.until = (self.until.max(self.wrote) + more).min(most);
        self.written = written;
        self.until.saturating_duration_since(now)
    }

    /// What was written before this place of the output was read.
    pub(super) fn read(&mut self, before: u64, written: u64, limits: &Limits, now: Instant) {
        self.time(written, limits, now);
        self.until = self.until.min(now + limits.time_to_read(written.saturating_sub(before)));
    }
}
