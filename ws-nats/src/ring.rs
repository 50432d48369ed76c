//! The recent messages of a topic, as they were delivered, for clients that come back.

use std::collections::VecDeque;

use ws_server::Publication;

use crate::{Position, track::Place};

/// Octets that a message takes beside its own.
const PER_MESSAGE: usize = 128;

#[derive(Debug)]
pub(crate) struct Ring {
    /// All messages of the topic after this sequence are here.
    floor: u64,
    recent: VecDeque<Recent>,
    bytes: usize,
    max_messages: usize,
    max_bytes: usize,
    /// While older messages are read, none are dropped up to so many octets, so that both meet.
    pinned: usize,
}

/// A message as it was delivered.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    pub(crate) place: Place,
    pub(crate) publication: Publication,
    pub(crate) bytes: usize,
}

impl Recent {
    /// Whether the stream took it after a position that has its sequence, or one after it: the stream
    /// lost the message of that position, and has others in its place.
    pub(crate) fn is_later_than(&self, position: Position) -> bool {
        position.time > 0 && self.place.time > position.time
    }
}

impl Ring {
    pub(crate) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self { floor: 0, recent: VecDeque::new(), bytes: 0, max_messages, max_bytes, pinned: 0 }
    }

    /// Begins after this sequence, without messages.
    pub(crate) fn begin(&mut self, floor: u64) {
        self.recent = VecDeque::new();
        self.bytes = 0;
        self.floor = floor;
    }

    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// The newest message.
    pub(crate) fn push(&mut self, recent: Recent) {
        self.bytes += recent.bytes + PER_MESSAGE;
        self.recent.push_back(recent);
        self.trim();
    }

    fn trim(&mut self) {
        let is_over = |ring: &Self| {
            ring.bytes > ring.max_bytes.max(ring.pinned)
                || ring.recent.len() > ring.max_messages && ring.pinned == 0
        };
        while is_over(self) {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.bytes -= oldest.bytes + PER_MESSAGE;
            self.floor = oldest.place.sequence;
        }
        if self.recent.is_empty() {
            self.recent = VecDeque::new();
        }
    }

    /// Drops none up to so many octets, until it is called with 0.
    pub(crate) fn pin(&mut self, bytes: usize) {
        self.pinned = bytes;
        self.trim();
    }

    /// Messages before those that are here, in order, after `floor`. As many as there is room for.
    pub(crate) fn prepend(&mut self, floor: u64, older: Vec<Recent>) {
        for recent in older.into_iter().rev() {
            let bytes = recent.bytes + PER_MESSAGE;
            if self.bytes + bytes > self.max_bytes || self.recent.len() >= self.max_messages {
                self.floor = recent.place.sequence;
                return;
            }
            self.bytes += bytes;
            self.recent.push_front(recent);
        }
        self.floor = floor;
    }

    /// All messages after `sequence`, in order, if all of them are here.
    pub(crate) fn after(&self, sequence: u64) -> Option<impl ExactSizeIterator<Item = &Recent>> {
        let start = self.recent.partition_point(|recent| recent.place.sequence <= sequence);
        (sequence >= self.floor).then(|| self.recent.range(start..))
    }

    /// The last one up to `sequence`, if it is here.
    pub(crate) fn before(&self, sequence: u64) -> Option<&Recent> {
        let end = self.recent.partition_point(|recent| recent.place.sequence <= sequence);
        self.recent.get(end.checked_sub(1)?)
    }

    /// Those that are here.
    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = &Recent> {
        self.recent.iter()
    }

    pub(crate) fn last(&self) -> Option<&Recent> {
        self.recent.back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(sequence: u64) -> Recent {
        let place = Place { sequence, time: 0 };
        Recent { place, publication: "x".into(), bytes: 1 }
    }

    fn after(ring: &Ring, sequence: u64) -> Option<Vec<u64>> {
        Some(ring.after(sequence)?.map(|recent| recent.place.sequence).collect())
    }

    #[test]
    fn ring_knows_what_it_does_not_have() {
        let mut ring = Ring::new(3, 1 << 20);
        ring.begin(10);
        assert_eq!(after(&ring, 10), Some(vec![]));
        assert_eq!(after(&ring, 9), None);
        for sequence in [12, 15, 17] {
            ring.push(recent(sequence));
        }
        assert_eq!(after(&ring, 10), Some(vec![12, 15, 17]));
        assert_eq!(after(&ring, 13), Some(vec![15, 17]));
        ring.push(recent(20));
        assert_eq!(after(&ring, 11), None, "12 is gone");
        assert_eq!(after(&ring, 12), Some(vec![15, 17, 20]));
        assert_eq!(after(&ring, 99), Some(vec![]));
    }

    #[test]
    fn older_messages_fill_what_is_free() {
        let mut ring = Ring::new(4, 1 << 20);
        ring.begin(10);
        ring.push(recent(12));
        ring.prepend(3, vec![recent(5), recent(7)]);
        assert_eq!(after(&ring, 3), Some(vec![5, 7, 12]));
        ring.prepend(0, vec![recent(1), recent(2)]);
        assert_eq!((after(&ring, 0), after(&ring, 1)), (None, Some(vec![2, 5, 7, 12])));
    }

    #[test]
    fn octets_are_bounded() {
        let mut ring = Ring::new(1000, 10 * (PER_MESSAGE + 1));
        ring.begin(0);
        for sequence in 1..=100 {
            ring.push(recent(sequence));
        }
        assert_eq!((ring.floor(), ring.all().len()), (90, 10));
        let mut none = Ring::new(0, 0);
        none.push(recent(1));
        assert_eq!((none.floor(), none.all().len()), (1, 0));
    }
}
