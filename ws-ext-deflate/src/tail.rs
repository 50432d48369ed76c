//! The end of what a deflater wrote.

use ws_core::extension::Sink;

/// The end of a sync flush. The sender of a message removes it, the receiver appends it (RFC 7692
/// §7.2).
pub(crate) const FLUSH_MARKER: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// With less room than this, the deflater writes to a buffer of ours: a flush that runs out of room
/// writes its marker again, and with room for one byte would never end.
pub(crate) const CRAMPED: usize = 128;

/// Keeps the last four bytes until it is known whether they are the marker that ends the message.
#[derive(Debug)]
pub(crate) struct Tail {
    bytes: [u8; FLUSH_MARKER.len() + CRAMPED],
    len: usize,
}

impl Tail {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; FLUSH_MARKER.len() + CRAMPED], len: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Whether there are more bytes than the marker has.
    pub(crate) fn has_more(&self) -> bool {
        self.len > FLUSH_MARKER.len()
    }

    /// Whether the marker is all there is.
    pub(crate) fn is_marker(&self) -> bool {
        self.bytes.get(..self.len) == Some(&FLUSH_MARKER[..])
    }

    /// Writes all but the last four bytes, as far as there is room. Returns how many it wrote.
    pub(crate) fn write_to(&mut self, out: &mut Sink<'_>) -> usize {
        let free = self.len.saturating_sub(FLUSH_MARKER.len());
        let written = out.write(self.bytes.get(..free).unwrap_or_default());
        self.bytes.copy_within(written..self.len, 0);
        self.len -= written;
        written
    }

    pub(crate) fn set(&mut self, bytes: &[u8]) {
        self.bytes[..bytes.len()].copy_from_slice(bytes);
        self.len = bytes.len();
    }

    /// Lets `compress` write after the tail, which has four bytes at most.
    pub(crate) fn fill(&mut self, compress: impl FnOnce(&mut [u8]) -> usize) {
        self.len += compress(self.bytes.get_mut(self.len..).unwrap_or_default());
    }

    /// Puts the tail at the start of `buffer`, lets `compress` write after it, and takes the last four
    /// bytes back. Returns how many stay in the buffer.
    pub(crate) fn pass(
        &mut self,
        buffer: &mut [u8],
        compress: impl FnOnce(&mut [u8]) -> usize,
    ) -> usize {
        let (front, rest) = buffer.split_at_mut(self.len.min(buffer.len()));
        front.copy_from_slice(&self.bytes[..front.len()]);
        let end = front.len() + compress(rest);
        let stays = end.saturating_sub(FLUSH_MARKER.len());
        self.set(buffer.get(stays..end).unwrap_or_default());
        stays
    }
}
