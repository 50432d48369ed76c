//! Drives data through the extensions of one kind of scope, in bounded steps.

use alloc::{boxed::Box, vec::Vec};

use super::{
    Progress, Scope,
    layer::{ChainError, Direction, Failure, Layer, Stage},
};
use crate::buffer::grow;

/// Bytes that may wait between two extensions.
const STEP: usize = 16 * 1024;

/// Neighbouring layers of a stack that transform the same unit: all of message scope, or all of
/// frame scope.
pub(crate) struct Chain<'a> {
    layers: &'a mut [Layer],
    direction: Direction,
}

/// The input, output and limits of one call.
pub(crate) struct Flow<'a, 'd> {
    /// The available input, and whether the unit ends after it. Consumed bytes are removed from the
    /// front.
    pub(crate) feed: &'a mut &'d [u8],
    pub(crate) last: bool,
    pub(crate) out: &'a mut Vec<u8>,
    /// Bytes that may be appended to `out`.
    pub(crate) room: usize,
    /// Bytes that may be read and written in total.
    pub(crate) work: &'a mut usize,
    /// Bytes that may be gathered for an extension.
    pub(crate) limit: usize,
    /// A failure that is reported once the later extensions have processed earlier output. It may
    /// outlast a call that used up the room or the work.
    pub(crate) failure: &'a mut Option<Box<Failure>>,
}

/// How far a call got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainStatus {
    /// The unit is complete.
    Finished,
    /// All input was consumed; the unit continues.
    Starved,
    /// The room for output, or the allowed work, is used up.
    Full,
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

    /// Consumes the input and appends to the output, as far as room and work allow.
    pub(crate) fn run(&mut self, mut flow: Flow<'_, '_>) -> Result<ChainStatus, ChainError> {
        if let Some(index) = self.alone(&flow) {
            return self.run_alone(index, flow);
        }
        loop {
            let mut progressed = false;
            let mut next = None;
            // Skips extensions before one that failed: their output would come later.
            let from = (0..self.layers.len()).rev().find(|&place| self.at(place).failed);
            let from = from.map_or(0, |failed| failed + 1);
            // Starts nearest to the exit, so that little data waits between extensions.
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

    /// The only layer that takes part, if it can process the input in place.
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

    /// The common case: nothing is gathered, and nothing waits between extensions.
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

    /// Calls the extension at `place` once, if it has work. Returns whether it made progress.
    fn step(
        &mut self,
        place: usize,
        next: Option<usize>,
        first: bool,
        flow: &mut Flow<'_, '_>,
    ) -> Result<bool, ChainError> {
        let (direction, limit) = (self.direction, flow.limit);
        // The buffer to write to: the next extension's input, or the exit.
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
                // `feed` does not hold the whole unit: gather it.
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
                // Faults take effect in stream order: earlier output goes on first.
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

    /// Marks the unit as complete.
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

    /// Returns the stage at a place in the order of flow.
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
