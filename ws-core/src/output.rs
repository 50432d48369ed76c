//! Encoded frames that wait to be written, laid out for one vectored write.
//!
//! Small frames are copied together. A large payload keeps its buffer, and so does a large frame that
//! is encoded for many connections. The queue is therefore a list of segments:
//!
//! ```text
//!   queue: [ Frames "h p h p" ][ Passed "h" "p" ][ Frames "h p" ][ Passed "h p" ]    tail: "h p h p"
//! ```
//!
//! Only a Pong that overtakes data needs to know where a frame ends. Walking the headers of a segment
//! finds that place.

mod segment;

use alloc::{borrow::Cow, collections::VecDeque, vec::Vec};

use bytes::{Buf, Bytes};

use self::segment::{Frames, Passed, Segment};
use crate::{Payload, frame::FrameHeader, mask::apply_mask};

/// A server's payload of this many bytes or more keeps its own buffer.
pub(crate) const PASS_THROUGH_FROM: usize = 4096;
/// A frame that many connections share keeps its buffer from this many bytes on. That is less than for
/// a payload, because no header is written before it. At 1 KiB a copy takes as long as a queue entry
/// and the reference count, at 2 KiB a quarter longer, on a core that does not contend for the count.
pub(crate) const PASS_FRAME_FROM: usize = 2048;
/// The first buffer of a burst. A burst lasts until everything is written, and most are one small
/// message, so the buffer is small enough for an allocator's fast path.
const FIRST_BUFFER: usize = 1024;
/// Later buffers of the same burst: sixteen messages of 1 KiB with their headers. The content of the
/// first buffer is moved into the second if it is no more than a small payload; nothing else is copied
/// twice.
const NEXT_BUFFER: usize = 17 * 1024;
/// The capacity of a new queue.
const SEGMENTS: usize = 4;

/// What [`Connection::poll_output_bounded`](crate::Connection::poll_output_bounded) returns.
#[derive(Debug)]
#[must_use]
pub enum Outgoing<'a> {
    /// Write this, as much of it as the transport takes.
    Write(&'a mut Output),
    /// The work allowed for one call is done and has produced nothing yet: let others run, then call
    /// again. Happens only with extensions.
    Yield,
    /// Everything is encoded and written.
    Idle,
}

