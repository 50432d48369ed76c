//! A connection as its handler sees it.

use std::{
    any::Any,
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use ws_core::{CloseCode, Closed, Message, MessageKind, Payload, extension::Compression};

use crate::{
    Client, ClientId, Clients, MessageReader, MessageWriter, PingError, Request, SendError, Sender,
    SubscribeError, Topic, TrySendError,
    drive::turn,
    handles::{receiving::Receiving, sending::Sending, topic},
    outbox::{Outbox, SenderId},
    registry::Registry,
};

/// One end of an open connection.
///
/// The connection is driven beside the handler: Pings are answered, a Close is taken and queued
/// messages go out without a call to anything here. Dropping the `WebSocket` closes the connection
/// with 1000.
///
/// A `WebSocket` may be moved into another task; what it needs of the connection goes along. For
/// sending from several tasks there is [`sender`](Self::sender).
pub struct WebSocket {
    pub(super) outbox: Arc<Outbox>,
    /// A client's end has none.
    registry: Option<Arc<Registry>>,
    // In a box, since a handler holds a `WebSocket` twice, and most never need this.
    pub(super) receiving: Option<Box<Receiving>>,
}

impl WebSocket {
    pub(crate) fn new(outbox: Arc<Outbox>, registry: Option<Arc<Registry>>) -> Self {
        let receiving = outbox.limits.streaming.then(|| Box::new(Receiving::streaming()));
        Self { outbox, registry, receiving }
    }

    /// Receives the next message, or `None` when the connection has ended;
    /// [`closed`](Self::closed) says how it ended.
    ///
    /// On a connection that receives [in pieces](crate::Limits#structfield.streaming) it gathers those of a
    /// message, up to [`Limits::max_message`](crate::Limits::max_message); a larger one fails the connection
    /// with 1009.
    ///
    /// All messages that came before a Close are delivered first. Pings are answered without the
    /// handler and are not reported.
    ///
    /// Eight messages consume one unit of tokio's cooperative
    /// [budget](tokio::task::coop#cooperative-scheduling). A turn of the handler ends after 256
    /// messages (received, or published copies) or 256 KiB: then this is pending until other tasks
    /// have had their turns, even if more messages are there.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call loses no message.
    #[inline]
    pub fn recv(&mut self) -> impl Future<Output = Option<Message>> + Send {
        poll_fn(|cx| self.poll_recv(cx))
    }

    #[inline]
    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.receiving.is_none()
            && let Some(polled) = turn::with(&self.outbox, |core| core.poll_message(cx))
        {
            return polled;
        }
        self.poll_elsewhere(cx)
    }

    /// Receives the next message in pieces, as they come, or `None` when the connection has ended. For
    /// messages larger than memory, on a route or connection with
    /// [`Limits::streaming`](crate::Limits#structfield.streaming). Elsewhere the whole message is one piece.
    ///
    /// Skips what is unread of the message before.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call loses no message, and no piece of one that is to be read.
    pub async fn recv_streaming(&mut self) -> Option<MessageReader<'_>> {
        let beginning = poll_fn(|cx| self.poll_beginning(cx)).await?;
        Some(MessageReader::new(self, beginning))
    }

    /// Queues a message. Returns at once while fewer than
    /// [`Limits::send_buffer`](crate::Limits::send_buffer) bytes wait to be sent (256 KiB by
    /// default). Otherwise it waits for room: after those who wait already, before everything that is
    /// sent or published later, and at most until what is queued now has gone out.
    ///
    /// The message goes out as soon as the handler waits for anything; no flush is needed. After 256
    /// messages in one turn of the handler, sending waits until other tasks have had their turns.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is closing or closed.
    ///
    /// # Cancel safety
    /// A dropped call has queued the whole message or nothing. If it was waiting, the message may have
    /// been queued since the last poll. Use [`ready`](Self::ready) and
    /// [`try_send`](Self::try_send) where the message must not be lost.
    #[inline]
    pub fn send(
        &mut self,
        message: impl Into<Message>,
    ) -> impl Future<Output = Result<(), SendError>> + Send {
        self.send_with(message, Compression::Auto)
    }

    /// As [`send`](Self::send), with a hint for the extensions whether to compress.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    #[inline]
    pub fn send_with(
        &mut self,
        message: impl Into<Message>,
        compression: Compression,
    ) -> impl Future<Output = Result<(), SendError>> + Send {
        Sending::Due(&self.outbox, message.into(), compression)
    }

    /// A message that is sent in pieces, for one larger than memory or not known whole yet. Nothing else can
    /// be sent by this `WebSocket` meanwhile; where the same task also receives, use that of a
    /// [`Sender`](Sender::send_streaming).
    pub fn send_streaming(&mut self, kind: MessageKind) -> MessageWriter<'_> {
        MessageWriter::new(Arc::clone(&self.outbox), kind)
    }

    /// Queues a message if there is room now and nobody else is waiting for it.
    ///
    /// # Errors
    /// [`TrySendError`] gives the message back and says whether the connection is full or closed.
    pub fn try_send(&mut self, message: impl Into<Message>) -> Result<(), TrySendError> {
        self.outbox.try_send(message.into(), Compression::Auto, Some(SenderId::of_web_socket()))
    }

    /// Waits until [`try_send`](Self::try_send) has room, for a message as large as the one it refused
    /// last, if it refused one. All who wait to send get their turns in order.
    ///
    /// The room is kept for one second, or until this `WebSocket` sends or is dropped: what others send
    /// later is queued only if it leaves that room. Messages to many may fill the room, up to
    /// [`Limits::max_send_buffer`](crate::Limits::max_send_buffer); the message that was refused is
    /// then accepted all the same.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call gives up its turn.
    pub async fn ready(&self) -> Result<(), SendError> {
        self.outbox.ready(SenderId::WEB_SOCKET).await
    }

    /// Waits until the operating system has everything that was sent before, messages to many
    /// included, except those that a policy for slow consumers dropped. What waits for the end of a
    /// [message in pieces](Self::send_streaming) is waited for too; the pieces that come after this call
    /// are not, if nothing else was sent.
    ///
    /// # Errors
    /// [`SendError::Closed`] if the connection ended first, or if a message that was sent to it alone
    /// was dropped.
    ///
    /// # Cancel safety
    /// Cancel safe: what was sent goes out whether anybody waits for it or not.
    pub async fn flush(&self) -> Result<(), SendError> {
        self.outbox.flush().await
    }

    /// Subscribes to a topic: this client gets what is published to it from now on. Subscribing again
    /// changes nothing. The [`Topic`] is for publishing; dropping it does not end the subscription.
    ///
    /// ```
    /// # use ws_server::{HandlerError, Message, WebSocket};
    /// # async fn chat(mut ws: WebSocket) -> Result<(), HandlerError> {
    /// let room = ws.subscribe("room")?;
    /// while let Some(message) = ws.recv().await {
    ///     room.publish(message);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`Clients`](crate::Clients) says more about topics, and publishes from anywhere.
    ///
    /// # Errors
    /// [`SubscribeError::Closed`] when the connection is closing or closed,
    /// [`SubscribeError::TooMany`] at [`Limits::max_subscriptions`](crate::Limits::max_subscriptions),
    /// [`SubscribeError::TopicTooLong`] beyond [`Limits::max_topic`](crate::Limits::max_topic),
    /// [`SubscribeError::ClientEnd`] at a client's end.
    pub fn subscribe(&self, topic: impl AsRef<str>) -> Result<Topic, SubscribeError> {
        Topic::subscribe(&self.outbox, self.registry.as_ref(), topic.as_ref())
    }

    /// Ends a subscription, and returns whether there was one. What was published before may still
    /// arrive.
    pub fn unsubscribe(&self, topic: &str) -> bool {
        topic::unsubscribe(&self.outbox, self.registry.as_ref(), topic)
    }

    /// The number of messages to this client that were dropped because it does not keep up.
    pub fn dropped(&self) -> u64 {
        self.outbox.dropped()
    }

    /// Queues a Ping of at most 125 bytes after the messages sent before. The Pings that keep the
    /// connection alive are sent without this.
    ///
    /// # Errors
    /// [`PingError::Closed`], [`PingError::TooLong`], and [`PingError::Full`] where
    /// [`try_send`](Self::try_send) would refuse a message too. Who pings only to keep a path
    /// open may ignore that one: what is waiting keeps it open.
    pub fn ping(&mut self, payload: impl Into<Payload>) -> Result<(), PingError> {
        self.outbox.ping(payload.into())
    }

    /// Starts the closing handshake: queues a Close after the messages sent before
    /// ([RFC 6455 §5.5.1](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1)).
    ///
    /// Messages that the peer sends before its own Close can still be received, but the peer is no
    /// longer paused: what exceeds [`Limits::receive_ahead`](crate::Limits::receive_ahead) is
    /// discarded, with everything after it. [`closed`](Self::closed) waits for the end.
    ///
    /// A reason longer than the 123 bytes of a Close frame is cut between characters.
    ///
    /// # Errors
    /// [`SendError::Closed`] if it is closing already, [`SendError::InvalidCloseCode`].
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.outbox.close(code, reason)
    }

    /// Waits for the end of the connection and says how it ended. For a client, that is when the
    /// server has closed TCP too, or has failed to within
    /// [`Limits::close_timeout`](crate::Limits::close_timeout).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn closed(&self) -> impl Future<Output = Closed> + Send {
        // In a box, since handlers have room for it from the start and call it at the end, if at all.
        Box::pin(self.outbox.closed())
    }

    /// The opening handshake. At a client's end: the request that it sent, what was agreed on, and the
    /// server as the peer.
    pub fn request(&self) -> &Request {
        &self.outbox.request
    }

    /// The id of this connection among those of its server, or, at a client's end, among those that
    /// this process made.
    pub fn id(&self) -> ClientId {
        self.outbox.id
    }

    /// The value of this type that the application attached: the [gate](crate::Gate), with
    /// [`Admit::data`](crate::Admit::data), or the handler, with [`set_data`](Self::set_data).
    pub fn data<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.outbox.data.get()
    }

    /// Attaches a value, for [`data`](Self::data) and [`Client::data`](crate::Client::data): what a
    /// client says of itself in its first message, for example. One value of each type remains, the
    /// first; returns whether this one was attached.
    pub fn set_data<T: Any + Send + Sync>(&self, data: T) -> bool {
        self.outbox.data.insert(Box::new(data))
    }

    /// All connections of its server, for publishing by name and for finding others. `None` at a
    /// client's end.
    ///
    /// ```
    /// # use ws_server::{HandlerError, WebSocket};
    /// async fn chat(mut ws: WebSocket) -> Result<(), HandlerError> {
    ///     let clients = ws.clients().ok_or("this is a client")?;
    ///     ws.subscribe("chat")?;
    ///     while let Some(message) = ws.recv().await {
    ///         clients.publish("chat", message);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn clients(&self) -> Option<Clients> {
        Some(Clients { registry: Arc::clone(self.registry.as_ref()?) })
    }

    /// This connection, as others find it among the [clients](Self::clients). `None` at a client's end.
    pub fn client(&self) -> Option<Client> {
        let registry = Arc::clone(self.registry.as_ref()?);
        Some(Client { outbox: Arc::clone(&self.outbox), registry })
    }

    /// A handle for sending from other tasks, in place of a `split`: receiving stays here.
    #[doc(alias = "split")]
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.outbox))
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        self.outbox.receiver_gone();
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("id", &self.outbox.id)
            .field("path", &self.outbox.request.path())
            .finish_non_exhaustive()
    }
}
