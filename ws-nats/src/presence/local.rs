//! The members that are connected here.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::protocol::{self, Delta, Digest, List, Summary};

/// The members of this node, in all topics. What has changed is told in deltas; a change has a number,
/// which grows over all topics and is never used again, so that a topic may be forgotten when it is
/// empty.
#[derive(Debug, Default)]
pub(super) struct Local {
    topics: HashMap<Arc<str>, Topic>,
    /// The topics of each connection.
    clients: HashMap<u64, HashSet<Arc<str>>>,
    /// The topics with changes that were not told.
    changed: HashSet<Arc<str>>,
    /// The last change that was told.
    version: u64,
    members: usize,
}

#[derive(Debug, Default)]
struct Topic {
    /// Its last change that was told; 0 if there was none since it was empty.
    version: u64,
    members: HashMap<u64, Member>,
    /// The connections whose change was not told.
    changed: HashSet<u64>,
}

#[derive(Debug)]
struct Member {
    info: Arc<str>,
    told: bool,
}

/// What [`Local::set`] changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Set {
    Joined,
    Updated,
    Unchanged,
    /// There are too many.
    Full,
}

impl Local {
    /// Makes a connection a member, or changes what is said about it.
    pub(super) fn set(
        &mut self,
        topic: &Arc<str>,
        client: u64,
        info: Arc<str>,
        limit: usize,
    ) -> Set {
        let entry = self.topics.entry(Arc::clone(topic)).or_default();
        let count = entry.members.len();
        let set = match entry.members.get_mut(&client) {
            Some(member) if member.info == info => return Set::Unchanged,
            Some(member) => {
                member.info = info;
                Set::Updated
            }
            None if count >= limit => return Set::Full,
            None => {
                // One that left a moment ago, which was told of it as a member.
                let told = entry.changed.contains(&client);
                entry.members.insert(client, Member { info, told });
                self.members += 1;
                self.clients.entry(client).or_default().insert(Arc::clone(topic));
                Set::Joined
            }
        };
        entry.changed.insert(client);
        self.changed.insert(Arc::clone(topic));
        set
    }

    /// Ends a membership. Returns what was said about the member, if it was one.
    pub(super) fn remove(&mut self, topic: &str, client: u64) -> Option<Arc<str>> {
        let (topic, _) = self.topics.get_key_value(topic)?;
        let topic = Arc::clone(topic);
        let entry = self.topics.get_mut(&topic)?;
        let member = entry.members.remove(&client)?;
        self.members -= 1;
        if member.told {
            entry.changed.insert(client);
            self.changed.insert(Arc::clone(&topic));
        } else {
            entry.changed.remove(&client);
        }
        if let Some(topics) = self.clients.get_mut(&client) {
            topics.remove(&topic);
            if topics.is_empty() {
                self.clients.remove(&client);
            }
        }
        self.forget_empty(&topic);
        Some(member.info)
    }

    fn forget_empty(&mut self, topic: &str) {
        if self
            .topics
            .get(topic)
            .is_some_and(|topic| topic.members.is_empty() && topic.changed.is_empty())
        {
            self.topics.remove(topic);
            self.changed.remove(topic);
        }
    }

    /// The topics of a connection.
    pub(super) fn topics_of(&self, client: u64) -> Vec<Arc<str>> {
        self.clients.get(&client).map_or(Vec::new(), |topics| topics.iter().cloned().collect())
    }

    /// The connections that are members of anything.
    pub(super) fn clients(&self) -> impl Iterator<Item = u64> {
        self.clients.keys().copied()
    }

    /// The members of a topic.
    pub(super) fn members(&self, topic: &str) -> impl Iterator<Item = (u64, &Arc<str>)> {
        let members = self.topics.get(topic).into_iter().flat_map(|topic| &topic.members);
        members.map(|(client, member)| (*client, &member.info))
    }

    pub(super) fn count(&self, topic: &str) -> usize {
        self.topics.get(topic).map_or(0, |topic| topic.members.len())
    }

    /// The members of all topics.
    pub(super) fn total(&self) -> usize {
        self.members
    }

    /// Whether there is something to tell.
    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What has changed in all topics since this was asked, in pieces whose entries take `limit` octets
    /// at most.
    pub(super) fn take_changes(&mut self, limit: usize) -> Vec<(Arc<str>, Delta)> {
        let mut told = Vec::new();
        for topic in std::mem::take(&mut self.changed) {
            self.take_changes_of(&topic, limit, &mut told);
        }
        told
    }

    fn take_changes_of(
        &mut self,
        topic: &Arc<str>,
        limit: usize,
        told: &mut Vec<(Arc<str>, Delta)>,
    ) {
        let Some(entry) = self.topics.get_mut(topic) else { return };
        let mut left = Vec::new();
        let mut changes = Vec::new();
        for client in entry.changed.drain() {
            match entry.members.get_mut(&client) {
                Some(member) => {
                    member.told = true;
                    changes.push((client, Some(Arc::clone(&member.info))));
                }
                None => left.push((client, None)),
            }
        }
        // Whoever came first: the list is empty, and forgotten, at the end alone.
        changes.append(&mut left);
        for changes in protocol::pieces(changes, protocol::room(limit, topic)) {
            self.version += changes.len() as u64;
            let after = std::mem::replace(&mut entry.version, self.version);
            told.push((Arc::clone(topic), Delta { after, version: self.version, changes }));
        }
        self.forget_empty(topic);
    }

