//! Which nodes are there, by their heartbeats.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

/// A node that was not heard for so many heartbeats is gone.
const MISSED: u32 = 3;
/// Nodes that are remembered as gone by their own word.
const GOODBYES: usize = 1024;
/// Nodes that are known at most. Those beyond it are left out.
const MAX_NODES: usize = 4096;

/// The nodes that this one hears, and whether it hears itself. No I/O; the clock is passed in.
#[derive(Debug)]
pub(crate) struct Nodes {
    me: u64,
    label: Arc<str>,
    every: Duration,
    nodes: HashMap<u64, Node>,
    /// Those who said goodbye. What comes from them later was late.
    gone: VecDeque<u64>,
    heard_self: Instant,
    /// Nobody is gone before this: what was missed while this node was cut off proves nothing.
    grace: Instant,
    /// Whether another node was heard under this one's label, or two others under one.
    pub(crate) shared_label: Option<Arc<str>>,
}

/// Another node.
#[derive(Debug)]
pub(crate) struct Node {
    /// What it is called; empty until it said so.
    pub(crate) label: Arc<str>,
    first: Instant,
    heard: Instant,
}

/// What hearing a node means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It was there.
    Known,
    /// It was not known, or counted as gone.
    New,
    /// It said goodbye before, or there are too many: to be left out.
    Ignored,
}

impl Nodes {
    pub(crate) fn new(me: u64, label: Arc<str>, every: Duration, now: Instant) -> Self {
        Self {
            me,
            label,
            every,
            nodes: HashMap::new(),
            gone: VecDeque::new(),
            heard_self: now,
            grace: now,
            shared_label: None,
        }
    }

    /// A message of another node came.
    pub(crate) fn hear(&mut self, from: u64, label: Option<&str>, now: Instant) -> Heard {
        if self.gone.contains(&from) {
            return Heard::Ignored;
        }
        let room = self.nodes.len() < MAX_NODES;
        let heard = match self.nodes.get_mut(&from) {
            Some(node) => {
                node.heard = now;
                Heard::Known
            }
            None if room => {
                self.nodes.insert(from, Node { label: "".into(), first: now, heard: now });
                Heard::New
            }
            None => return Heard::Ignored,
        };
        if let Some(label) = label {
            self.call(from, label);
        }
        heard
    }

    fn call(&mut self, from: u64, label: &str) {
        let Some(node) = self.nodes.get_mut(&from) else { return };
        if &*node.label != label {
            node.label = label.into();
        }
        // A node that was started again is heard after the one before it was heard for the last time.
        let first = node.first;
        let twin = |(other, node): (&u64, &Node)| {
            *other != from && &*node.label == label && node.heard > first
        };
        if *self.label == *label || self.nodes.iter().any(twin) {
            self.shared_label = Some(label.into());
        }
    }

    /// This node's own heartbeat came back. Returns whether it was cut off before.
    pub(crate) fn hear_self(&mut self, now: Instant) -> bool {
        let was_cut_off = self.is_cut_off(now);
        self.heard_self = now;
        if was_cut_off {
            self.forgive(now);
        }
        was_cut_off
    }

    /// What was missed until now proves nothing: this node was cut off, or did not run.
    pub(crate) fn forgive(&mut self, now: Instant) {
        self.grace = now + self.every * 3 / 2;
    }

    /// Whether this node does not hear even itself: its own heartbeat is overdue by a half. It is
    /// noticed before any other node counts as gone.
    pub(crate) fn is_cut_off(&self, now: Instant) -> bool {
        now.duration_since(self.heard_self) > self.every * 3 / 2
    }

    /// A node said goodbye. Returns whether it was known.
    pub(crate) fn goodbye(&mut self, from: u64) -> bool {
        if self.gone.contains(&from) {
            return false;
        }
        if self.gone.len() == GOODBYES {
            self.gone.pop_front();
        }
        self.gone.push_back(from);
        self.nodes.remove(&from).is_some()
    }

