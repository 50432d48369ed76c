//! The state that inflates.

use flate2::{Decompress, DecompressError, FlushDecompress, Status};

use crate::record::Record;

/// Bytes that an inflater of zlib-rs holds, whatever its window.
const BYTES: usize = 47_562 + size_of::<Decompress>();

/// Inflates messages of any connection, one after another.
///
/// It always uses the largest window, which decodes the output of any other, takes no more memory,
/// and is the only one that flate2 resets in place. flate2 reallocates all others, 48 KiB each time,
/// which a peer could demand with every octet or two (`03 00`).
#[derive(Debug)]
pub(crate) struct Inflater(Box<Decompress>);

/// What one call did.
pub(crate) struct Inflated {
    pub(crate) read: usize,
    pub(crate) written: usize,
    pub(crate) found: Found,
}

/// What the data turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Blocks.
    Data,
    /// The end of a block with BFINAL set.
    End,
    /// Invalid DEFLATE after the bytes written.
    Corrupt,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self(Box::new(Decompress::new(false)))
    }

    /// Heap bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        BYTES
    }

    /// Forgets everything.
    pub(crate) fn reset(&mut self) {
        self.0.reset(false);
    }

    /// Resets it to the contents of `record`.
    pub(crate) fn prime<const BLOCK: usize>(
        &mut self,
        record: &Record<BLOCK>,
    ) -> Result<(), DecompressError> {
        self.reset();
        for part in record.parts() {
            self.0.set_dictionary(part)?;
        }
        Ok(())
    }

    pub(crate) fn inflate(&mut self, data: &[u8], out: &mut [u8]) -> Inflated {
        let before = (self.0.total_in(), self.0.total_out());
        let found = match self.0.decompress(data, out, FlushDecompress::None) {
            Ok(Status::StreamEnd) => Found::End,
            Ok(_) => Found::Data,
            Err(_) => Found::Corrupt,
        };
        Inflated {
            read: distance(before.0, self.0.total_in()),
            written: distance(before.1, self.0.total_out()),
            found,
        }
    }
}

fn distance(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    // D-10: miniz_oxide would inflate this to "H" and four zeros, and knows no windows.
    #[test]
    fn flate2_runs_on_zlib() {
        let inflated = Inflater::new().inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00], &mut [0xee; 16]);
        assert_eq!(inflated.found, Found::Corrupt);
    }
}
