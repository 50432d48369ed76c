//! What an application holds: `WebSocket`, its readers and writers of messages in pieces,
//! `Sender`, `Topic`, `Clients`, `Publication`. This room imports
//! the registry, the outbox, leaves, and of `drive` the turn's slot.

pub(crate) mod clients;
#[cfg(feature = "futures")]
pub(crate) mod messages;
#[cfg(feature = "prometheus")]
pub(crate) mod prometheus;
pub(crate) mod reader;
mod receiving;
pub(crate) mod sender;
pub(crate) mod sending;
pub(crate) mod subscription;
pub(crate) mod topic;
pub(crate) mod websocket;
pub(crate) mod writer;
