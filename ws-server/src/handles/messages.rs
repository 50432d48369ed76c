//! A connection as a `Stream` and a `Sink`.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use futures_sink::Sink;
use ws_core::{CloseCode, Closed, Message};

use crate::{SendError, TrySendReason, WebSocket, outbox::SenderId};

impl WebSocket {
    /// Converts it to a `Stream` and `Sink` of messages, for combinators and for crates that take
    /// these: `split`, `forward`, `map`, codecs of other protocols.
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use ws_server::{Server, WebSocket};
    ///
    /// let echo = |ws: WebSocket| async move {
    ///     let (sink, stream) = ws.into_messages().split();
    ///     stream.map(Ok).forward(sink).await?;
    ///     Ok(())
    /// };
    /// let server = Server::new().any(echo);
    /// ```
    pub fn into_messages(self) -> Messages {
        Messages { ws: self, queued: None, waiting: None }
    }
}

/// A [`WebSocket`] as a `Stream` and a `Sink`, made by [`WebSocket::into_messages`].
///
/// The stream is [`WebSocket::recv`]. The sink is ready while there is room, as
/// [`WebSocket::send`] is; flushing it waits until all messages are queued, not until they are written:
/// they go out by themselves. Closing it closes the connection with 1000 and waits for the end.
///
/// Like a `send`, one that is dropped while it waits for room may drop its message.
pub struct Messages {
    ws: WebSocket,
    /// A message that found no room.
    queued: Option<Message>,
    waiting: Option<Waiting>,
}

/// What a sink waits for.
enum Waiting {
    Room(Pin<Box<dyn Future<Output = Result<(), SendError>> + Send>>),
    End(Pin<Box<dyn Future<Output = Closed> + Send>>),
}

impl Messages {
    /// The connection, for everything else.
    pub fn get_ref(&self) -> &WebSocket {
        &self.ws
    }

    /// The connection. A message that waits for room is dropped: flush first.
    pub fn into_inner(self) -> WebSocket {
        self.ws
    }

    /// Queues the message that waits, when there is room.
    fn poll_queue(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        while let Some(message) = self.queued.take() {
            match self.ws.try_send(message) {
                Ok(()) => {}
                Err(refused) if refused.reason == TrySendReason::Full => {
                    self.queued = Some(refused.message);
                    let mut room = match self.waiting.take() {
                        Some(Waiting::Room(room)) => room,
                        _ => {
                            let outbox = Arc::clone(&self.ws.outbox);
                            Box::pin(async move { outbox.ready(SenderId::WEB_SOCKET).await })
                        }
                    };
                    match room.as_mut().poll(cx) {
                        Poll::Pending => {
                            self.waiting = Some(Waiting::Room(room));
                            return Poll::Pending;
                        }
                        Poll::Ready(outcome) => outcome?,
                    }
                }
                Err(_) => return Poll::Ready(Err(SendError::Closed)),
            }
        }
        self.waiting = None;
        Poll::Ready(Ok(()))
    }
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.ws.poll_recv(cx)
    }
}

impl<M: Into<Message>> Sink<M> for Messages {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_queue(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: M) -> Result<(), SendError> {
        match self.ws.try_send(message) {
            Ok(()) => Ok(()),
            Err(refused) if refused.reason == TrySendReason::Full => {
                self.queued = Some(refused.message);
                Ok(())
            }
            Err(_) => Err(SendError::Closed),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.poll_queue(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        loop {
            if let Some(Waiting::End(end)) = &mut self.waiting {
                ready!(end.as_mut().poll(cx));
                // So that closing again finds the end again.
                self.waiting = None;
                return Poll::Ready(Ok(()));
            }
            // What cannot be sent any more does not keep the connection from being closed.
            ready!(self.poll_queue(cx)).ok();
            self.ws.close(CloseCode::NORMAL, "").ok();
            let outbox = Arc::clone(&self.ws.outbox);
            self.waiting = Some(Waiting::End(Box::pin(async move { outbox.closed().await })));
        }
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Messages").field(&self.ws).finish()
    }
}
