//! Sending a message in pieces.
//!
//! A writer takes a ticket like any other sender (see `waiters`). From then on, until it has queued
//! the end of its message, it alone may queue messages for this connection; the others wait for their
//! turns, and broadcasts stay in their own queue, where policies find them. Pings, a Close and flushes
//! may come between the pieces.

use std::task::{Context, Poll, Waker};

use ws_core::{CloseCode, MessageKind, Payload, extension::Compression};

use super::{
    Bounds, HeldTicket, Outbox, Queued, State, deferred::Deferred, has_room, queued::PER_MESSAGE,
    waiters::Wanted,
};
use crate::SendError;

/// The writer whose turn it is.
pub(super) struct Writer {
    /// The ticket that it was admitted with.
    pub(super) ticket: u64,
    /// Whether its message has begun.
    pub(super) begun: bool,
    /// Set while it waits for room.
    waker: Option<Waker>,
}

impl Writer {
    pub(super) fn new(ticket: u64) -> Self {
        Self { ticket, begun: false, waker: None }
    }

    pub(super) fn wake(&mut self, deferred: &mut Deferred) {
        if let Some(waker) = self.waker.take() {
            deferred.wake(waker);
        }
    }
}

impl Outbox {
    /// Waits for the writer's turn.
    pub(crate) fn wait_to_stream(&self) -> Result<HeldTicket, SendError> {
        let mut state = self.state();
        if state.closing {
            return Err(SendError::Closed);
        }
        let ticket = state.queue_up(Wanted::Stream);
        self.settle(&mut state);
        Ok(HeldTicket::new(ticket))
    }

    /// Queues a piece of the writer's message, and before the first one its start, once there is room.
    pub(crate) fn poll_piece(
        &self,
        start: (MessageKind, Compression),
        piece: &mut Option<Payload>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let len = PER_MESSAGE + piece.as_ref().map_or(0, Payload::len);
        let bounds = self.bounds();
        let mut fresh = None;
        loop {
            let mut state = self.state();
            if state.closing {
                return Poll::Ready(Err(SendError::Closed));
            }
            if state.has_room_for_piece(len, bounds) {
                state.begin_message(start);
                if let Some(piece) = piece.take() {
                    state.push(Queued::Chunk(piece));
                }
                self.queued(&mut state);
                return Poll::Ready(Ok(()));
            }
            let waker = &mut state.writer().waker;
            let older = match (waker, fresh.take()) {
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

    /// Queues the end of the writer's message, and its start if it is empty. Ends the writer's turn.
    pub(crate) fn end_message(&self, start: (MessageKind, Compression)) -> Result<(), SendError> {
        let mut state = self.state();
        if state.closing {
            return Err(SendError::Closed);
        }
        state.begin_message(start);
        state.push(Queued::End(start.0));
        state.waiters().writer = None;
        self.queued(&mut state);
        self.settle(&mut state);
        Ok(())
    }

    /// Ends the turn of a writer that was dropped. A message that has begun cannot be finished by anybody
    /// else: then the connection closes.
    pub(crate) fn give_up_message(&self) {
        let mut state = self.state();
        if state.closing {
            return;
        }
        if state.is_message_unfinished() {
            self.queue_close(&mut state, CloseCode::INTERNAL_ERROR, "message given up");
        } else {
            state.waiters().writer = None;
            self.settle(&mut state);
        }
    }
}

impl State {
    fn writer(&mut self) -> &mut Writer {
        self.waiters().writer.get_or_insert_with(|| Writer::new(0))
    }

    /// Queues the start of the writer's message, unless it was queued.
    fn begin_message(&mut self, (kind, compression): (MessageKind, Compression)) {
        let writer = self.writer();
        if !writer.begun {
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
        let broadcasts = self.broadcasts.as_ref().map_or(0, |broadcasts| broadcasts.bytes());
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
