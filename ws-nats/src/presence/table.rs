//! Who is in one topic, on the other nodes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::protocol::{Delta, List};

/// Time until a question is asked again at first; it doubles.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// And at most.
const ASK_AGAIN_AT_MOST: Duration = Duration::from_secs(16);
/// Time for a delta to come that a digest spoke of.
const ON_THE_WAY: Duration = Duration::from_millis(250);
/// Deltas that wait for a list, counted in changes. Beyond it they are dropped and the list is asked
/// for again.
const MAX_WAITING: usize = 20_000;

/// The members of one topic that are connected to other nodes, node by node. No I/O; the clock is
/// passed in.
///
/// What is known of a node has a version, 0 where it has no members. Deltas lead from one version to
/// the next, lists to a version from anywhere. A node of which more is known to exist than is here is
/// *behind*, and is asked until its list or the missing delta comes.
#[derive(Debug, Default)]
pub(super) struct Table {
    nodes: HashMap<u64, Listed>,
    behind: HashMap<u64, Behind>,
    count: usize,
}

#[derive(Debug, Default)]
struct Listed {
    version: u64,
    members: HashMap<u64, Arc<str>>,
    /// Members that found no room.
    left_out: usize,
}

#[derive(Debug)]
struct Behind {
    /// The version that is known to exist; 0 if the node was never heard of this topic.
    wanted: u64,
    ask: Instant,
    wait: Duration,
    /// Pieces of a list.
    gathered: Option<Gathered>,
    /// Deltas that came before the list that they continue.
    waiting: Vec<Delta>,
}

#[derive(Debug)]
struct Gathered {
    version: u64,
    /// Which pieces came.
    came: Vec<bool>,
    members: HashMap<u64, Arc<str>>,
    left_out: usize,
}

/// A change that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Joined(u64, Arc<str>),
    Updated(u64, Arc<str>),
    Left(u64, Arc<str>),
}

impl Behind {
    fn new(wanted: u64, ask: Instant) -> Self {
        Self { wanted, ask, wait: ASK_AGAIN, gathered: None, waiting: Vec::new() }
    }
}

impl Listed {
    fn set(&mut self, client: u64, info: Option<Arc<str>>, room: &mut usize, seen: &mut Vec<Seen>) {
        match info {
            Some(info) => match self.members.get_mut(&client) {
                Some(old) if *old == info => {}
                Some(old) => {
                    *old = Arc::clone(&info);
                    seen.push(Seen::Updated(client, info));
                }
                None if *room == 0 => self.left_out += 1,
                None => {
                    *room -= 1;
                    self.members.insert(client, Arc::clone(&info));
                    seen.push(Seen::Joined(client, info));
                }
            },
            None => match self.members.remove(&client) {
                Some(info) => {
                    *room += 1;
                    seen.push(Seen::Left(client, info));
                }
                None => self.left_out = self.left_out.saturating_sub(1),
            },
        }
    }

    /// Makes the list what it is on its node.
    fn replace(
        &mut self,
        mut members: HashMap<u64, Arc<str>>,
        room: &mut usize,
        seen: &mut Vec<Seen>,
    ) {
        self.left_out = 0;
        let gone: Vec<u64> =
            self.members.keys().filter(|client| !members.contains_key(client)).copied().collect();
        for client in gone {
            self.set(client, None, room, seen);
        }
        self.left_out = 0;
        for (client, info) in members.drain() {
            self.set(client, Some(info), room, seen);
        }
    }
}

impl Table {
    /// The version of a node.
    pub(super) fn version(&self, node: u64) -> u64 {
        self.nodes.get(&node).map_or(0, |listed| listed.version)
    }

