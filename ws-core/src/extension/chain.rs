//! Drives data through the extensions of one kind of scope, in bounded steps.

use alloc::{borrow::Cow, boxed::Box, string::ToString, vec::Vec};

use super::{CallError, Called, ExtensionError, Mark, MessageInfo, Progress, Scope, stack::Layer};
use crate::{CloseCode, WORK_PER_CALL, buffer::grow};

/// Bytes that may lie between two extensions.
const STEP: usize = 16 * 1024;

/// A buffer of this capacity at most waits for the next unit, until the connection rests.
const KEPT: usize = 4096;

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
    /// Whether it failed, and those behind it work on what it gave before.
    failed: bool,
}

impl Stage {
    pub(crate) fn capacity(&self) -> usize {
        self.input.capacity()
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// Gets ready for a new unit.
    #[inline]
    pub(crate) fn begin(&mut self, active: bool) {
        self.active = active;
        (self.ended, self.more, self.finished, self.failed) = (false, false, false, false);
        self.consumed = 0;
        keep_small(&mut self.input);
    }

    /// Gives the buffer back that waits for the next unit.
    pub(crate) fn release(&mut self) {
        if self.input.is_empty() {
            self.input = Vec::new();
        }
    }

    fn pending(&self) -> usize {
        self.input.len() - self.consumed
    }
}

/// Empties a buffer, and keeps it if it is small.
#[inline(always)]
pub(crate) fn keep_small(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT {
        *buffer = Vec::new();
    }
    buffer.clear();
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

/// What passes through a chain in one call.
pub(crate) struct Flow<'a, 'd> {
    /// What is there of the unit, and whether it ends behind it. What is taken goes off the front.
    pub(crate) feed: &'a mut &'d [u8],
    pub(crate) last: bool,
    pub(crate) out: &'a mut Vec<u8>,
    /// Bytes that may be appended to `out`.
    pub(crate) room: usize,
    /// Bytes that may be read and written in all.
    pub(crate) work: &'a mut usize,
    /// Bytes that an extension may gather.
    pub(crate) limit: usize,
    /// A failure that is told once those behind it have worked on what was written before: between
    /// calls too, when the room or the work was used up.
    pub(crate) failure: &'a mut Option<Box<Failure>>,
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

/// What went wrong. Small, because it stands beside every result on the way of a message.
#[derive(Debug)]
pub(crate) enum ChainError {
    Extension(Box<Failure>),
    /// More was gathered for an extension than the limit allows.
    TooBig,
}

/// An extension that failed, or broke its contract.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) name: Box<str>,
    pub(crate) code: CloseCode,
    pub(crate) reason: Cow<'static, str>,
}

impl ChainError {
    #[cold]
    fn new(layer: &Layer, error: impl Into<CallError<ExtensionError>>) -> Self {
        let (code, reason) = match error.into() {
            CallError::Error(error) => (error.code(), error.to_string().into()),
            CallError::Breach(rule) => (CloseCode::INTERNAL_ERROR, rule.into()),
        };
        Self::Extension(Box::new(Failure { name: layer.name.clone(), code, reason }))
    }
}

impl Layer {
    pub(crate) fn stage(&mut self, direction: Direction) -> &mut Stage {
        match direction {
            Direction::Encode => &mut self.encode,
            Direction::Decode => &mut self.decode,
        }
    }

    /// Bytes of the unit in progress that lie before the extension.
    pub(crate) fn pending(&self, direction: Direction) -> usize {
        match direction {
            Direction::Encode => self.encode.pending(),
            Direction::Decode => self.decode.pending(),
        }
    }

    /// Whether it decoded so much beyond what the bytes that passed may cost that others are to have
    /// their turn.
    #[inline]
    pub(crate) fn is_tired(&self) -> bool {
        self.debt as usize >= WORK_PER_CALL
    }

    /// Asks whether an outgoing unit is marked, and gets ready for it.
    #[inline]
    pub(crate) fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ChainError> {
        let mark =
            self.extension.begin_encode(unit).map_err(|error| ChainError::new(self, error))?;
        self.encode.begin(mark == Mark::Marked || self.claim.bits().is_empty());
        Ok(mark)
    }

    /// Gets ready for an incoming unit. An unmarked one is shown only to those who claim no bit.
    #[inline]
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
        begun.map_err(|error| ChainError::new(self, error))
    }
}

impl Scope {
    /// What a call is shown of `data`, and whether the unit ends with that: a stream is cut to the
    /// work that is left, and whoever sees whole units sees them whole.
    pub(crate) fn cut(self, data: &[u8], ends: bool, work: usize) -> (&[u8], bool) {
        match data.get(..work) {
            Some(start) if self == Self::Message && start.len() < data.len() => (start, false),
            _ => (data, ends),
        }
    }
}

impl Layer {
    /// Calls the extension once, and holds it to what it says.
    #[inline(always)]
    fn call(
        &mut self,
        direction: Direction,
        data: &[u8],
        ends: bool,
        out: &mut Vec<u8>,
        room: usize,
        work: &mut usize,
    ) -> Result<Called, ChainError> {
        let room = (room.min(*work), out.len().saturating_add(room));
        let extension = &mut self.extension;
        let called = Called::call(data, ends, out, room, |chunk, sink| match direction {
            Direction::Encode => extension.encode(chunk, sink),
            Direction::Decode => extension.decode(chunk, sink),
        });
        let called = called.map_err(|error| ChainError::new(self, error))?;
        *work = work.saturating_sub(called.work());
        if direction == Direction::Decode {
            let debt = u32::try_from(called.debt()).unwrap_or(u32::MAX);
            self.debt = self.debt.saturating_add(debt);
        }
        Ok(called)
    }

