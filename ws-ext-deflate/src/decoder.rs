//! Inflates the messages that the peer compressed.

use core::mem;

use ws_core::{
    CloseCode,
    extension::{Chunk, ExtensionError, Progress, Sink},
};

use crate::{
    amplification::Amplification,
    inflater::{Found, Inflater},
    pool::Pool,
    record::Record,
    tail::FLUSH_MARKER,
    window::Window,
};

/// Bytes of a block of the record.
const BLOCK: usize = 1024;
/// The least and the most room that a step asks for. It grows while the output fills it.
const STEPS: (usize, usize) = (256, 16 * 1024);
/// The most input for one step. If it consists of empty blocks alone, it keeps zlib busy for a quarter
/// of a millisecond.
const PIECE: usize = 2048;
/// The charge for a byte of input, and the extra charge if it gives no output: the cost of block
/// headers.
const CHARGES: (usize, usize) = (8, 64);

/// One connection's incoming half.
///
/// Between messages it holds only the record. The inflater that serves the next message is reset and
/// primed from it, so it makes no difference which inflater that is, or what it did before.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// Changed by [`recounted`] alone, which reports its size to the pool.
    record: Record<BLOCK>,
    pool: Pool,
    state: State,
    amplification: Amplification,
}

#[derive(Debug)]
enum State {
    Resting,
    Inflating {
        inflater: Inflater,
        /// Bytes of the flush marker that were fed.
        tail: u8,
        /// The room that a whole piece of this message is likely to need.
        room: u16,
    },
    Failed,
}

/// What one call of the inflater did.
struct Step {
    taken: usize,
    written: usize,
    /// There was room left: all output for the input was written.
    starved: bool,
    /// A block with BFINAL set ended.
    ended: bool,
}

impl Decoder {
    /// For a peer that uses this window, and starts every message with an empty one unless `takeover`.
    pub(crate) fn new(pool: &Pool, window: Window, takeover: bool) -> Self {
        // RFC 7692 §7.2.2: if the "agreed parameters" contain no_context_takeover, the receiver
        // "MAY decompress each new message with an empty LZ77 sliding window. Otherwise, the
        // [receiver] MUST decompress each new message using the LZ77 sliding window used to
        // process the last compressed message."
        let kept = if takeover { window.size() } else { 0 };
        Self {
            record: Record::new(kept),
            pool: pool.clone(),
            state: State::Resting,
            amplification: Amplification::default(),
        }
    }

    pub(crate) fn begin(&mut self) -> Result<(), ExtensionError> {
        let mut inflater = match mem::replace(&mut self.state, State::Failed) {
            State::Resting => self.pool.inflater(),
            State::Inflating { inflater, .. } => inflater,
            State::Failed => return Err(corrupt()),
        };
        if inflater.prime(&self.record).is_err() {
            self.pool.discard(inflater);
            return Err(internal("the inflater refused the record"));
        }
        self.state = State::Inflating { inflater, tail: 0, room: 4 * PIECE as u16 };
        Ok(())
    }

    pub(crate) fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let result = self.inflate(input, out);
        if result.is_err() {
            let state = mem::replace(&mut self.state, State::Failed);
            if let State::Inflating { inflater, .. } = state {
                self.pool.discard(inflater);
            }
            self.release();
        }
        result
    }

    fn inflate(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let State::Inflating { inflater, tail, room: likely } = &mut self.state else {
            return Err(corrupt());
        };
        // Room is zeroed first, so unused room costs nearly as much as output.
        let mut room = input.len().saturating_mul(4).clamp(STEPS.0, usize::from(*likely));
        loop {
            if out.is_full() {
                return Ok(Progress::Full);
            }
            // RFC 7692 §7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the
            // payload of the message."
            let in_tail = input.is_empty() && input.is_last();
            let data = if in_tail {
                FLUSH_MARKER.get(usize::from(*tail)..).unwrap_or_default()
            } else {
                input.data()
            };
            let data = data.get(..PIECE).unwrap_or(data);
            let offered = data.len();
            let record = &mut self.record;
            let step =
                recounted(&self.pool, record, |record| step(inflater, record, data, out, room))?;
            if in_tail {
                *tail += step.taken as u8;
            } else {
                input.consume(step.taken);
                let idle = step.taken.saturating_sub(step.written);
                self.amplification.count(step.taken, step.written);
                out.charge(CHARGES.0 * step.taken + CHARGES.1 * idle);
            }
            if step.ended {
                // More blocks may follow one with BFINAL set; they cannot refer back past it.
                self.record.clear();
                inflater.reset();
            }
            let fed = step.taken == offered;
            if fed && !input.is_empty() && !in_tail {
                // Take the next piece.
            } else if fed && (step.starved || step.ended) {
                if !input.is_last() {
                    return Ok(Progress::Done);
                }
                if in_tail {
                    self.give_back();
                    return Ok(Progress::Done);
                }
            } else if step.starved && !step.ended {
                return Err(internal("the inflater made no progress"));
            }
            // The next step will write about as much as this one, or more if this one filled its room.
            let next = if step.starved { step.written + step.written / 4 } else { 2 * room };
            room = next.clamp(STEPS.0, STEPS.1);
            if offered == PIECE {
                *likely = room as u16;
            }
        }
    }

    /// Gives the inflater back. The record has all that the next message may refer to.
    fn give_back(&mut self) {
        if let State::Inflating { inflater, .. } = mem::replace(&mut self.state, State::Resting) {
            self.pool.give_back(inflater);
        }
    }

    fn release(&mut self) {
        recounted(&self.pool, &mut self.record, Record::release);
    }

    /// Whether the peer makes us inflate far more than it sends.
    pub(crate) fn is_amplified(&self) -> bool {
        self.amplification.is_high()
    }

    pub(crate) fn memory_usage(&self) -> usize {
        self.record.capacity()
            + match &self.state {
                State::Inflating { inflater, .. } => inflater.bytes(),
                State::Resting | State::Failed => 0,
            }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.give_back();
        self.release();
    }
}

/// Changes the record, and reports its size to the pool.
fn recounted<T>(
    pool: &Pool,
    record: &mut Record<BLOCK>,
    change: impl FnOnce(&mut Record<BLOCK>) -> T,
) -> T {
    let before = record.capacity();
    let result = change(record);
    pool.recount(before, record.capacity());
    result
}

fn step(
    inflater: &mut Inflater,
    record: &mut Record<BLOCK>,
    data: &[u8],
    out: &mut Sink<'_>,
    room: usize,
) -> Result<Step, ExtensionError> {
    let (mut taken, mut starved, mut found) = (0, false, Found::Data);
    let written = out.fill(room, |buffer| {
        let inflated = inflater.inflate(data, buffer);
        record.push(buffer.get(..inflated.written).unwrap_or_default());
        starved = inflated.written < buffer.len();
        (taken, found) = (inflated.read, inflated.found);
        inflated.written
    });
    match found {
        Found::Corrupt => Err(corrupt()),
        Found::Data => Ok(Step { taken, written, starved, ended: false }),
        Found::End => Ok(Step { taken, written, starved, ended: true }),
    }
}

fn corrupt() -> ExtensionError {
    ExtensionError::new(CloseCode::INVALID_PAYLOAD, "corrupt DEFLATE data")
}

fn internal(what: &'static str) -> ExtensionError {
    ExtensionError::new(CloseCode::INTERNAL_ERROR, what)
}
