//! Messages of every kind and size, and reproducible pseudo-random numbers.

use crate::Message;

/// Messages of at most this many octets may be tried at every cut.
const SHORT: usize = 48;

/// A generator whose numbers depend only on the seed (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `below - 1`, or 0 if `below` is 0.
    pub(super) fn below(&mut self, below: usize) -> usize {
        (self.next() % (below.max(1) as u64)) as usize
    }

    /// Makes an independent generator.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub(super) fn octets(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Messages that cover both kinds, the sizes at which headers and buffers change, and content that
/// compresses well, badly, or to nothing.
pub(super) fn samples(seed: u64) -> Vec<Message> {
    let mut rng = Rng::new(seed);
    let mut samples = Vec::from([
        Message::text("Hello"),
        Message::binary(&b"\0\x01\xff\xfe\x80\0\0"[..]),
        Message::text("aaaaaaaaaaaaaaaaaaab"),
        Message::text("a"),
        Message::text("Grüße, Κόσμε, 世界, 🦀"),
        Message::binary(&b"abcabcabcabcabcabcabcabcabcabcabcabc"[..]),
        Message::binary((0..=255).collect::<Vec<u8>>()),
        Message::text("The same words again and again. ".repeat(40)),
    ]);
    for len in [125, 126, 4096, 16_385, 66_000] {
        samples.push(Message::binary(rng.octets(len)));
    }
    samples.push(Message::binary(vec![0; 70_000]));
    samples
}

/// Longer messages are not sent in every possible way.
pub(super) const LONG: usize = 4096;

pub(super) fn is_long(message: &Message) -> bool {
    message.len() > LONG
}

/// The messages that are tried at every cut: a few short ones that are not empty.
pub(super) fn short<'a>(messages: impl Iterator<Item = &'a Message> + Clone) -> Vec<&'a Message> {
    let mut short: Vec<&Message> =
        messages.clone().filter(|message| (2..=SHORT).contains(&message.len())).collect();
    if short.is_empty() {
        short = messages.filter(|message| !message.is_empty()).collect();
        short.sort_by_key(|message| message.len());
    }
    short.truncate(4);
    short
}

/// The cuts to try in `len` octets: every place if `len` is small.
pub(super) fn places(len: usize) -> impl Iterator<Item = usize> {
    (0..=len).step_by(1 + len / 100)
}
