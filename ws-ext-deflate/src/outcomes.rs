//! Whether compressing pays, judged by how it turned out so far.

use ws_core::{MessageKind, extension::MessageInfo};

use crate::deflater::Sizes;

/// The length that a message of unknown length counts for.
const UNKNOWN: u64 = 64 * 1024;
/// The fewest bytes for a verdict.
const VERDICT: u64 = 1024;

/// How compression turned out on one connection, with text and binary apart: a chat that also carries
/// pictures goes on compressing its text.
///
/// A verdict needs at least 1 KiB of messages, so that small ones have time to find something to refer
/// back to. If they shrank by less than a sixteenth, compression did not pay: 8 times as many bytes of
/// the same kind go out uncompressed before the next try. Every further failure in a row doubles that,
/// up to 64 times; one success ends it. So in the long run one byte in 65 is compressed in vain.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    text: OfKind,
    binary: OfKind,
}

#[derive(Debug, Default)]
struct OfKind {
    /// Bytes without a verdict yet, which are few.
    before: u32,
    after: u32,
    /// Bytes still to go out uncompressed.
    pause: u64,
    failures: u8,
}

/// Whether a message shrank by a sixteenth at least.
pub(crate) fn has_paid(sizes: Sizes) -> bool {
    sizes.after <= sizes.before - sizes.before / 16
}

impl Outcomes {
    /// Whether to compress this message.
    pub(crate) fn allow(&mut self, message: &MessageInfo) -> bool {
        let of_kind = self.of(message.kind);
        let tries = of_kind.pause == 0;
        of_kind.pause = of_kind.pause.saturating_sub(message.len.unwrap_or(UNKNOWN).max(1));
        tries
    }

    /// A message was compressed from and to so many bytes.
    pub(crate) fn learn(&mut self, kind: MessageKind, sizes: Sizes) {
        let of_kind = self.of(kind);
        let before = u64::from(of_kind.before).saturating_add(sizes.before);
        let after = u64::from(of_kind.after).saturating_add(sizes.after);
        if before < VERDICT {
            of_kind.before = u32::try_from(before).unwrap_or(u32::MAX);
            of_kind.after = u32::try_from(after).unwrap_or(u32::MAX);
        } else if has_paid(Sizes { before, after }) {
            *of_kind = OfKind::default();
        } else {
            *of_kind = OfKind {
                pause: before.saturating_mul(8 << of_kind.failures),
                failures: (of_kind.failures + 1).min(3),
                ..OfKind::default()
            };
        }
    }

    fn of(&mut self, kind: MessageKind) -> &mut OfKind {
        match kind {
            MessageKind::Text => &mut self.text,
            MessageKind::Binary => &mut self.binary,
        }
    }
}

#[cfg(test)]
mod tests {
    use ws_core::extension::Compression;

    use super::*;

    /// How many of `n` messages are compressed, if each shrinks to `after` bytes.
    fn tried(outcomes: &mut Outcomes, kind: MessageKind, n: usize, len: u64, after: u64) -> usize {
        let message = MessageInfo::new(kind, Some(len), Compression::Auto);
        let mut tried = 0;
        for _ in 0..n {
            if outcomes.allow(&message) {
                tried += 1;
                let before = len;
                outcomes.learn(kind, Sizes { before, after });
            }
        }
        tried
    }

    #[test]
    fn messages_that_do_not_shrink_are_tried_ever_less_often() {
        let mut outcomes = Outcomes::default();
        let noise =
            |outcomes: &mut Outcomes, n| tried(outcomes, MessageKind::Binary, n, 2000, 2010);
        assert_eq!(noise(&mut outcomes, 1 + 8), 1);
        assert_eq!(noise(&mut outcomes, 1 + 16), 1);
        assert_eq!(noise(&mut outcomes, 1 + 32), 1);
        assert_eq!(noise(&mut outcomes, 10 * (1 + 64)), 10);
        // The other kind has its own outcomes.
        assert_eq!(tried(&mut outcomes, MessageKind::Text, 50, 2000, 500), 50);
        // Messages that begin to shrink are noticed, and compressed from then on.
        let json = |outcomes: &mut Outcomes, n| tried(outcomes, MessageKind::Binary, n, 2000, 500);
        assert_eq!(json(&mut outcomes, 100), 100);
        assert_eq!(noise(&mut outcomes, 9), 1);
        assert_eq!(json(&mut outcomes, 100), 100);
    }

    #[test]
    fn small_messages_are_judged_together() {
        let mut outcomes = Outcomes::default();
        let mut small = |n, after| tried(&mut outcomes, MessageKind::Text, n, 100, after);
        // Ten are not enough, and one that shrank well makes up for them.
        assert_eq!(small(10, 98), 10);
        assert_eq!(small(1, 10), 1);
        assert_eq!(small(11, 105), 11);
        assert_eq!(small(88, 105), 0);
        assert_eq!(small(1, 105), 1);
    }

    #[test]
    fn losing_a_sixteenth_pays() {
        for (after, all) in [(15_000, 20), (15_001, 2)] {
            let mut outcomes = Outcomes::default();
            assert_eq!(tried(&mut outcomes, MessageKind::Text, 20, 16_000, after), all);
        }
    }
}
