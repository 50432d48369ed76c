//! Compresses outgoing messages.

use flate2::{Compress, Compression, FlushCompress};
use ws_core::{
    CloseCode, Payload,
    extension::{Chunk, ExtensionError, Progress, Sink},
};

use crate::window::Window;

/// With what a sync flush ends, and what does not go out at the end of a message.
const MARK: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// In less room than this the deflater writes to a buffer of ours: a flush that is short of room
/// writes its mark again, and in room for one byte would never end.
const CRAMPED: usize = 128;
/// The room that a step asks for at most.
const STEP: usize = 16 * 1024;

/// One connection's outgoing half.
#[derive(Debug)]
pub(crate) struct Encoder {
    level: u8,
    window: Window,
    takeover: bool,
    /// Made for the first compressed message.
    deflater: Option<Compress>,
    state: State,
    /// While it is stale: the message that was compressed elsewhere last, if the next one is to
    /// refer back to it.
    shared: Option<Payload>,
    held: Held,
    /// Bytes of the message in progress, before and after.
    read: u64,
    written: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Resting,
    /// The peer's window holds what the deflater has not seen.
    Stale,
    Compressing,
    /// Everything is compressed and the mark written.
    Flushed,
    Failed,
}

/// The end of what the deflater wrote. The last four bytes stay until it is known whether they are
/// the mark that ends the message.
#[derive(Debug)]
struct Held {
    bytes: [u8; MARK.len() + CRAMPED],
    len: usize,
}

/// What compressing a message brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) before: u64,
    pub(crate) after: u64,
}

impl Encoder {
    pub(crate) fn new(level: u8, window: Window, takeover: bool) -> Self {
        Self {
            level,
            window,
            takeover,
            deflater: None,
            state: State::Resting,
            shared: None,
            held: Held { bytes: [0; MARK.len() + CRAMPED], len: 0 },
            read: 0,
            written: 0,
        }
    }

    /// Works with a deflater of the same level and window that was used before.
    pub(crate) fn put_deflater(&mut self, deflater: Compress) {
        self.deflater = Some(deflater);
    }

    pub(crate) fn take_deflater(&mut self) -> Option<Compress> {
        self.deflater.take()
    }

    pub(crate) fn begin(&mut self) -> Result<(), ExtensionError> {
        if self.state == State::Failed {
            return Err(failed());
        }
        // RFC 7692 §7.2.1: if the "agreed parameters" contain no_context_takeover, the sender
        // "MUST start compressing each new message with an empty LZ77 sliding window." The same
        // where a message was begun and not completed, because the peer does not know it, and behind
        // a shared form, which the deflater does not know.
        if (!self.takeover || self.state != State::Resting)
            && let Some(deflater) = &mut self.deflater
        {
            deflater.reset();
            if let Some(last) = self.shared.take().filter(|last| !last.is_empty()) {
                // The end of the peer's window.
                deflater.set_dictionary(&last).map_err(|_| failed())?;
            }
        }
        self.state = State::Compressing;
        self.held.len = 0;
        (self.read, self.written) = (0, 0);
        Ok(())
    }

