//! What passes through an extension: a [`Chunk`] in, a [`Sink`] out, [`Progress`] back.

use alloc::vec::Vec;

use crate::buffer::grow;

/// Input of one call.
#[derive(Debug)]
pub struct Chunk<'a> {
    data: &'a [u8],
    last: bool,
}

impl<'a> Chunk<'a> {
    /// A chunk of a unit that ends behind it if `last` says so: what the engine makes, and what a
    /// test of an extension, or an extension around another, makes too.
    pub fn new(data: &'a [u8], last: bool) -> Self {
        Self { data, last }
    }

    /// What has not been consumed yet.
    #[inline]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Bytes that have not been consumed yet.
    #[inline]
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether everything was consumed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Whether the unit ends behind this data. The last chunk may be empty.
    #[inline]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Takes `n` bytes off the front, at most as many as there are.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        self.data = self.data.get(n..).unwrap_or_default();
    }
}

/// Bounded room for the output of one call: at least one byte, and often no more.
///
/// An extension that makes several bytes at once keeps those that did not fit for the next call.
#[derive(Debug)]
pub struct Sink<'a> {
    buffer: &'a mut Vec<u8>,
    room: usize,
    /// The buffer's capacity does not grow beyond.
    ceiling: usize,
}

impl<'a> Sink<'a> {
    /// Room for at most `room` bytes behind what is in `buffer`.
    pub fn new(buffer: &'a mut Vec<u8>, room: usize) -> Self {
        let ceiling = buffer.len().saturating_add(room);
        Self::with_ceiling(buffer, room, ceiling)
    }

    pub(crate) fn with_ceiling(buffer: &'a mut Vec<u8>, room: usize, ceiling: usize) -> Self {
        Self { buffer, room, ceiling }
    }

    /// Bytes that may still be written in this call.
    #[inline]
    pub fn room(&self) -> usize {
        self.room
    }

    /// Whether there is no room left.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.room == 0
    }

    /// Writes as much of `data` as there is room for, and says how much that was.
    #[inline]
    #[must_use = "what did not fit is to be written by a later call"]
    pub fn write(&mut self, data: &[u8]) -> usize {
        let n = data.len().min(self.room);
        grow(self.buffer, n, self.ceiling);
        self.buffer.extend_from_slice(data.get(..n).unwrap_or_default());
        self.room -= n;
        n
    }

    /// Moves as much from `input` as there is room for.
    #[inline]
    pub fn write_from(&mut self, input: &mut Chunk<'_>) {
        let n = self.write(input.data());
        input.consume(n);
    }

    /// Lends at most `len` zeroed bytes to `fill`, which says how many it wrote. Returns that.
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

/// What an extension says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The input was consumed and its output written.
    Done,
    /// There is more to write, or input is left: call again with new room.
    Full,
}

impl Progress {
    /// What is wrong with saying this after a call that wrote and took so much, and left the rest.
    #[inline]
    pub(crate) fn breach(self, left: usize, taken: usize, written: usize) -> Option<&'static str> {
        match self {
            Self::Done if left > 0 => Some("said Done with input left"),
            Self::Full if taken == 0 && written == 0 => Some("said Full without any progress"),
            _ => None,
        }
    }
}
