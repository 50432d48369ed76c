//! What a client may have yet to read of what was written to it.

use std::{sync::OnceLock, time::Duration};

use tokio::time::Instant;

use crate::Limits;

/// How long a client that reads at [`Limits::min_write_rate`] takes for what it has yet to read.
///
/// What a system took is not what its program has read, and no system tells. So it is reckoned: what
/// is written is read at the least rate, and what was written before a Ping that is answered was read.
///
/// In seconds since the first connection, which take an idle one less room.
#[derive(Debug)]
pub(super) struct Unread {
    /// When all is read that was written by the last reckoning.
    until: u32,
    /// The low bits of how much that was.
    written: u32,
    /// When something was written last.
    wrote: u32,
}

impl Unread {
    pub(super) fn new(now: Instant) -> Self {
        let now = seconds(now);
        Self { until: now, written: 0, wrote: now }
    }

    /// Something was written.
    #[inline]
    pub(super) fn wrote(&mut self, now: Instant) {
        self.wrote = seconds(now);
    }

    /// Time for what is unread when so many bytes were written in all.
    pub(super) fn time(&mut self, written: u64, limits: &Limits, now: Instant) -> Duration {
        let now = seconds(now);
        let more = (written as u32).wrapping_sub(self.written);
        let until = self.until.max(self.wrote) + time(more.into(), limits);
        self.until = until.min(now + time(u64::MAX, limits));
        self.written = written as u32;
        Duration::from_secs(self.until.saturating_sub(now).into())
    }

    /// What was written before this place of the output was read.
    pub(super) fn read(&mut self, before: u64, written: u64, limits: &Limits, now: Instant) {
        self.time(written, limits, now);
        let unread = time(written.saturating_sub(before), limits);
        self.until = self.until.min(seconds(now) + unread);
    }
}

fn time(bytes: u64, limits: &Limits) -> u32 {
    limits.time_to_read(bytes).as_secs() as u32
}

fn seconds(now: Instant) -> u32 {
    static FIRST: OnceLock<std::time::Instant> = OnceLock::new();
    let first = *FIRST.get_or_init(std::time::Instant::now);
    now.into_std().saturating_duration_since(first).as_secs() as u32
}
