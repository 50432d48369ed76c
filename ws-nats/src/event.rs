//! What an application can tell its clients about a topic.

use std::sync::Arc;

use crate::Position;

/// Messages of a stored topic that are lost: neither live nor in the stream any more. Subscribers got
/// what came before and get what comes after, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// The last position before it.
    pub from: Position,
    /// The first position after it. What lies between may have been messages of other topics alone:
    /// a gap says that something may be missing.
    pub to: Position,
}

/// Somebody who [appeared](crate::Nats::appear) in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The process that it is connected to. Every start has a number of its own.
    pub incarnation: u64,
    /// The number of its connection there.
    pub client: u64,
    /// What the application said about it.
    pub info: Arc<str>,
}

/// A change of who is in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresenceEvent {
    /// Somebody appeared.
    Joined(Member),
    /// The application says something else about somebody who is here.
    Updated(Member),
    /// Somebody disappeared, closed, or its node is gone.
    Left(Member),
}
