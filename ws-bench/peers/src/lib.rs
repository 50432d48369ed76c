//! Other WebSocket libraries: in memory, and as the echo servers of `src/bin`.

#![forbid(unsafe_code)]

pub mod in_memory;
pub mod opening;
pub mod server;
