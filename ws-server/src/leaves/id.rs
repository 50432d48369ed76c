//! Which connection.

use std::fmt;

/// Names a connection of a server, and is never used again by it. Another server has a connection with
/// the same id, even in the same process. The connections that a process makes as a client are counted on
/// their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(crate) u64);

impl ClientId {
    /// The id with this number, for those who carried [`get`](Self::get) elsewhere, such as a
    /// [`Backplane`](crate::Backplane). It may be that of no connection.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
