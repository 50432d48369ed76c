//! What goes wrong around a server: streams that end, fail and stall at any octet, processes that are killed
//! and stopped, panics, leaps of the clock. After each of them the server holds what it held before.
#![allow(clippy::unwrap_used)]

mod apps;
#[cfg(all(target_os = "linux", feature = "deflate"))]
mod child;
mod clocks;
#[allow(dead_code, reason = "a part of it is for processes of their own")]
mod ledger;
mod offsets;
mod panics;
#[cfg(all(target_os = "linux", feature = "deflate"))]
mod processes;
mod random;
#[allow(dead_code, reason = "a part of it is for ws-tower")]
mod scripted;
#[path = "../support/mod.rs"]
mod support;

use ws_tests_support::heap::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
