//! What an application holds. It may import the turn's slot of `drive`, the registry, the outbox and
//! leaves.

pub(crate) mod clients;
pub(crate) mod publication;
pub(crate) mod sender;
pub(crate) mod sending;
pub(crate) mod topic;
pub(crate) mod websocket;
