//! Listeners, the accept loop, HTTP/1.1 over any stream, and the server's configuration.
//!
//! This room imports `open` and the rooms below it.

mod accept;
pub(crate) mod backoff;
pub(crate) mod bound;
mod busy;
mod connection;
mod http1;
pub(crate) mod listener;
mod plain;
pub(crate) mod proxy_protocol;
pub(crate) mod server;
pub(crate) mod tcp;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(unix)]
pub(crate) mod unix;
mod watchdog;