    /// The answer to the question for a topic's list. What has changed must have been told.
    pub(super) fn lists(&self, topic: &Arc<str>, have: u64, limit: usize) -> Vec<List> {
        let list = |piece, pieces, version, members| List {
            topic: Arc::clone(topic),
            version,
            piece,
            pieces,
            members,
        };
        let Some(entry) = self.topics.get(topic) else {
            return vec![list(0, 1, self.version, Vec::new())];
        };
        if entry.version == have {
            return vec![list(0, 0, have, Vec::new())];
        }
        let members =
            entry.members.iter().map(|(client, member)| (*client, Arc::clone(&member.info)));
        let pieces = protocol::pieces(members, protocol::room(limit, topic));
        let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        let numbered = (0..count).zip(pieces);
        numbered.map(|(piece, members)| list(piece, count, entry.version, members)).collect()
    }

    /// In which topics there are members, in pieces whose entries take `limit` octets at most. What has
    /// changed must have been told.
    pub(super) fn digests(&self, limit: usize) -> Vec<Digest> {
        let summary =
            |(topic, entry): (&Arc<str>, &Topic)| Summary(protocol::hash(topic), entry.version);
        let mut topics: Vec<_> = self.topics.iter().map(summary).collect();
        topics.sort_unstable();
        let mut pieces = protocol::pieces(topics, protocol::room(limit, "")).into_iter().peekable();
        let mut low = 0;
        let mut digests = Vec::new();
        loop {
            let topics = pieces.next().unwrap_or_default();
            let next = pieces.peek().and_then(|piece| piece.first()).map(|summary| summary.0);
            // Two topics of one hash, divided: then the first piece ends before it, and says nothing of it.
            let high = next.map_or(u64::MAX, |next| next.saturating_sub(1).max(low));
            digests.push(Digest { at: self.version, low, high, topics });
            match next {
                Some(next) => low = next,
                None => return digests,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> Arc<str> {
        "room".into()
    }

    #[test]
    fn changes_are_gathered_and_numbered() {
        let mut local = Local::default();
        assert_eq!(local.set(&topic(), 1, "ann".into(), 9), Set::Joined);
        assert_eq!(local.set(&topic(), 1, "Ann".into(), 9), Set::Updated);
        assert_eq!(local.set(&topic(), 2, "bob".into(), 9), Set::Joined);
        assert_eq!(local.remove("room", 2).as_deref(), Some("bob"));
        let told = local.take_changes(1 << 10);
        let changes = vec![(1, Some("Ann".into()))];
        assert_eq!(told, [(topic(), Delta { after: 0, version: 1, changes })]);
        local.remove("room", 1);
        let told = local.take_changes(1 << 10);
        assert_eq!(told, [(topic(), Delta { after: 1, version: 2, changes: vec![(1, None)] })]);
        // It was forgotten, and the numbers go on.
        assert_eq!((local.count("room"), local.total()), (0, 0));
        assert!(local.topics.is_empty() && local.clients.is_empty());
        local.set(&topic(), 3, "cid".into(), 9);
        let told = local.take_changes(1 << 10);
        assert_eq!((told[0].1.after, told[0].1.version), (0, 3));
    }

    #[test]
    fn member_that_leaves_and_comes_back_in_between_is_told_as_it_is() {
        let mut local = Local::default();
        local.set(&topic(), 1, "ann".into(), 9);
        local.take_changes(1 << 10);
        local.remove("room", 1);
        local.set(&topic(), 1, "ann".into(), 9);
        let told = local.take_changes(1 << 10);
        assert_eq!(told[0].1.changes, [(1, Some("ann".into()))]);
        local.remove("room", 1);
        assert_eq!(local.take_changes(1 << 10)[0].1.changes, [(1, None)]);
    }

    #[test]
    fn topic_has_a_limit() {
        let mut local = Local::default();
        assert_eq!(local.set(&topic(), 1, "".into(), 1), Set::Joined);
        assert_eq!(local.set(&topic(), 2, "".into(), 1), Set::Full);
        assert_eq!(local.set(&topic(), 1, "x".into(), 1), Set::Updated);
        assert_eq!(local.set(&topic(), 1, "x".into(), 1), Set::Unchanged);
        let mut none = Local::default();
        assert_eq!(none.set(&topic(), 1, "".into(), 0), Set::Full);
    }

    #[test]
    fn digest_in_pieces_covers_all_hashes_once() {
        let mut local = Local::default();
        for n in 0..500 {
            local.set(&format!("topic {n}").into(), n, "".into(), 9);
        }
        local.take_changes(1 << 10);
        let digests = local.digests(1 << 10);
        assert!(digests.len() > 10);
        assert_eq!((digests[0].low, digests[digests.len() - 1].high), (0, u64::MAX));
        assert!(digests.windows(2).all(|two| two[0].high + 1 == two[1].low));
        assert_eq!(digests.iter().map(|digest| digest.topics.len()).sum::<usize>(), 500);
        for digest in &digests {
            let range = digest.low..=digest.high;
            assert!(digest.topics.iter().all(|summary| range.contains(&summary.0)));
        }
        assert_eq!(Local::default().digests(1 << 10).len(), 1);
    }
}
