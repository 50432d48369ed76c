//! A client that joins a topic, with what it missed.

use ws_server::Topic;

use crate::Position;

/// What a client that joins a topic wants of its past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Since {
    /// Everything after this position.
    Position(Position),
    /// The last message that is kept, if there is one.
    Latest,
}

/// What a client that joined a topic got of its past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovered {
    /// Nothing was asked for.
    Fresh,
    /// So many messages, and there were no others.
    All(usize),
    /// Nothing: something may be missing, since the position is too old, of another
    /// [epoch](crate::Position), or more was missed than
    /// [`recovery_messages`](crate::Config#structfield.recovery_messages) or
    /// [`recovery_bytes`](crate::Config#structfield.recovery_bytes) allow. The application has to load
    /// what it shows anew.
    Lost,
}

/// A client that [joined](crate::Nats::join) a topic.
#[derive(Debug)]
#[non_exhaustive]
pub struct Joined {
    /// The topic, to publish to.
    pub topic: Topic,
    /// The client gets everything that comes after this, live. `None`: the topic is
    /// [ephemeral](crate::Config::ephemeral).
    pub position: Option<Position>,
    /// What it gets of what came before.
    pub recovered: Recovered,
}
