//! What became of a message to many.

use std::fmt;

/// What became of a message to many.
///
/// Most programs need not look: what is not refused reaches everybody who keeps up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Published {
    /// It was queued for so many clients: 0 where nobody subscribes. One that it was dropped for, or
    /// that was closed, by its [`SlowConsumer`](crate::SlowConsumer) policy is not among them.
    Here(usize),
    /// Somebody else is publishing to the same topic at this moment and queues it as well, behind what
    /// was published before, for those who subscribe now.
    Handed,
    /// It goes to nobody.
    Refused(Refused),
}

/// Why a message to many was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refused {
    /// More than 1 MiB of [`Handed`](Published::Handed) messages waits already. A publisher that may
    /// be faster than the server waits, with [`Clients::publish_wait`](crate::Clients::publish_wait).
    Full,
}

impl Published {
    /// For how many clients this call has queued it: 0 where somebody else does, or it was refused.
    pub fn here(self) -> usize {
        match self {
            Self::Here(queued) => queued,
            Self::Handed | Self::Refused(_) => 0,
        }
    }

    /// Whether it goes to nobody, and why.
    pub fn refused(self) -> Option<Refused> {
        match self {
            Self::Refused(reason) => Some(reason),
            Self::Here(_) | Self::Handed => None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("others publish faster than messages can be queued"),
        }
    }
}

impl std::error::Error for Refused {}
