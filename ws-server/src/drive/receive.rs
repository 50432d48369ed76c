//! Decodes input, for the handler in its turn or ahead of it.

use std::task::{Context, Poll};

use tokio::task::coop::poll_proceed;
use ws_core::{CloseCode, Event, Message, MessageKind};

use super::{
    core::{ConnectionState, Core},
    input::{MESSAGE, WORK},
};
use crate::outbox::Piece;

/// The work for which the handler spends one unit of tokio's cooperative budget (a turn has 128).
/// One unit per message would cost a tenth of the time of a small message.
pub(super) const UNIT: usize = 8 * MESSAGE;
/// Work of the engine before it yields.
const YIELD: usize = 64 * 1024;
/// Octets of a header: the size of an empty message.
const HEADER: usize = 6;

impl Core {
    /// Whether the handler has received everything that came, or will receive no more.
    pub(super) fn is_handler_done(&self) -> bool {
        let waits = self.input.waits || self.outbox.receiver_waits();
        self.outbox.is_receiver_gone() || (waits && self.input.ahead.is_empty())
    }

    /// Wakes a handler that waits with its own waker, before it is polled.
    pub(super) fn wake_handler(&mut self) {
        self.input.waits = false;
        if let Some(waker) = self.input.waiter.as_mut().and_then(|waiter| waiter.take()) {
            waker.wake();
        }
    }

    /// Returns the next message to the handler in its turn.
    #[inline]
    pub(crate) fn poll_message(&mut self, task: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_received::<false>(task)
    }

    /// Returns the next piece, in its queued form, on a connection that receives messages in pieces.
    pub(crate) fn poll_piece(&mut self, task: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_received::<true>(task)
    }

