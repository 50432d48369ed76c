//! The server.

/// The server.
pub struct Server {}
/// Serves single connections.
#[derive(Clone)]
pub struct Service {}
/// What became of the connections.
pub struct Report {}
