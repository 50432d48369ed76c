//! A topic, for its subscribers to publish to.

use std::{fmt, sync::Arc};

use crate::{
    Publication, Published, SubscribeError,
    drive::turn,
    outbox::Outbox,
    registry::{Registry, delivery::Delivery},
};

/// A topic, as one of its subscribers has it. A handle: cloning it is cheap, and dropping it does not
/// end the subscription, which lasts until [`unsubscribe`](Self::unsubscribe) or the end of the
/// connection.
#[derive(Clone)]
pub struct Topic {
    name: Arc<str>,
    outbox: Arc<Outbox>,
    registry: Arc<Registry>,
}

impl Topic {
    /// Subscribes. A client's end has no registry.
    pub(crate) fn subscribe(
        outbox: &Arc<Outbox>,
        registry: Option<&Arc<Registry>>,
        topic: &str,
    ) -> Result<Self, SubscribeError> {
        let registry = registry.ok_or(SubscribeError::ClientEnd)?;
        let name = registry.subscribe(outbox, topic)?;
        Ok(Self { name, outbox: Arc::clone(outbox), registry: Arc::clone(registry) })
    }

    /// Subscribes, and sends what was missed first.
    pub(crate) fn subscribe_after(
        outbox: &Arc<Outbox>,
        registry: &Arc<Registry>,
        topic: &str,
        missed: impl IntoIterator<Item = Publication>,
    ) -> Result<Self, SubscribeError> {
        let name = registry.subscribe_after(outbox, topic, missed)?;
        Ok(Self { name, outbox: Arc::clone(outbox), registry: Arc::clone(registry) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As [`Clients::publish`](crate::Clients::publish): to all who subscribe, this connection
    /// included, and by the server's [`Backplane`](crate::Backplane) if it has one.
    pub fn publish(&self, publication: impl Into<Publication>) -> Published {
        counted(self.registry.publish(&self.name, publication.into()))
    }

    /// As [`Clients::publish_wait`](crate::Clients::publish_wait): as [`publish`](Self::publish), once
    /// every subscriber has room.
    ///
    /// # Panics
    /// As [`Clients::publish_wait`](crate::Clients::publish_wait).
    ///
    /// # Cancel safety
    /// A dropped call has published nothing.
    pub async fn publish_wait(&self, publication: impl Into<Publication>) -> Published {
        counted(self.registry.publish_wait(&self.name, publication.into()).await)
    }

    /// As [`publish`](Self::publish), to all but this connection. This replaces what the publication
    /// itself [excepts](Publication::except).
    pub fn publish_to_others(&self, publication: impl Into<Publication>) -> Published {
        self.publish(publication.into().except(self.outbox.id))
    }

    /// The number of subscribers.
    pub fn subscribers(&self) -> usize {
        self.registry.topics.find(&self.name).map_or(0, |(_, subscribers)| subscribers.count())
    }

    /// Ends the subscription of this connection, as
    /// [`WebSocket::unsubscribe`](crate::WebSocket::unsubscribe). Returns whether there was one.
    pub fn unsubscribe(&self) -> bool {
        unsubscribe(&self.outbox, Some(&self.registry), &self.name)
    }
}

/// Tells the turn of a handler that published, if this is one, what it did.
pub(crate) fn counted(delivery: Delivery) -> Published {
    if delivery.copies > 0 {
        turn::published(delivery.copies);
    }
    delivery.published
}

/// Whether there was a subscription.
pub(crate) fn unsubscribe(outbox: &Outbox, registry: Option<&Arc<Registry>>, topic: &str) -> bool {
    registry.is_some_and(|registry| registry.unsubscribe(outbox, topic))
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.name)
            .field("id", &self.outbox.id)
            .finish_non_exhaustive()
    }
}
