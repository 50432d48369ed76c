//! Compresses a message once for many connections.
//!
//! Output that does not refer back past the start of its message is valid in the stream of every peer
//! whose window covers the distances within the message. So one form serves all windows that are no
//! smaller than the message, with and without context takeover.

use ws_core::extension::{
    Chunk, Compression, ExtensionError, Mark, Progress, SharedEncoder, SharedKey, Sink,
};

use crate::{
    deflater::Sizes,
    encoder::{Encoded, Encoder},
    level::Level,
    outcomes::has_paid,
    window::Window,
};

/// How to compress a message on its own. Connections with the same output have the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OneOff {
    pub(crate) window: Window,
    pub(crate) level: u8,
}

impl OneOff {
    /// For a message of `len` bytes, on a connection of this window and level.
    pub(crate) fn of(len: u64, own: Window, level: Level) -> Self {
        let fits = |window: Window| len <= window.size() as u64;
        // No distance exceeds the message. Most connections use a deflater of the proposed window
        // for their own messages, so the pool is likely to have one.
        let window = if !fits(own) {
            own
        } else if fits(Window::PROPOSED) {
            Window::PROPOSED
        } else {
            Window::MAX
        };
        Self { window, level: level.of(Some(len)) }
    }

    pub(crate) fn key(self) -> SharedKey {
        let Self { window, level } = self;
        SharedKey::new::<Self>(u64::from(level) << 8 | u64::from(window.bits()))
    }
}

/// Compresses one message for many connections.
pub(crate) struct SharedDeflater {
    /// Without history. Returns its deflater to the pool when dropped.
    encoder: Encoder,
    compression: Compression,
    /// The outcome, once the message is complete.
    sizes: Sizes,
}

impl SharedDeflater {
    pub(crate) fn new(mut encoder: Encoder, level: u8, compression: Compression) -> Option<Self> {
        encoder.begin(level).ok()?;
        Some(Self { encoder, compression, sizes: Sizes::default() })
    }
}

impl SharedEncoder for SharedDeflater {
    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(match self.encoder.encode(input, out)? {
            Encoded::Full => Progress::Full,
            Encoded::Starved => Progress::Done,
            Encoded::Complete(sizes) => {
                self.sizes = sizes;
                Progress::Done
            }
        })
    }

    fn mark(&self) -> Mark {
        match self.compression {
            Compression::Auto if !has_paid(self.sizes) => Mark::Unmarked,
            _ => Mark::Marked,
        }
    }
}
