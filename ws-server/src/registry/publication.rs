//! A message to many, and how it is to reach them.

use std::sync::{Arc, OnceLock};

use ws_core::{Broadcast, Message, extension::Compression};

use crate::{
    ClientId, SlowConsumer,
    outbox::post::{Key, Post},
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
///
/// A clone shares the payload, and what it is compressed and encoded to: a publication that goes to
/// several topics, or again and again to those who [come later](crate::Client::subscribe_after), is
/// encoded once.
#[derive(Debug)]
pub struct Publication {
    message: Message,
    compression: Compression,
    /// What clones share, once there are any.
    shared: OnceLock<Broadcast>,
    except: Option<ClientId>,
    key: Option<Box<str>>,
    slow_consumer: Option<SlowConsumer>,
}

/// What a [`Publication`] consists of, for those who carry it elsewhere, such as a
/// [`Backplane`](crate::Backplane). [`Publication::new`] and its setters make one of it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublicationParts<'a> {
    /// The message.
    pub message: &'a Message,
    /// See [`Publication::compression`].
    pub compression: Compression,
    /// See [`Publication::except`]. It is a connection of the server that published, and means nothing in
    /// another one.
    pub except: Option<ClientId>,
    /// See [`Publication::key`].
    pub key: Option<&'a str>,
    /// See [`Publication::slow_consumer`]. `None` is the policy of the server that delivers it.
    pub slow_consumer: Option<SlowConsumer>,
}

impl Publication {
    /// A message to many.
    pub fn new(message: impl Into<Message>) -> Self {
        Self {
            message: message.into(),
            compression: Compression::Auto,
            shared: OnceLock::new(),
            except: None,
            key: None,
            slow_consumer: None,
        }
    }

    /// With a hint for the extensions whether to compress. Default [`Compression::Auto`].
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        if compression != self.compression {
            self.compression = compression;
            // Its clones were made with the other hint.
            self.shared = OnceLock::new();
        }
        self
    }

    /// Leaves one connection out, such as the author's. The last call counts, and `None` leaves out
    /// nobody.
    #[must_use]
    pub fn except(mut self, id: impl Into<Option<ClientId>>) -> Self {
        self.except = id.into();
        self
    }

    /// Keeps only the newest message of this key: where an older one of the same topic and key still
    /// waits to be sent, this one takes its place in the queue, and the older one counts as dropped.
    ///
    /// Only what a client has not taken yet waits, so a client that keeps up gets nearly all. Messages
    /// to all, to a path or by a predicate have keys of their own, apart from those of topics.
    #[must_use]
    pub fn key(mut self, key: impl Into<Box<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// What happens where there is no room, in place of the
    /// [server's](crate::Server::slow_consumer) policy.
    #[must_use]
    pub fn slow_consumer(mut self, policy: SlowConsumer) -> Self {
        self.slow_consumer = Some(policy);
        self
    }

    /// What it consists of.
    pub fn parts(&self) -> PublicationParts<'_> {
        PublicationParts {
            message: &self.message,
            compression: self.compression,
            except: self.except,
            key: self.key.as_deref(),
            slow_consumer: self.slow_consumer,
        }
    }

    pub(crate) fn excepted(&self) -> Option<ClientId> {
        self.except
    }

    /// What clones of this publication share.
    fn shared(&self) -> &Broadcast {
        self.shared.get_or_init(|| broadcast(self.message.clone(), self.compression))
    }

    /// What is queued for a connection.
    pub(crate) fn into_broadcast(self) -> Broadcast {
        let shared = self.shared.into_inner();
        shared.unwrap_or_else(|| broadcast(self.message, self.compression))
    }

    /// Makes the form that is queued for each connection.
    pub(crate) fn into_post(mut self, topic: Option<Arc<str>>, default: SlowConsumer) -> Post {
        Post {
            key: self.key.take().map(|key| Key(Arc::new((topic.clone(), key)))),
            topic,
            slow_consumer: self.slow_consumer.unwrap_or(default),
            waited: false,
            broadcast: self.into_broadcast(),
        }
    }
}

fn broadcast(message: Message, compression: Compression) -> Broadcast {
    Broadcast::with_compression(message, compression)
}

impl Clone for Publication {
    fn clone(&self) -> Self {
        let shared = self.shared();
        Self {
            // That one keeps no larger buffer alive.
            message: shared.message().clone(),
            compression: self.compression,
            shared: OnceLock::from(shared.clone()),
            except: self.except,
            key: self.key.clone(),
            slow_consumer: self.slow_consumer,
        }
    }
}

impl<M: Into<Message>> From<M> for Publication {
    fn from(message: M) -> Self {
        Self::new(message)
    }
}
