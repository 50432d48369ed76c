//! What the stream took.

use std::collections::{BTreeMap, HashMap};

use super::{Id, Place, TopicNumber, Verdict, Violation};

/// One life of the stream: from when it was made until it was deleted.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// By topic, in order.
    topics: HashMap<TopicNumber, BTreeMap<u64, Id>>,
    /// It was deleted, and its last messages may not have been read before.
    pub(crate) is_cut: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) lives: Vec<Life>,
    places: HashMap<Id, (usize, TopicNumber, u64)>,
    /// Read twice with different contents.
    conflicts: Vec<(u64, Id, Id)>,
    /// In the stream twice.
    twice: Vec<Id>,
}

impl Truth {
    /// The stream of now is another one.
    pub(crate) fn begin(&mut self) {
        if let Some(last) = self.lives.last_mut() {
            last.is_cut = true;
        }
        self.lives.push(Life::default());
    }

    /// A message of the last life.
    pub(crate) fn take(&mut self, topic: TopicNumber, sequence: u64, id: Id) {
        let life = self.lives.len() - 1;
        self.insert(life, topic, sequence, id);
    }

    fn insert(&mut self, life: usize, topic: TopicNumber, sequence: u64, id: Id) {
        let before = self.lives[life].topics.entry(topic).or_default().insert(sequence, id);
        if let Some(before) = before.filter(|before| *before != id) {
            self.conflicts.push((sequence, before, id));
        }
        let place = (life, topic, sequence);
        if self.places.insert(id, place).is_some_and(|before| before != place) {
            self.twice.push(id);
        }
    }

    pub(crate) fn find(&self, id: Id) -> Option<(usize, TopicNumber, u64)> {
        self.places.get(&id).copied()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = Id> {
        self.places.keys().copied()
    }

    /// The last sequence of a topic in the last life.
    pub(crate) fn last(&self, topic: TopicNumber) -> Option<u64> {
        let topic = self.lives.last()?.topics.get(&topic)?;
        topic.last_key_value().map(|(sequence, _)| *sequence)
    }

    /// Messages after `after`, up to `upto`.
    pub(super) fn between(
        &self,
        life: usize,
        topic: TopicNumber,
        after: u64,
        upto: u64,
    ) -> Vec<(u64, Id)> {
        let Some(messages) = self.lives.get(life).and_then(|life| life.topics.get(&topic)) else {
            return Vec::new();
        };
        if after >= upto {
            return Vec::new();
        }
        messages.range(after + 1..=upto).map(|(sequence, id)| (*sequence, *id)).collect()
    }

    /// What clients got of a life whose end was not read belongs to it. `seen` is in order.
    pub(super) fn complete(&mut self, seen: &[(TopicNumber, Place, Id)], verdict: &mut Verdict) {
        let mut epochs = HashMap::new();
        for (_, at, id) in seen {
            if let Some((life, ..)) = self.find(*id) {
                epochs.insert(at.epoch, life);
            }
        }
        for &(topic, at, id) in seen {
            let life = epochs.get(&at.epoch).copied();
            if let Some(life) =
                life.filter(|&life| self.lives[life].is_cut && self.find(id).is_none())
            {
                self.insert(life, topic, at.sequence, id);
            }
        }
        for &(sequence, first, second) in &self.conflicts {
            verdict.add(Violation::TwoAtOnePlace { sequence, first, second });
        }
        for &id in &self.twice {
            verdict.add(Violation::StoredTwice { id });
        }
    }
}
