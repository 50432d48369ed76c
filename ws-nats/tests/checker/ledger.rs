//! The judge: what was published, what the stream took, and what each client got. No I/O.

mod truth;
mod verdict;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    truth::Truth,
    verdict::{Totals, Verdict, Violation},
};

use std::collections::{HashMap, HashSet};

/// A place in a topic, as a position tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
}

/// A publication's number: each is published once.
pub(crate) type Id = u64;
pub(crate) type TopicNumber = usize;

/// What its publisher was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Taken, and no more is known.
    Handed,
    /// It must never be seen.
    Refused,
    /// The stream has it at this sequence.
    Acked(u64),
    /// It may be stored or not; or the node was lost before it answered.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Publication {
    pub(crate) id: Id,
    pub(crate) topic: TopicNumber,
    pub(crate) fate: Fate,
    /// The number of the publisher's connection: what it published is in its order.
    pub(crate) connection: u64,
    /// The node, and `None` once it was killed: it cannot say how many it does not know of.
    pub(crate) node: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    Fresh,
    /// So many messages after the position.
    All(u64),
    Lost,
}

/// What happened to one client in one topic, over all its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Subscribed; what came before it is the past.
    Joined {
        since: Option<Place>,
        at: Place,
        past: Past,
    },
    Message {
        at: Place,
        id: Id,
    },
    /// Told: something between the two may be missing.
    Gap {
        from: Place,
        to: Place,
    },
    /// Unsubscribed, or the connection is lost.
    Left,
}

/// The events of one client in one topic.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) client: usize,
    pub(crate) topic: TopicNumber,
    pub(crate) events: Vec<Event>,
    /// It is subscribed in the end, so that the last message has to be there.
    pub(crate) stays: bool,
}

/// What a node counted, once nothing waited in it any more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NodeCounts {
    pub(crate) published: u64,
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
    pub(crate) rejected: u64,
}

/// Who is in a topic, by what one node says.
#[derive(Clone, Debug)]
pub(crate) struct Roll {
    pub(crate) node: usize,
    pub(crate) topic: TopicNumber,
    pub(crate) expected: HashSet<String>,
    pub(crate) told: HashSet<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) truth: Truth,
    pub(crate) publications: Vec<Publication>,
    pub(crate) subscriptions: Vec<Subscription>,
    /// By node; those that were killed have none.
    pub(crate) nodes: HashMap<usize, NodeCounts>,
    pub(crate) rolls: Vec<Roll>,
}

impl Ledger {
    /// What is wrong, and how much there was.
    pub(crate) fn judge(mut self) -> Verdict {
        let mut verdict = Verdict::default();
        let seen = self.seen();
        self.truth.complete(&seen, &mut verdict);
        self.publications(&mut verdict);
        self.nodes(&mut verdict);
        let epochs = self.epochs(&mut verdict);
        for subscription in &self.subscriptions {
            Walk::new(&self.truth, &epochs, subscription, &mut verdict).run();
        }
        for roll in &self.rolls {
            if roll.expected != roll.told {
                verdict.add(Violation::Presence {
                    node: roll.node,
                    topic: roll.topic,
                    missing: roll.expected.difference(&roll.told).count(),
                    surplus: roll.told.difference(&roll.expected).count(),
                });
            }
        }
        verdict
    }

    /// What clients got.
    fn seen(&self) -> Vec<(TopicNumber, Place, Id)> {
        let of = |subscription: &Subscription| {
            let topic = subscription.topic;
            let messages = subscription.events.iter().filter_map(move |event| match event {
                Event::Message { at, id } => Some((topic, *at, *id)),
                _ => None,
            });
            messages.collect::<Vec<_>>()
        };
        let mut seen: Vec<_> = self.subscriptions.iter().flat_map(of).collect();
        seen.sort_unstable_by_key(|(topic, at, id)| (*topic, at.epoch, at.sequence, *id));
        seen.dedup();
        seen
    }

