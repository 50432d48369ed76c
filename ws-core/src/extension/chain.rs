//! Drives data through the extensions of one kind of scope, in bounded steps.

use alloc::{borrow::Cow, boxed::Box, vec::Vec};

use super::{Chunk, ExtensionError, Mark, MessageInfo, Progress, Scope, Sink, stack::Layer};
use crate::CloseCode;

/// Bytes that may lie between two extensions.
const STEP: usize = 16 * 1024;

/// What one extension is doing with the unit in progress.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    /// Whether it takes part in the unit.
    active: bool,
    /// Input that it has not consumed.
    input: Vec<u8>,
    consumed: usize,
    /// Whether `input` is all that the unit has left.
    ended: bool,
    /// Whether it has output that did not fit.
    more: bool,
    /// Whether it is done with the unit.
    finished: bool,
}

impl Stage {
    pub(crate) fn capacity(&self) -> usize {
        self.input.capacity()
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// Gets ready for a new unit.
    pub(crate) fn begin(&mut self, active: bool) {
        *self = Self { active, ..Self::default() };
    }

    fn pending(&self) -> usize {
        self.input.len() - self.consumed
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Encode,
    Decode,
}

/// Neighbouring layers of a stack that share a unit: all of message scope, or all of frame scope.
pub(crate) struct Chain<'a> {
    layers: &'a mut [Layer],
    direction: Direction,
}

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainStatus {
    /// The unit is complete.
    Finished,
    /// All input was taken; the unit goes on.
    Starved,
    /// The room for output, or the work allowed, is used up.
    Full,
}

#[derive(Debug)]
pub(crate) enum ChainError {
    Extension {
        name: Box<str>,
        code: CloseCode,
        reason: Cow<'static, str>,
    },
    /// More was gathered for an extension than the limit allows.
    TooBig,
}

impl ChainError {
    fn new(layer: &Layer, error: &ExtensionError) -> Self {
        let reason = alloc::string::ToString::to_string(error);
        Self::Extension { name: layer.name.clone(), code: error.code(), reason: reason.into() }
    }

    fn contract(layer: &Layer, rule: &'static str) -> Self {
        Self::Extension {
            name: layer.name.clone(),
            code: CloseCode::INTERNAL_ERROR,
            reason: rule.into(),
        }
    }
}

impl Layer {
    pub(crate) fn stage(&mut self, direction: Direction) -> &mut Stage {
        match direction {
            Direction::Encode => &mut self.encode,
            Direction::Decode => &mut self.decode,
        }
    }

    /// Asks whether an outgoing unit is marked, and gets ready for it.
    pub(crate) fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ChainError> {
        let mark =
            self.extension.begin_encode(unit).map_err(|error| ChainError::new(self, &error))?;
        self.encode.begin(mark == Mark::Marked || self.claim.bits().is_empty());
        Ok(mark)
    }

    /// Gets ready for an incoming unit. An unmarked one is shown only to those who claim no bit.
    pub(crate) fn begin_decode(
        &mut self,
        unit: &MessageInfo,
        mark: Mark,
    ) -> Result<(), ChainError> {
        let active = mark == Mark::Marked || self.claim.bits().is_empty();
        self.decode.begin(active);
        let begun = if active {
            self.extension.begin_decode(unit)
        } else {
            self.extension.begin_unmarked(unit)
        };
        begun.map_err(|error| ChainError::new(self, &error))
    }
}

impl<'a> Chain<'a> {
    pub(crate) fn new(layers: &'a mut [Layer], direction: Direction) -> Self {
        Self { layers, direction }
    }

    /// Whether any layer takes part in the unit.
    pub(crate) fn is_active(&mut self) -> bool {
        let direction = self.direction;
        self.layers.iter_mut().any(|layer| layer.stage(direction).active)
    }

    /// Takes from `feed`, of which `last` says whether it ends the unit, and appends to `out` at
    /// most `room` bytes. `work` is what may be read and written in all; `limit` is what an
    /// extension may gather.
    pub(crate) fn run(
        &mut self,
        feed: &mut &[u8],
        last: bool,
        out: &mut Vec<u8>,
        mut room: usize,
        work: &mut usize,
        limit: usize,
    ) -> Result<ChainStatus, ChainError> {
        loop {
            let mut progressed = false;
            let mut next = None;
            // Nearest to the exit first, so that what lies between extensions stays small.
            for place in (0..self.layers.len()).rev() {
                if !self.at(place).active {
                    continue;
                }
                let first = (0..place).all(|before| !self.at(before).active);
                if self.step(place, next, first, feed, last, out, &mut room, work, limit)? {
                    progressed = true;
                    break;
                }
                next = Some(place);
            }
            if self.exit().is_none_or(|stage| stage.finished) {
                self.finish();
                return Ok(ChainStatus::Finished);
            }
            if room == 0 || *work == 0 {
                return Ok(ChainStatus::Full);
            }
            if !progressed {
                return Ok(ChainStatus::Starved);
            }
        }
    }

