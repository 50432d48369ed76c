//! The data that passes through an extension: a [`Chunk`] in, a [`Sink`] out, [`Progress`] back.

use alloc::vec::Vec;

use super::ExtensionError;
use crate::buffer::grow;

/// The input of one call.
#[derive(Debug)]
pub struct Chunk<'a> {
    data: &'a [u8],
    last: bool,
    /// Whether more was consumed than there was.
    overrun: bool,
}

impl<'a> Chunk<'a> {
    /// A chunk of a unit, which ends with it if `last`. The engine makes chunks; so do tests of an
    /// extension, and an extension that wraps another.
    pub fn new(data: &'a [u8], last: bool) -> Self {
        Self { data, last, overrun: false }
    }

    /// The bytes that are not consumed yet.
    #[inline]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The number of bytes that are not consumed yet.
    #[inline]
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether everything was consumed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Whether the unit ends with this data. The last chunk may be empty.
    #[inline]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Removes `n` bytes from the front.
    ///
    /// Consuming more than there are breaks the contract: the chunk is empty then, and the engine
    /// fails the connection with 1011 after the call.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        match self.data.get(n..) {
            Some(rest) => self.data = rest,
            None => (self.data, self.overrun) = (&[], true),
        }
    }

    /// Whether this is a rest of `data`.
    #[inline]
    fn is_rest_of(&self, data: &[u8]) -> bool {
        let ends_there = || self.data.as_ptr_range().end == data.as_ptr_range().end;
        self.is_empty() || (self.len() <= data.len() && ends_there())
    }
}

/// Bounded room for the output of one call: at least one byte, and often no more.
///
/// An extension that makes several bytes at once keeps those that did not fit for the next call.
#[derive(Debug)]
pub struct Sink<'a> {
    buffer: &'a mut Vec<u8>,
    room: usize,
    /// The length beyond which the buffer must not grow.
    ceiling: usize,
    /// The work charged in this call.
    charged: usize,
}

impl<'a> Sink<'a> {
    /// Room for at most `room` bytes after the present content of `buffer`.
    pub fn new(buffer: &'a mut Vec<u8>, room: usize) -> Self {
        let ceiling = buffer.len().saturating_add(room);
        Self::with_ceiling(buffer, room, ceiling)
    }

    pub(crate) fn with_ceiling(buffer: &'a mut Vec<u8>, room: usize, ceiling: usize) -> Self {
        Self { buffer, room, ceiling, charged: 0 }
    }

    /// Bytes that may still be written in this call.
    #[inline]
    pub fn room(&self) -> usize {
        self.room
    }

    /// Whether the room is used up.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.room == 0
    }

    /// Charges for work that the bytes read and written do not show, as if for `bytes` more. Count
    /// one byte for about a nanosecond.
    ///
    /// The engine works through 64 KiB in one call and then lets other tasks have their turn. An
    /// extension that a peer can keep busy with a few bytes, resetting a state or building a table,
    /// charges for it here. The charge reduces the room, so it shows as a [full](Self::is_full)
    /// sink; answer it with [`Progress::Full`]. Charges beyond 16 times the bytes that passed add
    /// up over messages.
    #[inline]
    pub fn charge(&mut self, bytes: usize) {
        self.charged = self.charged.saturating_add(bytes);
        self.room = self.room.saturating_sub(bytes);
    }

    /// Writes as much of `data` as fits, and returns how much that was.
    #[inline]
    #[must_use = "a later call has to write what did not fit"]
    pub fn write(&mut self, data: &[u8]) -> usize {
        let n = data.len().min(self.room);
        grow(self.buffer, n, self.ceiling);
        self.buffer.extend_from_slice(data.get(..n).unwrap_or_default());
        self.room -= n;
        n
    }

    /// Moves as much of `input` as fits.
    #[inline]
    pub fn write_from(&mut self, input: &mut Chunk<'_>) {
        let n = self.write(input.data());
        input.consume(n);
    }

    /// Lends at most `len` zeroed bytes to `fill`, which returns how many it wrote. Returns that
    /// number, but no more than were lent.
    pub fn fill(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let start = self.buffer.len();
        let len = len.min(self.room);
        grow(self.buffer, len, self.ceiling);
        self.buffer.resize(start + len, 0);
        let written = fill(self.buffer.get_mut(start..).unwrap_or_default()).min(len);
        self.buffer.truncate(start + written);
        self.room -= written;
        written
    }
}

/// How a call of an extension ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The input was consumed and its output written.
    Done,
    /// There is more to write, or input is left: call again with new room.
    Full,
}

/// The result of one call of an extension.
pub(crate) struct Called {
    pub(crate) taken: usize,
    pub(crate) written: usize,
    pub(crate) charged: usize,
    pub(crate) progress: Progress,
}

/// Why a call failed.
pub(crate) enum CallError<E> {
    /// The extension's own error.
    Error(E),
    /// The way in which it broke its contract.
    Breach(&'static str),
}

impl From<ExtensionError> for CallError<ExtensionError> {
    fn from(error: ExtensionError) -> Self {
        Self::Error(error)
    }
}

impl Called {
    /// The share of the engine's work per call that this call used.
    #[inline]
    pub(crate) fn work(&self) -> usize {
        (self.taken + self.written).saturating_add(self.charged).max(1)
    }

    /// The work charged beyond what the data that passed may cost.
    #[inline]
    pub(crate) fn debt(&self) -> usize {
        self.charged.saturating_sub((self.taken + self.written).saturating_mul(16))
    }

    /// Calls an extension once, with `data` and bounded room in `out`, and checks its result
    /// against the contract.
    #[inline(always)]
    pub(crate) fn call<'d, E>(
        data: &'d [u8],
        last: bool,
        out: &mut Vec<u8>,
        (room, ceiling): (usize, usize),
        act: impl FnOnce(&mut Chunk<'d>, &mut Sink<'_>) -> Result<Progress, E>,
    ) -> Result<Self, CallError<E>> {
        let mut chunk = Chunk::new(data, last);
        let (before, target) = (out.len(), core::ptr::from_ref(&*out));
        let mut sink = Sink::with_ceiling(out, room, ceiling);
        let progress = act(&mut chunk, &mut sink).map_err(CallError::Error)?;
        // The extension may have replaced the chunk or the sink.
        let own = core::ptr::eq(&*sink.buffer, target);
        let charged = sink.charged;
        if !own || !chunk.is_rest_of(data) {
            return Err(CallError::Breach("replaced its Chunk or its Sink"));
        }
        if chunk.overrun {
            return Err(CallError::Breach("consumed more than its Chunk held"));
        }
        let (taken, written) = (data.len() - chunk.len(), out.len() - before);
        match progress {
            Progress::Done if !chunk.is_empty() => {
                Err(CallError::Breach("said Done with input left"))
            }
            Progress::Full if taken == 0 && written == 0 && charged == 0 => {
                Err(CallError::Breach("said Full without any progress"))
            }
            progress => Ok(Self { taken, written, charged, progress }),
        }
    }
}
