//! Inflates the messages that the peer compressed.

use flate2::{Decompress, FlushDecompress, Status};
use ws_core::{
    CloseCode,
    extension::{Chunk, ExtensionError, Progress, Sink},
};

use crate::{record::Record, window::Window};

/// What the sender removed from the end of every message.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// The room that a step asks for, at least and at most. It grows while the output fills it.
const STEPS: (usize, usize) = (256, 16 * 1024);

/// One connection's incoming half.
///
/// Between messages the record is all there is to know; the inflater is reset and primed from it
/// when a message begins, so one that was given back or stood in any state decodes the same.
#[derive(Debug)]
pub(crate) struct Decoder {
    record: Record,
    /// Always with the largest window: it decodes what was made with any other, takes no more
    /// memory, and is the only one that flate2 resets in place. Others it makes anew, 48 KiB each
    /// time, which a peer could ask for with every octet or two (`03 00`).
    inflater: Option<Decompress>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Resting,
    /// In a message, with so many bytes of the tail already fed.
    Inflating {
        tail: usize,
    },
    Failed,
}

/// What one call of the inflater did.
struct Step {
    taken: usize,
    /// There was room left: all output that the input gives was written.
    starved: bool,
    /// A block with BFINAL set came to its end.
    ended: bool,
}

impl Decoder {
    /// For a peer that uses this window, and starts every message without one unless `takeover`.
    pub(crate) fn new(window: Window, takeover: bool) -> Self {
        // RFC 7692 §7.2.2: if the "agreed parameters" contain no_context_takeover, the receiver
        // "MAY decompress each new message with an empty LZ77 sliding window. Otherwise, the
        // [receiver] MUST decompress each new message using the LZ77 sliding window used to
        // process the last compressed message."
        let kept = if takeover { window.size() } else { 0 };
        Self { record: Record::new(kept), inflater: None, state: State::Resting }
    }

    pub(crate) fn begin(&mut self) -> Result<(), ExtensionError> {
        if let State::Failed = self.state {
            return Err(corrupt());
        }
        self.state = State::Inflating { tail: 0 };
        let inflater = match &mut self.inflater {
            Some(inflater) => {
                inflater.reset(false);
                inflater
            }
            none => none.insert(Decompress::new(false)),
        };
        let (older, newer) = self.record.parts();
        for part in [older, newer] {
            if !part.is_empty() {
                inflater
                    .set_dictionary(part)
                    .map_err(|_| internal("the inflater takes no history"))?;
            }
        }
        Ok(())
    }

    pub(crate) fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let result = self.inflate(input, out);
        if result.is_err() {
            self.state = State::Failed;
            self.inflater = None;
            self.record.release();
        }
        result
    }

    fn inflate(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let State::Inflating { mut tail } = self.state else {
            return Err(corrupt());
        };
        let mut room = input.len().saturating_mul(4).clamp(STEPS.0, STEPS.1);
        loop {
            if out.is_full() {
                return Ok(Progress::Full);
            }
            // RFC 7692 §7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the
            // payload of the message."
            let in_tail = input.is_empty() && input.is_last();
            let data = if in_tail { TAIL.get(tail..).unwrap_or_default() } else { input.data() };
            let offered = data.len();
            let step = self.step(data, out, room)?;
            if in_tail {
                tail += step.taken;
                self.state = State::Inflating { tail };
            } else {
                input.consume(step.taken);
            }
            if step.ended {
                self.restart()?;
            }
            let fed = step.taken == offered;
            if fed && (step.starved || step.ended) {
                if !input.is_last() {
                    return Ok(Progress::Done);
                }
                if in_tail {
                    self.state = State::Resting;
                    return Ok(Progress::Done);
                }
            } else if step.starved && !step.ended {
                return Err(internal("the inflater stands still"));
            }
            room = if step.ended { STEPS.0 } else { (2 * room).min(STEPS.1) };
        }
    }

    fn step(
        &mut self,
        data: &[u8],
        out: &mut Sink<'_>,
        room: usize,
    ) -> Result<Step, ExtensionError> {
        let Self { inflater, record, .. } = self;
        let inflater = inflater.as_mut().ok_or_else(|| internal("no inflater in a message"))?;
        let before = inflater.total_in();
        let mut status = Ok(Status::Ok);
        let mut starved = false;
        out.fill(room, |buffer| {
            let before = inflater.total_out();
            status = inflater.decompress(data, buffer, FlushDecompress::None);
            let written = distance(before, inflater.total_out());
            record.push(buffer.get(..written).unwrap_or_default());
            starved = written < buffer.len();
            written
        });
        let status = status.map_err(|_| corrupt())?;
        Ok(Step {
            taken: distance(before, inflater.total_in()),
            starved,
            ended: status == Status::StreamEnd,
        })
    }

    /// Blocks go on behind one with BFINAL set, and know nothing of what was before it.
    fn restart(&mut self) -> Result<(), ExtensionError> {
        self.record.clear();
        self.inflater.as_mut().ok_or_else(|| internal("no inflater in a message"))?.reset(false);
        Ok(())
    }

    /// Gives the inflater back. What the next message may refer to stays in the record.
    pub(crate) fn park(&mut self) {
        if !matches!(self.state, State::Inflating { .. }) {
            self.inflater = None;
        }
    }

    pub(crate) fn memory_usage(&self) -> usize {
        let inflater = self.inflater.as_ref().map_or(0, |_| INFLATER);
        self.record.capacity() + inflater
    }
}

/// Bytes that an inflater of zlib-rs holds, whatever its window.
const INFLATER: usize = 47_562;

fn distance(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}

fn corrupt() -> ExtensionError {
    ExtensionError::new(CloseCode::INVALID_PAYLOAD, "corrupt DEFLATE data")
}

fn internal(what: &'static str) -> ExtensionError {
    ExtensionError::new(CloseCode::INTERNAL_ERROR, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    // D-10: miniz_oxide would inflate this to "H" and four zeros, and knows no windows.
    #[test]
    fn flate2_runs_on_zlib() {
        let mut inflater = Decompress::new(false);
        let mut out = [0xee; 16];
        let payload = [0xf2, 0x00, 0x11, 0x00, 0x00];
        let result = inflater.decompress(&payload, &mut out, FlushDecompress::None);
        assert!(result.is_err());
    }
}
