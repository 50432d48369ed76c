//! What is to be written: encoded frames, made for one vectored write.
//!
//! Small frames are copied together. A large payload keeps its own buffer and is passed through, and
//! so is a large frame that is encoded for many connections. So the queue is a list of segments:
//!
//! ```text
//!   queue: [ Frames "h p h p" ][ Passed "h" "p" ][ Frames "h p" ][ Passed "h p" ]    tail: "h p h p"
//! ```
//!
//! Where a frame ends is found by walking the headers of a segment: only a Pong that overtakes data
//! has to know.

mod segment;

use alloc::{collections::VecDeque, vec::Vec};

use bytes::{Buf, Bytes};

use self::segment::{Frames, Passed, Segment};
use crate::{Payload, Role, frame::FrameHeader, mask::apply_mask};

/// From so many bytes on, a server's payload keeps its own buffer.
pub(crate) const PASS_THROUGH_FROM: usize = 4096;
/// From so many bytes on, a frame that many connections share is passed through: less than for a
/// payload, since no header has to be written in front of it. At 1 KiB copying takes as long as the
/// queue entry and the counting of references, at 2 KiB a quarter longer, on a core whose counter
/// nobody else wants.
#[cfg(feature = "std")]
pub(crate) const PASS_FRAME_FROM: usize = 2048;
/// The first buffer of a burst, which lasts until everything is written: small enough for an
/// allocator's quickest way, since most bursts are one small message.
const FIRST_BUFFER: usize = 1024;
/// Those that follow in the same burst: sixteen messages of 1 KiB with their headers. What a first one
/// holds is moved into the next if it is no more than a small payload, and nothing else is copied
/// twice.
const NEXT_BUFFER: usize = 17 * 1024;
/// Room in a queue that begins.
const SEGMENTS: usize = 4;

/// What [`Connection::poll_output_bounded`](crate::Connection::poll_output_bounded) tells.
#[derive(Debug)]
#[must_use]
pub enum Outgoing<'a> {
    /// Write this, as much as the transport takes.
    Write(&'a mut Output),
    /// The work allowed for one call is done, and nothing came of it yet: call again, after giving
    /// others their turn. Happens with extensions alone.
    Yield,
    /// Everything is encoded and written.
    Idle,
}

/// Bytes to be written to the peer, in order.
///
/// Read it as a [`Buf`]: `chunk` or `chunks_vectored`, then `advance` by what was written. Holds no
/// buffer when it is empty.
#[derive(Debug, Default)]
pub struct Output {
    queue: VecDeque<Segment>,
    /// What is copied together now, behind the queue.
    tail: Frames,
    /// Bytes in all that are not written yet.
    len: usize,
}

