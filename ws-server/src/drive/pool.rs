//! Buffers that large messages are read into, which a thread uses again while there is work for them.
//!
//! An allocator gives memory of this size back to the operating system as soon as it is free, and
//! every message would have all of its pages made anew, which takes longer than reading it.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use bytes::BytesMut;
use tokio::time::Instant;

use super::place::{PAGE, place};

/// Bytes that a thread keeps, those that messages in progress lie in included: whatever clients do,
/// no more than this is lent beyond what they have sent.
const KEPT: usize = 8 * 1024 * 1024;
/// Buffers that were not needed for so long are given back.
const UNUSED: Duration = Duration::from_secs(1);

thread_local! {
    /// The one used last comes last.
    static POOL: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
    static LAST_USE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A buffer, free again when nothing but `handle` refers to it.
struct Kept {
    handle: BytesMut,
    capacity: usize,
}

impl Kept {
    fn is_free(&mut self) -> bool {
        self.handle.try_reclaim(self.capacity)
    }

    /// All of it, where it is free.
    fn lend(&mut self) -> BytesMut {
        let mut buffer = std::mem::take(&mut self.handle);
        self.handle = buffer.split_off(self.capacity);
        buffer
    }
}

/// An empty buffer with room for `least` bytes, or for `most` where one is free.
pub(super) fn take(least: usize, most: usize, now: Instant) -> BytesMut {
    LAST_USE.set(Some(now));
    let mut buffer =
        POOL.with_borrow_mut(|pool| find(pool, least + PAGE, most.saturating_add(PAGE)));
    place(&mut buffer);
    buffer
}

fn find(pool: &mut Vec<Kept>, least: usize, most: usize) -> BytesMut {
    for wanted in [most, least] {
        let fits = |kept: &mut Kept| {
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
    let mut kept = Kept { capacity: handle.capacity(), handle };
    let mut held = kept.capacity + pool.iter().map(|kept| kept.capacity).sum::<usize>();
    pool.retain_mut(|kept| {
        let dropped = held > KEPT && kept.is_free();
        held -= if dropped { kept.capacity } else { 0 };
        !dropped
    });
    let buffer = kept.lend();
    if held <= KEPT {
        pool.push(kept);
    }
    buffer
}

/// Gives back what was not needed for a while.
#[inline]
pub(super) fn give_back(now: Instant) {
    if LAST_USE.get().is_some_and(|last| now - last > UNUSED) {
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
        // A larger one, where it is there; never one that is far too large.
        assert!(take(60_000, 90_000, now).capacity() >= 90_000);
        assert!(take(20_000, 40_000, now).capacity() < 60_000);
    }

    #[test]
    fn thread_keeps_so_much_and_no_more() {
        let now = Instant::now();
        let lent: Vec<BytesMut> = (0..20).map(|_| take(1 << 20, 1 << 20, now)).collect();
        assert!((KEPT - (2 << 20)..=KEPT).contains(&held()), "{} bytes", held());
        drop(lent);
        // Room for what is needed now is made of what is free.
        drop(take(4 << 20, 4 << 20, now));
        assert!(
            held() <= KEPT
                && POOL.with_borrow(|pool| pool.iter().any(|kept| kept.capacity > 4 << 20))
        );
        drop(take(KEPT, KEPT, now));
        assert!(held() <= KEPT);
    }

    #[test]
    fn buffers_that_nobody_needs_are_given_back() {
        let now = Instant::now();
        drop(take(100_000, 100_000, now));
        give_back(now + UNUSED);
        assert_ne!(held(), 0);
        give_back(now + 2 * UNUSED);
        assert_eq!(held(), 0);
    }
}
