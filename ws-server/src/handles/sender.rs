//! Sending from other tasks.

use std::{fmt, sync::Arc};

use ws_core::{CloseCode, Closed, Message, MessageKind, Payload, extension::Compression};

use crate::{
    ClientId, MessageWriter, PingError, Request, SendError, TrySendError,
    outbox::{Outbox, Queued, SenderId},
};

/// Sends to one connection from any task. A handle: cloning it is cheap, and it keeps nothing open.
///
/// Messages of one sender stay in order. A connection subscribes to topics by its
/// [`WebSocket`](crate::WebSocket), or by its [`Client`](crate::Client) in the list of the server.
pub struct Sender {
    outbox: Arc<Outbox>,
    id: SenderId,
}

impl Sender {
    pub(crate) fn new(outbox: Arc<Outbox>) -> Self {
        Self { outbox, id: SenderId::default() }
    }

    /// As [`WebSocket::send`](crate::WebSocket::send).
    ///
    /// # Errors
    /// [`SendError::Closed`].
    ///
    /// # Cancel safety
    /// A dropped call has queued the whole message or nothing. If it was waiting, the message may have
    /// been queued since the last poll.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let mut message = Some(Queued::Message(message.into(), Compression::Auto));
        self.outbox.send(&mut message, self.id.get()).await
    }

    /// As [`send`](Self::send), with a hint for the extensions whether to compress.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_with(
        &self,
        message: impl Into<Message>,
        compression: Compression,
    ) -> Result<(), SendError> {
        let mut message = Some(Queued::Message(message.into(), compression));
        self.outbox.send(&mut message, self.id.get()).await
    }

    /// A message that is sent in pieces. The writer is independent of this sender, and may be moved into any
    /// task.
    pub fn send_streaming(&self, kind: MessageKind) -> MessageWriter<'static> {
        MessageWriter::new(Arc::clone(&self.outbox), kind)
    }

    /// Queues a message if there is room now and nobody else is waiting for it.
    ///
    /// # Errors
    /// [`TrySendError`] gives the message back.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), TrySendError> {
        self.outbox.try_send(message.into(), Compression::Auto, Some(&self.id))
    }

    /// As [`WebSocket::ready`](crate::WebSocket::ready). The turn belongs to this sender alone, not to
    /// its clones.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call gives up its turn.
    pub async fn ready(&self) -> Result<(), SendError> {
        self.outbox.ready(self.id.get_or_new()).await
    }

    /// As [`WebSocket::flush`](crate::WebSocket::flush).
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn flush(&self) -> Result<(), SendError> {
        self.outbox.flush().await
    }

    /// As [`WebSocket::ping`](crate::WebSocket::ping).
    ///
    /// # Errors
    /// As there.
    pub fn ping(&self, payload: impl Into<Payload>) -> Result<(), PingError> {
        self.outbox.ping(payload.into())
    }

    /// As [`WebSocket::close`](crate::WebSocket::close).
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::InvalidCloseCode`].
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.outbox.close(code, reason)
    }

    /// Waits for the end of the connection and says how it ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn closed(&self) -> Closed {
        self.outbox.closed().await
    }

    /// Whether nothing more is taken for sending.
    pub fn is_closed(&self) -> bool {
        self.outbox.is_closing()
    }

    /// What is known from the opening handshake.
    pub fn request(&self) -> &Request {
        &self.outbox.request
    }

    /// Which connection this is.
    pub fn id(&self) -> ClientId {
        self.outbox.id
    }
}

/// A turn that [`ready`](Sender::ready) waited for stays with the original.
impl Clone for Sender {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.outbox))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let id = self.id.get();
        if id != SenderId::default().get() {
            self.outbox.forget_sender(id);
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("id", &self.outbox.id).finish_non_exhaustive()
    }
}
