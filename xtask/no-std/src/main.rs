//! A program without std that uses `ws-core`: it only has to link.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_int;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

// The start files of the C library call `main`; without std nobody else asks for it.
#[link(name = "c")]
unsafe extern "C" {}

/// Hands out a fixed arena and takes nothing back.
struct Arena;

const SIZE: usize = 64 * 1024;
static mut MEMORY: [u8; SIZE] = [0; SIZE];
static USED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call moves `USED` past the part that it hands out, so that no part is handed out
// twice, and checks that the part lies within `MEMORY`.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let wanted = layout.size() + layout.align();
        let start = USED.fetch_add(wanted, Ordering::Relaxed);
        if start + wanted > SIZE {
            return core::ptr::null_mut();
        }
        // SAFETY: `start + wanted` is within the arena, see above.
        let part = unsafe { (&raw mut MEMORY).cast::<u8>().add(start) };
        part.wrapping_add(part.align_offset(layout.align()))
    }

    unsafe fn dealloc(&self, _part: *mut u8, _layout: Layout) {}
}

#[global_allocator]
static ARENA: Arena = Arena;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// The prebuilt `alloc` was made for unwinding and names this; nothing unwinds here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn main(_arguments: c_int, _values: *const *const u8) -> c_int {
    let extensions = Box::new(ws_core::Extensions::none());
    core::hint::black_box(&extensions);
    0
}