    /// Compiled apart for pieces, since one more way to return a message costs every message.
    #[inline(always)]
    fn poll_received<const PIECES: bool>(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<Option<Message>> {
        if self.input.delivered {
            self.take_back();
        }
        if !self.input.ahead.is_empty() {
            return self.poll_ahead(task);
        }
        if self.input.undecoded && !self.input.cut_off {
            if self.input.is_unit_due() && !self.may_continue(task) {
                return Poll::Pending;
            }
            if let Some(message) = self.decode::<PIECES>() {
                self.input.stop_waiting();
                return Poll::Ready(Some(message));
            }
        }
        if self.is_over() {
            return Poll::Ready(None);
        }
        self.wait(task);
        Poll::Pending
    }

    /// Returns the next message that was decoded ahead.
    #[cold]
    fn poll_ahead(&mut self, task: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.input.is_unit_due() && !self.may_continue(task) {
            return Poll::Pending;
        }
        if self.is_ahead() {
            // The handler still receives. A Close may have been found beyond the limit of
            // `receive_ahead`.
            self.deadlines.received(self.is_closing(), self.now);
        }
        self.input.handled(1);
        self.input.stop_waiting();
        Poll::Ready(self.input.ahead.pop())
    }

    /// Whether the handler's turn goes on. If so, consumes a unit of the task's budget; otherwise
    /// wakes the handler for its next turn.
    #[cold]
    fn may_continue(&mut self, task: &mut Context<'_>) -> bool {
        if self.input.work >= WORK {
            self.wait(task);
            return false;
        }
        if let Poll::Ready(coop) = poll_proceed(task) {
            coop.made_progress();
            self.input.set_pace();
            return true;
        }
        self.input.stop_waiting();
        // A handler that spent the budget elsewhere may never receive: then the driver decodes
        // ahead, to see Pings and a Close.
        if self.input.work > 0 {
            self.input.handled(WORK / MESSAGE);
        }
        false
    }

    #[cold]
    fn take_back(&mut self) {
        (self.input.delivered, self.input.handed_on) = (false, 0);
        let (messages, load) = self.outbox.take_back();
        self.input.ahead.take_back(messages, load);
    }

    #[inline]
    fn wait(&mut self, task: &Context<'_>) {
        self.input.waits = true;
        if !self.output.is_task(task.waker()) {
            **self.input.waiter.get_or_insert_default() = Some(task.waker().clone());
        } else if let Some(waiter) = &mut self.input.waiter {
            **waiter = None;
        }
    }

    /// Decodes until a message is complete, or a piece of one, or the input is used up.
    #[inline]
    fn decode<const PIECES: bool>(&mut self) -> Option<Message> {
        while self.is_open() {
            let before = self.ws.encoded();
            match self.ws.poll_event(&mut self.input.buffer) {
                Some(Event::Message(message)) => {
                    self.deadlines.message_complete();
                    self.passed();
                    self.input.count(&message);
                    if self.input.buffer.is_empty() && self.ws.extensions().is_empty() {
                        // The engine holds nothing back here, so asking it again would be in vain.
                        self.input.undecoded = false;
                        self.deadlines.unfinished(None, self.now);
                    }
                    return Some(message);
                }
                Some(event) => {
                    self.output.shift_flushes(self.ws.encoded().saturating_sub(before));
                    if PIECES && matches!(event, Event::Start(_) | Event::Chunk(_) | Event::End) {
                        return Some(self.piece(event));
                    }
                    self.handle(event);
                    if self.input.is_work_used_up() {
                        return None;
                    }
                }
                None => break,
            }
        }
        self.input.undecoded = false;
        self.deadlines.unfinished(self.unfinished(), self.now);
        None
    }

    /// Octets received of an incomplete message, if there is one.
    fn unfinished(&self) -> Option<u64> {
        match self.ws.unfinished() {
            Some(unfinished) => Some(unfinished.message_received),
            // A partial header begins a message.
            None => (!self.input.buffer.is_empty()).then_some(0),
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Ping(ref payload) | Event::Pong(ref payload) => {
                self.input.ahead.count_control(HEADER + payload.len());
                if matches!(event, Event::Pong(_)) {
                    self.answered(payload.is_empty());
                }
                if self.ws.unfinished().is_none() {
                    self.deadlines.message_complete();
                }
                if !self.input.control.allow(self.now, &self.outbox.limits) {
                    // Fails only if we are closing anyway.
                    self.ws.fail(CloseCode::POLICY_VIOLATION, "too many control frames").ok();
                }
            }
            Event::Closing => {
                self.state = ConnectionState::closing();
                self.deadlines.closing(self.now);
            }
            Event::Closed(closed) => self.end(closed),
            // Charges work that produced no message yet, and may never.
            Event::Yield => self.input.handled(YIELD / MESSAGE),
            _ => {}
        }
    }

    /// Notes a Pong. Our Pings are empty, and only their Pongs tell a round trip.
    fn answered(&mut self, empty: bool) {
        let written = self.output.written();
        let time = self.deadlines.ponged(written, &self.outbox.limits, self.now);
        if let Some(time) = time
            && empty
        {
            self.outbox.set_round_trip(time);
        }
    }

    /// Counts a piece of a message, and gives it its queued form. Each costs a turn as much as a small message does.
    #[cold]
    #[inline(never)]
    fn piece(&mut self, event: Event) -> Message {
        self.passed();
        let piece = match event {
            Event::Start(kind) => {
                self.input.handled(1);
                self.input.in_text = kind == MessageKind::Text;
                Piece::Start(kind)
            }
            Event::Chunk(data) => {
                // A Pong between the pieces is no progress.
                self.deadlines.message_complete();
                self.input.handled(1);
                self.input.work += data.len();
                Piece::Chunk(data)
            }
            _ => {
                self.deadlines.message_complete();
                self.input.work += MESSAGE;
                let count = &mut self.input.messages[usize::from(!self.input.in_text)];
                *count = count.wrapping_add(1);
                Piece::End
            }
        };
        piece.into()
    }

    /// Decodes what the handler left, so that control frames are seen while it waits for something
    /// else. Hands messages to a receiver in another task.
    #[inline]
    pub(super) fn decode_ahead(&mut self) {
        if self.may_decode() {
            self.decode_all();
        }
        if self.outbox.receiver_waits() && !self.input.ahead.is_empty() {
            self.input.delivered = true;
            let outbox = &self.outbox;
            self.input.handed_on += self.input.ahead.load().bytes;
            self.input.ahead.hand_on(|messages, load| outbox.deliver(messages, load));
        }
    }

    fn decode_all(&mut self) {
        while self.may_decode() {
            let decoded = if self.outbox.limits.streaming {
                self.decode::<true>()
            } else {
                self.decode::<false>()
            };
            let Some(message) = decoded else {
                // The engine reports the end of the input only after it has decoded everything.
                if !self.input.ended {
                    break;
                }
                continue;
            };
            let ahead = self.is_ahead();
            if ahead {
                self.input.ahead.add_excess(HEADER + message.len());
            }
            self.input.cut_off |= self.outbox.is_receiver_gone() || (ahead && !self.is_full());
            if !self.input.cut_off {
                self.input.ahead.push(message);
            }
        }
    }
}