    /// Takes out the nodes that are gone: not heard for three heartbeats, while this one heard itself.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<u64> {
        if self.is_cut_off(now) || now < self.grace {
            return Vec::new();
        }
        let patience = self.every * MISSED;
        let is_gone = |node: &Node| now.duration_since(node.heard) >= patience;
        self.nodes.extract_if(|_, node| is_gone(node)).map(|(incarnation, _)| incarnation).collect()
    }

    /// The nodes whose heartbeat is overdue by a half.
    pub(crate) fn overdue(&self, now: Instant) -> impl Iterator<Item = u64> {
        let patience = self.every * 3 / 2;
        let overdue =
            self.nodes.iter().filter(move |(_, node)| now.duration_since(node.heard) > patience);
        overdue.map(|(incarnation, _)| *incarnation)
    }

    /// When a node is gone next, if it stays silent.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let heard = self.nodes.values().map(|node| node.heard).min()?;
        Some((heard + self.every * MISSED).max(self.grace))
    }

    /// The other nodes.
    pub(crate) fn others(&self) -> impl Iterator<Item = (u64, &Node)> {
        self.nodes.iter().map(|(incarnation, node)| (*incarnation, node))
    }

    /// What a node is called: its label, or the number of this start of it.
    pub(crate) fn name(&self, incarnation: u64) -> Arc<str> {
        let label = match self.nodes.get(&incarnation) {
            _ if incarnation == self.me => &self.label,
            Some(node) => &node.label,
            None => "",
        };
        if label.is_empty() { format!("{incarnation:016x}").into() } else { label.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(2);

    fn nodes(now: Instant) -> Nodes {
        Nodes::new(1, "a".into(), EVERY, now)
    }

    #[test]
    fn node_is_gone_after_three_heartbeats_and_may_come_back() {
        let start = Instant::now();
        let mut nodes = nodes(start);
        assert_eq!(nodes.hear(2, Some("b"), start), Heard::New);
        for beat in 1..=3 {
            nodes.hear_self(start + EVERY * beat);
        }
        assert!(nodes.expire(start + EVERY * 3 - Duration::from_millis(1)).is_empty());
        assert_eq!(nodes.next_expiry(), Some(start + EVERY * 3));
        assert_eq!(nodes.expire(start + EVERY * 3), [2]);
        assert_eq!(nodes.hear(2, None, start + EVERY * 4), Heard::New);
        assert_eq!(nodes.hear(2, None, start + EVERY * 5), Heard::Known);
    }

    #[test]
    fn goodbye_is_final() {
        let now = Instant::now();
        let mut nodes = nodes(now);
        nodes.hear(2, None, now);
        assert!(nodes.goodbye(2));
        assert_eq!(nodes.hear(2, None, now), Heard::Ignored);
        assert_eq!(nodes.others().count(), 0);
    }

    #[test]
    fn node_that_is_cut_off_knows_it_before_it_takes_others_for_gone() {
        let start = Instant::now();
        let mut nodes = nodes(start);
        nodes.hear(2, None, start);
        // The worst case: the last heartbeat of the other came just before the line went dead, its own
        // came one heartbeat later.
        nodes.hear_self(start + EVERY);
        let noticed = start + EVERY * 5 / 2 + Duration::from_millis(1);
        assert!(nodes.is_cut_off(noticed));
        assert!(noticed < start + EVERY * 3);
        assert!(nodes.expire(start + EVERY * 100).is_empty());
        // The line is back: the others have a heartbeat and a half to be heard.
        assert!(nodes.hear_self(start + EVERY * 100));
        assert!(nodes.expire(start + EVERY * 101).is_empty());
        nodes.hear_self(start + EVERY * 101);
        nodes.hear_self(start + EVERY * 102);
        assert_eq!(nodes.expire(start + EVERY * 102), [2]);
    }

    #[test]
    fn label_of_two_nodes_is_noticed_and_a_restart_is_none() {
        let start = Instant::now();
        let mut nodes = nodes(start);
        nodes.hear(2, Some("b"), start);
        nodes.hear(3, Some("b"), start + EVERY);
        assert_eq!(nodes.shared_label, None);
        nodes.hear(2, Some("b"), start + EVERY * 2);
        nodes.hear(3, Some("b"), start + EVERY * 3);
        assert_eq!(nodes.shared_label.as_deref(), Some("b"));
        nodes.shared_label = None;
        nodes.hear(4, Some("a"), start + EVERY * 3);
        assert_eq!(nodes.shared_label.as_deref(), Some("a"));
        assert_eq!(&*nodes.name(4), "a");
        assert_eq!(&*nodes.name(5), "0000000000000005");
    }
}