impl Output {
    /// Bytes that are not written yet.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether everything was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes everything to a blocking writer, many frames with one call.
    ///
    /// # Errors
    /// Those of the writer; [`WriteZero`](std::io::ErrorKind::WriteZero) if it takes nothing.
    /// What was written before is gone from the output, so the call can be repeated.
    #[cfg(feature = "std")]
    pub fn write_to(&mut self, writer: &mut impl std::io::Write) -> std::io::Result<()> {
        while !self.is_empty() {
            let mut slices = [std::io::IoSlice::new(&[]); 64];
            let n = self.chunks_vectored(&mut slices);
            match writer.write_vectored(slices.get(..n).unwrap_or_default()) {
                Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
                Ok(n) => self.advance(n),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Appends a frame, masked if the role asks for it. Returns its header.
    pub(crate) fn push(
        &mut self,
        header: FrameHeader,
        payload: Payload,
        role: &mut Role,
    ) -> FrameHeader {
        if !role.is_server() || payload.len() < PASS_THROUGH_FROM {
            return self.push_copied(header, &payload, role);
        }
        let pins = payload.pins();
        self.push_passed(header.first_octet(), payload.into(), pins);
        header
    }

    /// Appends an unmasked frame whose payload keeps its buffer.
    #[inline]
    pub(crate) fn push_passed(&mut self, first: u8, payload: Bytes, pins: bool) {
        let passed = Segment::Passed(Passed::new(first, payload, pins));
        self.len += passed.unwritten().len() + passed.memory_usage();
        self.queue_behind_tail(passed);
    }

    /// Appends a frame that is encoded already.
    #[cfg(feature = "std")]
    pub(crate) fn push_frame(&mut self, frame: &Bytes) {
        self.len += frame.len();
        if frame.len() < PASS_FRAME_FROM {
            self.reserve_tail(frame.len());
            self.tail.bytes.extend_from_slice(frame);
            return;
        }
        self.queue_behind_tail(Segment::Passed(Passed::encoded(frame.clone())));
    }

    /// Appends a frame whose payload is copied, masked if the role asks for it.
    #[inline]
    pub(crate) fn push_copied(
        &mut self,
        mut header: FrameHeader,
        payload: &[u8],
        role: &mut Role,
    ) -> FrameHeader {
        header.mask = role.next_key();
        let len = header.encoded_len() + payload.len();
        self.len += len;
        self.reserve_tail(len);
        encode_frame(header, payload, &mut self.tail.bytes);
        header
    }

    /// Appends an unmasked frame of at most 32 bytes, which lie at the front of `payload`.
    #[inline]
    pub(crate) fn push_small(&mut self, first: u8, payload: &[u8; Payload::INLINE], len: usize) {
        // A copy of constant length is a few instructions; what is too much is taken back.
        self.reserve_tail(2 + Payload::INLINE);
        let tail = &mut self.tail.bytes;
        tail.extend_from_slice(&[first, len as u8]);
        let end = tail.len() + len;
        tail.extend_from_slice(payload);
        tail.truncate(end);
        self.len += 2 + len;
    }

    /// Appends an unmasked frame whose payload is copied.
    #[inline]
    pub(crate) fn push_plain(&mut self, first: u8, payload: &[u8]) {
        let (head, head_len) = FrameHeader::unmasked(first, payload.len());
        // A copy of constant length is a few instructions; what is too much is taken back.
        self.reserve_tail(head.len() + payload.len());
        let tail = &mut self.tail.bytes;
        let start = tail.len();
        tail.extend_from_slice(&head);
        tail.truncate(start + usize::from(head_len));
        tail.extend_from_slice(payload);
        self.len += usize::from(head_len) + payload.len();
    }

    /// Appends an unmasked frame if its payload is at most 125 bytes. Whether it was.
    #[inline]
    pub(crate) fn push_short(&mut self, first: u8, payload: &[u8]) -> bool {
        if payload.len() > 125 {
            return false;
        }
        let len = 2 + payload.len();
        self.reserve_tail(len);
        self.tail.bytes.extend_from_slice(&[first, payload.len() as u8]);
        self.tail.bytes.extend_from_slice(payload);
        self.len += len;
        true
    }

    /// Inserts a control frame in front of all data but the frame that is being written.
    pub(crate) fn push_ahead(
        &mut self,
        mut header: FrameHeader,
        payload: &[u8],
        role: &mut Role,
    ) -> FrameHeader {
        header.mask = role.next_key();
        self.len += header.encoded_len() + payload.len();
        // Control frames stay in order: behind earlier ones that are still there.
        if let Some(frames) = self.control() {
            // A writer that never quite empties the segment must not make it grow.
            if frames.written >= frames.unwritten().len() {
                frames.bytes.drain(..frames.written);
                frames.written = 0;
            }
            encode_frame(header, payload, &mut frames.bytes);
            return header;
        }
        let (at, boundary) = match self.queue.front_mut() {
            None => (0, self.tail.next_boundary()),
            Some(Segment::Frames(frames)) => (0, frames.next_boundary()),
            Some(Segment::Passed(passed)) if passed.starts() => (0, 0),
            // It was written in part.
            Some(_) => (1, 0),
        };
        match boundary {
            0 => self.insert_control(at, header, payload),
            boundary => {
                let first = match self.queue.front_mut() {
                    Some(Segment::Frames(frames)) => frames,
                    _ => &mut self.tail,
                };
                let behind = Frames::new(first.bytes.split_off(boundary));
                if self.queue.is_empty() {
                    let first = core::mem::replace(&mut self.tail, behind);
                    self.queue.push_back(Segment::Frames(first));
                } else if !behind.bytes.is_empty() {
                    self.queue.insert(1, Segment::Frames(behind));
                }
                self.insert_control(1, header, payload);
            }
        }
        self.drop_written();
        header
    }

    /// Whether control frames that overtook data are not written yet.
    pub(crate) fn has_control(&mut self) -> bool {
        self.control().is_some()
    }

    /// They stand behind the frame that is being written, which is in the first segment.
    fn control(&mut self) -> Option<&mut Frames> {
        self.queue.iter_mut().take(2).find_map(|segment| match segment {
            Segment::Control(frames) => Some(frames),
            _ => None,
        })
    }

    fn insert_control(&mut self, at: usize, header: FrameHeader, payload: &[u8]) {
        let mut frames = Frames::default();
        encode_frame(header, payload, &mut frames.bytes);
        self.queue.insert(at.min(self.queue.len()), Segment::Control(frames));
    }

    /// Makes room for `additional` bytes in the tail, or starts a new one.
    #[inline]
    fn reserve_tail(&mut self, additional: usize) {
        if self.tail.bytes.capacity() - self.tail.bytes.len() < additional {
            self.start_tail(additional);
        }
    }

    fn start_tail(&mut self, additional: usize) {
        let tail = &mut self.tail.bytes;
        if tail.is_empty() && self.queue.is_empty() {
            // A new one takes an allocator half the work of enlarging one that holds nothing.
            *tail = Vec::with_capacity(additional.max(FIRST_BUFFER));
        } else if tail.capacity() <= PASS_THROUGH_FROM && tail.len() + additional <= NEXT_BUFFER {
            // So that most bursts are one piece, which is the cheaper one to write.
            let mut larger = Vec::with_capacity(NEXT_BUFFER);
            larger.extend_from_slice(tail);
            *tail = larger;
        } else {
            if !tail.is_empty() {
                self.queue_tail();
            }
            self.tail = Frames::new(Vec::with_capacity(additional.max(NEXT_BUFFER)));
        }
    }

    fn queue_behind_tail(&mut self, segment: Segment) {
        if self.queue.capacity() == 0 {
            self.queue = VecDeque::with_capacity(SEGMENTS);
        }
        if !self.tail.bytes.is_empty() {
            self.queue_tail();
        }
        self.queue.push_back(segment);
    }

    /// Moves the tail into the queue; a buffer that is mostly room does not wait there.
    fn queue_tail(&mut self) {
        let mut tail = core::mem::take(&mut self.tail);
        if tail.bytes.len() < tail.bytes.capacity() / 4 {
            tail.bytes.shrink_to_fit();
        }
        self.queue.push_back(Segment::Frames(tail));
    }

    /// Drops segments that were written, and all buffers when nothing is left.
    fn drop_written(&mut self) {
        while let Some(segment) = self.queue.front() {
            if !segment.unwritten().is_empty() {
                return;
            }
            self.queue.pop_front();
        }
        if self.len == 0 {
            self.clear();
        }
    }

    /// Drops everything.
    fn clear(&mut self) {
        self.len = 0;
        self.tail = Frames::default();
        // For one that holds nothing, dropping it is the longer way to nothing.
        if self.queue.capacity() > 0 {
            self.queue = VecDeque::new();
        }
    }

    /// Copies payloads that keep a much larger buffer alive.
    pub(crate) fn detach(&mut self) {
        self.queue.iter_mut().for_each(Segment::detach);
    }

    pub(crate) fn memory_usage(&self) -> usize {
        let queued: usize = self.queue.iter().map(Segment::memory_usage).sum();
        queued + self.tail.bytes.capacity() + self.queue.capacity() * size_of::<Segment>()
    }
}

fn encode_frame(header: FrameHeader, payload: &[u8], output: &mut Vec<u8>) {
    header.encode(output);
    let start = output.len();
    output.extend_from_slice(payload);
    if let Some(key) = header.mask {
        apply_mask(output.get_mut(start..).unwrap_or_default(), key, 0);
    }
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.queue.front().map_or_else(|| self.tail.unwritten(), Segment::unwritten)
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let (mut n, most) = (0, slices.len());
        let mut put = |chunk: &'a [u8]| {
            if !chunk.is_empty()
                && let Some(slot) = slices.get_mut(n)
            {
                *slot = std::io::IoSlice::new(chunk);
                n += 1;
            }
        };
        for segment in self.queue.iter().take(most) {
            let (first, rest) = segment.pieces();
            put(first);
            put(rest);
        }
        put(self.tail.unwritten());
        n
    }

    /// # Panics
    /// If `n` is more than is left, as [`Buf`] demands.
    fn advance(&mut self, mut n: usize) {
        assert!(n <= self.len, "advanced by {n} of {} bytes", self.len);
        if n == self.len {
            // Most of the time everything is written with one call.
            self.clear();
            return;
        }
        self.len -= n;
        while n > 0 {
            let Some(segment) = self.queue.front_mut() else {
                self.tail.written += n;
                break;
            };
            match segment.advance(n) {
                Some(beyond) => n = beyond,
                None => return,
            }
            self.queue.pop_front();
        }
        self.drop_written();
    }
}
