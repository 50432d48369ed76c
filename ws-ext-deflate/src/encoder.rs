//! Compresses outgoing messages.

use core::mem;
use std::sync::atomic::{AtomicU64, Ordering};

use ws_core::{
    CloseCode, Payload,
    extension::{Chunk, ExtensionError, Sink},
};

use crate::{
    deflater::{Deflater, Sizes, Stamp},
    pool::{Counted, Pool, Room},
    record::Record,
    window::Window,
};

/// Bytes of what was sent that a connection keeps while it rests, or while many others are busy.
const LEAST: usize = 256;

/// One connection's outgoing half.
///
/// Between messages the record is all there is. Whatever deflater serves the next message knows
/// what is recorded; if it is the one that served the last message, all that its window holds. Both
/// are right, since a sender need not look back at all.
#[derive(Debug)]
pub(crate) struct Encoder {
    window: Window,
    /// Bytes that are recorded at most.
    history: u16,
    record: Record<LEAST>,
    /// A broadcast that was sent behind all that is recorded, and is not recorded yet. Boxed: a
    /// connection that rests has none.
    shared: Option<Box<Payload>>,
    stamp: Stamp,
    state: State,
}

#[derive(Debug)]
enum State {
    Resting,
    Compressing(Box<Deflater>),
    /// Everything is compressed and the mark written.
    Flushed(Box<Deflater>),
    Failed,
}

/// How far a message has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Encoded {
    /// There is no room for more output.
    Full,
    /// All input is taken, and there is more to come.
    Starved,
    Complete(Sizes),
}

impl Encoder {
    /// With `history` bytes of what was sent for later messages to refer to; with none every
    /// message is compressed on its own.
    pub(crate) fn new(pool: &Pool, window: Window, history: usize) -> Self {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
        let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let history = history.min(window.size());
        Self {
            window,
            history: history as u16,
            record: Record::new(pool, history),
            shared: None,
            stamp: Stamp { connection, messages: 0 },
            state: State::Resting,
        }
    }

    /// Another one of the same pool, which compresses every message on its own.
    pub(crate) fn once(&self, window: Window) -> Self {
        Self::new(self.record.pool(), window, 0)
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// Begins a message, at this level.
    pub(crate) fn begin(&mut self, level: u8) -> Result<(), ExtensionError> {
        self.record_shared();
        if matches!(self.state, State::Failed) {
            return Err(failed());
        }
        if !matches!(self.state, State::Resting) {
            // What the peer knows ended before the message that was begun and not completed.
            self.record.clear();
            self.give_back();
        }
        let mut deflater = self.record.pool().deflater(self.window.of_deflater(), self.stamp);
        self.state = State::Failed;
        // RFC 7692 §7.2.1: if the "agreed parameters" contain no_context_takeover, the sender
        // "MUST start compressing each new message with an empty LZ77 sliding window." Then nothing
        // is recorded, and no deflater is left where it stands.
        if deflater.begin(self.stamp, level, &self.record).is_err() {
            self.record.pool().discard(deflater);
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
                self.record.pool().discard(deflater);
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
            deflater.sizes.after += deflater.held.write_to(out) as u64;
            if deflater.held.has_more() || out.is_full() && !flushed {
                return Ok(Encoded::Full);
            }
            if flushed {
                // RFC 7692 §7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail
                // end."
                if !deflater.held.is_mark() {
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
                // An empty message is one octet, the header of an empty block (RFC 7692
                // §7.2.3.6). A deflater that was flushed before would give nothing at all.
                deflater.held.set(&[0x00, 0x00, 0x00, 0xff, 0xff]);
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
        self.stamp.messages += 1;
        if let Some(mut deflater) = self.take(State::Resting) {
            if self.history > 0 {
                deflater.leave_at(self.stamp);
            }
            self.record.pool().give_deflater(deflater);
        }
    }

    /// Gives the deflater of a message back that is not completed.
    fn give_back(&mut self) {
        match mem::replace(&mut self.state, State::Resting) {
            State::Flushed(deflater) => self.record.pool().give_deflater(deflater),
            // Whatever comes after a reset in the middle of a message of level 1 is corrupt: zlib-rs
            // goes on with a block that it thinks is open.
            State::Compressing(deflater) => self.record.pool().discard(deflater),
            State::Resting | State::Failed => {}
        }
    }

    fn take(&mut self, next: State) -> Option<Box<Deflater>> {
        match mem::replace(&mut self.state, next) {
            State::Compressing(deflater) | State::Flushed(deflater) => Some(deflater),
            State::Resting | State::Failed => None,
        }
    }

    /// Records what the peer's window now holds as well, as far as the pool has room.
    fn remember(&mut self, plain: &[u8]) {
        let most = self.most();
        self.change(|record| {
            record.limit(most);
            record.push(plain);
        });
    }

    /// How many bytes may be recorded now.
    fn most(&self) -> usize {
        match self.record.pool().room() {
            Room::Plenty => self.history.into(),
            Room::Little => LEAST.min(self.history.into()),
            Room::None => 0,
        }
    }

    /// Changes the record, and counts what it holds beyond what every connection may.
    fn change(&mut self, change: impl FnOnce(&mut Record<LEAST>)) {
        let before = self.record.capacity().saturating_sub(LEAST);
        change(&mut self.record);
        self.record.pool().recount_extra(before, self.record.capacity().saturating_sub(LEAST));
    }

    /// A message went out that was compressed elsewhere: no deflater stands where the peer's window
    /// now is, and what was recorded ended before it.
    pub(crate) fn sent_shared(&mut self, plain: &Payload) {
        self.stamp.messages += 1;
        // Nothing is copied for connections that may never send a message of their own again, and
        // nothing is begun for those that did not.
        let refers = !self.record.is_empty() || self.shared.is_some();
        let small = plain.len() <= self.window.size();
        match &mut self.shared {
            Some(last) if small => **last = plain.clone(),
            last => *last = (refers && small).then(|| Box::new(plain.clone())),
        }
        self.record.clear();
    }

    /// Records the broadcast that was sent last.
    fn record_shared(&mut self) {
        if let Some(plain) = self.shared.take() {
            self.remember(&plain);
        }
    }

    /// Keeps a little of what was sent, for the next message to refer to.
    pub(crate) fn park(&mut self) {
        self.record_shared();
        let most = self.most().min(LEAST);
        self.change(|record| record.limit(most));
    }

    pub(crate) fn memory_usage(&self) -> usize {
        self.record.capacity()
            + self.shared.as_ref().map_or(0, |plain| size_of::<Payload>() + plain.len())
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
