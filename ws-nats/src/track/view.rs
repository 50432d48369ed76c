use std::time::{Duration, Instant};

/// The stream as its leader saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// The sequence of its first message.
    pub(crate) first: u64,
    /// The sequence of its last message.
    pub(crate) last: u64,
    /// The server's clock, in milliseconds since 1970.
    pub(crate) time: u64,
    /// When it was asked for.
    pub(crate) asked: Instant,
    /// When the answer came.
    pub(crate) got: Instant,
    /// The age at which it drops messages.
    pub(crate) max_age: Option<Duration>,
    /// The messages of one topic that it keeps.
    pub(crate) per_topic: Option<u64>,
    /// Messages that it takes at least before it drops any because it is full.
    pub(crate) room: u64,
}

impl View {
    /// Whether no message of a topic after the sequence `after` can be gone. The stream was seen to have
    /// none there after `since`, and has `count` now.
    ///
    /// Messages go from the front: of the stream by its age and size, of a topic by number.
    pub(crate) fn keeps(&self, after: u64, since: Instant, count: u64) -> bool {
        let of_topic = self.per_topic.is_none_or(|kept| count < kept);
        let of_stream = self.first <= after.saturating_add(1)
            || self.keeps_since(since, self.got, self.last.saturating_add(1));
        of_topic && of_stream
    }

    /// Whether no message that came after `since` is gone `now`, because of its age or because the
    /// stream is full. By now it has this `last` message.
    pub(crate) fn keeps_since(&self, since: Instant, now: Instant, last: u64) -> bool {
        let is_young = self.max_age.is_none_or(|age| now.saturating_duration_since(since) < age);
        is_young && last.saturating_sub(self.last) < self.room
    }
}
