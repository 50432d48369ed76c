//! A message to many, as it is queued for each of them.

use std::sync::Arc;

use ws_core::Broadcast;

use super::queued::PER_MESSAGE;

/// What happens to a message to many where a client does not keep up. It does not if
/// [`Limits::send_buffer`](crate::Limits::send_buffer) bytes wait for it and its socket was full at
/// the last write, or if `max_send_buffer` bytes wait in any case. So a burst harms no client that is
/// only waiting for its turn.
///
/// A publisher that would rather wait for slow clients uses
/// [`Clients::publish_wait`](crate::Clients::publish_wait).
///
/// The policy acts on messages to many that were not encoded yet, so a compressed stream never has
/// gaps. [`DropOldest`](Self::DropOldest) and [`DropNewest`](Self::DropNewest) drop nothing that the
/// handler and [`Sender`](crate::Sender)s send, and keep its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowConsumer {
    /// Drops everything that waits and closes the connection with 1013, so that the client comes back
    /// and asks for what it missed. For messages that build on one another.
    #[default]
    Close,
    /// Drops the oldest ones, as many as are needed; drops the new one where that would make no room.
    /// For news.
    DropOldest,
    /// Drops the new one. For what is repeated anyway.
    DropNewest,
}

/// What is queued for each of many.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) broadcast: Broadcast,
    pub(crate) key: Option<Key>,
    pub(crate) slow_consumer: SlowConsumer,
    /// Whether it waited for those that are slow.
    pub(crate) waited: bool,
}

impl Post {
    /// What it counts where it waits.
    pub(crate) fn bytes(&self) -> usize {
        PER_MESSAGE + self.broadcast.message().len()
    }
}

/// A topic and a key in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(crate) Arc<(Option<Arc<str>>, Box<str>)>);