    /// Calls the extension once where nothing is gathered before it. Whether the unit is complete.
    #[inline(always)]
    pub(crate) fn pass(
        &mut self,
        direction: Direction,
        feed: &mut &[u8],
        ends: bool,
        out: &mut Vec<u8>,
        room: usize,
        work: &mut usize,
    ) -> Result<bool, ChainError> {
        let called = self.call(direction, feed, ends, out, room, work)?;
        *feed = feed.get(called.taken..).unwrap_or_default();
        let more = called.progress == Progress::Full;
        self.stage(direction).more = more;
        Ok(ends && !more)
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

    /// Takes from the feed and appends to the output, as far as room and work go.
    pub(crate) fn run(&mut self, mut flow: Flow<'_, '_>) -> Result<ChainStatus, ChainError> {
        if let Some(index) = self.alone(&flow) {
            return self.run_alone(index, flow);
        }
        loop {
            let mut progressed = false;
            let mut next = None;
            // Nobody in front of one that failed is asked any more: what they would say comes later.
            let from = (0..self.layers.len()).rev().find(|&place| self.at(place).failed);
            let from = from.map_or(0, |failed| failed + 1);
            // Nearest to the exit first, so that what lies between extensions stays small.
            for place in (from..self.layers.len()).rev() {
                if !self.at(place).active {
                    continue;
                }
                let first = (0..place).all(|before| !self.at(before).active);
                if self.step(place, next, first, &mut flow)? {
                    progressed = true;
                    break;
                }
                next = Some(place);
            }
            if self.exit().is_none_or(|stage| stage.finished) {
                self.finish();
                return Ok(ChainStatus::Finished);
            }
            if flow.room == 0 || *flow.work == 0 {
                return Ok(ChainStatus::Full);
            }
            if !progressed {
                return match flow.failure.take() {
                    Some(failure) => Err(ChainError::Extension(failure)),
                    None => Ok(ChainStatus::Starved),
                };
            }
        }
    }

    /// The only layer that takes part, if it can work on the feed as it is.
    #[inline]
    fn alone(&mut self, flow: &Flow<'_, '_>) -> Option<usize> {
        let direction = self.direction;
        let index = match &mut *self.layers {
            [_] => 0,
            layers => {
                let mut active = layers
                    .iter_mut()
                    .enumerate()
                    .filter_map(|(index, layer)| layer.stage(direction).active.then_some(index));
                let index = active.next()?;
                if active.next().is_some() {
                    return None;
                }
                index
            }
        };
        let layer = self.layers.get_mut(index)?;
        let at_hand = layer.scope == Scope::Message || (flow.last && flow.feed.len() <= flow.limit);
        let stage = layer.stage(direction);
        (at_hand && stage.active && stage.input.is_empty()).then_some(index)
    }

    /// The common case: nothing is gathered, and nothing lies between extensions.
    #[inline]
    fn run_alone(
        &mut self,
        index: usize,
        mut flow: Flow<'_, '_>,
    ) -> Result<ChainStatus, ChainError> {
        let direction = self.direction;
        let layer = &mut self.layers[index];
        loop {
            if flow.room == 0 || *flow.work == 0 {
                return Ok(ChainStatus::Full);
            }
            if flow.feed.is_empty() && !flow.last && !layer.stage(direction).more {
                return Ok(ChainStatus::Starved);
            }
            let (data, ends) = layer.scope.cut(flow.feed, flow.last, *flow.work);
            let (mut rest, before) = (data, flow.out.len());
            let finished =
                layer.pass(direction, &mut rest, ends, flow.out, flow.room, flow.work)?;
            *flow.feed = flow.feed.get(data.len() - rest.len()..).unwrap_or_default();
            flow.room -= flow.out.len() - before;
            if finished {
                return Ok(ChainStatus::Finished);
            }
        }
    }

    /// Calls the extension at `place` once, if it has something to do. Whether it came further.
    fn step(
        &mut self,
        place: usize,
        next: Option<usize>,
        first: bool,
        flow: &mut Flow<'_, '_>,
    ) -> Result<bool, ChainError> {
        let (direction, limit) = (self.direction, flow.limit);
        // The buffer it writes to: that of the next extension, or the exit.
        let mut between = next.map(|next| core::mem::take(&mut self.at(next).input));
        let gathers = next.is_some_and(|next| self.layer(next).scope != Scope::Message);
        let room = match &between {
            None => flow.room,
            Some(buffer) if gathers => limit.saturating_add(1).saturating_sub(buffer.len()),
            Some(buffer) => STEP.saturating_sub(buffer.len()),
        };
        let layer = self.layer(place);
        let whole = layer.scope != Scope::Message;
        let stage = layer.stage(direction);
        let mut moved = false;
        if first {
            stage.ended |= flow.last && stage.input.is_empty();
            if whole && stage.input.len().saturating_add(flow.feed.len()) > limit {
                return Err(ChainError::TooBig);
            }
            if whole && (!flow.last || !stage.input.is_empty()) {
                // The unit does not lie in `feed` alone: gather it.
                moved = !flow.feed.is_empty() || (flow.last && !stage.ended);
                grow(&mut stage.input, flow.feed.len(), limit);
                stage.input.extend_from_slice(flow.feed);
                *flow.work = flow.work.saturating_sub(flow.feed.len());
                *flow.feed = &[];
                stage.ended = flow.last;
            }
        }
        let direct = first && stage.input.is_empty();
        let own = core::mem::take(&mut stage.input);
        let data = if direct { *flow.feed } else { own.get(stage.consumed..).unwrap_or_default() };
        let ready = !stage.finished
            && room > 0
            && *flow.work > 0
            && if whole { stage.ended } else { !data.is_empty() || stage.ended || stage.more };
        let mut progressed = moved;
        if ready {
            let ends = layer.stage(direction).ended;
            let (data, ends) = layer.scope.cut(data, ends, *flow.work);
            let buffer = between.as_mut().unwrap_or(flow.out);
            let called = layer.call(direction, data, ends, buffer, room, flow.work);
            if gathers && buffer.len() > limit {
                return Err(ChainError::TooBig);
            }
            let stage = layer.stage(direction);
            match called {
                Ok(called) => {
                    if between.is_none() {
                        flow.room -= called.written;
                    }
                    stage.more = called.progress == Progress::Full;
                    stage.finished = called.progress == Progress::Done && ends;
                    if direct {
                        *flow.feed = flow.feed.get(called.taken..).unwrap_or_default();
                    } else {
                        stage.consumed += called.taken;
                    }
                    progressed |= called.taken > 0 || stage.more || stage.finished;
                    progressed |= called.written > 0;
                }
                // Faults act in stream order: what it gave before goes on first.
                Err(ChainError::Extension(failure))
                    if between.is_some() && direction == Direction::Decode =>
                {
                    stage.failed = true;
                    *flow.failure = Some(failure);
                    progressed = true;
                }
                Err(error) => return Err(error),
            }
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

    /// The unit is over.
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
