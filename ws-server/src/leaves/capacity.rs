//! When a collection gives room back.

/// Whether a collection has far more room than it needs.
pub(crate) fn is_roomy(len: usize, capacity: usize) -> bool {
    const KEPT: usize = 16;
    capacity > KEPT && len < capacity / 4
}
