//! Compresses a message once for many connections.
//!
//! What refers back to nothing before the message is valid in the stream of every peer whose window
//! reaches as far as the message refers back within itself. So one form does for all windows that are
//! no smaller than the message, with and without context takeover.

use ws_core::extension::{
    Chunk, Compression, ExtensionError, Mark, MessageInfo, Progress, SharedEncoder, SharedKey, Sink,
};

use crate::{
    deflater::{Kind, Sizes},
    encoder::{Encoded, Encoder},
    permessage::PermessageDeflate,
    pool::Pool,
    window::Window,
    worth::is_worth_it,
};

/// How a message is compressed for all whose form has the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form(Kind);

impl Form {
    /// For a message of `len` bytes on a connection that compresses like this.
    pub(crate) fn new(own: Kind, len: u64) -> Self {
        // No distance is larger than the message.
        let window = if len <= own.window.size() as u64 { Window::MAX } else { own.window };
        Self(Kind { window, ..own })
    }

    pub(crate) fn key(self) -> SharedKey {
        let Kind { level, window } = self.0;
        SharedKey::new::<PermessageDeflate>(u64::from(level) << 8 | u64::from(window.bits()))
    }
}

/// Compresses one message.
pub(crate) struct Once {
    encoder: Encoder,
    compression: Compression,
    sizes: Sizes,
}

impl Once {
    pub(crate) fn new(pool: &Pool, form: Form, message: &MessageInfo) -> Option<Self> {
        let mut encoder = Encoder::new(pool, form.0, 0);
        encoder.begin().ok()?;
        Some(Self { encoder, compression: message.compression, sizes: Sizes::default() })
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