/// The payload of a frame, by what may become of its buffer.
pub(crate) enum Body<'a> {
    /// Keeps its buffer if it is large and not masked.
    Payload(Cow<'a, Payload>),
    /// The same for what a buffer holds. The buffer is left empty.
    Buffer(&'a mut Vec<u8>),
    /// No payload, but a whole frame that is encoded with its header for many connections, unmasked.
    Frame(&'a Bytes),
}

/// Bytes to be written to the peer, in order.
///
/// Read it as a [`Buf`]: `chunk` or `chunks_vectored`, then `advance` by the number of bytes written.
/// It holds no buffer when it is empty.
#[derive(Debug, Default)]
pub struct Output {
    queue: VecDeque<Segment>,
    /// Frames that are copied together, after the queue.
    tail: Frames,
    /// All bytes that are not written yet.
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
    /// Those of the writer; [`WriteZero`](std::io::ErrorKind::WriteZero) if it takes nothing. What was
    /// written before the error has left the output, so the call can be repeated.
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

    /// Appends a frame that begins with the octet `first`, masked with `key` if there is one.
    ///
    /// Inlined, so that each caller contains the code for its own kind of body only.
    #[inline(always)]
    pub(crate) fn append(&mut self, first: u8, key: Option<[u8; 4]>, body: Body<'_>) {
        let payload = match body {
            Body::Payload(payload) => match payload.as_inline().filter(|_| key.is_none()) {
                // A copy of constant length takes a few instructions; the excess is cut off.
                Some((octets, len)) => {
                    return self.copy(
                        (FrameHeader::short(first, false, len), 2),
                        None,
                        octets,
                        len,
                    );
                }
                None => payload,
            },
            Body::Buffer(buffer) if buffer.len() < PASS_THROUGH_FROM => {
                self.copy_payload(first, key, buffer);
                return buffer.clear();
            }
            Body::Buffer(buffer) => Cow::Owned(core::mem::take(buffer).into()),
            Body::Frame(frame) if frame.len() < PASS_FRAME_FROM => {
                return self.copy(([], 0), None, frame, frame.len());
            }
            Body::Frame(frame) => return self.pass(Passed::encoded(frame.clone())),
        };
        if key.is_some() || payload.len() < PASS_THROUGH_FROM {
            return self.copy_payload(first, key, &payload);
        }
        let pins = payload.pins();
        self.pass(Passed::new(first, payload.into_owned().into(), pins));
    }

    #[inline(always)]
    fn copy_payload(&mut self, first: u8, key: Option<[u8; 4]>, payload: &[u8]) {
        match key {
            None => self.copy_plain(first, payload),
            Some(key) => self.copy_masked(first, key, payload),
        }
    }

    #[inline(never)]
    fn copy_plain(&mut self, first: u8, payload: &[u8]) {
        let head = FrameHeader::octets(first, false, payload.len() as u64);
        self.copy(head, None, payload, payload.len());
    }

    #[inline(never)]
    fn copy_masked(&mut self, first: u8, key: [u8; 4], payload: &[u8]) {
        let head = FrameHeader::octets(first, true, payload.len() as u64);
        self.copy(head, Some(key), payload, payload.len());
    }

    /// Copies a frame into the tail: of `payload` the first `len` octets.
    #[inline(always)]
    fn copy<const HEAD: usize>(
        &mut self,
        head: ([u8; HEAD], usize),
        key: Option<[u8; 4]>,
        payload: &[u8],
        len: usize,
    ) {
        let header = head.1 + key.map_or(0, |key| key.len());
        let len = header + len;
        // A longer header is copied with an excess of eight octets at most.
        let excess = if HEAD > 2 { 8 } else { 0 };
        self.reserve_tail(header + payload.len().max(excess));
        let end = self.tail.bytes.len() + len;
        encode_frame(head, key, payload, &mut self.tail.bytes);
        self.tail.bytes.truncate(end);
        self.len += len;
    }

    /// Appends a frame that keeps its buffer.
    #[inline]
    fn pass(&mut self, passed: Passed) {
        self.len += passed.len();
        if self.queue.capacity() == 0 {
            self.queue = VecDeque::with_capacity(SEGMENTS);
        }
        if !self.tail.bytes.is_empty() {
            self.queue_tail();
        }
        self.queue.push_back(Segment::Passed(passed));
    }

    /// Inserts a control frame before all data except the frame that is being written.
    pub(crate) fn insert(&mut self, first: u8, key: Option<[u8; 4]>, payload: &[u8]) {
        // Control frames stay in order: after earlier ones that are not written yet.
        if self.control().is_none() {
            self.insert_control();
        }
        let Some(frames) = self.control() else {
            return;
        };
        // A writer that never quite empties the segment must not make it grow.
        if frames.written >= frames.unwritten().len() {
            frames.bytes.drain(..frames.written);
            frames.written = 0;
        }
        let before = frames.bytes.len();
        let head = FrameHeader::short(first, key.is_some(), payload.len());
        encode_frame((head, 2), key, payload, &mut frames.bytes);
        let len = frames.bytes.len() - before;
        self.len += len;
        self.drop_written();
    }

    /// Whether control frames that overtook data are not written yet.
    pub(crate) fn has_control(&mut self) -> bool {
        self.control().is_some()
    }

    /// They follow the frame that is being written, which is in the first segment.
    fn control(&mut self) -> Option<&mut Frames> {
        self.queue.iter_mut().take(2).find_map(Segment::as_control)
    }

    /// Inserts an empty segment for them.
    fn insert_control(&mut self) {
        let at = match self.queue.front_mut() {
            Some(Segment::Passed(passed)) => usize::from(!passed.starts()),
            _ => self.split_first(),
        };
        self.queue.insert(at.min(self.queue.len()), Segment::Control(Frames::default()));
    }

    /// Splits the first segment after the frame that is being written. Returns how many segments are
    /// before that place.
    fn split_first(&mut self) -> usize {
        let first = match self.queue.front_mut() {
            Some(Segment::Frames(frames)) => frames,
            _ => &mut self.tail,
        };
        let boundary = first.next_boundary();
        if boundary == 0 {
            return 0;
        }
        let rest = Frames::new(first.bytes.split_off(boundary));
        if self.queue.is_empty() {
            let first = core::mem::replace(&mut self.tail, rest);
            self.queue.push_back(Segment::Frames(first));
        } else if !rest.bytes.is_empty() {
            self.queue.insert(1, Segment::Frames(rest));
        }
        1
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
            // A new buffer costs an allocator half as much as growing an empty one.
            *tail = Vec::with_capacity(additional.max(FIRST_BUFFER));
        } else if tail.capacity() <= PASS_THROUGH_FROM && tail.len() + additional <= NEXT_BUFFER {
            // Most bursts stay in one piece, which is cheaper to write.
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

    /// Moves the tail into the queue, without its spare room if that is most of it.
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
        // Dropping an empty queue would cost more than this check.
        if self.queue.capacity() > 0 {
            self.queue = VecDeque::new();
        }
    }

    /// Copies payloads that keep a much larger buffer alive.
    pub(crate) fn detach(&mut self) {
        self.queue.iter_mut().for_each(Segment::detach);
    }

    /// Bytes whose buffer others hold too.
    pub(crate) fn shared(&self) -> usize {
        self.queue.iter().map(Segment::shared).sum()
    }

    pub(crate) fn memory_usage(&self) -> usize {
        let queued: usize = self.queue.iter().map(Segment::memory_usage).sum();
        queued + self.tail.bytes.capacity() + self.queue.capacity() * size_of::<Segment>()
    }
}

/// Appends a frame: the first `head.1` octets of a header, the masking key and the payload.
#[inline(always)]
fn encode_frame<const HEAD: usize>(
    head: ([u8; HEAD], usize),
    key: Option<[u8; 4]>,
    payload: &[u8],
    output: &mut Vec<u8>,
) {
    let (head, head_len) = head;
    let mut start = output.len() + head_len;
    output.extend_from_slice(&head);
    // A shorter header is complete.
    if HEAD > 2 {
        output.truncate(start);
    }
    if let Some(key) = key {
        output.extend_from_slice(&key);
        start += key.len();
    }
    output.extend_from_slice(payload);
    if let Some(key) = key {
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
            // Usually one call writes everything.
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
