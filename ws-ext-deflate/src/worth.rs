//! Whether compressing is worth it, judged by what it brought so far.

use ws_core::{MessageKind, extension::MessageInfo};

use crate::encoder::Sizes;

/// A message of unknown length counts as so many bytes.
const UNKNOWN: u64 = 64 * 1024;
/// Bytes on which a judgement rests, at least.
const JUDGED: u64 = 1024;

/// The experience of one connection, for text and for binary apart: a chat that also carries
/// pictures goes on compressing its text.
///
/// Judged are messages of together 1 KiB or more, so that small ones have the time to find
/// something to refer back to. If they lost less than a sixteenth of their bytes it was not worth
/// it: of the same kind, 8 times as many bytes go out uncompressed before the next message is tried.
/// Every further failure in a row doubles that, up to 64 times; one success ends it. So in the long
/// run, what is tried in vain is one byte in 65.
#[derive(Debug, Default)]
pub(crate) struct Worth {
    text: Experience,
    binary: Experience,
}

#[derive(Debug, Default)]
struct Experience {
    /// What is not judged yet.
    before: u64,
    after: u64,
    /// Bytes that are still to go out uncompressed.
    rest: u64,
    failures: u8,
}

/// Whether a sixteenth of the bytes was lost.
pub(crate) fn is_worth_it(sizes: Sizes) -> bool {
    sizes.after <= sizes.before - sizes.before / 16
}

impl Worth {
    /// Whether to compress this message.
    pub(crate) fn trying(&mut self, message: &MessageInfo) -> bool {
        let of_kind = self.of(message);
        let tries = of_kind.rest == 0;
        of_kind.rest = of_kind.rest.saturating_sub(message.len.unwrap_or(UNKNOWN).max(1));
        tries
    }

    pub(crate) fn learn(&mut self, message: &MessageInfo, sizes: Sizes) {
        let of_kind = self.of(message);
        let before = of_kind.before.saturating_add(sizes.before);
        let after = of_kind.after.saturating_add(sizes.after);
        if before < JUDGED {
            (of_kind.before, of_kind.after) = (before, after);
        } else if is_worth_it(Sizes { before, after }) {
            *of_kind = Experience::default();
        } else {
            *of_kind = Experience {
                rest: before.saturating_mul(8 << of_kind.failures),
                failures: (of_kind.failures + 1).min(3),
                ..Experience::default()
            };
        }
    }

    fn of(&mut self, message: &MessageInfo) -> &mut Experience {
        match message.kind {
            MessageKind::Text => &mut self.text,
            MessageKind::Binary => &mut self.binary,
        }
    }
}

#[cfg(test)]
mod tests {
    use ws_core::extension::Compression;

    use super::*;

    /// How many of `n` messages are tried, if that brings `after` bytes.
    fn tried(worth: &mut Worth, kind: MessageKind, n: usize, len: u64, after: u64) -> usize {
        let message = MessageInfo::new(kind, Some(len), Compression::Auto);
        let mut tried = 0;
        for _ in 0..n {
            if worth.trying(&message) {
                tried += 1;
                let before = len;
                worth.learn(&message, Sizes { before, after });
            }
        }
        tried
    }

    #[test]
    fn what_does_not_shrink_is_tried_ever_less_often() {
        let mut worth = Worth::default();
        let noise = |worth: &mut Worth, n| tried(worth, MessageKind::Binary, n, 2000, 2010);
        assert_eq!(noise(&mut worth, 1 + 8), 1);
        assert_eq!(noise(&mut worth, 1 + 16), 1);
        assert_eq!(noise(&mut worth, 1 + 32), 1);
        assert_eq!(noise(&mut worth, 10 * (1 + 64)), 10);
        // The other kind has its own experience.
        assert_eq!(tried(&mut worth, MessageKind::Text, 50, 2000, 500), 50);
        // What begins to shrink is found out, and is compressed from then on.
        let json = |worth: &mut Worth, n| tried(worth, MessageKind::Binary, n, 2000, 500);
        assert_eq!(json(&mut worth, 100), 100);
        assert_eq!(noise(&mut worth, 9), 1);
        assert_eq!(json(&mut worth, 100), 100);
    }

    #[test]
    fn small_messages_are_judged_together() {
        let mut worth = Worth::default();
        let mut small = |n, after| tried(&mut worth, MessageKind::Text, n, 100, after);
        // Ten are not enough, and one that shrank well makes up for them.
        assert_eq!(small(10, 98), 10);
        assert_eq!(small(1, 10), 1);
        assert_eq!(small(11, 105), 11);
        assert_eq!(small(88, 105), 0);
        assert_eq!(small(1, 105), 1);
    }

    #[test]
    fn sixteenth_is_worth_it() {
        for (after, all) in [(15_000, 20), (15_001, 2)] {
            let mut worth = Worth::default();
            assert_eq!(tried(&mut worth, MessageKind::Text, 20, 16_000, after), all);
        }
    }
}
