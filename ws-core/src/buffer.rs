//! Growth of buffers that a peer fills.

use alloc::vec::Vec;

/// Makes room for `additional` bytes: for twice what there is then, so that the copying is
/// amortised, but never for more than `ceiling` bytes in all, unless that many are there.
///
/// The ceiling is what was announced or what is allowed; it is not reserved in advance.
#[inline]
pub(crate) fn grow(buffer: &mut Vec<u8>, additional: usize, ceiling: usize) {
    // As `Vec` asks when it is extended, so that the compiler asks once.
    if additional > buffer.capacity() - buffer.len() {
        reserve(buffer, additional, ceiling);
    }
}

#[cold]
fn reserve(buffer: &mut Vec<u8>, additional: usize, ceiling: usize) {
    let needed = buffer.len().saturating_add(additional);
    let target = needed.saturating_mul(2).min(ceiling).max(needed);
    buffer.reserve_exact(target.saturating_sub(buffer.len()));
}
