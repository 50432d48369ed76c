//! Drives data through the extensions of one kind of scope, in bounded steps.

use alloc::{boxed::Box, vec::Vec};

use super::{
    Progress, Scope,
    layer::{ChainError, Direction, Failure, Layer, Stage},
};
use crate::buffer::grow;

/// Bytes that may lie between two extensions.
const STEP: usize = 16 * 1024;

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
