//! Who is connected.

use std::{fmt, sync::Arc};

use ws_core::CloseCode;

use crate::link::Link;

/// Names a connection of a server, and is never used again by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(crate) u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The connections of a server. A handle: cloning it is cheap.
#[derive(Clone, Default)]
pub struct Clients {}

impl Clients {
    /// Lists a connection until the entry is dropped.
    pub(crate) fn enter(&self, link: &Arc<Link>) -> Entry {
        let _ = link;
        Entry {}
    }

    /// An id for a new connection.
    pub(crate) fn next_id(&self) -> ClientId {
        ClientId(0)
    }

    /// Starts to close every connection.
    pub fn close_all(&self, code: CloseCode, reason: &str) {
        let _ = (code, reason);
    }
}

/// A place in the list, given up when it is dropped.
pub(crate) struct Entry {}

/// One of them.
pub struct Client {}
