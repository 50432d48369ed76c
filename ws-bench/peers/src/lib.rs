//! Other WebSocket libraries as the servers of `src/bin`: what these have in common.

#![forbid(unsafe_code)]

#[cfg(feature = "axum")]
pub mod axum_server;
pub mod deferred;
pub mod hub;
#[cfg(feature = "hyper")]
pub mod hyper_upgrade;
pub mod server;
pub mod turns;
