//! What a track is told, and what it tells.

use std::time::Instant;

use super::View;

/// A message's place in the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) sequence: u64,
    /// When the stream took it, in milliseconds since 1970.
    pub(crate) time: u64,
}

/// A message of the topic, read from the stream or republished by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<M> {
    pub(crate) place: Place,
    /// Octets that it takes.
    pub(crate) bytes: usize,
    pub(crate) message: M,
}

/// A republished message.
#[derive(Clone, Debug)]
pub(crate) struct Live<M> {
    pub(crate) entry: Entry<M>,
    /// The sequence of the topic's message before it; 0 if the stream had none any more.
    pub(crate) last: u64,
}

/// Some of the topic's messages, as the stream has them.
#[derive(Debug)]
pub(crate) struct Batch<M> {
    /// The position that they were asked for: those up to there are left out.
    pub(crate) after: u64,
    /// In order.
    pub(crate) entries: Vec<Entry<M>>,
    /// Whether the message at `after` is still there. Messages go from the front, so none after it is
    /// gone.
    pub(crate) kept: bool,
    /// The topic has no other message up to this sequence.
    pub(crate) through: u64,
    /// Messages of the topic after these.
    pub(crate) remaining: u64,
    /// The stream, seen after this was read. Needed where the message at `after` is not there.
    pub(crate) view: Option<View>,
    /// Whether the leader of the stream answered, which has everything.
    pub(crate) leader: bool,
    pub(crate) asked: Instant,
}

/// The topic's newest message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newest {
    /// It was looked for after this sequence.
    pub(crate) after: u64,
    pub(crate) sequence: Option<u64>,
    /// The answering server had the stream up to here.
    pub(crate) through: u64,
    /// Where the track was when this was asked.
    pub(crate) position: u64,
    /// The stream, seen by its leader before this was asked.
    pub(crate) view: View,
}

impl Newest {
    /// A server that has not all that its leader had knows nothing of what came since.
    pub(super) fn date(&self, verified_at: &mut Instant) {
        if self.through >= self.view.last {
            *verified_at = self.view.asked;
        }
    }
}

/// What is to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<M> {
    Deliver(Entry<M>),
    /// It was delivered before the position went back.
    Known(Entry<M>),
    /// Messages after the first place and before the second may be lost.
    Gap(Place, Place),
}

/// What became of a live message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Delivered, or it waits for others.
    Taken,
    /// It was delivered before.
    Duplicate,
    /// It contradicts what is known, and was dropped. The stream has to be asked for the newest
    /// message: it will bring this one, if it was real.
    Suspect,
}

/// What has to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    /// From the message after this one, which is read too if it is still there.
    pub(crate) after: u64,
    /// At least up to this one.
    pub(crate) target: u64,
}
