//! Content that can be checked.

use std::fmt;

use bytes::Bytes;
use ws_bench::json::{Random, document};
use ws_server::Message;

/// FNV-1a over words of eight octets, however the octets come in pieces.
pub(crate) struct Hash {
    hash: u64,
    word: u64,
    octets: u32,
}

impl Default for Hash {
    fn default() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, word: 0, octets: 0 }
    }
}

impl Hash {
    pub(crate) fn add(&mut self, octets: &[u8]) {
        for octet in octets {
            self.word = self.word << 8 | u64::from(*octet);
            self.octets += 1;
            if self.octets == 8 {
                self.hash = (self.hash ^ self.word).wrapping_mul(0x0100_0000_01b3);
                (self.word, self.octets) = (0, 0);
            }
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.hash, self.word)
    }
}

/// Octets that do not compress.
pub(crate) fn octets(random: &mut Random, size: usize) -> Bytes {
    let mut octets = Vec::with_capacity(size + 8);
    while octets.len() < size {
        octets.extend_from_slice(&random.number().to_le_bytes());
    }
    octets.truncate(size);
    octets.into()
}

/// A text or octets.
pub(crate) fn message(random: &mut Random, size: usize) -> Message {
    match random.below(2) {
        0 => octets(random, size).into(),
        _ => document(random, size.max(4)).into(),
    }
}

/// A size between the two; each power of two is as likely as any other.
pub(crate) fn size(random: &mut Random, least: usize, most: usize) -> usize {
    let (least_bits, most_bits) = (least.max(1).ilog2(), most.ilog2());
    let bits = least_bits + random.below((most_bits - least_bits + 1) as usize) as u32;
    ((1 << bits) + random.below(1 << bits)).clamp(least, most)
}
