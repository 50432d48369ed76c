//! Receiving outside of the handler's turn, and in pieces.

use std::{
    collections::VecDeque,
    mem,
    task::{Context, Poll, ready},
};

use tokio::task::coop::poll_proceed;
use ws_core::{CloseCode, Message, MessageKind, Payload};

use crate::{WebSocket, drive::turn, outbox::Piece};

/// What most connections do not need to receive.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// Messages, or pieces, that were taken from the outbox in one go.
    batch: VecDeque<Message>,
    /// On a connection that receives messages in pieces: where it is.
    place: Option<Place>,
}

/// A place in the stream of pieces.
#[derive(Debug)]
pub(super) enum Place {
    Between,
    /// In a message that `recv` gathers.
    Gathering(MessageKind, Vec<u8>),
    /// In a message that a reader passes on, or left unread.
    Passing,
    /// After a message that was too large to be gathered.
    Failed,
}

/// The beginning of a message.
pub(super) struct Beginning {
    pub(super) kind: MessageKind,
    /// What has come of it.
    pub(super) data: Payload,
    /// Whether that is all.
    pub(super) whole: bool,
}

impl Receiving {
    /// For a connection that receives messages in pieces.
    pub(super) fn streaming() -> Self {
        Self { batch: VecDeque::new(), place: Some(Place::Between) }
    }
}

impl WebSocket {
    /// Receives what does not come in the handler's turn as a whole message.
    pub(super) fn poll_elsewhere(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        match &self.receiving {
            // The turn was asked already.
            None => self.poll_outbox(cx),
            Some(receiving) if receiving.place.is_none() => self.poll_item(cx),
            Some(_) => self.poll_gathered(cx),
        }
    }

    /// Receives the next message, or the next piece in its queued form, in a turn or outside.
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let pieces = self.place().is_some();
        let polled = match &self.receiving {
            Some(receiving) if !receiving.batch.is_empty() => None,
            _ if pieces => turn::with(&self.outbox, |core| core.poll_piece(cx)),
            _ => turn::with(&self.outbox, |core| core.poll_message(cx)),
        };
        polled.unwrap_or_else(|| self.poll_outbox(cx))
    }

    /// Receives outside of the handler's turn: in another task, say.
    fn poll_outbox(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        /// Messages for one unit of the task's budget.
        const PER_UNIT: usize = 8;
        loop {
            let mut batch = match &mut self.receiving {
                None => VecDeque::new(),
                Some(receiving) if receiving.batch.is_empty() => mem::take(&mut receiving.batch),
                Some(receiving) => {
                    // So that a task with an endless supply lets others have their turn. The last one
                    // of a batch counts, since it may be the only one.
                    if receiving.batch.len() % PER_UNIT == 1 {
                        ready!(poll_proceed(cx)).made_progress();
                    }
                    return Poll::Ready(receiving.batch.pop_front());
                }
            };
            match self.outbox.poll_inbound(&mut batch, cx) {
                Poll::Ready(true) => self.receiving.get_or_insert_default().batch = batch,
                Poll::Ready(false) => return Poll::Ready(None),
                Poll::Pending => {
                    // Where it waits nothing is kept for the next burst.
                    if self.receiving.as_ref().is_some_and(|receiving| receiving.place.is_none()) {
                        self.receiving = None;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn place(&mut self) -> Option<&mut Place> {
        self.receiving.as_mut()?.place.as_mut()
    }

    /// Receives the next piece on a connection that receives in pieces.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let inside = !matches!(self.place(), None | Some(Place::Between));
        let item = ready!(self.poll_item(cx));
        Poll::Ready(item.map(|item| Piece::read(item, inside)))
    }

    /// Gathers a message from its pieces.
    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            let Some(piece) = ready!(self.poll_piece(cx)) else {
                self.leave_message();
                return Poll::Ready(None);
            };
            let limit = self.outbox.limits.max_message;
            let Some(place) = self.place() else { return Poll::Ready(None) };
            match (&mut *place, piece) {
                (Place::Between, Piece::Start(kind)) => *place = Place::Gathering(kind, Vec::new()),
                (Place::Gathering(_, gathered), Piece::Chunk(data)) => {
                    if gathered.len() + data.len() > limit {
                        *place = Place::Failed;
                        let reason = format!("a message of more than {limit} bytes");
                        // After our own Close there is nothing to fail: the messages that follow
                        // are received.
                        if !self.outbox.fail(CloseCode::MESSAGE_TOO_BIG, &reason)
                            && let Some(place) = self.place()
                        {
                            *place = Place::Passing;
                        }
                    } else {
                        gathered.extend_from_slice(&data);
                    }
                }
                (Place::Gathering(kind, gathered), Piece::End) => {
                    let message = gathered_message(*kind, mem::take(gathered));
                    *place = Place::Between;
                    return Poll::Ready(Some(message));
                }
                (Place::Passing, Piece::End) => *place = Place::Between,
                // Skipped.
                _ => {}
            }
        }
    }

    /// Receives the beginning of the next message. Skips what is unread of the last one.
    pub(super) fn poll_beginning(&mut self, cx: &mut Context<'_>) -> Poll<Option<Beginning>> {
        loop {
            match self.place() {
                None => {
                    let message = ready!(self.poll_recv(cx));
                    return Poll::Ready(message.map(|message| Beginning {
                        kind: message.kind(),
                        data: message.into_payload(),
                        whole: true,
                    }));
                }
                // A `recv` that was dropped has begun with it.
                Some(place @ Place::Gathering(..)) => {
                    if let Place::Gathering(kind, data) = mem::replace(place, Place::Passing) {
                        let data = data.into();
                        return Poll::Ready(Some(Beginning { kind, data, whole: false }));
                    }
                }
                Some(_) => {}
            }
            let piece = ready!(self.poll_piece(cx));
            match (self.place(), piece) {
                (_, None) => {
                    self.leave_message();
                    return Poll::Ready(None);
                }
                (Some(place @ Place::Between), Some(Piece::Start(kind))) => {
                    *place = Place::Passing;
                    let data = Payload::new();
                    return Poll::Ready(Some(Beginning { kind, data, whole: false }));
                }
                (Some(place @ Place::Passing), Some(Piece::End)) => *place = Place::Between,
                _ => {}
            }
        }
    }

    /// Notes the end of a message, or of everything.
    pub(super) fn leave_message(&mut self) {
        if let Some(place) = self.place() {
            *place = Place::Between;
        }
    }
}

/// A message of data that the engine has checked.
fn gathered_message(kind: MessageKind, data: Vec<u8>) -> Message {
    match kind {
        MessageKind::Binary => data.into(),
        MessageKind::Text => match String::from_utf8(data) {
            Ok(text) => text.into(),
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into(),
        },
    }
}