    /// The life of the stream that each epoch belongs to, by the messages in it.
    fn epochs(&self, verdict: &mut Verdict) -> HashMap<u64, usize> {
        let mut epochs = HashMap::new();
        for (_, at, id) in self.seen() {
            let Some((life, ..)) = self.truth.find(id) else { continue };
            if *epochs.entry(at.epoch).or_insert(life) != life {
                verdict.add(Violation::Epoch { epoch: at.epoch });
            }
        }
        epochs
    }

    fn publications(&self, verdict: &mut Verdict) {
        let mut unknown: HashMap<usize, u64> = HashMap::new();
        let mut last: HashMap<(u64, TopicNumber), (usize, u64, Id)> = HashMap::new();
        let mut known = HashSet::new();
        verdict.totals.published = self.publications.len() as u64;
        for publication in &self.publications {
            let Publication { id, topic, fate, connection, node } = *publication;
            known.insert(id);
            let found = self.truth.find(id);
            match (fate, found) {
                (Fate::Refused, Some(_)) => verdict.add(Violation::RefusedYetStored { id }),
                (Fate::Refused, None) => verdict.totals.refused += 1,
                (Fate::Acked(told), Some((_, _, sequence))) if told != sequence => {
                    verdict.add(Violation::AckedElsewhere { id, told, found: sequence });
                }
                (Fate::Acked(sequence), None) => {
                    verdict.add(Violation::AckedYetGone { id, sequence });
                }
                (_, None) => {
                    verdict.totals.unknown += 1;
                    if let (Fate::Handed, Some(node)) = (fate, node) {
                        *unknown.entry(node).or_default() += 1;
                    }
                }
                (_, Some(_)) => verdict.totals.stored += 1,
            }
            if let Some((life, of, sequence)) = found {
                if of != topic {
                    verdict.add(Violation::WrongTopic { id });
                }
                let before = last.insert((connection, topic), (life, sequence, id));
                if let Some(before) =
                    before.filter(|before| (before.0, before.1) > (life, sequence))
                {
                    verdict.add(Violation::PublisherOrder { first: before.2, second: id });
                }
            }
        }
        for (node, count) in unknown {
            let counted =
                self.nodes.get(&node).map_or(u64::MAX, |node| node.unknown + node.rejected);
            if count > counted {
                verdict.add(Violation::Uncounted { node, missing: count, counted });
            }
        }
        for id in self.truth.ids().filter(|id| !known.contains(id)) {
            verdict.add(Violation::NeverPublished { id });
        }
    }

    fn nodes(&self, verdict: &mut Verdict) {
        for (&node, counts) in &self.nodes {
            let known = counts.acknowledged + counts.unknown + counts.rejected;
            if counts.published != known {
                verdict.add(Violation::Counts { node, published: counts.published, known });
            }
        }
    }
}

/// A walk through the events of one client in one topic.
struct Walk<'a> {
    truth: &'a Truth,
    epochs: &'a HashMap<u64, usize>,
    subscription: &'a Subscription,
    verdict: &'a mut Verdict,
    /// All up to this life and sequence was got or told. `None` while it is not subscribed.
    upto: Option<(usize, u64)>,
    /// What came on this connection.
    got: HashSet<(usize, u64)>,
}

impl<'a> Walk<'a> {
    fn new(
        truth: &'a Truth,
        epochs: &'a HashMap<u64, usize>,
        subscription: &'a Subscription,
        verdict: &'a mut Verdict,
    ) -> Self {
        Self { truth, epochs, subscription, verdict, upto: None, got: HashSet::new() }
    }

    /// An epoch without any message is the last one.
    fn life(&self, at: Place) -> usize {
        let last = self.truth.lives.len().saturating_sub(1);
        self.epochs.get(&at.epoch).copied().unwrap_or(last)
    }

    fn add(&mut self, what: impl FnOnce(usize, TopicNumber) -> Violation) {
        self.verdict.add(what(self.subscription.client, self.subscription.topic));
    }

