//! The state that compresses.

use flate2::{Compress, CompressError, Compression, FlushCompress};
use ws_core::extension::{Chunk, Sink};

use crate::{
    held::{CRAMPED, Held},
    pool::Counted,
    record::Record,
    window::Window,
};

/// Bytes that a deflater of zlib-rs holds, besides four for every byte of its window.
const BYTES: usize = 248_960 + size_of::<Deflater>();
/// The room that a step asks for at most.
const STEP: usize = 16 * 1024;

/// A place in what a connection sends. No other connection has it, nor does it come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) connection: u64,
    pub(crate) messages: u64,
}

/// Compresses messages of any connection, one after the other.
#[derive(Debug)]
pub(crate) struct Deflater {
    compress: Compress,
    window: Window,
    level: Compression,
    /// Whose messages it knows, and up to which.
    stands_at: Option<Stamp>,
    /// What it wrote of the message in progress and is not passed on.
    pub(crate) held: Held,
    /// Of the message in progress, as far as it was read and passed on.
    pub(crate) sizes: Sizes,
}

/// What compressing brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) before: u64,
    pub(crate) after: u64,
}

/// What one call did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) read: usize,
    /// Whether it came to something.
    pub(crate) progress: bool,
    /// Whether the message is compressed to its end, and the mark is written.
    pub(crate) flushed: bool,
}

impl Deflater {
    pub(crate) fn new(window: Window) -> Self {
        let level = Compression::default();
        let compress = Compress::new_with_window_bits(level, false, window.bits());
        let (held, sizes) = (Held::new(), Sizes::default());
        Self { compress, window, level, stands_at: None, held, sizes }
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    pub(crate) fn stands_at(&self, stamp: Stamp) -> bool {
        self.stands_at == Some(stamp)
    }

    /// Begins a message at `stamp`. It goes on as it is if that is where it stands, at the level that
    /// it has; else it knows what `record` holds and nothing else.
    pub(crate) fn begin<const BLOCK: usize>(
        &mut self,
        stamp: Stamp,
        level: u8,
        record: &Record<BLOCK>,
    ) -> Result<(), CompressError> {
        self.held.clear();
        self.sizes = Sizes::default();
        let level = Compression::new(level.into());
        if self.stands_at.take() == Some(stamp) && self.level == level {
            return Ok(());
        }
        self.compress.reset();
        // zlib-rs changes it nowhere else.
        self.compress.set_level(level)?;
        self.level = level;
        for part in record.parts() {
            self.compress.set_dictionary(part)?;
        }
        Ok(())
    }

    /// A message is complete, and the next one at `stamp` may go on from here.
    pub(crate) fn leave_at(&mut self, stamp: Stamp) {
        self.stands_at = Some(stamp);
    }

    /// Compresses once, through what is held.
    pub(crate) fn step(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Step, CompressError> {
        let Self { compress, held, sizes, .. } = self;
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
            held.fill(deflate);
        } else {
            let size = (input.len() / 2).clamp(CRAMPED, STEP);
            sizes.after += out.fill(size, |buffer| held.pass(buffer, deflate)) as u64;
        }
        result?;
        let read = distance(before, compress.total_in());
        sizes.before += read as u64;
        let flushed = read == input.len() && input.is_last() && made < room;
        Ok(Step { read, progress: read > 0 || made > 0, flushed })
    }
}

impl Counted for Box<Deflater> {
    fn bytes(&self) -> usize {
        BYTES + 4 * self.window.size()
    }
}

fn distance(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}
