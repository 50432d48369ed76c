//! Compresses a message once for many connections.
//!
//! What refers back to nothing before the message is valid in the stream of every peer whose window
//! reaches as far as the message refers back within itself. So one form does for all windows that are
//! no smaller than the message, with and without context takeover.

use ws_core::extension::{
    Chunk, Compression, ExtensionError, Mark, Progress, SharedEncoder, SharedKey, Sink,
};

use crate::{
    deflater::Sizes,
    encoder::{Encoded, Encoder},
    level::Level,
    permessage::PermessageDeflate,
    window::Window,
    worth::is_worth_it,
};

/// How a message is compressed for all. What is of one kind is the same octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) window: Window,
    pub(crate) level: u8,
}

impl Kind {
    /// For a message of `len` bytes, and all that compress their own with this window and level.
    pub(crate) fn of(len: u64, own: Window, level: Level) -> Self {
        let fits = |window: Window| len <= window.size() as u64;
        // No distance is larger than the message. Most connections have a deflater of the proposed
        // window for messages of their own, so that it is in the pool.
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
        SharedKey::new::<PermessageDeflate>(u64::from(level) << 8 | u64::from(window.bits()))
    }
}

/// Compresses one message.
pub(crate) struct Once {
    /// Has no history, and gives its deflater back when it is dropped.
    encoder: Encoder,
    compression: Compression,
    /// What came of it, when it is complete.
    sizes: Sizes,
}

impl Once {
    pub(crate) fn new(mut encoder: Encoder, level: u8, compression: Compression) -> Option<Self> {
        encoder.begin(level).ok()?;
        Some(Self { encoder, compression, sizes: Sizes::default() })
    }
}

impl SharedEncoder for Once {
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
            Compression::Auto if !is_worth_it(self.sizes) => Mark::Unmarked,
            _ => Mark::Marked,
        }
    }
}
