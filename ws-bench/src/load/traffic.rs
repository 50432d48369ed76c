//! What a connection sends and what has to come back, made before anything is measured.
//!
//! Every connection has other messages, each with its own masking key, so that no branch predictor
//! of a server learns them.

use super::Load;
use crate::frame::{BINARY, TEXT, push_masked, push_unmasked};
use crate::json::Random;

/// Small messages are made in this many bytes at least, so that they differ from one to the next.
const VARIETY: usize = 512;

/// A ring of messages that all have one length.
///
/// The first `depth` messages stand once more behind the last, so that whatever is in flight is one
/// slice, wherever in the ring it begins.
pub(super) struct Traffic {
    pub(super) depth: usize,
    pub(super) requests: Ring,
    pub(super) replies: Ring,
}

pub(super) struct Ring {
    octets: Vec<u8>,
    /// The length of one frame.
    pub(super) frame: usize,
    /// The length without what stands there twice.
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

    /// Where one is who was at `at` and went on by `n`.
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

    /// About how many bytes a connection holds.
    pub(super) fn memory(size: usize, depth: usize) -> usize {
        (Self::count(size, depth) + depth).saturating_mul(2 * (size + 14))
    }
}

/// Any octets, or as text letters of one to three octets, each with the same share.
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
