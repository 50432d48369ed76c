//! Sending a message in pieces.
//!
//! A writer takes a ticket like any other sender (see `waiters`). From then on, until it has queued
//! the end of its message, it alone may queue messages for this connection; the others wait for their
//! turns, and broadcasts stay in their own queue, where policies find them. Pings, a Close and flushes
//! may come between the pieces. A turn in which no message begins, since the task that writes waits for
//! something else, ends like an unused reservation, and the writer takes its next ticket.

use std::task::{Context, Poll, Waker, ready};

use tokio::time::Instant;
use ws_core::{CloseCode, MessageKind, Payload, extension::Compression};

use super::{
    Bounds, HeldTicket, Outbox, Queued, State,
    deferred::{Deferred, Locked},
    has_room,
    queued::PER_MESSAGE,
    waiters::Wanted,
};
use crate::SendError;

/// The writer whose turn it is.
pub(super) struct Writer {
    /// The ticket that it was admitted with.
    pub(super) ticket: u64,
    /// Whether its message has begun.
    pub(super) begun: bool,
    /// When its turn ends if its message has not begun.
    until: Instant,
    /// Set while it waits for room.
    waker: Option<Waker>,
}

impl Writer {
    pub(super) fn new(ticket: u64, until: Instant) -> Self {
        Self { ticket, begun: false, until, waker: None }
    }

    /// When its turn ends by itself.
    pub(super) fn ends(&self) -> Option<Instant> {
        (!self.begun).then_some(self.until)
    }

    pub(super) fn wake(&mut self, deferred: &mut Deferred) {
        if let Some(waker) = self.waker.take() {
            deferred.wake(waker);
        }
    }
}

/// What a writer finds: `None` if its turn has ended before its message began.
type InTurn<T> = Option<Result<T, SendError>>;

impl Outbox {
    /// Waits for the writer's turn, with room for a first piece of `len` octets.
    pub(crate) fn wait_to_stream(&self, len: usize) -> Result<HeldTicket, SendError> {
        let mut state = self.state();
        if state.closing {
            return Err(SendError::Closed);
        }
        let ticket = state.queue_up(Wanted::Stream(len));
        self.settle(&mut state);
        Ok(HeldTicket::new(ticket))
    }

    /// Waits until the writer with this ticket has room for a piece of `len` octets. `None` is the end
    /// of its message, which needs room only if nothing else of it was queued.
    fn poll_in_turn(
        &self,
        ticket: u64,
        len: Option<usize>,
        cx: &Context<'_>,
    ) -> Poll<InTurn<Locked<'_>>> {
        let bytes = PER_MESSAGE + len.unwrap_or(0);
        let bounds = self.bounds();
        let mut fresh = None;
        loop {
            let mut state = self.state();
            if state.closing {
                return Poll::Ready(Some(Err(SendError::Closed)));
            }
            let has_room = state.has_room_for_piece(bytes, bounds);
            let Some(writer) = state.writer(ticket) else {
                return Poll::Ready(None);
            };
            if has_room || (len.is_none() && writer.begun) {
                return Poll::Ready(Some(Ok(state)));
            }
            let older = match (&mut writer.waker, fresh.take()) {
                (Some(waker), _) if waker.will_wake(cx.waker()) => return Poll::Pending,
                (waker, Some(fresh)) => waker.replace(fresh),
                (_, None) => {
                    // Never clone or drop a waker under the lock.
                    drop(state);
                    fresh = Some(cx.waker().clone());
                    continue;
                }
            };
            drop(state);
            drop(older);
            return Poll::Pending;
        }
    }

    /// Waits until there is room for a piece of `len` octets.
    pub(crate) fn poll_room(&self, ticket: u64, len: usize, cx: &Context<'_>) -> Poll<InTurn<()>> {
        let state = ready!(self.poll_in_turn(ticket, Some(len), cx));
        Poll::Ready(state.map(|state| state.map(|_| ())))
    }

    /// Queues a piece of the writer's message, and before the first one its start, once there is room.
    pub(crate) fn poll_piece(
        &self,
        ticket: u64,
        start: (MessageKind, Compression),
        piece: &mut Option<Payload>,
        cx: &Context<'_>,
    ) -> Poll<InTurn<()>> {
        let len = piece.as_ref().map_or(0, Payload::len);
        let state = ready!(self.poll_in_turn(ticket, Some(len), cx));
        Poll::Ready(state.map(|state| {
            let mut state = state?;
            state.begin_message(ticket, start);
            if let Some(piece) = piece.take() {
                state.push(Queued::Chunk(piece));
            }
            self.queued(&mut state);
            Ok(())
        }))
    }

    /// Queues the end of the writer's message, and its start if it is empty, once there is room for it.
    /// Ends the writer's turn.
    pub(crate) fn poll_end(
        &self,
        ticket: u64,
        start: (MessageKind, Compression),
        cx: &Context<'_>,
    ) -> Poll<InTurn<()>> {
        let state = ready!(self.poll_in_turn(ticket, None, cx));
        Poll::Ready(state.map(|state| {
            let mut state = state?;
            state.begin_message(ticket, start);
            state.push(Queued::End(start.0));
            state.waiters().writer = None;
            self.queued(&mut state);
            self.settle(&mut state);
            Ok(())
        }))
    }

    /// Ends the turn of a writer that was dropped. A message that has begun cannot be finished by anybody
    /// else: then the connection closes.
    pub(crate) fn give_up_message(&self, ticket: u64) {
        let mut state = self.state();
        let Some(writer) = state.writer(ticket) else {
            return;
        };
        if writer.begun {
            self.queue_close(&mut state, CloseCode::INTERNAL_ERROR, "message given up");
        } else {
            state.waiters().writer = None;
            self.settle(&mut state);
        }
    }
}

impl State {
    /// The writer with this ticket, if it has its turn.
    fn writer(&mut self, ticket: u64) -> Option<&mut Writer> {
        let writer = self.waiters.as_mut()?.writer.as_mut()?;
        (writer.ticket == ticket).then_some(writer)
    }

    /// Queues the start of the writer's message, unless it was queued.
    fn begin_message(&mut self, ticket: u64, (kind, compression): (MessageKind, Compression)) {
        if let Some(writer) = self.writer(ticket).filter(|writer| !writer.begun) {
            writer.begun = true;
            self.waiters().streams += 1;
            self.push(Queued::Start(kind, compression));
        }
    }

    /// Whether the message of a writer has begun and its end is not queued.
    pub(super) fn is_message_unfinished(&self) -> bool {
        let writer = self.waiters.as_ref().and_then(|waiters| waiters.writer.as_ref());
        writer.is_some_and(|writer| writer.begun)
    }

    /// Whether a piece, or a Ping between pieces, may be queued. Broadcasts that wait for the end of the
    /// message do not count, or the message would wait for them.
    pub(super) fn has_room_for_piece(&self, len: usize, bounds: Bounds) -> bool {
        let broadcasts = self.broadcasts.as_ref().map_or(0, |broadcasts| broadcasts.queue.bytes());
        let first = self.outbound.front().map(Queued::bytes);
        has_room(self.outbound_bytes - broadcasts, first, len, bounds)
    }

    /// Notes that an own message left the queue. While one is half sent, only its pieces follow.
    #[inline]
    pub(super) fn left(&mut self, own: &Queued) {
        match own {
            Queued::Start(..) => self.in_message = true,
            Queued::End(_) => {
                self.in_message = false;
                if let Some(waiters) = &mut self.waiters {
                    waiters.streams = waiters.streams.saturating_sub(1);
                }
            }
            _ => {}
        }
    }
}
