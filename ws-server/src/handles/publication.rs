//! A message to many, and how it is to reach them.

use ws_core::{Message, extension::Compression};

use crate::{
    ClientId, Published, SlowConsumer,
    drive::turn,
    registry::{delivery::Delivery, draft::Draft},
};

/// A message to many, and how it is to reach them. Everything that converts into a [`Message`]
/// converts into a `Publication`, so this type is needed only for its options.
///
/// ```
/// # use ws_server::{Clients, Publication, SlowConsumer};
/// # fn publish(clients: &Clients) {
/// let price = Publication::new("EURUSD 1.0853").key("EURUSD");
/// clients.publish("prices", price);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Publication(pub(crate) Draft);

impl Publication {
    /// A message to many.
    pub fn new(message: impl Into<Message>) -> Self {
        Self(Draft::new(message.into()))
    }

    /// With a hint for the extensions whether to compress. Default [`Compression::Auto`].
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.0.compression = compression;
        self
    }

    /// Leaves one connection out, such as the author's. The last call counts.
    #[must_use]
    pub fn except(mut self, id: ClientId) -> Self {
        self.0.except = Some(id);
        self
    }

    /// Keeps only the newest message of this key: where an older one of the same topic and key still
    /// waits to be sent, this one takes its place in the queue, and the older one counts as dropped.
    ///
    /// Only what a client has not taken yet waits, so a client that keeps up gets nearly all. Messages
    /// to all, to a path or by a predicate have keys of their own, apart from those of topics.
    #[must_use]
    pub fn key(mut self, key: impl Into<Box<str>>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    /// What happens where there is no room, in place of the
    /// [server's](crate::Server::slow_consumer) policy.
    #[must_use]
    pub fn slow_consumer(mut self, policy: SlowConsumer) -> Self {
        self.0.slow_consumer = Some(policy);
        self
    }
}

impl<M: Into<Message>> From<M> for Publication {
    fn from(message: M) -> Self {
        Self::new(message)
    }
}

/// Tells the turn of a handler that published, if this is one, what it did.
pub(crate) fn counted(delivery: Delivery) -> Published {
    if delivery.copies > 0 {
        turn::published(delivery.copies);
    }
    delivery.published
}
