//! An allocator that counts, for every thread on its own, so that tests may run side by side. A test
//! that measures declares it as its `#[global_allocator]`: `static ALLOCATOR: Counting = Counting;`.
#![allow(unsafe_code, reason = "an allocator is unsafe to write")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// The system's allocator, counting.
pub struct Counting;

/// What one thread did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heap {
    /// Calls that gave memory, and those of them that moved what was there.
    pub allocations: usize,
    pub reallocations: usize,
    /// Bytes that were asked for, each time anew.
    pub asked: usize,
    /// Bytes that a reallocation may have had to copy.
    pub moved: usize,
    pub live: isize,
    pub peak: isize,
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

/// The bytes that this thread took and nobody gave back yet, other threads' gifts subtracted.
pub fn live() -> isize {
    HEAP.with(Cell::get).live
}

/// What `act` did on the heap. `peak` is the most that it held beyond what was there.
pub fn measured<T>(act: impl FnOnce() -> T) -> (Heap, T) {
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