    fn run(mut self) {
        for event in &self.subscription.events {
            match *event {
                Event::Joined { since, at, past } => self.joined(since, at, past),
                Event::Message { at, id } => self.message(at, id),
                Event::Gap { from, to } => self.gap(from, to),
                Event::Left => {
                    self.upto = None;
                    self.got.clear();
                }
            }
        }
        let Some((life, upto)) = self.upto.filter(|_| self.subscription.stays) else { return };
        self.missing(life, upto, u64::MAX, true);
        for later in life + 1..self.truth.lives.len() {
            self.missing(later, 0, u64::MAX, true);
        }
    }

    /// Promise 5.
    fn joined(&mut self, since: Option<Place>, at: Place, past: Past) {
        let life = self.life(at);
        match (past, since) {
            (Past::Fresh, None) => self.verdict.totals.fresh += 1,
            (Past::Lost, Some(_)) => self.verdict.totals.lost += 1,
            (Past::All(told), Some(since)) => {
                self.verdict.totals.recovered += 1;
                self.verdict.totals.missed += told;
                let count =
                    self.truth.between(life, self.subscription.topic, since.sequence, at.sequence);
                let count = count.len() as u64;
                if since.epoch != at.epoch || since.sequence > at.sequence || count != told {
                    self.add(|client, topic| Violation::Recovery {
                        client,
                        topic,
                        since,
                        at,
                        told,
                        count,
                    });
                }
                self.upto = Some((life, since.sequence.min(at.sequence)));
                return;
            }
            _ => self.add(|client, topic| Violation::Past { client, topic, past }),
        }
        self.upto = Some((life, at.sequence));
    }

    fn message(&mut self, at: Place, id: Id) {
        self.verdict.totals.delivered += 1;
        let place = (self.life(at), at.sequence);
        let Some(upto) = self.upto else { return };
        let found = self.truth.find(id);
        if found != Some((place.0, self.subscription.topic, place.1)) {
            self.add(|client, topic| Violation::Ghost { client, topic, id, at });
        }
        if !self.got.insert(place) {
            self.add(|client, topic| Violation::Duplicate { client, topic, id, at });
            return;
        }
        if place <= upto {
            self.add(|client, topic| Violation::Order { client, topic, id, at, after: upto.1 });
            return;
        }
        if place.0 == upto.0 {
            self.missing(place.0, upto.1, place.1 - 1, false);
        } else {
            // Another life of the stream has to be told.
            self.missing(upto.0, upto.1, u64::MAX, false);
            self.missing(place.0, 0, place.1 - 1, false);
        }
        self.upto = Some(place);
    }

    fn gap(&mut self, from: Place, to: Place) {
        let Some(upto) = self.upto else { return };
        self.verdict.totals.gaps += 1;
        let (from, to) = ((self.life(from), from.sequence), (self.life(to), to.sequence));
        if from > upto {
            self.missing(upto.0, upto.1, from.1, false);
        }
        let told = (to.0, to.1.saturating_sub(1));
        if told > upto {
            let (topic, truth) = (self.subscription.topic, self.truth);
            let told_missing = if told.0 == upto.0 {
                truth.between(told.0, topic, upto.1, told.1).len()
            } else {
                truth.between(upto.0, topic, upto.1, u64::MAX).len()
                    + truth.between(told.0, topic, 0, told.1).len()
            };
            self.verdict.totals.told += told_missing as u64;
            self.upto = Some(told);
        }
    }

    /// What is in the stream and did not come.
    fn missing(&mut self, life: usize, after: u64, upto: u64, at_the_end: bool) {
        let missing = self.truth.between(life, self.subscription.topic, after, upto);
        if let Some(&(first, id)) = missing.first() {
            let count = missing.len();
            self.add(|client, topic| Violation::Missing {
                client,
                topic,
                first,
                id,
                count,
                at_the_end,
            });
        }
    }
}
