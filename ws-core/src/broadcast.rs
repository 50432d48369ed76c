//! A message that goes to many connections.

use alloc::sync::Arc;

use crate::{Message, extension::Compression};

/// A message for many connections. A handle: cloning it is cheap.
///
/// Send it with [`Connection::send_broadcast`](crate::Connection::send_broadcast).
#[derive(Clone, Debug)]
pub struct Broadcast {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    message: Message,
    compression: Compression,
}

impl Broadcast {
    /// A message for many, with the hint [`Compression::Auto`].
    pub fn new(message: impl Into<Message>) -> Self {
        Self::with_compression(message, Compression::Auto)
    }

    /// A message for many, with a hint for the extensions whether to compress.
    pub fn with_compression(message: impl Into<Message>, compression: Compression) -> Self {
        Self { shared: Arc::new(Shared { message: message.into(), compression }) }
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.shared.message
    }

    /// The hint for the extensions.
    pub fn compression(&self) -> Compression {
        self.shared.compression
    }
}
