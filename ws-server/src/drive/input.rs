//! Reading, and the octets that were read but not decoded.

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
use ws_core::{BufferSize, Message};

use super::{
    control_rate::ControlRate,
    core::Core,
    page_offset::{PAGE, begin_mid_page},
    pool,
    pressure::Reading,
    receive::UNIT,
    receive_queue::ReceiveQueue,
};
use crate::{Traffic, outbox::Load};

/// Octets in one read at most.
pub(super) const READ: usize = 64 * 1024;
/// Work in one turn before other tasks get theirs, in octets of received messages: through
/// extensions, one read may expand a thousandfold.
pub(super) const WORK: usize = 256 * 1024;
/// What a message costs besides its octets, and what each copy of a published message costs: a turn
/// has 256.
pub(super) const MESSAGE: usize = 1024;
/// The rest of a read is copied out of the buffer if it is no longer than this.
const LEFTOVER: usize = 4096;

thread_local! {
    /// The buffer that the connections of this thread read into, one after the other. An idle
    /// connection holds none.
    static BUFFER: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// The receiving side of a connection.
pub(super) struct Input {
    /// Octets that were read but not decoded.
    pub(super) buffer: BytesMut,
    /// Whether `buffer` may hold more than an unfinished header.
    pub(super) undecoded: bool,
    /// The work of this turn: octets of decoded messages, a fixed cost for each message and each
    /// yield, and the handler's work.
    pub(super) work: usize,
    /// The work that is no message, in units of [`MESSAGE`]: yields, messages that the handler took
    /// from `ahead`, and copies that it published.
    pub(super) handled: u16,
    /// The amount of work at which the next unit of the task's budget is due, in units of [`MESSAGE`].
    pace: u16,
    /// Messages decoded in this turn: those that are text, and binary ones.
    pub(super) messages: [u16; 2],
    /// On a connection that receives messages in pieces: whether the current one is a text.
    pub(super) in_text: bool,
    pub(super) ended: bool,
    /// Whether the last read of this turn did not fill its buffer: the socket had no more.
    pub(super) drained: bool,
    pub(super) ahead: ReceiveQueue,
    /// Whether a message was discarded, so that no later one is received.
    pub(super) cut_off: bool,
    /// Whether the socket may hold data that tokio does not know of.
    pub(super) unmarked: bool,
    /// Whether messages went to a receiver in another task.
    pub(super) delivered: bool,
    /// Octets of these that it may not have taken.
    pub(super) handed_on: usize,
    /// Whether the handler, as far as it receives in its turn, took everything and waits for more.
    pub(super) waits: bool,
    /// The handler's own waker, if it is not polled by this task alone: inside of
    /// `FuturesUnordered`, say. The box stays, since most handlers have none.
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
            messages: [0; 2],
            in_text: false,
            ended: false,
            drained: false,
            ahead: ReceiveQueue::default(),
            cut_off: false,
            unmarked: false,
            delivered: false,
            handed_on: 0,
            waits: false,
            waiter: None,
            control: ControlRate::new(),
        }
    }

    /// The buffer to read into: a partial header continues in its own buffer, everything else goes
    /// into the thread's buffer.
    #[inline]
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        // Half of it is room enough, and avoids moving the data to the front after every small
        // read.
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
            begin_mid_page(&mut self.buffer);
        }
    }

    fn room(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    /// Begins a turn.
    pub(super) fn begin(&mut self) {
        (self.work, self.handled) = (0, 0);
        self.messages = [0; 2];
        self.set_pace();
        // More may have arrived since.
        self.drained = false;
    }

    /// Whether the next unit of the task's budget is due.
    #[inline]
    pub(super) fn is_unit_due(&self) -> bool {
        self.work >= usize::from(self.pace) * MESSAGE
    }

    /// Notes that a unit of the task's budget was spent.
    pub(super) fn set_pace(&mut self) {
        self.pace = u16::try_from((self.work + UNIT) / MESSAGE).unwrap_or(u16::MAX);
    }

    /// Whether everything that had arrived was read and decoded.
    pub(super) fn is_drained(&self) -> bool {
        self.drained && self.buffer.is_empty()
    }

    /// Counts a decoded message.
    #[inline]
    pub(super) fn count(&mut self, message: &Message) {
        self.work += message.len() + MESSAGE;
        // Indexed, since this is done for every message, and a branch or a sum costs more.
        let count = &mut self.messages[usize::from(matches!(message, Message::Binary(_)))];
        *count = count.wrapping_add(1);
    }

    /// What was decoded in this turn, without its octets on the wire.
    pub(super) fn received(&self) -> Traffic {
        let [texts, binaries] = self.messages.map(u64::from);
        let messages = texts + binaries;
        let counted = messages as usize * MESSAGE;
        let handled = usize::from(self.handled) * MESSAGE;
        Traffic { messages, texts, payload: (self.work - handled - counted) as u64, wire: 0 }
    }

    /// Whether the work of this turn is used up and more is left to decode or receive.
    pub(super) fn is_work_used_up(&self) -> bool {
        self.work >= WORK && (self.undecoded || !self.ahead.is_empty())
    }

    /// Charges for yields, and for messages that the handler took, or copies that it published, in
    /// its turn.
    #[inline]
    pub(super) fn handled(&mut self, messages: usize) {
        // Counts up to a full turn's work and no further.
        const ENOUGH: usize = WORK / MESSAGE;
        if usize::from(self.handled) < ENOUGH {
            let messages = messages.min(ENOUGH);
            self.handled += messages as u16;
            self.work += messages * MESSAGE;
        }
    }

    /// Notes that octets were read.
    pub(super) fn filled(&mut self, octets: usize) {
        self.undecoded = true;
        if self.ahead.is_excess_allowed() {
            self.ahead.add_excess(octets);
        }
    }

    /// Notes that the handler no longer waits for messages.
    #[inline]
    pub(super) fn stop_waiting(&mut self) {
        self.waits = false;
        if let Some(waiter) = &mut self.waiter {
            **waiter = None;
        }
    }

    /// Gives the thread's buffer back, and keeps the octets that were read but not decoded.
    pub(super) fn give_back(&mut self) {
        if self.buffer.len() <= LEFTOVER && self.buffer.capacity() > 0 {
            let mut whole = mem::take(&mut self.buffer);
            if !whole.is_empty() {
                self.buffer = BytesMut::from(&*whole);
                whole.clear();
            }
            // A buffer that a message fills cannot be reused until the message is dropped.
            if whole.capacity() > LEFTOVER || whole.try_reclaim(READ) {
                BUFFER.set(Some(whole));
            }
        }
        self.ahead.rest();
    }

    /// Ends decoding. Returns the messages that were decoded but not received.
    pub(super) fn into_ahead(mut self) -> VecDeque<Message> {
        // The next connection reads into the thread's buffer.
        self.buffer.clear();
        self.give_back();
        self.ahead.into_messages()
    }
}

