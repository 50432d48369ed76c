//! An allocator that counts, for every thread on its own, so that tests may run side by side.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The system's allocator, counting.
struct Counting;

/// What one thread did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heap {
    /// Calls that gave memory, and those of them that moved what was there.
    pub(crate) allocations: usize,
    pub(crate) reallocations: usize,
    /// Bytes that were asked for, each time anew.
    pub(crate) asked: usize,
    /// Bytes that a reallocation may have had to copy.
    pub(crate) moved: usize,
    pub(crate) live: isize,
    pub(crate) peak: isize,
}

thread_local! {
    static HEAP: Cell<Heap> = const {
        Cell::new(Heap { allocations: 0, reallocations: 0, asked: 0, moved: 0, live: 0, peak: 0 })
    };
}

fn count(freed: usize, asked: usize) {
    // A thread that ends may free memory when its counters are gone.
    let _ = HEAP.try_with(|cell| {
        let mut heap = cell.get();
        if asked > 0 {
            heap.allocations += 1;
            heap.asked += asked;
            if freed > 0 {
                heap.reallocations += 1;
                heap.moved += freed;
            }
        }
        heap.live += asked as isize - freed as isize;
        heap.peak = heap.peak.max(heap.live);
        cell.set(heap);
    });
}

// SAFETY: every call is passed on unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), size);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// What `act` did on the heap. `peak` is the most that it held beyond what was there.
pub(crate) fn measured<T>(act: impl FnOnce() -> T) -> (Heap, T) {
    let before = HEAP.with(|cell| {
        let mut heap = cell.get();
        heap.peak = heap.live;
        cell.set(heap);
        heap
    });
    let result = act();
    let after = HEAP.with(Cell::get);
    let heap = Heap {
        allocations: after.allocations - before.allocations,
        reallocations: after.reallocations - before.reallocations,
        asked: after.asked - before.asked,
        moved: after.moved - before.moved,
        live: after.live - before.live,
        peak: after.peak - before.live,
    };
    (heap, result)
}

#[test]
fn the_allocator_counts() {
    let (heap, kept) = measured(|| {
        drop(vec![0_u8; 1000]);
        let mut kept = Vec::<u8>::with_capacity(100);
        kept.reserve_exact(300);
        kept
    });
    assert_eq!((heap.allocations, heap.reallocations), (3, 1));
    assert_eq!((heap.asked, heap.moved), (1400, 100));
    assert_eq!((heap.live, heap.peak), (300, 1000));
    drop(kept);
}
