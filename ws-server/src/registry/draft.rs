//! A broadcast before its targets are known.

use std::sync::Arc;

use ws_core::{Broadcast, Message, extension::Compression};

use crate::{
    ClientId, SlowConsumer,
    outbox::post::{Key, Post},
};

/// The properties that a [`Publication`](crate::Publication) gives to a broadcast.
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

    /// Makes the form that is queued for each connection.
    pub(crate) fn into_post(self, topic: Option<&Arc<str>>, default: SlowConsumer) -> Post {
        Post {
            broadcast: Broadcast::with_compression(self.message, self.compression),
            key: self.key.map(|key| Key(Arc::new((topic.cloned(), key)))),
            slow_consumer: self.slow_consumer.unwrap_or(default),
            waited: false,
        }
    }
}
