//! Compresses a message once for many connections.
//!
//! What refers back to nothing before the message is valid in the stream of every peer whose window
//! reaches as far as the message refers back within itself. So one form does for all windows that are
//! no smaller than the message, with and without context takeover.

use ws_core::extension::{
    Chunk, Compression, ExtensionError, Mark, Progress, SharedEncoder, SharedKey, Sink,
};

use crate::{
    deflater::{Kind, Sizes},
    encoder::{Encoded, Encoder},
    permessage::PermessageDeflate,
    window::Window,
    worth::is_worth_it,
};

/// What compresses a message of `len` bytes for all whose own deflaters are of this kind.
pub(crate) fn kind(own: Kind, len: u64) -> Kind {
    let fits = |window: Window| len <= window.size() as u64;
    // No distance is larger than the message. Most connections have a deflater of the proposed window
    // for messages of their own, so that it is in the pool.
    let window = if !fits(own.window) {
        own.window
    } else if fits(Window::PROPOSED) {
        Window::PROPOSED
    } else {
        Window::MAX
    };
    Kind { window, ..own }
}

/// Names the form that this kind makes.
pub(crate) fn key(kind: Kind) -> SharedKey {
    SharedKey::new::<PermessageDeflate>(u64::from(kind.level) << 8 | u64::from(kind.window.bits()))
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
    pub(crate) fn new(mut encoder: Encoder, compression: Compression) -> Option<Self> {
        encoder.begin().ok()?;
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
