//! Growth of buffers that a peer fills.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

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

/// The same for a buffer that is delivered as it is.
pub(crate) fn grow_shared(buffer: &mut BytesMut, additional: usize, ceiling: usize) {
    if additional > buffer.capacity().saturating_sub(buffer.len()) {
        let mut bytes = Vec::from(core::mem::take(buffer));
        grow(&mut bytes, additional, ceiling);
        *buffer = Bytes::from(bytes).into();
    }
}

/// The buffer that [`Connection::read_payload`](crate::Connection::read_payload) asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferSize {
    /// The capacity that it must have, in bytes: at most twice what has arrived.
    pub needed: usize,
    /// The bytes of the whole message, as the peer announced them. They may guide the choice among
    /// buffers that exist already; do not allocate them for their own sake.
    pub announced: usize,
}

/// Makes room for `additional` bytes of the `rest` that may still come, in a buffer that `allocate`
/// makes if this one is too small.
pub(crate) fn grow_into(
    buffer: &mut BytesMut,
    additional: usize,
    rest: usize,
    allocate: impl FnOnce(BufferSize) -> BytesMut,
) {
    let len = buffer.len();
    if additional > buffer.capacity().saturating_sub(len) {
        let announced = len.saturating_add(rest);
        let needed = len.saturating_add(additional).max(len.saturating_mul(2)).min(announced);
        let mut larger = allocate(BufferSize { needed, announced });
        larger.clear();
        larger.extend_from_slice(buffer);
        *buffer = larger;
    }
}
