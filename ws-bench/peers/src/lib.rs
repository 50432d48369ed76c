//! Other WebSocket libraries as the servers of `src/bin`: what these have in common.

#![forbid(unsafe_code)]

pub mod deferred;
pub mod hub;
#[cfg(feature = "hyper")]
pub mod hyper_upgrade;
pub mod server;
pub mod turns;
