//! Whether compressing is worth it, judged by what it brought so far.

use ws_core::{MessageKind, extension::MessageInfo};

use crate::encoder::Sizes;

/// A message of unknown length counts as so many bytes.
const UNKNOWN: u64 = 64 * 1024;

/// The experience of one connection, for text and for binary apart: a chat that also carries
/// pictures goes on compressing its text.
///
/// A message that loses less than a sixteenth of its bytes was not worth it: of the same kind, 8
/// times as many bytes go out uncompressed before the next one is tried. Every further failure
/// in a row doubles that, up to 64 times; one success ends it. So in the long run, what is tried in
/// vain is one byte in 65.
#[derive(Debug, Default)]
pub(crate) struct Worth {
    text: Experience,
    binary: Experience,
}

#[derive(Debug, Default)]
struct Experience {
    /// Bytes that are still to go out uncompressed.
    rest: u64,
    failures: u8,
}

impl Worth {
    /// Whether to compress this message.
    pub(crate) fn trying(&mut self, message: &MessageInfo) -> bool {
        let of_kind = self.of(message);
        let tries = of_kind.rest == 0;
        of_kind.rest = of_kind
            .rest
            .saturating_sub(message.len.unwrap_or(UNKNOWN).max(1));
        tries
    }

    pub(crate) fn learn(&mut self, message: &MessageInfo, sizes: Sizes) {
        let of_kind = self.of(message);
        if sizes.after <= sizes.before - sizes.before / 16 {
            *of_kind = Experience::default();
        } else {
            of_kind.rest = sizes.before.saturating_mul(8 << of_kind.failures);
            of_kind.failures = (of_kind.failures + 1).min(3);
        }
    }

    fn of(&mut self, message: &MessageInfo) -> &mut Experience {
        match message.kind {
            MessageKind::Text => &mut self.text,
            MessageKind::Binary => &mut self.binary,
        }
    }
}
