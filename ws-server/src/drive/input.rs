//! From octets to messages for the handler.

use std::{
    cell::Cell,
    collections::VecDeque,
    io, mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::{BufMut, BytesMut};
use tokio::{io::AsyncRead, task::coop::poll_proceed};
use tokio_util::io::poll_read_buf;
use ws_core::{CloseCode, Event, Message};

use super::{
    ahead::Ahead,
    control_rate::ControlRate,
    core::{ConnectionState, Core},
    place::{PAGE, place},
    pool,
};
use crate::outbox::Load;

/// What one read takes at most.
pub(super) const READ: usize = 64 * 1024;
/// What may be done in one turn before other tasks get theirs, in octets of received messages: with
/// extensions a read may become a thousand times as much.
pub(super) const WORK: usize = 256 * 1024;
/// What a message counts besides its octets, and a copy of one that is published: a turn has 256.
const MESSAGE: usize = 1024;
/// What the handler receives for one unit of tokio's cooperative budget, of which a turn has 128: for
/// each message it would cost a tenth of what a small one does.
const UNIT: usize = 8 * MESSAGE;
/// What the engine works through before it yields.
const YIELD: usize = 64 * 1024;
/// Octets of a header, which is what an empty message takes.
const HEADER: usize = 6;
/// What is left of a read is copied out of it if it is no more than this.
const LEFTOVER: usize = 4096;

thread_local! {
    /// What connections of this thread read into, one after the other. An idle one holds no buffer.
    static BUFFER: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// The receiving side of a connection.
pub(super) struct Input {
    /// What was read and not decoded.
    buffer: BytesMut,
    /// Whether `buffer` may hold more than an unfinished header.
    undecoded: bool,
    /// What was done in this turn: bytes of messages that were decoded, and as many as count for each
    /// message, for each yield, and for what the handler did.
    work: usize,
    /// Messages that the handler took from `ahead`, and copies that it published: its part of the work.
    handled: u16,
    /// The work with which the next unit of the task's budget is due.
    pace: u32,
    /// How many messages were decoded.
    messages: u16,
    /// How often the engine yielded.
    yields: u8,
    pub(super) ended: bool,
    /// Whether the last read of this turn got less than it had room for: the socket had no more.
    drained: bool,
    ahead: Ahead,
    /// Whether a message was thrown away, so that none behind it is received.
    cut_off: bool,
    /// Whether tokio may not know that something lies in the socket.
    pub(super) unmarked: bool,
    /// Whether messages went to a receiver in another task.
    delivered: bool,
    /// Whether the handler, as far as it receives in its turn, took everything and waits for more.
    waits: bool,
    /// What wakes it then, if it is not polled with this task: inside of `FuturesUnordered`, say. In a
    /// box that stays, since most have none.
    waiter: Option<Box<Option<Waker>>>,
    control: ControlRate,
}

impl Input {
    pub(super) fn new(buffer: BytesMut) -> Self {
        Self {
            undecoded: !buffer.is_empty(),
            buffer,
            work: 0,
            handled: 0,
            pace: 0,
            messages: 0,
            yields: 0,
            ended: false,
            drained: false,
            ahead: Ahead::default(),
            cut_off: false,
            unmarked: false,
            delivered: false,
            waits: false,
            waiter: None,
            control: ControlRate::new(),
        }
    }

    /// The buffer to read into: a header that is cut goes on where it began, everything else comes
    /// into the thread's buffer.
    #[inline]
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        // Half of it is room enough, and spares the move to the front after every small read.
        if self.room() < READ / 2 {
            self.make_room();
        }
        &mut self.buffer
    }

    fn make_room(&mut self) {
        if self.buffer.is_empty()
            && let Some(buffer) = BUFFER.take()
        {
            self.buffer = buffer;
        }
        if self.room() < READ / 2 {
            self.buffer.reserve(READ + PAGE);
        }
        if self.buffer.is_empty() {
            place(&mut self.buffer);
        }
    }

    fn room(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    /// A turn begins.
    pub(super) fn begin(&mut self) {
        (self.work, self.handled, self.messages, self.yields) = (0, 0, 0, 0);
        self.pace = UNIT as u32;
        // What came since is not known.
        self.drained = false;
    }

    /// Whether everything was read that had come, and decoded.
    pub(super) fn is_drained(&self) -> bool {
        self.drained && self.buffer.is_empty()
    }

    /// The messages that were decoded in this turn, and their bytes.
    pub(super) fn received(&self) -> (u64, u64) {
        let yielded = usize::from(self.yields) * YIELD;
        let counted = usize::from(self.messages) * MESSAGE;
        let handled = usize::from(self.handled) * MESSAGE;
        (u64::from(self.messages), (self.work - handled - yielded - counted) as u64)
    }

    /// Whether there is more to decode or to receive, and it has to wait for the next turn.
    pub(super) fn is_tired(&self) -> bool {
        self.work >= WORK && (self.undecoded || !self.ahead.is_empty())
    }

    /// The handler took so many messages, or published so many copies, in its turn.
    #[inline]
    pub(super) fn handled(&mut self, messages: usize) {
        // What is enough is counted once.
        const ENOUGH: usize = WORK / MESSAGE;
        if usize::from(self.handled) < ENOUGH {
            let messages = messages.min(ENOUGH);
            self.handled += messages as u16;
            self.work += messages * MESSAGE;
        }
    }

    /// So many octets were read.
    pub(super) fn filled(&mut self, octets: usize) {
        self.undecoded = true;
        if self.ahead.is_more_allowed() {
            self.ahead.go_beyond(octets);
        }
    }

    /// The handler does not wait for messages any more, or for something else.
    #[inline]
    fn attend(&mut self) {
        self.waits = false;
        if let Some(waiter) = &mut self.waiter {
            **waiter = None;
        }
    }

    /// Gives the thread's buffer back, but for what was read and not decoded.
    pub(super) fn put_back(&mut self) {
        if self.buffer.len() <= LEFTOVER && self.buffer.capacity() > 0 {
            let mut whole = mem::take(&mut self.buffer);
            if !whole.is_empty() {
                self.buffer = BytesMut::from(&*whole);
                whole.clear();
            }
            // Of a buffer that a message filled nothing is left, until the message is gone.
            if whole.capacity() > LEFTOVER || whole.try_reclaim(READ) {
                BUFFER.set(Some(whole));
            }
        }
        self.ahead.rest();
    }

    /// Nothing more is decoded. What was, and was not received.
    pub(super) fn into_ahead(mut self) -> VecDeque<Message> {
        // The next connection reads into the thread's buffer.
        self.buffer.clear();
        self.put_back();
        self.ahead.into_messages()
    }
}

impl Core {
    /// Reads once, at most so many octets, a large message into the buffer where it is gathered.
    pub(super) fn read<Io: AsyncRead>(
        &mut self,
        mut io: Pin<&mut Io>,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let now = self.now;
        let more = self.ws.read_payload(
            &self.input.buffer,
            |least, most| pool::take(least, most, now),
            |room| poll_read_buf(io.as_mut(), cx, &mut room.limit(READ.min(most))),
        );
        if let Some(more) = more {
            self.input.drained = false;
            return more;
        }
        let buffer = self.input.buffer();
        let room = most.min(buffer.capacity() - buffer.len());
        let read = poll_read_buf(io, cx, &mut buffer.limit(most));
        if let Poll::Ready(Ok(n)) = &read {
            self.input.drained = *n < room;
        }
        read
    }

    /// Moves a large message that began in the thread's buffer out of it.
    #[inline]
    pub(super) fn keep_large(&mut self) {
        let now = self.now;
        let buffer = |least, most| pool::take(least, most, now);
        self.ws.read_payload(&self.input.buffer, buffer, |_| ());
    }

    /// Whether there is something to decode, and room for it.
    pub(super) fn may_decode(&self) -> bool {
        (self.input.undecoded || self.input.ended)
            && self.is_open()
            && !self.is_deaf()
            && !self.input.is_tired()
    }

    /// How many octets may be read from the socket now.
    #[inline]
    pub(super) fn may_read(&mut self) -> usize {
        if !self.is_open() {
            return 0;
        }
        let full = self.is_full();
        let most = if full {
            self.input.ahead.more_allowed()
        } else {
            self.input.ahead.forget_beyond();
            usize::MAX
        };
        let most = if self.input.undecoded || self.input.ended { 0 } else { most };
        self.deadlines.paused(full, most > 0, self.now);
        most
    }

    /// Whether nothing more is read, nor decoded, until the handler receives.
    pub(super) fn is_deaf(&self) -> bool {
        let used_up = self.input.ahead.more_allowed() == 0;
        used_up && !self.input.ended && self.is_open() && self.is_full()
    }

    /// Reading is paused, and no Pong was heard: receives a little beyond the limit, where it may be.
    /// Whether that is possible.
    pub(super) fn look_ahead(&mut self) -> bool {
        self.input.ahead.allow_more() && !self.input.undecoded
    }

    /// Whether enough was decoded ahead of the handler.
    ///
    /// While our Close waits for the peer's, and when a handler had its time with what a peer that is
    /// gone has sent, reading goes on, and what is too much is thrown away with all that follows.
    fn is_full(&self) -> bool {
        self.is_ahead() && !self.ws.is_close_awaited() && !self.deadlines.is_turn_over()
    }

    #[inline]
    fn is_ahead(&self) -> bool {
        (!self.input.ahead.is_empty() || self.input.delivered) && self.is_far_ahead()
    }

    fn is_far_ahead(&self) -> bool {
        let elsewhere = if self.input.delivered { self.outbox.ahead() } else { Load::default() };
        self.input.ahead.load().and(elsewhere).is_full(&self.outbox.limits)
    }

    /// Whether the handler has seen everything that came, or will not.
    pub(super) fn is_attended(&self) -> bool {
        let waits = self.input.waits || self.outbox.receiver_waits();
        self.outbox.is_receiver_gone() || (waits && self.input.ahead.is_empty())
    }

    /// Wakes a handler that waits by a waker of its own, before it is polled.
    pub(super) fn wake_handler(&mut self) {
        self.input.waits = false;
        if let Some(waker) = self.input.waiter.as_mut().and_then(|waiter| waiter.take()) {
            waker.wake();
        }
    }

    /// The next message, for the handler in its turn.
    #[inline]
    pub(crate) fn poll_message(&mut self, task: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.input.delivered {
            self.take_back();
        }
        if !self.input.ahead.is_empty() {
            return self.poll_ahead(task);
        }
        if self.input.undecoded && !self.input.cut_off {
            if self.input.work >= self.input.pace as usize && !self.goes_on(task) {
                return Poll::Pending;
            }
            if let Some(message) = self.decode() {
                self.input.attend();
                return Poll::Ready(Some(message));
            }
        }
        if self.is_over() {
            return Poll::Ready(None);
        }
        self.wait(task);
        Poll::Pending
    }

    /// The next one of those that were decoded ahead.
    #[cold]
    fn poll_ahead(&mut self, task: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.input.work >= self.input.pace as usize && !self.goes_on(task) {
            return Poll::Pending;
        }
        if self.is_ahead() {
            // The handler still receives. A Close may have been found beyond what is received ahead.
            self.deadlines.received(self.is_closing(), self.now);
        }
        self.input.handled(1);
        self.input.attend();
        Poll::Ready(self.input.ahead.pop())
    }

    /// Whether the handler's turn goes on, for which a unit of the task's budget is consumed. It is
    /// woken for its next one otherwise.
    #[cold]
    fn goes_on(&mut self, task: &mut Context<'_>) -> bool {
        if self.input.work >= WORK {
            self.wait(task);
            return false;
        }
        if let Poll::Ready(coop) = poll_proceed(task) {
            coop.made_progress();
            self.input.pace = (self.input.work + UNIT) as u32;
            return true;
        }
        self.input.attend();
        // A handler that spent it elsewhere may never come to receive: then the driver decodes ahead,
        // to see Pings and a Close.
        if self.input.work > 0 {
            self.input.handled(WORK / MESSAGE);
        }
        false
    }

    #[cold]
    fn take_back(&mut self) {
        self.input.delivered = false;
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

    /// Decodes until there is a message, or nothing more to decode.
    #[inline]
    fn decode(&mut self) -> Option<Message> {
        while self.is_open() {
            let before = self.ws.encoded();
            match self.ws.poll_event(&mut self.input.buffer) {
                Some(Event::Message(message)) => {
                    self.deadlines.message_complete();
                    self.passed();
                    self.input.work += message.len() + MESSAGE;
                    self.input.messages = self.input.messages.wrapping_add(1);
                    if self.input.buffer.is_empty() && self.ws.extensions().is_empty() {
                        // The engine, which would be asked in vain, keeps nothing back.
                        self.input.undecoded = false;
                        self.deadlines.unfinished(None, self.now);
                    }
                    return Some(message);
                }
                Some(event) => {
                    self.output.overtaken(self.ws.encoded().saturating_sub(before));
                    self.see(event);
                    if self.input.is_tired() {
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

    /// Bytes that came of an incomplete message, if there is one.
    fn unfinished(&self) -> Option<u64> {
        match self.ws.unfinished() {
            Some(unfinished) => Some(unfinished.message_received),
            // A header that is cut is the begin of one.
            None => (!self.input.buffer.is_empty()).then_some(0),
        }
    }

    fn see(&mut self, event: Event) {
        match event {
            Event::Ping(ref payload) | Event::Pong(ref payload) => {
                self.input.ahead.count_control(HEADER + payload.len());
                if matches!(event, Event::Pong(_)) {
                    let written = self.output.written();
                    self.deadlines.answered(written, &self.outbox.limits, self.now);
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
            // Of what may not become a message for long, or never.
            Event::Yield => {
                self.input.work += YIELD;
                self.input.yields += 1;
            }
            _ => {}
        }
    }

    /// Decodes what the handler left, so that control frames are seen while it waits for something
    /// else, and hands messages to a receiver in another task.
    #[inline]
    pub(super) fn decode_ahead(&mut self) {
        if self.may_decode() {
            self.decode_all();
        }
        if self.outbox.receiver_waits() && !self.input.ahead.is_empty() {
            self.input.delivered = true;
            let outbox = &self.outbox;
            self.input.ahead.hand_on(|messages, load| outbox.deliver(messages, load));
        }
    }

    fn decode_all(&mut self) {
        while self.may_decode() {
            let Some(message) = self.decode() else {
                // The end of the input is told only once all of it was decoded.
                if !self.input.ended {
                    break;
                }
                continue;
            };
            let ahead = self.is_ahead();
            if ahead {
                self.input.ahead.go_beyond(HEADER + message.len());
            }
            self.input.cut_off |= self.outbox.is_receiver_gone() || (ahead && !self.is_full());
            if !self.input.cut_off {
                self.input.ahead.push(message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_connection_reads_into_the_buffer_of_the_last_one() {
        let mut input = Input::new(BytesMut::new());
        input.buffer().extend_from_slice(b"behind a Close");
        let at = input.buffer.as_ptr();
        drop(input.into_ahead());
        let kept = BUFFER.take().expect("the thread has it");
        assert_eq!((kept.as_ptr(), kept.len()), (at, 0));
        BUFFER.set(Some(kept));
        assert_eq!(Input::new(BytesMut::new()).buffer().as_ptr(), at);
    }
}
