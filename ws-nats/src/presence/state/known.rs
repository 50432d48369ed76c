//! What this node knows.

use std::{collections::HashSet, sync::Arc};

use tokio::time::Instant;

use super::State;
use crate::{event::Member, heartbeat::Nodes};

/// Who is in a topic, on all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Presence {
    /// The members that this node knows of, in no particular order.
    pub members: Vec<Member>,
    /// The nodes that did not answer, or are overdue, by their labels: their members may be missing, or
    /// gone. Empty if all is well.
    pub silent_nodes: Vec<Arc<str>>,
    /// Whether this node hears nobody, not even itself. Then the members of other nodes are those that it
    /// knew before.
    pub is_cut_off: bool,
    /// Members that are there beyond [`Config::members_per_topic`](crate::Config#structfield.members_per_topic).
    pub left_out: usize,
}

impl State {
    pub(crate) fn presence(&self, topic: &str, now: Instant) -> Presence {
        let here = self.local.members(topic).map(|(client, info)| Member {
            incarnation: self.settings.incarnation,
            client,
            info: Arc::clone(info),
        });
        let mut presence = Presence {
            members: here.collect(),
            silent_nodes: Vec::new(),
            is_cut_off: self.is_cut_off(now),
            left_out: 0,
        };
        let mut silent: HashSet<u64> = self.undigested.keys().copied().collect();
        silent.extend(self.nodes.overdue(now));
        if let Some(followed) = self.topics.get(topic) {
            let there = followed.table.members().map(|(node, client, info)| Member {
                incarnation: node,
                client,
                info: Arc::clone(info),
            });
            presence.members.extend(there);
            presence.left_out = followed.table.left_out();
            silent.extend(followed.table.behind());
        }
        presence.silent_nodes = silent.into_iter().map(|node| self.nodes.name(node)).collect();
        presence.silent_nodes.sort_unstable();
        presence
    }

    pub(crate) fn count(&self, topic: &str) -> usize {
        self.local.count(topic)
            + self.topics.get(topic).map_or(0, |followed| followed.table.count())
    }

    pub(crate) fn is_cut_off(&self, now: Instant) -> bool {
        !self.is_up || self.nodes.is_cut_off(now)
    }

    /// The nodes that are known, this one left out.
    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// A label that two nodes were heard under since this was asked.
    pub(crate) fn take_shared_label(&mut self) -> Option<Arc<str>> {
        self.nodes.shared_label.take()
    }

    /// Members here, members elsewhere that are known, topics that are followed.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let elsewhere = self.topics.values().map(|followed| followed.table.count()).sum();
        (self.local.total(), elsewhere, self.topics.len())
    }
}
