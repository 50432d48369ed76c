//! A broadcast as it is queued for each connection.

use std::sync::Arc;

use ws_core::Broadcast;

use super::queued::PER_MESSAGE;

/// What happens to a broadcast for a client that does not keep up: one that has
/// [`Limits::send_buffer`](crate::Limits::send_buffer) bytes waiting and a socket that was full at
/// the last write, or `max_send_buffer` bytes waiting in any case. So a burst harms no client that
/// only waits for its driver's turn.
///
/// A publisher that would rather wait for slow clients uses
/// [`Clients::publish_wait`](crate::Clients::publish_wait).
///
/// The policy acts only on broadcasts that are not encoded yet, so a compressed stream never has
/// gaps. [`DropOldest`](Self::DropOldest) and [`DropNewest`](Self::DropNewest) never drop a message
/// from the handler or a [`Sender`](crate::Sender), and keep the order of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowConsumer {
    /// Drops all waiting messages and closes the connection with 1013, so that the client
    /// reconnects and asks for what it missed. For messages that build on one another.
    #[default]
    Close,
    /// Drops as many of the oldest broadcasts as needed, or the new one if that would not make
    /// enough room. For news.
    DropOldest,
    /// Drops the new broadcast. For messages that are repeated anyway.
    DropNewest,
}

/// A broadcast as it is queued for each connection.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) broadcast: Broadcast,
    /// The topic's own copy of its name, if it goes to a topic.
    pub(crate) topic: Option<Arc<str>>,
    pub(crate) key: Option<Key>,
    pub(crate) slow_consumer: SlowConsumer,
    /// Whether the publisher waited for slow clients.
    pub(crate) waited: bool,
}

impl Post {
    /// Whether it goes to this topic, named by its own copy of the name.
    pub(super) fn is_of(&self, topic: &Arc<str>) -> bool {
        self.topic.as_ref().is_some_and(|it| Arc::ptr_eq(it, topic))
    }

    /// Octets that it counts for while it waits.
    pub(crate) fn bytes(&self) -> usize {
        PER_MESSAGE + self.broadcast.message().len()
    }
}

/// A topic and a key in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(crate) Arc<(Option<Arc<str>>, Box<str>)>);
