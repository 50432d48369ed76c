//! What became of a message to many.

use std::fmt;

/// What became of a message to many.
///
/// Most programs need not look: a message that is not refused reaches everybody who keeps up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Published {
    /// It was queued for this many clients; 0 if nobody subscribes. Clients for which the
    /// [`SlowConsumer`](crate::SlowConsumer) policy dropped it, or which that closed, do not count.
    Here(usize),
    /// Somebody else is publishing to the same topic at this moment and will queue it too, after what
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
    /// be faster than the server uses [`Clients::publish_wait`](crate::Clients::publish_wait).
    Full,
}

impl Published {
    /// The number of clients that this call queued it for; 0 if somebody else does, or it was refused.
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
