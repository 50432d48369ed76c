//! The state that compresses.

use flate2::{Compress, CompressError, Compression, FlushCompress};
use ws_core::extension::{Chunk, Sink};

use crate::{
    record::Record,
    tail::{CRAMPED, Tail},
    window::Window,
};

/// Bytes that a deflater of zlib-rs holds, besides four for every byte of its window.
const BYTES: usize = 248_960 + size_of::<Deflater>();
/// The most room that a step asks for.
const STEP: usize = 16 * 1024;

/// A position in what a connection sends. It is unique among all connections, and never recurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) connection: u64,
    pub(crate) messages: u64,
}

/// Compresses messages of any connection, one after another.
#[derive(Debug)]
pub(crate) struct Deflater {
    compress: Compress,
    window: Window,
    level: Compression,
    /// The connection whose messages its window holds, and up to which one.
    at: Option<Position>,
    /// What it wrote of the message in progress and has not passed on.
    pub(crate) tail: Tail,
    /// Of the message in progress, as far as it was read and passed on.
    pub(crate) sizes: Sizes,
}

/// The bytes of a message before and after compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) before: u64,
    pub(crate) after: u64,
}

/// What one call did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) read: usize,
    /// Whether it read or wrote anything.
    pub(crate) progress: bool,
    /// Whether the whole message is compressed and the flush marker written.
    pub(crate) flushed: bool,
}

impl Deflater {
    pub(crate) fn new(window: Window) -> Self {
        let level = Compression::default();
        let compress = Compress::new_with_window_bits(level, false, window.bits());
        let (tail, sizes) = (Tail::new(), Sizes::default());
        Self { compress, window, level, at: None, tail, sizes }
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// Heap bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        BYTES + 4 * self.window.size()
    }

    pub(crate) fn is_at(&self, position: Position) -> bool {
        self.at == Some(position)
    }

    /// Begins a message at `position`. If the deflater is there already, at this level, it goes on as
    /// it is; otherwise it knows the contents of `record` and nothing else.
    pub(crate) fn begin<const BLOCK: usize>(
        &mut self,
        position: Position,
        level: u8,
        record: &Record<BLOCK>,
    ) -> Result<(), CompressError> {
        self.tail.clear();
        self.sizes = Sizes::default();
        let level = Compression::new(level.into());
        if self.at.take() == Some(position) && self.level == level {
            return Ok(());
        }
        self.compress.reset();
        // The only place where zlib-rs changes the level.
        self.compress.set_level(level)?;
        self.level = level;
        for part in record.parts() {
            self.compress.set_dictionary(part)?;
        }
        Ok(())
    }

    /// A message is complete, and the next one at `position` may go on from here.
    pub(crate) fn leave_at(&mut self, position: Position) {
        self.at = Some(position);
    }

    /// Compresses once, through the tail.
    pub(crate) fn step(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Step, CompressError> {
        let Self { compress, tail, sizes, .. } = self;
        let flush = if input.is_last() { FlushCompress::Sync } else { FlushCompress::None };
        let before = compress.total_in();
        let mut result = Ok(());
        let (mut room, mut made) = (0, 0);
        let deflate = |buffer: &mut [u8]| {
            let before = compress.total_out();
            result = compress.compress(input.data(), buffer, flush).map(|_| ());
            room = buffer.len();
            made = distance(before, compress.total_out());
            made
        };
        if out.room() < CRAMPED {
            tail.fill(deflate);
        } else {
            let size = (input.len() / 2).clamp(CRAMPED, STEP);
            sizes.after += out.fill(size, |buffer| tail.pass(buffer, deflate)) as u64;
        }
        result?;
        let read = distance(before, compress.total_in());
        sizes.before += read as u64;
        let flushed = read == input.len() && input.is_last() && made < room;
        Ok(Step { read, progress: read > 0 || made > 0, flushed })
    }
}

fn distance(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}
