//! What the judge finds.

use std::fmt;

use super::{Id, Past, Place, TopicNumber};

/// A broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// It came twice on one connection.
    Duplicate {
        client: usize,
        topic: TopicNumber,
        id: Id,
        at: Place,
    },
    /// It came after a later one, or before the place where the client subscribed.
    Order {
        client: usize,
        topic: TopicNumber,
        id: Id,
        at: Place,
        after: u64,
    },
    /// The stream has it, the client was subscribed, and neither it nor a gap came.
    Missing {
        client: usize,
        topic: TopicNumber,
        first: u64,
        id: Id,
        count: usize,
        at_the_end: bool,
    },
    /// The stream does not have this at this place.
    Ghost {
        client: usize,
        topic: TopicNumber,
        id: Id,
        at: Place,
    },
    /// `All`, and it was not all, or another number.
    Recovery {
        client: usize,
        topic: TopicNumber,
        since: Place,
        at: Place,
        told: u64,
        count: u64,
    },
    /// An answer that does not fit to the question.
    Past {
        client: usize,
        topic: TopicNumber,
        past: Past,
    },
    /// One epoch for two lives of the stream.
    Epoch {
        epoch: u64,
    },
    RefusedYetStored {
        id: Id,
    },
    AckedYetGone {
        id: Id,
        sequence: u64,
    },
    AckedElsewhere {
        id: Id,
        told: u64,
        found: u64,
    },
    StoredTwice {
        id: Id,
    },
    TwoAtOnePlace {
        sequence: u64,
        first: Id,
        second: Id,
    },
    WrongTopic {
        id: Id,
    },
    NeverPublished {
        id: Id,
    },
    /// What one connection published to a topic is stored in another order.
    PublisherOrder {
        first: Id,
        second: Id,
    },
    /// A node does not count as unknown what is not in the stream.
    Uncounted {
        node: usize,
        missing: u64,
        counted: u64,
    },
    /// Published is not acknowledged, unknown and rejected.
    Counts {
        node: usize,
        published: u64,
        known: u64,
    },
    Presence {
        node: usize,
        topic: TopicNumber,
        missing: usize,
        surplus: usize,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) published: u64,
    pub(crate) stored: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    pub(crate) delivered: u64,
    pub(crate) gaps: u64,
    /// Messages that such gaps told of, at all clients.
    pub(crate) told: u64,
    pub(crate) fresh: u64,
    pub(crate) recovered: u64,
    /// Messages that came after a rejoin.
    pub(crate) missed: u64,
    pub(crate) lost: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) violations: Vec<Violation>,
    pub(crate) totals: Totals,
}

impl Verdict {
    pub(super) fn add(&mut self, violation: Violation) {
        self.violations.push(violation);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { published, stored, refused, unknown, delivered, .. } = self.totals;
        let Totals { gaps, told, fresh, recovered, missed, lost, .. } = self.totals;
        write!(
            f,
            "published {published} = stored {stored} + refused {refused} + unknown {unknown}; delivered {delivered}; joined {fresh} fresh, {recovered} with all ({missed} missed), {lost} lost; gaps {gaps} ({told} messages); violations {}",
            self.violations.len()
        )?;
        for violation in self.violations.iter().take(20) {
            write!(f, "\n  {violation:?}")?;
        }
        Ok(())
    }
}
