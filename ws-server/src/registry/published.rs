//! The outcome of a broadcast.

use std::fmt;

/// The outcome of a broadcast.
///
/// Most programs can ignore it: a message that is not refused reaches every client that keeps up.
/// With a [`Backplane`](crate::Backplane) that is its promise, and a message that it is given is
/// `Handed` or `Refused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Published {
    /// Queued for this many clients, and tasks that [listen](crate::Clients::listen); 0 if the topic
    /// has no subscribers. Does not count those for which the
    /// [`SlowConsumer`](crate::SlowConsumer) policy dropped the message, or which it closed.
    Here(usize),
    /// Left to another task that is publishing to the same topic at this moment. It will queue the
    /// message too, in order, for the subscribers of this moment. Or taken by the server's
    /// [`Backplane`](crate::Backplane).
    Handed,
    /// Refused: it goes to no client.
    Refused(Refused),
}

/// Why a broadcast was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refused {
    /// More than 1 MiB of [`Handed`](Published::Handed) messages waits already. A publisher that
    /// may be faster than the server uses [`Clients::publish_wait`](crate::Clients::publish_wait).
    ///
    /// Or as much waits in the server's [`Backplane`](crate::Backplane) as it takes.
    Full,
    /// The [`Backplane`](crate::Backplane) cannot be reached now, or panicked.
    Away,
    /// The message is larger than the [`Backplane`](crate::Backplane) can carry.
    TooLarge,
}

impl Published {
    /// The number of clients that this call queued the message for; 0 if another task does that, or
    /// the message was refused.
    pub fn here(self) -> usize {
        match self {
            Self::Here(queued) => queued,
            Self::Handed | Self::Refused(_) => 0,
        }
    }

    /// Why the message was refused, if it was.
    pub fn refused(self) -> Option<Refused> {
        match self {
            Self::Refused(reason) => Some(reason),
            Self::Here(_) | Self::Handed => None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => {
                "messages are published faster than they can be taken: publish less, or later"
            }
            Self::Away => "the backplane is away: publish again once it is back",
            Self::TooLarge => {
                "the message is larger than the backplane can carry: publish less at a time"
            }
        })
    }
}

impl std::error::Error for Refused {}
