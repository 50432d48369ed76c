//! Compresses outgoing messages.

use core::mem;
use std::sync::atomic::{AtomicU64, Ordering};

use ws_core::{
    CloseCode, Payload,
    extension::{Chunk, ExtensionError, Sink},
};

use crate::{
    deflater::{Deflater, Position, Sizes},
    pool::{Pool, Room},
    record::Record,
    window::Window,
};

/// Bytes of sent plaintext that a connection keeps while it rests, or while many others are busy.
const LEAST: usize = 256;

/// One connection's outgoing half.
///
/// Between messages it holds only the record. The deflater that serves the next message knows what is
/// recorded or, if it also served the last message, all that its window holds. Both are correct,
/// because a sender need not look back at all.
#[derive(Debug)]
pub(crate) struct Encoder {
    window: Window,
    /// The most bytes to record.
    history: u16,
    /// Changed by [`change`](Self::change) alone, which reports its size to the pool.
    record: Record<LEAST>,
    pool: Pool,
    /// A broadcast that was sent after all that is recorded, and is not recorded yet. Boxed: a
    /// connection that rests has none.
    broadcast: Option<Box<Payload>>,
    position: Position,
    state: State,
}

#[derive(Debug)]
enum State {
    Resting,
    Compressing(Box<Deflater>),
    /// Everything is compressed and the flush marker written.
    Flushed(Box<Deflater>),
    Failed,
}

/// How far a message has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Encoded {
    /// There is no room for more output.
    Full,
    /// All input is consumed, and more is to come.
    Starved,
    /// The message is complete.
    Complete(Sizes),
}

impl Encoder {
    /// Keeps `history` bytes of sent plaintext for later messages to refer to; with 0 every message is
    /// compressed on its own.
    pub(crate) fn new(pool: &Pool, window: Window, history: usize) -> Self {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
        let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let history = history.min(window.size());
        Self {
            window,
            history: history as u16,
            record: Record::new(history),
            pool: pool.clone(),
            broadcast: None,
            position: Position { connection, messages: 0 },
            state: State::Resting,
        }
    }

