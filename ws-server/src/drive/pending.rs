//! What a connection waits for at the moment, of which an idle one has nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::hearing::Hearing;
use crate::Limits;

/// What somebody is to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pending {
    pub(super) ping: Ping,
    /// A message, or a control frame between messages, that is incomplete.
    pub(super) unfinished: Option<Unfinished>,
    pub(super) blocked: Option<Blocked>,
    /// Where the oldest Ping that was not answered ends in the output.
    pub(super) unanswered: Option<u64>,
    /// Since when the peer's Close or fault waits for our answer.
    pub(super) closing: Option<Instant>,
    /// Until when our Close waits for the peer's.
    pub(super) close_due: Option<Instant>,
    pub(super) park: Park,
    pub(super) hearing: Option<Hearing>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        let Self { ping, unfinished, blocked, unanswered, closing, close_due, park, hearing: _ } =
            self;
        let closes = closing.is_some() || close_due.is_some();
        let stuck = unfinished.is_some() || blocked.is_some();
        let pinged = !matches!(ping, Ping::None) || unanswered.is_some();
        matches!(park, Park::Parked) && !pinged && !stuck && !closes
    }
}

/// Since when it is, and bytes that came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfinished {
    pub(super) since: Instant,
    pub(super) received: u64,
}

impl Unfinished {
    /// How long it may take.
    pub(super) fn time(self, limits: &Limits) -> Duration {
        let millis = self.received.saturating_mul(1000) / limits.min_rate as u64;
        limits.message_timeout.saturating_add(Duration::from_millis(millis))
    }
}

/// The socket takes no more for now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocked {
    /// Since when nothing was taken.
    pub(super) since: Instant,
    /// When a [`MINUTE`] of the least rate began, and what was written before.
    pub(super) minute: Instant,
    pub(super) written: u64,
}

/// The time over which [`Limits::min_write_rate`] is measured.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// Whether the extensions are parked: gave their memory back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Park {
    /// They hold nothing that they could give back.
    #[default]
    Parked,
    /// When a message passed last.
    Since(Instant),
}

/// A Ping of ours since something came last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Ping {
    #[default]
    None,
    /// It is on its way when so many bytes are written. A client that still takes what was sent
    /// before cannot know of it.
    Queued(u64),
    /// Until when it waits for anything to come.
    Sent { due: Instant },
}