impl Core {
    /// Reads once, at most `most` octets. A large message is read into the buffer that gathers it.
    pub(super) fn read<Io: AsyncRead>(
        &mut self,
        mut io: Pin<&mut Io>,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let now = self.now;
        let more = self.ws.read_payload(
            &self.input.buffer,
            |size| pool::take(size.needed, size.announced, now),
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

    /// Moves the beginning of a large message out of the thread's buffer.
    #[inline]
    pub(super) fn keep_large(&mut self) {
        let now = self.now;
        let allocate = |size: BufferSize| pool::take(size.needed, size.announced, now);
        self.ws.detach_large(&self.input.buffer, allocate);
    }

    /// Whether there is input to decode and room for its messages.
    pub(super) fn may_decode(&self) -> bool {
        (self.input.undecoded || self.input.ended)
            && self.is_open()
            && !self.is_reading_stopped()
            && !self.input.is_work_used_up()
    }

    /// Octets that may be read from the socket now.
    #[inline]
    pub(super) fn may_read(&mut self) -> usize {
        if !self.is_open() {
            return 0;
        }
        let full = self.is_full();
        let most = if full {
            self.input.ahead.excess_allowed()
        } else {
            self.input.ahead.reset_excess();
            usize::MAX
        };
        let most = if self.input.undecoded || self.input.ended { 0 } else { most };
        self.deadlines.paused(full, most > 0, self.now);
        if self.reading == Reading::Freely { most } else { self.may_read_little(most) }
    }

    /// Whether reading and decoding stop until the handler receives.
    pub(super) fn is_reading_stopped(&self) -> bool {
        let used_up = self.input.ahead.excess_allowed() == 0;
        used_up && !self.input.ended && self.is_open() && self.is_full()
    }

    /// Allows a little to be received beyond the limit, since reading is paused and no Pong
    /// arrived. Returns whether that is possible.
    pub(super) fn look_ahead(&mut self) -> bool {
        self.input.ahead.allow_excess() && !self.input.undecoded
    }

    /// Whether enough was decoded ahead of the handler.
    ///
    /// Reading goes on while our Close waits for the peer's, and after a handler used up its time
    /// for what a departed peer has sent. The excess is then discarded, with everything that
    /// follows.
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
        input.buffer().extend_from_slice(b"after a Close");
        let at = input.buffer.as_ptr();
        drop(input.into_ahead());
        let kept = BUFFER.take().expect("the thread has it");
        assert_eq!((kept.as_ptr(), kept.len()), (at, 0));
        BUFFER.set(Some(kept));
        assert_eq!(Input::new(BytesMut::new()).buffer().as_ptr(), at);
    }
}
