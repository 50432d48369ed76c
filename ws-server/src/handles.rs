//! What an application holds.

pub(crate) mod clients;
pub(crate) mod publication;
pub(crate) mod sender;
pub(crate) mod sending;
pub(crate) mod websocket;
