//! Broadcasts that wait for one connection, and the topics that it subscribes to.

use std::{collections::HashSet, sync::Arc};

use super::{broadcast_queue::BroadcastQueue, refill::Refills};
use crate::{SubscribeError, leaves::capacity::is_roomy};

/// The broadcasts and topics of a connection. Most connections without either have none.
#[derive(Default)]
pub(super) struct Broadcasts {
    pub(super) queue: BroadcastQueue,
    /// The topics of which it is sent what it missed. Boxed like the topics, since every connection
    /// that is sent anything to all has this struct.
    pub(super) refills: Option<Box<Refills>>,
    /// The progress at which publishers wait no longer.
    pub(super) passed_over: Option<u64>,
    #[expect(clippy::box_collection, reason = "many have none")]
    topics: Option<Box<HashSet<Arc<str>>>>,
    /// All broadcasts that were ever dropped.
    pub(super) dropped: u64,
}

impl Broadcasts {
    /// Whether dropping this struct loses nothing.
    pub(super) fn is_unused(&self) -> bool {
        self.queue.is_empty()
            && self.refills.is_none()
            && self.topics.is_none()
            && self.dropped == 0
    }

    /// Whether publishers wait no longer until the next broadcast leaves.
    pub(super) fn is_passed_over(&self) -> bool {
        self.passed_over == Some(self.progress())
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.iter().flat_map(|topics| topics.iter())
    }

    /// Adds a topic. Returns whether it is new.
    pub(super) fn add_topic(
        &mut self,
        topic: &Arc<str>,
        limit: usize,
    ) -> Result<bool, SubscribeError> {
        let topics = self.topics.get_or_insert_default();
        if topics.contains(topic) {
            return Ok(false);
        }
        if topics.len() >= limit {
            return Err(SubscribeError::TooMany { limit });
        }
        Ok(topics.insert(Arc::clone(topic)))
    }

    /// Removes a topic. Returns whether it was there.
    pub(super) fn remove_topic(&mut self, topic: &str) -> bool {
        let Some(topics) = &mut self.topics else {
            return false;
        };
        let was = topics.remove(topic);
        let len = topics.len();
        if len == 0 {
            self.topics = None;
        } else if is_roomy(len, topics.capacity()) {
            topics.shrink_to(2 * len);
        }
        was
    }

    pub(super) fn take_topics(&mut self) -> HashSet<Arc<str>> {
        self.topics.take().map(|topics| *topics).unwrap_or_default()
    }
}
