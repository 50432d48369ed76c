//! The state and counts that all connections of a load share.

use std::time::Instant;

use hdrhistogram::Histogram;

/// The size of one read at most.
const READ: usize = 64 * 1024;

pub(super) struct Tally {
    /// Whether each reply is answered with the next message.
    pub(super) sending: bool,
    /// Whether every reply is checked, instead of a sample.
    pub(super) checking: bool,
    pub(super) messages: u64,
    pub(super) octets: u64,
    latency: Histogram<u64>,
    pub(super) buffer: Box<[u8]>,
}

impl Tally {
    pub(super) fn new() -> Self {
        // Nanoseconds up to a minute; the precision of 0.1 % is finer than the difference of any
        // two runs.
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds");
        let buffer = vec![0; READ].into_boxed_slice();
        Self { sending: false, checking: true, messages: 0, octets: 0, latency, buffer }
    }

    /// Starts counting.
    pub(super) fn start(&mut self) {
        (self.messages, self.octets) = (0, 0);
        self.checking = false;
        self.latency.reset();
    }

    /// Counts `messages` with `octets` in total, which were sent at `since`.
    pub(super) fn came(&mut self, messages: u64, since: Instant, now: Instant) {
        self.latency.saturating_record_n(now.duration_since(since).as_nanos() as u64, messages);
    }

    /// In nanoseconds.
    pub(super) fn latency(&self, percentile: f64) -> u64 {
        self.latency.value_at_percentile(percentile)
    }
}