    /// The members that are known.
    pub(super) fn members(&self) -> impl Iterator<Item = (u64, u64, &Arc<str>)> {
        self.nodes.iter().flat_map(|(node, listed)| {
            listed.members.iter().map(|(client, info)| (*node, *client, info))
        })
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Members that are known to be there and found no room.
    pub(super) fn left_out(&self) -> usize {
        self.nodes.values().map(|listed| listed.left_out).sum()
    }

    /// The nodes of which more is to be known.
    pub(super) fn behind(&self) -> impl Iterator<Item = u64> {
        self.behind.keys().copied()
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// A node is to be asked for its list, unless it has been heard already.
    pub(super) fn want(&mut self, node: u64, now: Instant) {
        self.behind.entry(node).or_insert_with(|| Behind::new(0, now));
    }

    /// The nodes that are to be asked now; each is asked again later, if it stays behind.
    pub(super) fn due(&mut self, now: Instant) -> Vec<u64> {
        let mut due = Vec::new();
        for (node, behind) in &mut self.behind {
            if behind.ask <= now {
                behind.ask = now + behind.wait;
                behind.wait = (behind.wait * 2).min(ASK_AGAIN_AT_MOST);
                due.push(*node);
            }
        }
        due
    }

    /// When a node is to be asked next.
    pub(super) fn next_ask(&self) -> Option<Instant> {
        self.behind.values().map(|behind| behind.ask).min()
    }

    /// A delta came. What does not continue what is known waits for the list.
    pub(super) fn delta(
        &mut self,
        node: u64,
        delta: Delta,
        limit: usize,
        now: Instant,
    ) -> Vec<Seen> {
        let mut seen = Vec::new();
        match self.apply(node, delta, limit, &mut seen) {
            Ok(reached) => self.settle(node, reached, limit, now, &mut seen),
            Err(delta) => {
                let behind = self.behind.entry(node).or_insert_with(|| Behind::new(0, now));
                behind.wanted = behind.wanted.max(delta.version);
                let waiting: usize = behind.waiting.iter().map(|delta| delta.changes.len()).sum();
                if waiting + delta.changes.len() <= MAX_WAITING {
                    behind.waiting.push(delta);
                }
            }
        }
        seen
    }

    /// A piece of a list came. The list counts once all its pieces are here.
    pub(super) fn list(&mut self, node: u64, list: List, limit: usize, now: Instant) -> Vec<Seen> {
        let (version, mut seen) = (self.version(node), Vec::new());
        if list.pieces == 0 || list.version <= version {
            // Nothing is new, or what is known is newer.
            if list.version <= version {
                self.settle(node, version, limit, now, &mut seen);
            }
            return seen;
        }
        let Some(members) = self.gather(node, list, limit, now) else { return seen };
        let (reached, members, left_out) = members;
        let mut room = limit.saturating_sub(self.count);
        let before = room;
        let listed = self.nodes.entry(node).or_default();
        listed.replace(members, &mut room, &mut seen);
        listed.left_out += left_out;
        listed.version = reached;
        self.recount(node, before, room);
        self.settle(node, reached, limit, now, &mut seen);
        seen
    }

    /// Puts a piece to the others. Returns the list once it is whole: its version, its members and the
    /// number of those beyond the limit.
    fn gather(
        &mut self,
        node: u64,
        list: List,
        limit: usize,
        now: Instant,
    ) -> Option<(u64, HashMap<u64, Arc<str>>, usize)> {
        if list.pieces == 1 {
            return Some((list.version, list.members.into_iter().collect(), 0));
        }
        let (piece, pieces) = (list.piece as usize, list.pieces as usize);
        // Each piece has a member.
        if piece >= pieces || pieces > limit.saturating_mul(2) {
            return None;
        }
        let behind = self.behind.entry(node).or_insert_with(|| Behind::new(list.version, now));
        // The rest is on its way.
        behind.ask = now + behind.wait;
        let gathered = match &mut behind.gathered {
            Some(gathered) if gathered.version > list.version => return None,
            Some(gathered) if gathered.version == list.version && gathered.came.len() == pieces => {
                gathered
            }
            other => other.insert(Gathered {
                version: list.version,
                came: vec![false; pieces],
                members: HashMap::new(),
                left_out: 0,
            }),
        };
        if std::mem::replace(&mut gathered.came[piece], true) {
            return None;
        }
        for (client, info) in list.members {
            if gathered.members.len() < limit {
                gathered.members.insert(client, info);
            } else {
                gathered.left_out += 1;
            }
        }
        if gathered.came.contains(&false) {
            return None;
        }
        let gathered = behind.gathered.take()?;
        Some((gathered.version, gathered.members, gathered.left_out))
    }

    /// A node said which version it had when its last change of all topics was `at`; `None` if it had
    /// no members.
    pub(super) fn digest(
        &mut self,
        node: u64,
        at: u64,
        newest: Option<u64>,
        limit: usize,
        now: Instant,
    ) -> Vec<Seen> {
        let (version, mut seen) = (self.version(node), Vec::new());
        match newest {
            Some(newest) if newest > version => {
                let behind =
                    self.behind.entry(node).or_insert_with(|| Behind::new(0, now + ON_THE_WAY));
                behind.wanted = behind.wanted.max(newest);
            }
            Some(newest) if newest == version => {
                let has_room = self.count < limit;
                match self.nodes.get_mut(&node) {
                    Some(listed) if listed.left_out > 0 && has_room => {
                        listed.version = 0;
                        self.behind.entry(node).or_insert_with(|| Behind::new(newest, now));
                    }
                    _ => self.settle(node, version, limit, now, &mut seen),
                }
            }
            None if at >= version => {
                seen = self.forget_members(node);
                self.settle(node, at, limit, now, &mut seen);
            }
            // It looked before what is known already.
            _ => {}
        }
        seen
    }

    /// A node is gone.
    pub(super) fn remove(&mut self, node: u64) -> Vec<Seen> {
        self.behind.remove(&node);
        self.forget_members(node)
    }

    fn forget_members(&mut self, node: u64) -> Vec<Seen> {
        let Some(listed) = self.nodes.remove(&node) else { return Vec::new() };
        self.count -= listed.members.len();
        listed.members.into_iter().map(|(client, info)| Seen::Left(client, info)).collect()
    }

    /// Applies a delta, and returns the version that this reaches; or gives it back if it does not
    /// continue what is known.
    fn apply(
        &mut self,
        node: u64,
        delta: Delta,
        limit: usize,
        seen: &mut Vec<Seen>,
    ) -> Result<u64, Delta> {
        let version = self.version(node);
        if delta.version <= version {
            return Ok(version);
        }
        if delta.after > version {
            return Err(delta);
        }
        let mut room = limit.saturating_sub(self.count);
        let before = room;
        let listed = self.nodes.entry(node).or_default();
        if delta.after == 0 {
            // There was nobody before it.
            let members =
                delta.changes.into_iter().filter_map(|(client, info)| Some((client, info?)));
            listed.replace(members.collect(), &mut room, seen);
        } else {
            for (client, info) in delta.changes {
                listed.set(client, info, &mut room, seen);
            }
        }
        listed.version = delta.version;
        self.recount(node, before, room);
        Ok(delta.version)
    }

    fn recount(&mut self, node: u64, before: usize, room: usize) {
        self.count = (self.count + before).saturating_sub(room);
        // Its node forgets it too.
        if self
            .nodes
            .get(&node)
            .is_some_and(|listed| listed.members.is_empty() && listed.left_out == 0)
        {
            self.nodes.remove(&node);
        }
    }

    /// A version of a node was reached: applies what waited for it, and ends its being behind.
    fn settle(
        &mut self,
        node: u64,
        mut reached: u64,
        limit: usize,
        now: Instant,
        seen: &mut Vec<Seen>,
    ) {
        let Some(behind) = self.behind.get_mut(&node) else { return };
        let mut waiting = std::mem::take(&mut behind.waiting);
        waiting.retain(|delta| delta.version > reached);
        waiting.sort_by_key(|delta| delta.version);
        let mut rest = Vec::new();
        for delta in waiting {
            match self.apply(node, delta, limit, seen) {
                Ok(version) => reached = reached.max(version),
                Err(delta) => rest.push(delta),
            }
        }
        let Some(behind) = self.behind.get_mut(&node) else { return };
        behind.waiting = rest;
        if behind.wanted <= reached && behind.waiting.is_empty() {
            self.behind.remove(&node);
        } else {
            behind.ask = behind.ask.min(now + ON_THE_WAY);
        }
    }
}
