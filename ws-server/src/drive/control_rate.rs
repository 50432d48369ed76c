//! How many control frames a client may send.

use std::time::Duration;

use tokio::time::Instant;

use crate::Limits;

/// A token bucket: `control_burst` frames at most, refilled at `control_rate` a second.
#[derive(Debug)]
pub(super) struct ControlRate {
    /// When the bucket will be full again: tokens taken are counted as time.
    full_at: Option<Instant>,
}

impl ControlRate {
    pub(super) const fn new() -> Self {
        Self { full_at: None }
    }

    /// Takes one frame. Returns whether the bucket had one.
    pub(super) fn allow(&mut self, now: Instant, limits: &Limits) -> bool {
        let each = Duration::from_secs(1) / u32::try_from(limits.control_rate).unwrap_or(u32::MAX);
        let burst = each.saturating_mul(u32::try_from(limits.control_burst).unwrap_or(u32::MAX));
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + each;
        self.full_at = Some(full_at);
        full_at - now <= burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_is_allowed_and_then_the_rate() {
        let mut limits = Limits::default();
        (limits.control_rate, limits.control_burst) = (10, 20);
        let start = Instant::now();
        let mut rate = ControlRate::new();
        assert!((0..20).all(|_| rate.allow(start, &limits)));
        assert!(!rate.allow(start, &limits));
        let mut rate = ControlRate::new();
        assert!((0..1000).all(|i| rate.allow(start + Duration::from_millis(100 * i), &limits)));
    }
}
