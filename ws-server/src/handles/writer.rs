//! A message that is sent in pieces.

use std::{
    fmt,
    future::poll_fn,
    io,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;
use ws_core::{MessageKind, Payload, Utf8Validator, extension::Compression};

use crate::{
    SendError, WebSocket,
    outbox::{HeldTicket, Outbox},
};

/// Octets that one call of `AsyncWrite` takes at most.
const COPIED: usize = 64 * 1024;

/// A message that is sent in pieces, made by [`WebSocket::send_streaming`] or
/// [`Sender::send_streaming`](crate::Sender::send_streaming).
///
/// Its first [`write`](Self::write) waits for its turn: after those who wait to send already. From then
/// until it is finished, everything else that is sent to this connection waits for the end of the message:
/// other messages in [`send`](WebSocket::send), broadcasts in their queue, where
/// [`SlowConsumer`](crate::SlowConsumer) decides about what exceeds
/// [`Limits::max_send_buffer`](crate::Limits::max_send_buffer). Pings and a Close go out between the pieces.
/// So finish what you begin; and where one task both writes a message and sends others to the same
/// connection, it must not wait for the others, or [flush](WebSocket::flush) them, first. Broadcasts that
/// wait when a Close cuts the message are not sent.
///
/// **Dropped after its first piece and before [`finish`](Self::finish), it closes the connection with
/// 1011**, since nobody could finish the message. Dropped before, it sends nothing.
///
/// `AsyncWrite` is the same, for `tokio::io::copy` and the like: `shutdown` finishes the message, and
/// `flush` does nothing, since pieces go out by themselves.
///
/// ```
/// # use ws_server::{HandlerError, MessageKind, WebSocket};
/// # use tokio::{fs::File, io::{AsyncWriteExt, copy}};
/// async fn download(mut ws: WebSocket) -> Result<(), HandlerError> {
///     let mut file = File::open("large.bin").await?;
///     let mut message = ws.send_streaming(MessageKind::Binary);
///     copy(&mut file, &mut message).await?;
///     message.finish().await?;
///     Ok(())
/// }
/// ```
///
/// Each piece is a frame (RFC 6455 §5.4), without extensions. With compression, frames are made as
/// the output of the compressor fills them, so what was written may go out only with later pieces.
#[must_use = "nothing is sent before `write` or `finish`"]
pub struct MessageWriter<'a> {
    outbox: Arc<Outbox>,
    kind: MessageKind,
    compression: Compression,
    utf8: Utf8Validator,
    state: State,
    /// A `WebSocket` sends nothing else meanwhile.
    borrowed: PhantomData<&'a mut WebSocket>,
}

enum State {
    Due,
    /// Waits for its turn.
    Waiting(HeldTicket),
    /// Has its turn, by this ticket.
    Open(u64),
    Ended,
}

