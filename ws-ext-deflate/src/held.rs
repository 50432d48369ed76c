//! The end of what a deflater wrote.

use ws_core::extension::Sink;

/// With what a sync flush ends, and what does not go out at the end of a message.
pub(crate) const MARK: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// In less room than this the deflater writes to a buffer of ours: a flush that is short of room
/// writes its mark again, and in room for one byte would never end.
pub(crate) const CRAMPED: usize = 128;

/// The last four bytes stay until it is known whether they are the mark that ends the message.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: [u8; MARK.len() + CRAMPED],
    len: usize,
}

impl Held {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; MARK.len() + CRAMPED], len: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Whether there is more than may be the mark.
    pub(crate) fn has_more(&self) -> bool {
        self.len > MARK.len()
    }

    /// Whether there is the mark and nothing else.
    pub(crate) fn is_mark(&self) -> bool {
        self.bytes.get(..self.len) == Some(&MARK[..])
    }

    /// Writes all but the last four bytes, as far as there is room. How many that were.
    pub(crate) fn write_to(&mut self, out: &mut Sink<'_>) -> usize {
        let free = self.len.saturating_sub(MARK.len());
        let written = out.write(self.bytes.get(..free).unwrap_or_default());
        self.bytes.copy_within(written..self.len, 0);
        self.len -= written;
        written
    }

    pub(crate) fn set(&mut self, bytes: &[u8]) {
        self.bytes[..bytes.len()].copy_from_slice(bytes);
        self.len = bytes.len();
    }

    /// Lets `compress` write behind what is held: no more than four bytes.
    pub(crate) fn fill(&mut self, compress: impl FnOnce(&mut [u8]) -> usize) {
        self.len += compress(self.bytes.get_mut(self.len..).unwrap_or_default());
    }

    /// Lets `compress` write to `buffer`, with what is held in front, and holds the last four
    /// bytes of it. How many stay in the buffer.
    pub(crate) fn pass(
        &mut self,
        buffer: &mut [u8],
        compress: impl FnOnce(&mut [u8]) -> usize,
    ) -> usize {
        let (front, rest) = buffer.split_at_mut(self.len.min(buffer.len()));
        front.copy_from_slice(&self.bytes[..front.len()]);
        let end = front.len() + compress(rest);
        let stays = end.saturating_sub(MARK.len());
        self.set(buffer.get(stays..end).unwrap_or_default());
        stays
    }
}
