//! An estimate of what a client has yet to read.

use std::time::Duration;

use tokio::time::Instant;

use crate::Limits;

/// How long a client that reads at [`Limits::min_write_rate`] needs for the output that it has not
/// read.
///
/// What the peer's system took, its program may not have read, and no system tells. So this is an
/// estimate: output is read at the minimum rate, and everything before an answered Ping was read.
#[derive(Debug)]
pub(super) struct Unread {
    /// When everything written by the last estimate is read; no earlier than the last write.
    until: Instant,
    /// Octets written by then.
    written: u64,
}

impl Unread {
    pub(super) fn new(now: Instant) -> Self {
        Self { until: now, written: 0 }
    }

    /// Notes a write: reading it begins no earlier.
    #[inline]
    pub(super) fn wrote(&mut self, now: Instant) {
        self.until = self.until.max(now);
    }

    /// The time to read the rest after `written` octets in all.
    pub(super) fn time(&mut self, written: u64, limits: &Limits, now: Instant) -> Duration {
        let more = limits.time_to_read(written - self.written);
        let most = now + limits.time_to_read(u64::MAX);
        self.until = (self.until + more).min(most);
        self.written = written;
        self.until.saturating_duration_since(now)
    }

    /// Notes that everything before this place of the output was read.
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
        // A test's clock may lie before the time of any other.
        let start = Instant::from_std(std::time::Instant::now()) - second;
        let mut unread = Unread::new(start);
        unread.wrote(start);
        assert_eq!(unread.time(2500, &limits, start), second * 5 / 2);
        assert_eq!(unread.time(2500, &limits, start + second), second * 3 / 2);
        // Later output is read after the earlier, or from its write on.
        unread.wrote(start + second);
        assert_eq!(unread.time(3500, &limits, start + second), second * 5 / 2);
        let later = start + 60 * second;
        assert_eq!(unread.time(3500, &limits, later), Duration::ZERO);
        unread.wrote(later);
        unread.wrote(later + second);
        assert_eq!(unread.time(7500, &limits, later + second), 4 * second);
        // The client has read all but the last 500 octets.
        unread.read(7000, 7500, &limits, later + second);
        assert_eq!(unread.time(7500, &limits, later + second), second / 2);
    }
}
