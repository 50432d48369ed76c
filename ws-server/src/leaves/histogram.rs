//! Times, counted in buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Times, counted in buckets that are fixed: a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// The bound of each bucket but the last, which has none.
    bounds: &'static [Duration],
    counts: Vec<u64>,
    sum: Duration,
}

impl Histogram {
    /// The number of times.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All times together, to the microsecond.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The longest time of each bucket, and the number of times in it that do not belong in the
    /// bucket before. The bound of the last bucket is [`Duration::MAX`].
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let bounds = self.bounds.iter().copied().chain([Duration::MAX]);
        bounds.zip(self.counts.iter().copied())
    }
}

/// How long connections last: reconnect storms at one end, and the patience of proxies (a minute, an
/// hour) in the middle.
pub(crate) const CONNECTION_BOUNDS: [Duration; 12] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(4 * 60 * 60),
    Duration::from_secs(12 * 60 * 60),
    Duration::from_secs(24 * 60 * 60),
];

/// Round trips: from the same machine to a client that nearly counts as gone.
pub(crate) const ROUND_TRIP_BOUNDS: [Duration; 12] = [
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// Counts rare events, from any thread.
#[derive(Default)]
pub(crate) struct Times {
    counts: [AtomicU64; 13],
    micros: AtomicU64,
}

impl Times {
    pub(crate) fn add(&self, time: Duration, bounds: &[Duration; 12]) {
        let bucket = bounds.partition_point(|bound| *bound < time);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, bounds: &'static [Duration; 12]) -> Histogram {
        Histogram {
            bounds,
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: Duration::from_micros(self.micros.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_at_a_bound_belongs_to_its_bucket() {
        let times = Times::default();
        let ms = Duration::from_millis;
        for time in [Duration::ZERO, ms(1), ms(2), ms(10_000), ms(10_001), ms(90_000)] {
            times.add(time, &ROUND_TRIP_BOUNDS);
        }
        let read = times.read(&ROUND_TRIP_BOUNDS);
        let some: Vec<_> = read.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(some, [(ms(1), 2), (ms(5), 1), (ms(10_000), 1), (Duration::MAX, 2)]);
        assert_eq!((read.count(), read.sum(), read.buckets().count()), (6, ms(110_004), 13));
        assert!(CONNECTION_BOUNDS.is_sorted() && ROUND_TRIP_BOUNDS.is_sorted());
    }
}