    /// Calls the extension at `place` once, if it has something to do. Whether it came further.
    #[expect(clippy::too_many_arguments, reason = "the state of one run")]
    fn step(
        &mut self,
        place: usize,
        next: Option<usize>,
        first: bool,
        feed: &mut &[u8],
        last: bool,
        out: &mut Vec<u8>,
        out_room: &mut usize,
        work: &mut usize,
        limit: usize,
    ) -> Result<bool, ChainError> {
        let direction = self.direction;
        // The buffer it writes to: that of the next extension, or the exit.
        let mut between = next.map(|next| core::mem::take(&mut self.at(next).input));
        let gathers = next.is_some_and(|next| self.layer(next).scope != Scope::Message);
        let room = match &between {
            None => *out_room,
            Some(buffer) if gathers => limit.saturating_add(1).saturating_sub(buffer.len()),
            Some(buffer) => STEP.saturating_sub(buffer.len()),
        };
        let layer = self.layer(place);
        let whole = layer.scope != Scope::Message;
        let stage = layer.stage(direction);
        let mut moved = false;
        if first {
            stage.ended |= last && stage.input.is_empty();
            if whole && stage.input.len().saturating_add(feed.len()) > limit {
                return Err(ChainError::TooBig);
            }
            if whole && (!last || !stage.input.is_empty()) {
                // The unit does not lie in `feed` alone: gather it.
                moved = !feed.is_empty() || (last && !stage.ended);
                stage.input.extend_from_slice(feed);
                *work = work.saturating_sub(feed.len());
                *feed = &[];
                stage.ended = last;
            }
        }
        let direct = first && stage.input.is_empty();
        let own = core::mem::take(&mut stage.input);
        let data = if direct { *feed } else { own.get(stage.consumed..).unwrap_or_default() };
        let ready = !stage.finished
            && room > 0
            && *work > 0
            && if whole { stage.ended } else { !data.is_empty() || stage.ended || stage.more };
        let mut progressed = moved;
        if ready {
            let mut chunk = Chunk::new(data, stage.ended);
            let buffer = between.as_mut().unwrap_or(out);
            let before = buffer.len();
            let mut sink = Sink::with_ceiling(buffer, room.min(*work), before.saturating_add(room));
            let result = match direction {
                Direction::Encode => layer.extension.encode(&mut chunk, &mut sink),
                Direction::Decode => layer.extension.decode(&mut chunk, &mut sink),
            };
            let written = buffer.len() - before;
            let left = chunk.len();
            let taken = data.len() - left;
            let progress = result.map_err(|error| ChainError::new(layer, &error))?;
            match progress {
                Progress::Done if left > 0 => {
                    return Err(ChainError::contract(layer, "said Done with input left"));
                }
                Progress::Full if taken == 0 && written == 0 => {
                    return Err(ChainError::contract(layer, "said Full without any progress"));
                }
                _ => {}
            }
            *work = work.saturating_sub((taken + written).max(1));
            if between.is_none() {
                *out_room -= written;
            }
            if gathers && between.as_ref().is_some_and(|buffer| buffer.len() > limit) {
                return Err(ChainError::TooBig);
            }
            let stage = layer.stage(direction);
            stage.more = progress == Progress::Full;
            stage.finished = progress == Progress::Done && stage.ended;
            if direct {
                *feed = feed.get(taken..).unwrap_or_default();
            } else {
                stage.consumed += taken;
            }
            progressed |= taken > 0 || written > 0 || stage.finished;
        }
        let stage = self.at(place);
        if !direct {
            stage.input = own;
            if stage.pending() == 0 {
                stage.input.clear();
                stage.consumed = 0;
            }
        }
        let finished = stage.finished;
        if let (Some(next), Some(buffer)) = (next, between) {
            let next = self.at(next);
            next.input = buffer;
            next.ended = finished;
        }
        Ok(progressed)
    }

    /// The unit is over: buffers are given back.
    fn finish(&mut self) {
        for place in 0..self.layers.len() {
            let stage = self.at(place);
            stage.begin(stage.active);
        }
    }

    fn exit(&mut self) -> Option<&mut Stage> {
        let last = (0..self.layers.len()).rev().find(|&place| self.at(place).active)?;
        Some(self.at(last))
    }

    /// The stage at a place in the order of flow.
    fn at(&mut self, place: usize) -> &mut Stage {
        let direction = self.direction;
        self.layer(place).stage(direction)
    }

    fn layer(&mut self, place: usize) -> &mut Layer {
        // Sending passes the stack left to right, receiving right to left.
        let index = match self.direction {
            Direction::Encode => place,
            Direction::Decode => self.layers.len() - 1 - place,
        };
        &mut self.layers[index]
    }
}
