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
    /// When all is read that was written by the last reckoning; no earlier than the last write.
    until: Instant,
    /// How much had been written by then.
    written: u64,
}

impl Unread {
    pub(super) fn new(now: Instant) -> Self {
        Self { until: now, written: 0 }
    }

    /// Something was written, whose reading begins no earlier.
    #[inline]
    pub(super) fn wrote(&mut self, now: Instant) {
        self.until = self.until.max(now);
    }

    /// Time for what is unread when so many bytes were written in all.
    pub(super) fn time(&mut self, written: u64, limits: &Limits, now: Instant) -> Duration {
        let more = limits.time_to_read(written - self.written);
        let most = now + limits.time_to_read(u64::MAX);
        self.until = (self.until + more).min(most);
        self.written = written;
        self.until.saturating_duration_since(now)
    }

    /// What was written before this place of the output was read.
    pub(super) fn read(&mut self, before: u64, written: u64, limits: &Limits, now: Instant) {
        self.time(written, limits, now);
        self.until = self.until.min(now + limits.time_to_read(written.saturating_sub(before)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_at_the_least_rate() {
        let limits = Limits { min_write_rate: 1000, ..Limits::default() };
        let second = Duration::from_secs(1);
        // The clock of a test may lie before the time of any other.
        let start = Instant::from_std(std::time::Instant::now()) - second;
        let mut unread = Unread::new(start);
        unread.wrote(start);
        assert_eq!(unread.time(2500, &limits, start), second * 5 / 2);
        assert_eq!(unread.time(2500, &limits, start + second), second * 3 / 2);
        // What follows is read after it, or from when it is written on.
        unread.wrote(start + second);
        assert_eq!(unread.time(3500, &limits, start + second), second * 5 / 2);
        let later = start + 60 * second;
        assert_eq!(unread.time(3500, &limits, later), Duration::ZERO);
        unread.wrote(later);
        unread.wrote(later + second);
        assert_eq!(unread.time(7500, &limits, later + second), 4 * second);
        // Of that all but the last 500 bytes was read.
        unread.read(7000, 7500, &limits, later + second);
        assert_eq!(unread.time(7500, &limits, later + second), second / 2);
    }
}
