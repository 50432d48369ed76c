//! A message that is received in pieces.

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};
use ws_core::{MessageKind, Payload};

use super::receiving::Beginning;
use crate::{Interrupted, WebSocket, outbox::Piece};

/// A message that is received as it comes, made by [`WebSocket::recv_streaming`].
///
/// [`chunk`](Self::chunk) gives its data; so does `AsyncRead`, for `tokio::io::copy` and the like.
/// Dropped before the end, it leaves the rest of the message unread: the next
/// [`recv_streaming`](WebSocket::recv_streaming) or [`recv`](WebSocket::recv) skips it. Until then at
/// most [`Limits::receive_ahead`](crate::Limits::receive_ahead) of it is received, and the peer is paused.
///
/// ```
/// use ws_server::{Limits, Route, Server, WebSocket};
///
/// let upload = |mut ws: WebSocket| async move {
///     while let Some(mut message) = ws.recv_streaming().await {
///         let mut octets = 0;
///         while let Some(chunk) = message.chunk().await? {
///             octets += chunk.len();
///         }
///         ws.send(format!("{octets} octets")).await?;
///     }
///     Ok(())
/// };
/// let route = Route::new(upload).limits(Limits::default().streaming(true));
/// let server = Server::new().route("/upload", route);
/// ```
pub struct MessageReader<'a> {
    ws: &'a mut WebSocket,
    kind: MessageKind,
    /// What was received and not read.
    rest: Bytes,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// More may come.
    Open,
    Ended,
    Interrupted,
}

impl<'a> MessageReader<'a> {
    pub(super) fn new(ws: &'a mut WebSocket, beginning: Beginning) -> Self {
        let Beginning { kind, data, whole } = beginning;
        let state = if whole { State::Ended } else { State::Open };
        Self { ws, kind, rest: data.into(), state }
    }

    /// Whether it is text or binary. The data of a text is valid UTF-8, but a code point may be cut
    /// between two chunks.
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// Receives more of the message: what has come of it, at most 64 KiB (on a connection that receives
    /// [whole messages](crate::Limits#structfield.streaming), all of it). `None` is its end.
    ///
    /// # Errors
    /// [`Interrupted`]: the connection ended before the message did, or the message is faulty (text that
    /// is no UTF-8, data that cannot be inflated).
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call loses nothing.
    pub fn chunk(
        &mut self,
    ) -> impl Future<Output = Result<Option<Payload>, Interrupted>> + Send + use<'_, 'a> {
        poll_fn(|cx| self.poll_chunk(cx))
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Payload>, Interrupted>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.rest).into())));
        }
        match self.state {
            State::Open => {}
            State::Ended => return Poll::Ready(Ok(None)),
            State::Interrupted => return Poll::Ready(Err(Interrupted)),
        }
        let piece = ready!(self.ws.poll_piece(cx));
        if let Some(Piece::Chunk(data)) = piece {
            return Poll::Ready(Ok(Some(data)));
        }
        self.ws.leave_message();
        if piece.is_none() {
            self.state = State::Interrupted;
            return Poll::Ready(Err(Interrupted));
        }
        self.state = State::Ended;
        Poll::Ready(Ok(None))
    }
}

/// Reads the data of the message. [`Interrupted`] is an error of the kind
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
impl AsyncRead for MessageReader<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match ready!(self.poll_chunk(cx)) {
            Err(error) => {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, error)));
            }
            Ok(None) => {}
            Ok(Some(data)) if data.len() <= buffer.remaining() => buffer.put_slice(&data),
            Ok(Some(data)) => {
                self.rest = data.into();
                let n = buffer.remaining();
                buffer.put_slice(self.rest.get(..n).unwrap_or_default());
                self.rest.advance(n);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for MessageReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageReader")
            .field("ws", &self.ws)
            .field("kind", &self.kind)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
