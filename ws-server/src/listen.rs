//! Sockets that listen, the accept loop, shutdown.

pub(crate) mod accept;
pub(crate) mod server;
pub(crate) mod watchdog;
