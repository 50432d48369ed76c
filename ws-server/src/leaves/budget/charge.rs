//! Octets that are held by something other than a connection.

use std::sync::Arc;

use super::Kind;
use crate::leaves::stats::Stats;

/// Octets that count until this is dropped.
pub(crate) struct Charge {
    stats: Arc<Stats>,
    kind: Kind,
    octets: usize,
}

impl Charge {
    pub(crate) fn new(stats: &Arc<Stats>, kind: Kind) -> Self {
        Self { stats: Arc::clone(stats), kind, octets: 0 }
    }

    /// Counts so many in place of those before. No lock may be held.
    pub(crate) fn set(&mut self, octets: usize) {
        if octets != self.octets {
            let before = std::mem::replace(&mut self.octets, octets);
            if self.stats.budget.count(self.kind, before, octets) {
                self.stats.budget.relieve();
            }
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // It may be dropped under a lock: who waits for it asks again.
        let _ = self.stats.budget.count(self.kind, self.octets, 0);
    }
}