    pub(crate) fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let result = self.deflate(input, out);
        if result.is_err() {
            self.state = State::Failed;
            self.deflater = None;
        }
        result
    }

    /// The sizes of the message that was completed last.
    pub(crate) fn sizes(&self) -> Sizes {
        Sizes { before: self.read, after: self.written }
    }

    fn deflate(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        loop {
            self.written += self.held.write_to(out) as u64;
            if self.held.len > MARK.len() || out.is_full() && self.state == State::Compressing {
                return Ok(Progress::Full);
            }
            match self.state {
                State::Compressing if input.is_empty() && !input.is_last() => {
                    return Ok(Progress::Done);
                }
                State::Compressing if input.is_empty() && self.read == 0 => {
                    // An empty message is one octet, the header of an empty block (RFC 7692
                    // §7.2.3.6). A deflater that was flushed before would give nothing at all.
                    self.held.set(&[0x00, 0x00, 0x00, 0xff, 0xff]);
                    self.state = State::Flushed;
                }
                State::Compressing => self.step(input, out)?,
                State::Flushed => {
                    // RFC 7692 §7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the
                    // tail end."
                    if self.held.bytes.get(..self.held.len) != Some(&MARK[..]) {
                        return Err(failed());
                    }
                    self.held.len = 0;
                    self.state = State::Resting;
                    return Ok(Progress::Done);
                }
                State::Resting | State::Stale | State::Failed => return Err(failed()),
            }
        }
    }

    /// Calls the deflater once.
    fn step(&mut self, input: &mut Chunk<'_>, out: &mut Sink<'_>) -> Result<(), ExtensionError> {
        let (level, window) = (self.level, self.window);
        let deflater = self.deflater.get_or_insert_with(|| {
            Compress::new_with_window_bits(Compression::new(level.into()), false, window.bits())
        });
        let flush = if input.is_last() { FlushCompress::Sync } else { FlushCompress::None };
        let before = deflater.total_in();
        let mut result = Ok(());
        let (mut room, mut made) = (0, 0);
        let compress = |buffer: &mut [u8]| {
            let before = deflater.total_out();
            result =
                deflater.compress(input.data(), buffer, flush).map(|_| ()).map_err(|_| failed());
            room = buffer.len();
            made = distance(before, deflater.total_out());
            made
        };
        if out.room() < CRAMPED {
            self.held.fill(compress);
        } else {
            let held = &mut self.held;
            let size = (input.len() / 2).clamp(CRAMPED, STEP);
            self.written += out.fill(size, |buffer| held.pass(buffer, compress)) as u64;
        }
        result?;
        let taken = distance(before, deflater.total_in());
        input.consume(taken);
        self.read += taken as u64;
        if input.is_empty() && input.is_last() && made < room {
            self.state = State::Flushed;
        } else if taken == 0 && made == 0 {
            return Err(failed());
        }
        Ok(())
    }

    /// A message went out that was compressed elsewhere: the next one refers back to nothing that
    /// was before it, and to the message itself if there is a deflater to be told of it.
    pub(crate) fn sent_shared(&mut self, plain: &Payload) {
        if self.state != State::Failed {
            self.state = State::Stale;
            // No larger one, so that what it keeps alive is small.
            let known =
                self.takeover && self.deflater.is_some() && plain.len() <= self.window.size();
            self.shared = known.then(|| plain.clone());
        }
    }

    /// Gives the deflater back: a sender that no longer looks back is always right.
    pub(crate) fn park(&mut self) {
        if matches!(self.state, State::Resting | State::Stale | State::Failed) {
            (self.deflater, self.shared) = (None, None);
        }
    }

    pub(crate) fn memory_usage(&self) -> usize {
        let shared = self.shared.as_ref().map_or(0, ws_core::Payload::len);
        shared + self.deflater.as_ref().map_or(0, |_| DEFLATER + 4 * self.window.size())
    }
}

/// Bytes that a deflater of zlib-rs holds, besides four for every byte of its window.
const DEFLATER: usize = 248_960;

impl Held {
    /// Writes all but the last four bytes, as far as there is room. How many that were.
    fn write_to(&mut self, out: &mut Sink<'_>) -> usize {
        let free = self.len.saturating_sub(MARK.len());
        let written = out.write(self.bytes.get(..free).unwrap_or_default());
        self.bytes.copy_within(written..self.len, 0);
        self.len -= written;
        written
    }

    fn set(&mut self, bytes: &[u8]) {
        self.bytes[..bytes.len()].copy_from_slice(bytes);
        self.len = bytes.len();
    }

    /// Lets `compress` write behind what is held: no more than four bytes.
    fn fill(&mut self, compress: impl FnOnce(&mut [u8]) -> usize) {
        self.len += compress(self.bytes.get_mut(self.len..).unwrap_or_default());
    }

    /// Lets `compress` write to `buffer`, with what is held in front, and holds the last four
    /// bytes of it. How many stay in the buffer.
    fn pass(&mut self, buffer: &mut [u8], compress: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let (front, rest) = buffer.split_at_mut(self.len.min(buffer.len()));
        front.copy_from_slice(&self.bytes[..front.len()]);
        let end = front.len() + compress(rest);
        let stays = end.saturating_sub(MARK.len());
        self.set(buffer.get(stays..end).unwrap_or_default());
        stays
    }
}

fn distance(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX)
}

fn failed() -> ExtensionError {
    ExtensionError::new(CloseCode::INTERNAL_ERROR, "the deflater failed")
}
