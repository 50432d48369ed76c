//! The segments of the output queue.

use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use crate::frame::FrameHeader;

#[derive(Debug)]
pub(super) enum Segment {
    /// Frames that were copied together.
    Frames(Frames),
    /// A frame with a buffer of its own.
    Passed(Passed),
    /// Control frames that overtook the data after them.
    Control(Frames),
}

/// Whole frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub(super) bytes: Vec<u8>,
    pub(super) written: usize,
    /// A place between two frames, not after `written`.
    boundary: usize,
}

/// A frame whose payload keeps its buffer.
#[derive(Debug)]
pub(super) struct Passed {
    head: [u8; FrameHeader::MAX_UNMASKED],
    /// Where the unwritten part of `head` begins.
    head_from: u8,
    head_end: u8,
    /// Whether nothing of it was written.
    starts: bool,
    /// Whether `bytes` keeps a much larger buffer alive.
    pins: bool,
    /// What is left of the payload, or of the whole frame if that is encoded with its header.
    bytes: Bytes,
}

impl Segment {
    /// The next piece to write; empty if nothing is left.
    pub(super) fn unwritten(&self) -> &[u8] {
        self.pieces().0
    }

    /// The next two pieces to write.
    #[inline]
    pub(super) fn pieces(&self) -> (&[u8], &[u8]) {
        match self {
            Self::Frames(frames) | Self::Control(frames) => (frames.unwritten(), &[]),
            Self::Passed(passed) => match passed.head() {
                [] => (&passed.bytes, &[]),
                head => (head, &passed.bytes),
            },
        }
    }

    /// Removes what was written, at most `n` bytes. Returns how many of the `n` are beyond this segment,
    /// or `None` if part of it is left.
    pub(super) fn advance(&mut self, n: usize) -> Option<usize> {
        match self {
            Self::Frames(frames) | Self::Control(frames) => {
                let len = frames.unwritten().len();
                frames.written += n.min(len);
                n.checked_sub(len)
            }
            Self::Passed(passed) => {
                let (head, len) = (passed.head().len(), passed.len());
                if n >= len {
                    return Some(n - len);
                }
                passed.head_from += n.min(head) as u8;
                passed.bytes.advance(n - n.min(head));
                passed.starts &= n == 0;
                None
            }
        }
    }

    pub(super) fn as_control(&mut self) -> Option<&mut Frames> {
        if let Self::Control(frames) = self { Some(frames) } else { None }
    }

    pub(super) fn detach(&mut self) {
        if let Self::Passed(passed) = self
            && core::mem::take(&mut passed.pins)
        {
            passed.bytes = Bytes::copy_from_slice(&passed.bytes);
        }
    }

    /// Bytes whose buffer others hold too.
    pub(super) fn shared(&self) -> usize {
        match self {
            Self::Passed(passed) if !passed.bytes.is_unique() => passed.bytes.len(),
            Self::Frames(_) | Self::Control(_) | Self::Passed(_) => 0,
        }
    }

    pub(super) fn memory_usage(&self) -> usize {
        match self {
            Self::Frames(frames) | Self::Control(frames) => frames.bytes.capacity(),
            Self::Passed(passed) => passed.bytes.len(),
        }
    }
}

impl Passed {
    /// An unmasked frame that begins with `first` and has this payload.
    pub(super) fn new(first: u8, payload: Bytes, pins: bool) -> Self {
        let (head, len) = FrameHeader::octets(first, false, payload.len() as u64);
        Self { head, head_from: 0, head_end: len as u8, starts: true, pins, bytes: payload }
    }

    /// A frame that is encoded with its header.
    pub(super) fn encoded(frame: Bytes) -> Self {
        let head = [0; FrameHeader::MAX_UNMASKED];
        Self { head, head_from: 0, head_end: 0, starts: true, pins: false, bytes: frame }
    }

    /// Bytes that are not written.
    pub(super) fn len(&self) -> usize {
        self.head().len() + self.bytes.len()
    }

    /// Whether nothing of it was written.
    pub(super) fn starts(&self) -> bool {
        self.starts
    }

    fn head(&self) -> &[u8] {
        let (from, end) = (usize::from(self.head_from), usize::from(self.head_end));
        self.head.get(from..end).unwrap_or_default()
    }
}

impl Frames {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, written: 0, boundary: 0 }
    }

    pub(super) fn unwritten(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Walks to the first frame boundary at or after what was written.
    pub(super) fn next_boundary(&mut self) -> usize {
        while self.boundary < self.written {
            let rest = self.bytes.get(self.boundary..).unwrap_or_default();
            let Ok(Some((header, len))) = FrameHeader::decode(rest) else {
                return self.bytes.len();
            };
            let payload = usize::try_from(header.len).unwrap_or(usize::MAX);
            let end = payload.saturating_add(self.boundary + len);
            if end > self.written {
                return end.min(self.bytes.len());
            }
            self.boundary = end;
        }
        self.boundary
    }
}
