//! Sending from other tasks.

/// Sends to one connection.
#[derive(Clone)]
pub struct Sender {}
