//! A message to many, and how it is to reach them.

use std::{fmt, sync::Arc};

use ws_core::{Broadcast, Message, extension::Compression};

use crate::{ClientId, outbox::PER_MESSAGE};

/// A message to many, and how it is to reach them. Whatever becomes a [`Message`] becomes one, so
/// this is only needed for more than that.
///
/// ```
/// # use ws_server::{Clients, Publication, SlowConsumer};
/// # fn publish(clients: &Clients) {
/// let price = Publication::new("EURUSD 1.0853").key("EURUSD");
/// clients.publish("prices", price);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Publication {
    message: Message,
    compression: Compression,
    except: Option<ClientId>,
    key: Option<Box<str>>,
    slow_consumer: Option<SlowConsumer>,
}

impl Publication {
    /// A message to many.
    pub fn new(message: impl Into<Message>) -> Self {
        Self {
            message: message.into(),
            compression: Compression::Auto,
            except: None,
            key: None,
            slow_consumer: None,
        }
    }

    /// With a hint for the extensions whether to compress. Default [`Compression::Auto`].
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// To all but this one: whoever wrote it, say. Called again, the last one counts.
    #[must_use]
    pub fn except(mut self, id: ClientId) -> Self {
        self.except = Some(id);
        self
    }

    /// Only the newest of this key is of interest: where an older one of the same topic and key still
    /// waits to be sent, this one takes its place in the queue, and the older one counts as dropped.
    ///
    /// What waits is what a client did not take yet, so a client that keeps up gets nearly all. A
    /// message to all, to a path or by a predicate has the key beside those of all topics.
    #[must_use]
    pub fn key(mut self, key: impl Into<Box<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// What happens where there is no room, in place of what the
    /// [server](crate::Server::slow_consumer) says.
    #[must_use]
    pub fn slow_consumer(mut self, policy: SlowConsumer) -> Self {
        self.slow_consumer = Some(policy);
        self
    }

    pub(crate) fn excepted(&self) -> Option<ClientId> {
        self.except
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

impl<M: Into<Message>> From<M> for Publication {
    fn from(message: M) -> Self {
        Self::new(message)
    }
}

/// What happens to a message to many where a client does not keep up:
/// [`Limits::send_buffer`](crate::Limits::send_buffer) bytes wait for it and its socket was full when
/// it was written to last, or `max_send_buffer` bytes wait in any case. So a burst harms no client
/// that is only waiting for its turn.
///
/// To wait for slow clients is no policy of theirs but of who publishes:
/// [`Clients::publish_wait`](crate::Clients::publish_wait).
///
/// It acts on messages to many that were not encoded yet, so nothing of a compressed stream is ever
/// missing. What the handler and [`Sender`](crate::Sender)s send is not dropped by
/// [`DropOldest`](Self::DropOldest) and [`DropNewest`](Self::DropNewest), and keeps its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowConsumer {
    /// All that waits is dropped, and the connection closes with 1013, so that the client comes back
    /// and asks for what it missed. For messages that build on one another.
    #[default]
    Close,
    /// Those that wait for the longest time give way, as many as are needed; where that would make no
    /// room the new one is dropped. For news.
    DropOldest,
    /// The new one is dropped. For what is repeated anyway.
    DropNewest,
}

/// What became of a message to many.
///
/// Most programs need not look: what is not refused reaches everybody who keeps up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Published {
    /// It was queued for so many clients: 0 where nobody subscribes. One that it was dropped for, or
    /// that was closed, by its [`SlowConsumer`] policy is not among them.
    Here(usize),
    /// Somebody else is publishing to the same topic at this moment and queues it as well, behind what
    /// was published before, for those who subscribe now.
    Handed,
    /// It goes to nobody.
    Refused(Refused),
}

/// Why a message to many was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refused {
    /// More than 1 MiB of [`Handed`](Published::Handed) messages waits already. A publisher that may
    /// be faster than the server waits, with [`Clients::publish_wait`](crate::Clients::publish_wait).
    Full,
}

impl Published {
    /// For how many clients this call has queued it: 0 where somebody else does, or it was refused.
    pub fn here(self) -> usize {
        match self {
            Self::Here(queued) => queued,
            Self::Handed | Self::Refused(_) => 0,
        }
    }

    /// Whether it goes to nobody, and why.
    pub fn refused(self) -> Option<Refused> {
        match self {
            Self::Refused(reason) => Some(reason),
            Self::Here(_) | Self::Handed => None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("others publish faster than messages can be queued"),
        }
    }
}

impl std::error::Error for Refused {}

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
pub(crate) struct Key(Arc<(Option<Arc<str>>, Box<str>)>);
