//! Listeners, the accept loop, HTTP/1.1 over a stream of one's own, and the server's configuration.
//!
//! Imports `open`, and what it builds on.

mod accept;
pub(crate) mod bound;
mod busy;
mod connection;
mod http1;
mod plain;
pub(crate) mod server;
mod watchdog;
