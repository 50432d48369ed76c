//! Who is here, on all nodes.

mod local;
#[cfg(test)]
mod model;
mod protocol;
mod roster;
mod state;
mod table;
mod task;
#[cfg(test)]
mod tests;

#[cfg(fuzzing)]
pub(crate) use self::protocol::Envelope;
pub(crate) use self::roster::{Identity, Roster};
pub use self::state::known::Presence;

/// Why a connection is no member of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppearError {
    /// The connection is closing, or this node has shut down.
    #[error("the connection is closing")]
    Closed,
    /// The text about the member is longer than
    /// [`Config::member_bytes`](crate::Config#structfield.member_bytes).
    #[error("a member has {limit} octets at most: say less, or raise Config::member_bytes")]
    InfoTooLong {
        /// The limit.
        limit: usize,
    },
    /// The text about the member does not fit into a message of NATS.
    #[error(
        "the member does not fit into a message: say less, or raise max_payload of the NATS server"
    )]
    LargerThanPayload,
    /// The topic has as many members here as [`Config::members_per_topic`](crate::Config#structfield.members_per_topic).
    #[error("the topic has {limit} members: raise Config::members_per_topic")]
    TopicFull {
        /// The limit.
        limit: usize,
    },
    /// The name of the topic is too long for NATS.
    #[error("a topic has {limit} octets at most")]
    TopicTooLong {
        /// The limit.
        limit: usize,
    },
}
