use std::mem;

use tokio::sync::oneshot;
use ws_server::{Client, Publication};

use super::Follower;
use crate::{
    JoinError, Position, Recovered, Since,
    refill::Raw,
    ring::Recent,
    track::{Entry, View},
};

/// A client that wants to join.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) client: Client,
    pub(crate) since: Option<Since>,
    pub(crate) answer: oneshot::Sender<Result<Joining, JoinError>>,
}

/// A client that joined.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) topic: ws_server::Topic,
    pub(crate) position: Position,
    pub(crate) recovered: Recovered,
}

/// What the stream has of a topic after a sequence.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) from: u64,
    pub(super) entries: Vec<Entry<Raw>>,
    /// The message at `from` is there.
    pub(super) kept: bool,
    /// The stream, if it is not.
    pub(super) view: Option<View>,
    pub(super) is_too_much: bool,
    /// There are no other messages up to here.
    pub(super) through: u64,
}

/// The same, as it is delivered.
struct Found {
    recents: Vec<Recent>,
    history: History,
    first: Option<u64>,
    count: u64,
}

impl Found {
    /// Promise 5: all only if nothing after `sequence` can be missing.
    ///
    /// Messages go from the front. So nothing is missing if one up to there is still there; or if the
    /// stream lost nothing after it, and the topic has fewer than are kept.
    fn is_complete(&self, sequence: u64) -> bool {
        let is_there = self.history.kept || self.first.is_some_and(|first| first <= sequence);
        is_there
            || self.history.view.is_some_and(|view| {
                view.first <= sequence.saturating_add(1)
                    && view.per_topic.is_none_or(|kept| self.count < kept)
            })
    }
}

impl Follower {
    /// Answers those whose past is here.
    pub(super) fn serve(&mut self) {
        self.serve_from(0);
    }

    /// The same, without those before that number: nothing is new for them.
    pub(super) fn serve_from(&mut self, waiting: usize) {
        // While it goes back, its place is behind what was delivered.
        if !self.track.is_started() || self.track.is_going_back() {
            self.look_around();
            return;
        }
        let found = self.history.take().map(|history| self.found(history));
        let joins = self.joins.split_off(waiting.min(self.joins.len()));
        for join in joins {
            // Whoever waits no longer is not subscribed.
            if join.answer.is_closed() {
                continue;
            }
            match self.past(join.since, found.as_ref()) {
                Some((recovered, missed)) => self.admit(join, recovered, missed),
                None => self.joins.push(join),
            }
        }
        if let Some(found) = found {
            self.keep(found);
        }
        self.look_around();
    }

    fn found(&self, mut history: History) -> Found {
        let entries = mem::take(&mut history.entries);
        let first = entries.first().map(|entry| entry.place.sequence);
        let count = entries.len() as u64;
        // What comes after is in the ring.
        let floor = self.ring.floor();
        let before = entries.into_iter().filter(|entry| entry.place.sequence <= floor);
        let recents = before.filter_map(|entry| self.decode(entry)).collect();
        Found { recents, history, first, count }
    }

    /// What a joiner gets, once it is known.
    fn past(
        &self,
        since: Option<Since>,
        found: Option<&Found>,
    ) -> Option<(Recovered, Vec<Publication>)> {
        let all = |missed: Vec<Publication>| Some((Recovered::All(missed.len()), missed));
        let lost = Some((Recovered::Lost, Vec::new()));
        let position = match since {
            None => return Some((Recovered::Fresh, Vec::new())),
            Some(Since::Latest) => {
                let last = self.ring.last().map(|recent| &recent.publication);
                if let Some(last) = last {
                    return all(vec![last.clone()]);
                }
                let latest = self.latest.as_ref()?;
                return all(latest.iter().map(|recent| recent.publication.clone()).collect());
            }
            Some(Since::Position(position)) => position,
        };
        if position.epoch != self.epoch {
            return lost;
        }
        let sequence = position.sequence;
        if sequence > self.track.place().sequence {
            // The stream never had it, or lost it.
            return if self.audited.is_some_and(|last| last < sequence) { lost } else { None };
        }
        let is_other = |recent: &Recent| recent.is_later_than(position);
        if self.ring.before(sequence).is_some_and(is_other) {
            return lost;
        }
        if let Some(after) = self.ring.after(sequence) {
            return all(after.map(|recent| recent.publication.clone()).collect());
        }
        let found = found.filter(|found| found.history.from <= sequence)?;
        let floor = self.ring.floor();
        if found.history.is_too_much {
            return if found.history.from == sequence { lost } else { None };
        }
        if found.history.through < floor {
            // The ring went on in the meantime.
            return None;
        }
        let before = found.recents.iter().rfind(|recent| recent.place.sequence <= sequence);
        if !found.is_complete(sequence) || before.is_some_and(is_other) {
            return lost;
        }
        let older = found.recents.iter().filter(|recent| recent.place.sequence > sequence);
        all(older.chain(self.ring.all()).map(|recent| recent.publication.clone()).collect())
    }

    fn admit(&self, join: Join, recovered: Recovered, missed: Vec<Publication>) {
        let name = &self.topic.name;
        // Each time it would get all again, and what it does not read takes memory.
        let subscribes = || join.client.topics().iter().any(|topic| **topic == **name);
        if join.since.is_some() && subscribes() {
            join.answer.send(Err(JoinError::Subscribed)).ok();
            return;
        }
        let counters = &self.node.counters;
        match recovered {
            Recovered::Fresh => counters.joined_fresh.add(1),
            Recovered::All(_) => counters.joined_all.add(1),
            Recovered::Lost => counters.joined_lost.add(1),
        }
        let position = self.position(self.track.place());
        let joined = join.client.subscribe_after(&**name, missed);
        let joined = joined.map(|topic| Joining { topic, position, recovered });
        let is_subscribed = joined.is_ok();
        if join.answer.send(joined.map_err(JoinError::Subscribe)).is_err() && is_subscribed {
            join.client.unsubscribe(name);
        }
    }

    /// Keeps what was read for those who come next.
    fn keep(&mut self, found: Found) {
        let is_complete = found.is_complete(found.history.from);
        let Found { recents, history, first, .. } = found;
        // Before the first that is there, something may be gone: unless nothing can be. Whoever comes
        // with the same position finds it then.
        let floor = first.map(|first| first.saturating_sub(1));
        let floor = if is_complete { Some(history.from) } else { floor };
        if let Some(floor) = floor.filter(|_| history.through >= self.ring.floor()) {
            self.ring.prepend(floor, recents);
        }
        self.ring.pin(0);
    }

    /// The least position that has to be read for those who wait.
    pub(super) fn joins_from(&self) -> Option<u64> {
        self.positions().filter(|&sequence| sequence < self.ring.floor()).min()
    }

    /// Whether one waits that has seen more than this node.
    pub(super) fn joins_ahead(&self) -> bool {
        let place = self.track.place().sequence;
        self.positions().any(|sequence| sequence > place)
    }

    /// Whether one waits for the last message.
    pub(super) fn joins_latest(&self) -> bool {
        self.latest.is_none() && self.joins.iter().any(|join| join.since == Some(Since::Latest))
    }

    fn positions(&self) -> impl Iterator<Item = u64> {
        self.joins.iter().filter(|join| !join.answer.is_closed()).filter_map(|join| {
            match join.since {
                Some(Since::Position(position)) => Some(position.sequence),
                _ => None,
            }
        })
    }
}
