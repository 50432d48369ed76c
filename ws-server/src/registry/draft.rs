//! A message to many before it is known whom it goes to.

use std::sync::Arc;

use ws_core::{Broadcast, Message, extension::Compression};

use crate::{
    ClientId, SlowConsumer,
    outbox::post::{Key, Post},
};

/// What [`Publication`](crate::Publication) says of a message to many.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) message: Message,
    pub(crate) compression: Compression,
    pub(crate) except: Option<ClientId>,
    pub(crate) key: Option<Box<str>>,
    pub(crate) slow_consumer: Option<SlowConsumer>,
}

impl Draft {
    pub(crate) fn new(message: Message) -> Self {
        let compression = Compression::Auto;
        Self { message, compression, except: None, key: None, slow_consumer: None }
    }

    /// What is queued for each.
    pub(crate) fn into_post(self, topic: Option<&Arc<str>>, default: SlowConsumer) -> Post {
        Post {
            broadcast: Broadcast::with_compression(self.message, self.compression),
            key: self.key.map(|key| Key(Arc::new((topic.cloned(), key)))),
            slow_consumer: self.slow_consumer.unwrap_or(default),
            waited: false,
        }
    }
}
