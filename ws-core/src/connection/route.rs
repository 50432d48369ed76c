//! Which form of a short lane small messages take, in one direction.

use crate::{Payload, extension::Extensions};

/// How messages that fit into a [`Payload`] itself pass the extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// There is no extension.
    Plain,
    /// There is a single extension, and it works on messages.
    Single,
    /// There are others, or a message needs a closer look.
    General,
}

impl Route {
    /// The route where a message in one frame may have `limit` octets. A limit so low that small
    /// messages would have to be checked against it leaves the general one.
    pub(super) fn new(limit: usize, stack: &Extensions) -> Self {
        match limit {
            Payload::INLINE.. if stack.is_empty() => Self::Plain,
            Payload::INLINE.. if stack.has_single() => Self::Single,
            _ => Self::General,
        }
    }
}
