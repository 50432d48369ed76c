//! What all connections of a load have in common, and what they count together.

use std::time::Instant;

use hdrhistogram::Histogram;

/// What one read takes at most.
const READ: usize = 64 * 1024;

pub(super) struct Tally {
    /// Whether a reply is answered with the next message.
    pub(super) sending: bool,
    /// Whether every reply is looked into, and not a sample alone.
    pub(super) checking: bool,
    pub(super) messages: u64,
    pub(super) octets: u64,
    latency: Histogram<u64>,
    pub(super) buffer: Box<[u8]>,
}

impl Tally {
    pub(super) fn new() -> Self {
        // Nanoseconds up to a minute; 0.1 % is finer than any two runs agree.
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds");
        let buffer = vec![0; READ].into_boxed_slice();
        Self { sending: false, checking: true, messages: 0, octets: 0, latency, buffer }
    }

    /// Counts from here.
    pub(super) fn start(&mut self) {
        (self.messages, self.octets) = (0, 0);
        self.checking = false;
        self.latency.reset();
    }

    /// `messages` of `octets` in all came, which were sent at `since`.
    pub(super) fn came(&mut self, messages: u64, since: Instant, now: Instant) {
        self.latency.saturating_record_n(now.duration_since(since).as_nanos() as u64, messages);
    }

    /// In nanoseconds.
    pub(super) fn latency(&self, percentile: f64) -> u64 {
        self.latency.value_at_percentile(percentile)
    }
}
