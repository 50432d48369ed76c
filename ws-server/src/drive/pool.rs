//! Buffers for large messages, which a thread reuses while there is work for them.
//!
//! An allocator returns blocks of this size to the operating system as soon as they are free, so
//! every message would fault all of its pages in again, which takes longer than reading it.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use bytes::BytesMut;
use tokio::time::Instant;

use super::page_offset::{PAGE, begin_mid_page};

/// Octets that a thread keeps, including buffers with messages in progress: whatever clients do, at
/// most this much is lent beyond what they have sent.
const MAX_KEPT: usize = 8 * 1024 * 1024;
/// A buffer that stays unused for this long is given back.
const MAX_UNUSED: Duration = Duration::from_secs(1);

thread_local! {
    /// Ordered by use: the most recently used comes last.
    static POOL: RefCell<Vec<PooledBuffer>> = const { RefCell::new(Vec::new()) };
    static LAST_USE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A buffer that is free again once only `handle` refers to it.
struct PooledBuffer {
    handle: BytesMut,
    capacity: usize,
}

impl PooledBuffer {
    fn is_free(&mut self) -> bool {
        self.handle.try_reclaim(self.capacity)
    }

    /// Lends the whole buffer, which must be free.
    fn lend(&mut self) -> BytesMut {
        let mut buffer = std::mem::take(&mut self.handle);
        self.handle = buffer.split_off(self.capacity);
        buffer
    }
}

/// Returns an empty buffer with room for `least` octets, or for `most` if one is free.
pub(super) fn take(least: usize, most: usize, now: Instant) -> BytesMut {
    LAST_USE.set(Some(now));
    let mut buffer =
        POOL.with_borrow_mut(|pool| find(pool, least + PAGE, most.saturating_add(PAGE)));
    begin_mid_page(&mut buffer);
    buffer
}

fn find(pool: &mut Vec<PooledBuffer>, least: usize, most: usize) -> BytesMut {
    for wanted in [most, least] {
        let fits = |kept: &mut PooledBuffer| {
            kept.capacity >= wanted && kept.capacity / 2 <= most && kept.is_free()
        };
        if let Some(at) = pool.iter_mut().position(fits) {
            let mut kept = pool.remove(at);
            let buffer = kept.lend();
            pool.push(kept);
            return buffer;
        }
    }
    let handle = BytesMut::with_capacity(least);
    let mut kept = PooledBuffer { capacity: handle.capacity(), handle };
    let mut held = kept.capacity + pool.iter().map(|kept| kept.capacity).sum::<usize>();
    pool.retain_mut(|kept| {
        let dropped = held > MAX_KEPT && kept.is_free();
        held -= if dropped { kept.capacity } else { 0 };
        !dropped
    });
    let buffer = kept.lend();
    if held <= MAX_KEPT {
        pool.push(kept);
    }
    buffer
}

/// Gives back buffers that were unused for a while.
#[inline]
pub(super) fn give_back(now: Instant) {
    if LAST_USE.get().is_some_and(|last| now - last > MAX_UNUSED) {
        clear();
    }
}

#[cold]
fn clear() {
    LAST_USE.set(None);
    POOL.take();
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    fn held() -> usize {
        POOL.with_borrow(|pool| pool.iter().map(|kept| kept.capacity).sum())
    }

    #[test]
    fn buffer_is_used_again_when_what_was_read_into_it_is_gone() {
        let now = Instant::now();
        let mut buffer = take(100_000, 100_000, now);
        let at = buffer.as_ptr();
        assert!(buffer.is_empty() && buffer.capacity() >= 100_000);
        buffer.put_bytes(7, 1000);
        let payload = buffer.freeze();
        assert_ne!(take(100_000, 100_000, now).as_ptr(), at, "it is in use");
        assert_eq!(payload, [7; 1000][..]);
        drop(payload);
        let again = [take(90_000, 90_000, now), take(90_000, 90_000, now)];
        assert!(again.iter().any(|buffer| buffer.as_ptr() == at));
        drop(again);
        // A larger one if there is one, but never one that is far too large.
        assert!(take(60_000, 90_000, now).capacity() >= 90_000);
        assert!(take(20_000, 40_000, now).capacity() < 60_000);
    }

    #[test]
    fn thread_keeps_so_much_and_no_more() {
        let now = Instant::now();
        let lent: Vec<BytesMut> = (0..20).map(|_| take(1 << 20, 1 << 20, now)).collect();
        assert!((MAX_KEPT - (2 << 20)..=MAX_KEPT).contains(&held()), "{} bytes", held());
        drop(lent);
        // Free buffers make room for the one that is needed now.
        drop(take(4 << 20, 4 << 20, now));
        assert!(
            held() <= MAX_KEPT
                && POOL.with_borrow(|pool| pool.iter().any(|kept| kept.capacity > 4 << 20))
        );
        drop(take(MAX_KEPT, MAX_KEPT, now));
        assert!(held() <= MAX_KEPT);
    }

    #[test]
    fn buffers_that_nobody_needs_are_given_back() {
        let now = Instant::now();
        drop(take(100_000, 100_000, now));
        give_back(now + MAX_UNUSED);
        assert_ne!(held(), 0);
        give_back(now + 2 * MAX_UNUSED);
        assert_eq!(held(), 0);
    }
}
