//! One extension of a stack: its progress in the current unit, and how the engine calls it.

use alloc::{borrow::Cow, boxed::Box, string::ToString, vec::Vec};

use super::{
    CallError, Called, Extension, ExtensionError, Mark, MessageInfo, Progress, RsvClaim, Scope,
};
use crate::{CloseCode, WORK_PER_CALL};

/// An extension and the engine's state for it.
pub(crate) struct Layer {
    pub(crate) name: Box<str>,
    pub(crate) extension: Box<dyn Extension>,
    pub(crate) claim: RsvClaim,
    pub(crate) scope: Scope,
    /// Work charged to its `decode` beyond what the data that passed may cost.
    pub(crate) debt: u32,
    pub(crate) encode: Stage,
    pub(crate) decode: Stage,
}

/// The largest buffer that is kept for the next unit until the connection rests.
const KEPT: usize = 4096;

/// An extension's progress in the current unit.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    /// Whether the extension takes part in the unit.
    pub(super) active: bool,
    /// Input that the extension has not consumed.
    pub(super) input: Vec<u8>,
    pub(super) consumed: usize,
    /// Whether `input` holds the rest of the unit.
    pub(super) ended: bool,
    /// Whether the extension has output that did not fit.
    pub(super) more: bool,
    /// Whether the extension has completed the unit.
    pub(super) finished: bool,
    /// Whether the extension failed, and later ones still process its earlier output.
    pub(super) failed: bool,
}

impl Stage {
    pub(crate) fn capacity(&self) -> usize {
        self.input.capacity()
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// Prepares for a new unit.
    #[inline]
    pub(crate) fn begin(&mut self, active: bool) {
        self.active = active;
        (self.ended, self.more, self.finished, self.failed) = (false, false, false, false);
        self.consumed = 0;
        keep_small(&mut self.input);
    }

    /// Frees the buffer kept for the next unit.
    pub(crate) fn release(&mut self) {
        if self.input.is_empty() {
            self.input = Vec::new();
        }
    }

    pub(super) fn pending(&self) -> usize {
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

/// Why a chain failed. Small, because every result on the message path has room for it.
#[derive(Debug)]
pub(crate) enum ChainError {
    Extension(Box<Failure>),
    /// The gathered input exceeds the limit.
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

    /// Bytes of the current unit that wait before the extension.
    pub(crate) fn pending(&self, direction: Direction) -> usize {
        match direction {
            Direction::Encode => self.encode.pending(),
            Direction::Decode => self.decode.pending(),
        }
    }

    /// Whether decoding cost so much more than the data that passed may cost that other tasks must
    /// have their turn.
    #[inline]
    pub(crate) fn is_tired(&self) -> bool {
        self.debt as usize >= WORK_PER_CALL
    }

    /// Asks whether an outgoing unit is marked, and prepares for it.
    #[inline]
    pub(crate) fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ChainError> {
        let mark =
            self.extension.begin_encode(unit).map_err(|error| ChainError::new(self, error))?;
        self.encode.begin(mark == Mark::Marked || self.claim.bits().is_empty());
        Ok(mark)
    }

    /// Prepares for an incoming unit. An unmarked unit goes only to extensions that claim no bit.
    #[inline(always)]
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

    /// Calls the extension once, and checks its result against the contract.
    #[inline(always)]
    pub(super) fn call(
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
        if direction == Direction::Decode && called.charged > 0 {
            let debt = u32::try_from(called.debt()).unwrap_or(u32::MAX);
            self.debt = self.debt.saturating_add(debt);
        }
        Ok(called)
    }

    /// Calls the extension once when nothing was gathered before it. Returns whether the unit is
    /// complete.
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
        let more = called.progress == Progress::Full;
        // Whoever is done has taken everything.
        *feed = if more { feed.get(called.taken..).unwrap_or_default() } else { &[] };
        self.stage(direction).more = more;
        Ok(ends && !more)
    }
}

impl Scope {
    /// The part of `data` for one call, and whether the unit ends with it. A stream is cut to the
    /// remaining work; an extension that works on whole units gets them whole.
    pub(crate) fn cut(self, data: &[u8], ends: bool, work: usize) -> (&[u8], bool) {
        match data.get(..work) {
            Some(start) if self == Self::Message && start.len() < data.len() => (start, false),
            _ => (data, ends),
        }
    }
}