impl MessageWriter<'_> {
    pub(super) fn new(outbox: Arc<Outbox>, kind: MessageKind) -> Self {
        Self {
            outbox,
            kind,
            compression: Compression::Auto,
            utf8: Utf8Validator::default(),
            state: State::Due,
            borrowed: PhantomData,
        }
    }

    /// A hint for the extensions whether to compress the message. After the first piece it has no effect.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Whether it is text or binary.
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// Sends a piece of the message, of any size. A text may be cut anywhere, even inside of a code
    /// point.
    ///
    /// Waits for the writer's turn, and for room, as [`send`](WebSocket::send) does:
    /// [`Limits::send_buffer`](crate::Limits::send_buffer) bytes of pieces may wait to be sent.
    ///
    /// # Errors
    /// [`SendError::Closed`]; [`SendError::InvalidUtf8`], after which the message goes on without this
    /// piece.
    ///
    /// # Cancel safety
    /// A call that is dropped while it waits has sent nothing of this piece, and the writer keeps its
    /// place in the line. Before the message has begun, its turn lasts a second: then others go first, and
    /// the next call waits for a turn again.
    pub async fn write(&mut self, data: impl Into<Payload>) -> Result<(), SendError> {
        let data = data.into();
        let utf8 = self.check(&data)?;
        let mut data = Some(data);
        poll_fn(|cx| self.poll_push(&mut data, cx)).await?;
        self.utf8 = utf8;
        Ok(())
    }

    /// Ends the message. One to which nothing was written is sent as an empty one.
    ///
    /// Only the first piece waits for a turn, so this returns at once after one. An empty message waits
    /// for its turn and for room, as [`send`](WebSocket::send) does.
    ///
    /// # Errors
    /// [`SendError::Closed`]; [`SendError::InvalidUtf8`] for a text that ends inside of a code point, which
    /// closes the connection as if the writer had been dropped.
    ///
    /// # Cancel safety
    /// A call that is dropped while it waits has sent nothing: it waits only for an empty message.
    pub async fn finish(mut self) -> Result<(), SendError> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    /// The check of the text so far and this piece.
    fn check(&self, data: &[u8]) -> Result<Utf8Validator, SendError> {
        let mut utf8 = self.utf8.clone();
        if self.kind == MessageKind::Text && !utf8.feed(data) {
            return Err(SendError::InvalidUtf8);
        }
        Ok(utf8)
    }

    /// Waits for the writer's turn, with room for a first piece of `len` octets. Then does `work` with its
    /// ticket, as often as the turn has ended before the message began.
    fn poll_in_turn(
        &mut self,
        len: usize,
        cx: &mut Context<'_>,
        mut work: impl FnMut(&Outbox, u64, &Context<'_>) -> Poll<Option<Result<(), SendError>>>,
    ) -> Poll<Result<(), SendError>> {
        loop {
            match &mut self.state {
                State::Due => self.state = State::Waiting(self.outbox.wait_to_stream(len)?),
                State::Waiting(turn) => {
                    let admitted = ready!(turn.poll(&self.outbox, cx));
                    let ticket = turn.number();
                    self.state = if admitted.is_ok() { State::Open(ticket) } else { State::Ended };
                    admitted?;
                }
                State::Open(ticket) => match ready!(work(&self.outbox, *ticket, cx)) {
                    Some(done) => return Poll::Ready(done),
                    None => self.state = State::Due,
                },
                State::Ended => return Poll::Ready(Err(SendError::Closed)),
            }
        }
    }

    fn poll_push(
        &mut self,
        data: &mut Option<Payload>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let (start, len) = ((self.kind, self.compression), data.as_ref().map_or(0, Payload::len));
        if len == 0 {
            // The engine sends no empty frames in the middle of a message.
            return Poll::Ready(match self.state {
                State::Ended => Err(SendError::Closed),
                _ => Ok(()),
            });
        }
        self.poll_in_turn(len, cx, |outbox, ticket, cx| outbox.poll_piece(ticket, start, data, cx))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.kind == MessageKind::Text && !self.utf8.is_complete() {
            return Poll::Ready(Err(SendError::InvalidUtf8));
        }
        let start = (self.kind, self.compression);
        let ended = ready!(
            self.poll_in_turn(0, cx, |outbox, ticket, cx| outbox.poll_end(ticket, start, cx))
        );
        self.state = State::Ended;
        Poll::Ready(ended)
    }
}

/// [`SendError::Closed`] is an error of the kind [`BrokenPipe`](io::ErrorKind::BrokenPipe),
/// [`SendError::InvalidUtf8`] one of the kind [`InvalidData`](io::ErrorKind::InvalidData). Copies what is
/// written.
impl AsyncWrite for MessageWriter<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let data = data.get(..COPIED).unwrap_or(data);
        if !data.is_empty() {
            // Before the check and the copy, or each wake-up would do them again.
            let len = data.len();
            let room =
                self.poll_in_turn(len, cx, |outbox, ticket, cx| outbox.poll_room(ticket, len, cx));
            ready!(room).map_err(io_error)?;
        }
        let utf8 = self.check(data).map_err(io_error)?;
        ready!(self.poll_push(&mut Some(data.into()), cx)).map_err(io_error)?;
        self.utf8 = utf8;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Ended = self.state {
            return Poll::Ready(Ok(()));
        }
        self.poll_finish(cx).map_err(io_error)
    }
}

fn io_error(error: SendError) -> io::Error {
    let kind = match error {
        SendError::InvalidUtf8 => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::BrokenPipe,
    };
    io::Error::new(kind, error)
}

impl Drop for MessageWriter<'_> {
    fn drop(&mut self) {
        match &self.state {
            State::Waiting(turn) => turn.give_up(&self.outbox),
            State::Open(ticket) => self.outbox.give_up_message(*ticket),
            State::Due | State::Ended => {}
        }
    }
}

impl fmt::Debug for MessageWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageWriter")
            .field("id", &self.outbox.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
