//! The messages of a connection and their expected replies, prepared before the measurement.
//!
//! Every connection has its own messages, each with its own masking key, so that no branch
//! predictor learns them.

use super::Load;
use crate::frame::{BINARY, TEXT, push_masked, push_unmasked};
use crate::json::Random;

/// The minimum size of a ring of small messages, so that they differ.
const VARIETY: usize = 512;

/// A ring of messages of the same length.
///
/// The first `depth` messages are repeated at the end, so that the messages in flight are always
/// one slice, wherever in the ring it begins.
pub(super) struct Traffic {
    pub(super) depth: usize,
    pub(super) requests: Ring,
    pub(super) replies: Ring,
}

pub(super) struct Ring {
    octets: Vec<u8>,
    /// The length of one frame.
    pub(super) frame: usize,
    /// The length without the repeated messages.
    len: usize,
}

struct Message {
    key: [u8; 4],
    payload: Vec<u8>,
}

impl Ring {
    fn new(messages: &[Message], depth: usize, push: impl Fn(&mut Vec<u8>, &Message)) -> Self {
        let mut octets = Vec::new();
        messages.iter().for_each(|message| push(&mut octets, message));
        let len = octets.len();
        messages[..depth].iter().for_each(|message| push(&mut octets, message));
        Self { octets, frame: len / messages.len(), len }
    }

    /// `len` octets from `at` on.
    pub(super) fn slice(&self, at: usize, len: usize) -> &[u8] {
        &self.octets[at..at + len]
    }

    /// The place that is `n` octets after `at`.
    pub(super) fn advance(&self, at: usize, n: usize) -> usize {
        (at + n) % self.len
    }
}

impl Traffic {
    pub(super) fn new(connection: u64, load: &Load) -> Self {
        let mut random = Random::new(connection);
        let messages: Vec<Message> = (0..Self::count(load.size, load.depth))
            .map(|_| Message {
                key: (random.number() as u32).to_be_bytes(),
                payload: payload(&mut random, load),
            })
            .collect();
        let first = if load.text { TEXT } else { BINARY };
        let masked = |out: &mut Vec<u8>, message: &Message| {
            push_masked(out, first, &message.payload, message.key);
        };
        let unmasked =
            |out: &mut Vec<u8>, message: &Message| push_unmasked(out, first, &message.payload);
        let requests = Ring::new(&messages, load.depth, masked);
        let replies = if load.raw {
            Ring::new(&messages, load.depth, masked)
        } else {
            Ring::new(&messages, load.depth, unmasked)
        };
        Traffic { depth: load.depth, requests, replies }
    }

    fn count(size: usize, depth: usize) -> usize {
        depth.max(VARIETY / (size + 1))
    }

    /// An estimate of a connection's memory, in bytes.
    pub(super) fn memory(size: usize, depth: usize) -> usize {
        (Self::count(size, depth) + depth).saturating_mul(2 * (size + 14))
    }
}

/// Any octets or, for text, letters of one to three octets in equal shares.
fn payload(random: &mut Random, load: &Load) -> Vec<u8> {
    if !load.text {
        return (0..load.size).map(|_| random.number() as u8).collect();
    }
    let mut text = String::with_capacity(load.size);
    while text.len() < load.size {
        let letter = match random.below(3) {
            _ if load.size - text.len() < 3 => random.below(26) as u32 + u32::from('a'),
            0 => random.below(26) as u32 + u32::from('a'),
            1 => random.below(0x100) as u32 + 0x391,
            _ => random.below(0x1000) as u32 + 0x4e00,
        };
        text.extend(char::from_u32(letter));
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::tests::echo_of;
    use super::*;

    #[test]
    fn what_is_in_flight_is_one_slice_anywhere_in_the_ring() {
        let traffic = Traffic::new(3, &Load { depth: 64, ..echo_of(20) });
        for ring in [&traffic.requests, &traffic.replies] {
            let last = ring.len - ring.frame;
            assert_eq!(ring.slice(last, 64 * ring.frame).len(), 64 * ring.frame);
            assert_eq!(ring.slice(ring.len, ring.frame), ring.slice(0, ring.frame));
            assert_eq!(ring.advance(last, ring.frame), 0);
        }
        assert_eq!((traffic.requests.frame, traffic.replies.frame), (26, 22));
    }

    #[test]
    fn connections_and_messages_differ() {
        let [one, other] = [1, 2].map(|connection| Traffic::new(connection, &echo_of(20)));
        assert_ne!(one.replies.octets, other.replies.octets);
        assert_ne!(one.replies.slice(0, 22), one.replies.slice(22, 22));
        assert_eq!(one.replies.octets, Traffic::new(1, &echo_of(20)).replies.octets);
    }

    #[test]
    fn raw_replies_are_the_requests() {
        let traffic = Traffic::new(1, &Load { depth: 4, raw: true, ..echo_of(300) });
        assert_eq!(traffic.requests.octets, traffic.replies.octets);
    }

    #[test]
    fn text_is_text_of_the_size_that_was_asked_for() {
        let mut random = Random::new(1);
        for size in [0, 1, 2, 3, 20, 16_384] {
            let text = payload(&mut random, &Load { text: true, ..echo_of(size) });
            assert_eq!(text.len(), size);
            assert!(std::str::from_utf8(&text).is_ok());
        }
    }
}
