//! The conditions that a connection waits for. An idle one has none.

use std::time::Duration;

use tokio::time::Instant;

use super::{final_read::FinalRead, round_trip::Unanswered};
use crate::Limits;

/// What the peer or this end has yet to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pending {
    pub(super) ping: Ping,
    /// An incomplete message, or an incomplete control frame between messages.
    pub(super) unfinished: Option<Unfinished>,
    pub(super) blocked: Option<Blocked>,
    pub(super) unanswered: Option<Unanswered>,
    /// When the peer's Close or fault began to wait for our answer.
    pub(super) closing: Option<Instant>,
    /// How long our Close waits for the peer's.
    pub(super) close_due: Option<Instant>,
    pub(super) park: Park,
    /// When to ask again whether reading goes on, while the server's memory holds it up.
    pub(super) held_up: Option<Instant>,
    pub(super) final_read: Option<FinalRead>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        let Self { ping, unfinished, blocked, unanswered, .. } = self;
        let Self { closing, close_due, park, held_up, .. } = self;
        let closes = closing.is_some() || close_due.is_some();
        let stuck = unfinished.is_some() || blocked.is_some();
        let pinged = !matches!(ping, Ping::None) || unanswered.is_some();
        matches!(park, Park::Parked) && !pinged && !stuck && !closes && held_up.is_none()
    }

    /// Notes that so many octets are written.
    pub(super) fn written(&mut self, written: u64, now: Instant) {
        if let Some(ping) = &mut self.unanswered {
            ping.written(written, now);
        }
    }

    /// Notes that reading is paused.
    pub(super) fn paused(&mut self) {
        if let Some(ping) = &mut self.unanswered {
            ping.paused();
        }
    }
}

/// When it began, and the octets received since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfinished {
    pub(super) since: Instant,
    pub(super) received: u64,
}

impl Unfinished {
    /// The time that it may take.
    pub(super) fn time(self, limits: &Limits) -> Duration {
        if limits.streaming {
            // It begins anew with each piece: however long a message is, only its progress counts.
            return limits.progress_timeout;
        }
        let millis = self.received.saturating_mul(1000) / limits.min_rate as u64;
        limits.message_timeout.saturating_add(Duration::from_millis(millis))
    }
}

/// The socket takes no more for now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocked {
    /// When the socket last took anything.
    pub(super) since: Instant,
    /// The start of the current [`RATE_WINDOW`] of the minimum rate, and the octets written before it.
    pub(super) minute: Instant,
    pub(super) written: u64,
}

/// The time over which [`Limits::min_write_rate`] is measured.
pub(super) const RATE_WINDOW: Duration = Duration::from_secs(60);

/// Whether the extensions are parked: have given their memory back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Park {
    /// They hold no memory that they could give back.
    #[default]
    Parked,
    /// When the last message passed.
    Since(Instant),
}

/// Our Ping since the peer was last heard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Ping {
    #[default]
    None,
    /// Sent once this many octets are written. A client that still reads earlier data cannot know
    /// of it.
    Queued(u64),
    /// Awaits any input until `due`.
    Sent { due: Instant },
}