    /// Another encoder of the same pool, which compresses every message on its own.
    pub(crate) fn without_history(&self, window: Window) -> Self {
        Self::new(&self.pool, window, 0)
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// Begins a message, at this level.
    pub(crate) fn begin(&mut self, level: u8) -> Result<(), ExtensionError> {
        self.record_broadcast();
        if matches!(self.state, State::Failed) {
            return Err(failed());
        }
        if !matches!(self.state, State::Resting) {
            // The last message was begun and not completed: the peer's window ends before it.
            self.record.clear();
            self.give_back();
        }
        let mut deflater = self.pool.deflater(self.window.of_deflater(), self.position);
        self.state = State::Failed;
        // RFC 7692 §7.2.1: if the "agreed parameters" contain no_context_takeover, the sender
        // "MUST start compressing each new message with an empty LZ77 sliding window." Then nothing
        // is recorded, and no deflater keeps its position.
        if deflater.begin(self.position, level, &self.record).is_err() {
            self.pool.discard(deflater);
            return Err(failed());
        }
        self.state = State::Compressing(deflater);
        Ok(())
    }

    pub(crate) fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Encoded, ExtensionError> {
        let result = self.deflate(input, out);
        if result.is_err() {
            if let Some(deflater) = self.take(State::Failed) {
                self.pool.discard(deflater);
            }
            self.change(Record::release);
        }
        result
    }

    fn deflate(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Encoded, ExtensionError> {
        loop {
            let (deflater, flushed) = match &mut self.state {
                State::Compressing(deflater) => (deflater, false),
                State::Flushed(deflater) => (deflater, true),
                State::Resting | State::Failed => return Err(failed()),
            };
            deflater.sizes.after += deflater.tail.write_to(out) as u64;
            if deflater.tail.has_more() || out.is_full() && !flushed {
                return Ok(Encoded::Full);
            }
            if flushed {
                // RFC 7692 §7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail
                // end."
                if !deflater.tail.is_marker() {
                    return Err(failed());
                }
                let sizes = deflater.sizes;
                self.complete();
                return Ok(Encoded::Complete(sizes));
            }
            if input.is_empty() && !input.is_last() {
                return Ok(Encoded::Starved);
            }
            if input.is_empty() && deflater.sizes.before == 0 {
                // An empty message is one octet, the header of an empty block (RFC 7692 §7.2.3.6). A
                // deflater that was flushed before would write nothing at all.
                deflater.tail.set(&[0x00, 0x00, 0x00, 0xff, 0xff]);
                self.flushed();
                continue;
            }
            let step = deflater.step(input, out).map_err(|_| failed())?;
            if !step.progress && !step.flushed {
                return Err(failed());
            }
            self.remember(input.data().get(..step.read).unwrap_or_default());
            input.consume(step.read);
            if step.flushed {
                self.flushed();
            }
        }
    }

    fn flushed(&mut self) {
        if let Some(deflater) = self.take(State::Resting) {
            self.state = State::Flushed(deflater);
        }
    }

    fn complete(&mut self) {
        self.position.messages += 1;
        if let Some(mut deflater) = self.take(State::Resting) {
            if self.history > 0 {
                deflater.leave_at(self.position);
            }
            self.pool.give_back(deflater);
        }
    }

    /// Gives back the deflater of an unfinished message.
    fn give_back(&mut self) {
        match mem::replace(&mut self.state, State::Resting) {
            State::Flushed(deflater) => self.pool.give_back(deflater),
            // After a reset in the middle of a message of level 1, all output is corrupt: zlib-rs goes on
            // with a block that it believes open.
            State::Compressing(deflater) => self.pool.discard(deflater),
            State::Resting | State::Failed => {}
        }
    }

    fn take(&mut self, next: State) -> Option<Box<Deflater>> {
        match mem::replace(&mut self.state, next) {
            State::Compressing(deflater) | State::Flushed(deflater) => Some(deflater),
            State::Resting | State::Failed => None,
        }
    }

    /// Records what entered the peer's window, as far as the pool has room.
    fn remember(&mut self, plain: &[u8]) {
        let most = self.most();
        self.change(|record| {
            record.limit(most);
            record.push(plain);
        });
    }

    /// The most bytes to record now.
    fn most(&self) -> usize {
        match self.pool.room() {
            Room::Plenty => self.history.into(),
            Room::Little => LEAST.min(self.history.into()),
            Room::None => 0,
        }
    }

    /// Changes the record, and reports to the pool what it holds, and how much of that is beyond what
    /// every connection may have.
    fn change(&mut self, change: impl FnOnce(&mut Record<LEAST>)) {
        let before = self.record.capacity();
        change(&mut self.record);
        let after = self.record.capacity();
        if before != after {
            self.pool.recount(before, after);
            self.pool.recount_extra(before.saturating_sub(LEAST), after.saturating_sub(LEAST));
        }
    }

    /// A broadcast went out that was compressed elsewhere: no deflater is at the peer's position any
    /// more, and the record ends before the broadcast.
    pub(crate) fn sent_broadcast(&mut self, plain: &Payload) {
        self.position.messages += 1;
        // Copy nothing for connections that may never send a message of their own again, and keep
        // nothing for those that never did.
        let refers = !self.record.is_empty() || self.broadcast.is_some();
        let small = plain.len() <= self.window.size();
        match &mut self.broadcast {
            Some(last) if small => **last = plain.clone(),
            last => *last = (refers && small).then(|| Box::new(plain.clone())),
        }
        self.record.clear();
    }

    /// Records the last broadcast.
    fn record_broadcast(&mut self) {
        if let Some(plain) = self.broadcast.take() {
            self.remember(&plain);
        }
    }

    /// Keeps a little sent plaintext for the next message to refer to.
    pub(crate) fn park(&mut self) {
        self.record_broadcast();
        let most = self.most().min(LEAST);
        self.change(|record| record.limit(most));
    }

    pub(crate) fn memory_usage(&self) -> usize {
        self.record.capacity()
            + self.broadcast.as_ref().map_or(0, |plain| size_of::<Payload>() + plain.len())
            + match &self.state {
                State::Compressing(deflater) | State::Flushed(deflater) => deflater.bytes(),
                State::Resting | State::Failed => 0,
            }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.give_back();
        self.change(Record::release);
    }
}

fn failed() -> ExtensionError {
    ExtensionError::new(CloseCode::INTERNAL_ERROR, "the deflater failed")
}
