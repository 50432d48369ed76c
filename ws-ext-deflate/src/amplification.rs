//! Whether a peer makes us inflate far more than it sends.

/// The number of inflated bytes for each received one that is too high, and the one that is low again.
const FACTORS: (u32, u32) = (16, 8);
/// The fewest inflated bytes for a verdict.
const VERDICT: u32 = 64 * 1024;

/// The ratio on one connection. With every verdict, earlier bytes count half.
#[derive(Debug, Default)]
pub(crate) struct Amplification {
    received: u32,
    inflated: u32,
    is_high: bool,
}

impl Amplification {
    /// So many bytes were received and inflated to so many.
    #[inline]
    pub(crate) fn count(&mut self, received: usize, inflated: usize) {
        let add = |to: u32, n: usize| to.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
        self.received = add(self.received, received);
        self.inflated = add(self.inflated, inflated);
        if self.inflated.max(self.received) >= VERDICT {
            self.judge();
        }
    }

    fn judge(&mut self) {
        let factor = if self.is_high { FACTORS.1 } else { FACTORS.0 };
        self.is_high = self.inflated > self.received.saturating_mul(factor);
        self.received /= 2;
        self.inflated /= 2;
    }

    /// Whether the ratio is high of late, so that replies should cost little.
    pub(crate) fn is_high(&self) -> bool {
        self.is_high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many of `n` messages, inflated from `received` to 4096 bytes each, the ratio is high.
    fn high(amplification: &mut Amplification, n: usize, received: usize) -> usize {
        (0..n)
            .filter(|_| {
                amplification.count(received, 4096);
                amplification.is_high()
            })
            .count()
    }

    #[test]
    fn high_amplification_is_seen_after_64_kib_and_ends_at_half_of_it() {
        let mut seen = Amplification::default();
        assert_eq!(high(&mut seen, 100, 256), 0, "16 times is not too much");
        let mut seen = Amplification::default();
        assert_eq!(high(&mut seen, 15, 200), 0);
        assert_eq!(high(&mut seen, 100, 200), 100);
        // Between the two factors it stays as it is.
        assert_eq!(high(&mut seen, 100, 400), 100);
        let back = high(&mut seen, 100, 1024);
        assert!(back < 20, "{back}");
        assert_eq!(high(&mut seen, 100, 400), 0);
    }

    #[test]
    fn one_large_message_is_enough() {
        let mut seen = Amplification::default();
        seen.count(1000, 1 << 20);
        assert!(seen.is_high());
        for _ in 0..8 {
            seen.count(64 * 1024, 64 * 1024);
        }
        assert!(!seen.is_high());
        seen.count(usize::MAX, usize::MAX);
        assert!(!seen.is_high());
    }
}
