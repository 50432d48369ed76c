//! What a connection sends and what has to come back, made before anything is measured.
//!
//! Every connection has other messages, each with its own masking key, so that no branch predictor
//! of a server learns them.

use crate::frame::{push_masked, push_unmasked};

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

type Push = fn(&mut Vec<u8>, &Message);

impl Ring {
    fn new(messages: &[Message], depth: usize, push: Push) -> Self {
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
    pub(super) fn new(connection: u64, size: usize, depth: usize, raw: bool) -> Self {
        let mut random = Random(connection);
        let messages: Vec<Message> = (0..Self::count(size, depth))
            .map(|_| Message {
                key: (random.next() as u32).to_be_bytes(),
                payload: (0..size).map(|_| random.next() as u8).collect(),
            })
            .collect();
        let masked: Push = |out, message| push_masked(out, &message.payload, message.key);
        let unmasked: Push = |out, message| push_unmasked(out, &message.payload);
        let requests = Ring::new(&messages, depth, masked);
        let replies = Ring::new(&messages, depth, if raw { masked } else { unmasked });
        Traffic { depth, requests, replies }
    }

    fn count(size: usize, depth: usize) -> usize {
        depth.max(VARIETY / (size + 1))
    }

    /// About how many bytes a connection holds.
    pub(super) fn memory(size: usize, depth: usize) -> usize {
        (Self::count(size, depth) + depth).saturating_mul(2 * (size + 14))
    }
}

/// SplitMix64: the same messages in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_flight_is_one_slice_anywhere_in_the_ring() {
        let traffic = Traffic::new(3, 20, 64, false);
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
        let [one, other] = [1, 2].map(|connection| Traffic::new(connection, 20, 1, false));
        assert_ne!(one.replies.octets, other.replies.octets);
        assert_ne!(one.replies.slice(0, 22), one.replies.slice(22, 22));
        assert_eq!(one.replies.octets, Traffic::new(1, 20, 1, false).replies.octets);
    }

    #[test]
    fn raw_replies_are_the_requests() {
        let traffic = Traffic::new(1, 300, 4, true);
        assert_eq!(traffic.requests.octets, traffic.replies.octets);
    }
}
