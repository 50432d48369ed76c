//! Compresses a message once for many connections.
//!
//! What refers back to nothing before the message is valid in the stream of every peer whose window
//! reaches as far as the message refers back within itself. So one form does for all windows that are
//! no smaller than the message, with and without context takeover.

use std::sync::{Mutex, PoisonError};

use flate2::Compress;
use ws_core::extension::{
    Chunk, Compression, ExtensionError, Mark, MessageInfo, Progress, SharedEncoder, SharedKey, Sink,
};

use crate::{encoder::Encoder, permessage::PermessageDeflate, window::Window, worth::is_worth_it};

/// How a message is compressed for all whose form has the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    level: u8,
    window: Window,
}

impl Form {
    /// For a message of `len` bytes to a peer with this window.
    pub(crate) fn new(level: u8, window: Window, len: u64) -> Self {
        // No distance is larger than the message.
        let window = if len <= window.size() as u64 { Window::MAX } else { window };
        Self { level, window }
    }

    pub(crate) fn key(self) -> SharedKey {
        SharedKey::new::<PermessageDeflate>(
            u64::from(self.level) << 8 | u64::from(self.window.bits()),
        )
    }
}

/// Compresses one message, with a deflater of the pool if there is one.
pub(crate) struct Once {
    form: Form,
    encoder: Encoder,
    compression: Compression,
}

impl Once {
    pub(crate) fn new(form: Form, message: &MessageInfo) -> Option<Self> {
        let mut encoder = Encoder::new(form.level, form.window, false);
        if let Some(deflater) = POOL.take(form) {
            encoder.put_deflater(deflater);
        }
        // Resets it: nothing of what it compressed before is left to refer to.
        encoder.begin().ok()?;
        Some(Self { form, encoder, compression: message.compression })
    }
}

impl SharedEncoder for Once {
    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        self.encoder.encode(input, out)
    }

    fn mark(&self) -> Mark {
        match self.compression {
            Compression::Auto if !is_worth_it(self.encoder.sizes()) => Mark::Unmarked,
            _ => Mark::Marked,
        }
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        if let Some(deflater) = self.encoder.take_deflater() {
            POOL.put(self.form, deflater);
        }
    }
}

/// Deflaters between messages, the one that was used last at the end.
struct Pool(Mutex<Vec<(Form, Compress)>>);

static POOL: Pool = Pool(Mutex::new(Vec::new()));

/// So many deflaters are kept: 1.5 MB at most. More are made where more are needed at a time.
const KEPT: usize = 4;

impl Pool {
    fn take(&self, form: Form) -> Option<Compress> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().rposition(|(of, _)| *of == form)?;
        Some(kept.remove(at).1)
    }

    fn put(&self, form: Form, deflater: Compress) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = if kept.len() < KEPT { None } else { Some(kept.remove(0)) };
        kept.push((form, deflater));
        drop(kept);
        // Not under the lock.
        drop(oldest);
    }
}
