//! What was read and not decoded, and reading more of it.

use std::{
    cell::Cell,
    collections::VecDeque,
    io, mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::{BufMut, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;
use ws_core::Message;

use super::{
    control_rate::ControlRate,
    core::Core,
    place::{PAGE, place},
    pool,
    receive::{UNIT, YIELD},
    receive_queue::ReceiveQueue,
};
use crate::outbox::Load;

/// What one read takes at most.
pub(super) const READ: usize = 64 * 1024;
/// What may be done in one turn before other tasks get theirs, in octets of received messages: with
/// extensions a read may become a thousand times as much.
pub(super) const WORK: usize = 256 * 1024;
/// What a message counts besides its octets, and a copy of one that is published: a turn has 256.
pub(super) const MESSAGE: usize = 1024;
/// What is left of a read is copied out of it if it is no more than this.
const LEFTOVER: usize = 4096;

thread_local! {
    /// What connections of this thread read into, one after the other. An idle one holds no buffer.
    static BUFFER: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// The receiving side of a connection.
pub(super) struct Input {
    /// What was read and not decoded.
    pub(super) buffer: BytesMut,
    /// Whether `buffer` may hold more than an unfinished header.
    pub(super) undecoded: bool,
    /// What was done in this turn: bytes of messages that were decoded, and as many as count for each
    /// message, for each yield, and for what the handler did.
    pub(super) work: usize,
    /// Messages that the handler took from `ahead`, and copies that it published: its part of the work.
    pub(super) handled: u16,
    /// The work with which the next unit of the task's budget is due.
    pub(super) pace: u32,
    /// How many messages were decoded.
    pub(super) messages: u16,
    /// How often the engine yielded.
    pub(super) yields: u8,
    pub(super) ended: bool,
    /// Whether the last read of this turn got less than it had room for: the socket had no more.
    pub(super) drained: bool,
    pub(super) ahead: ReceiveQueue,
    /// Whether a message was thrown away, so that none after it is received.
    pub(super) cut_off: bool,
    /// Whether tokio may not know that something lies in the socket.
    pub(super) unmarked: bool,
    /// Whether messages went to a receiver in another task.
    pub(super) delivered: bool,
    /// Whether the handler, as far as it receives in its turn, took everything and waits for more.
    pub(super) waits: bool,
    /// What wakes it then, if it is not polled with this task: inside of `FuturesUnordered`, say. In a
    /// box that stays, since most have none.
    pub(super) waiter: Option<Box<Option<Waker>>>,
    pub(super) control: ControlRate,
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
            ahead: ReceiveQueue::default(),
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
    pub(super) fn attend(&mut self) {
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
    pub(super) fn is_full(&self) -> bool {
        self.is_ahead() && !self.ws.is_close_awaited() && !self.deadlines.is_turn_over()
    }

    #[inline]
    pub(super) fn is_ahead(&self) -> bool {
        (!self.input.ahead.is_empty() || self.input.delivered) && self.is_far_ahead()
    }

    pub(super) fn is_far_ahead(&self) -> bool {
        let elsewhere = if self.input.delivered { self.outbox.ahead() } else { Load::default() };
        self.input.ahead.load().and(elsewhere).is_full(&self.outbox.limits)
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
