//! All connections of a server: who is connected, topics, counters. May import `outbox` and leaves.

pub(crate) mod delivery;
pub(crate) mod hub;
pub(crate) mod topics;
