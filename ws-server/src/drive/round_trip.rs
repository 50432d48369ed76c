//! From a Ping that keeps the connection alive to its Pong.

use std::time::Duration;

use tokio::time::Instant;

/// Our oldest Ping that no Pong has answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unanswered {
    /// Its end in the output.
    pub(super) at: u64,
    timing: Timing,
}

/// Whether the Pong will tell how long the round trip took.
#[derive(Clone, Copy, Debug)]
enum Timing {
    /// The Ping is not written yet.
    Queued,
    Since(Instant),
    /// It will not.
    Unknown,
}

impl Unanswered {
    /// Notes a queued Ping, which ends at this place of the output.
    pub(super) fn pinged(unanswered: &mut Option<Self>, at: u64) {
        match unanswered {
            None => *unanswered = Some(Self { at, timing: Timing::Queued }),
            // RFC 6455 §5.5.3: a peer that has not answered the first "MAY elect to send a Pong frame
            // for only the most recently processed Ping frame."
            Some(first) => first.timing = Timing::Unknown,
        }
    }

    /// Notes that so many octets are written.
    pub(super) fn written(&mut self, written: u64, now: Instant) {
        if matches!(self.timing, Timing::Queued) && self.at <= written {
            self.timing = Timing::Since(now);
        }
    }

    /// Notes that reading is paused: the Pong will wait in the socket.
    pub(super) fn paused(&mut self) {
        self.timing = Timing::Unknown;
    }

    /// The time of the round trip, where it is known.
    pub(super) fn time(self, now: Instant) -> Option<Duration> {
        match self.timing {
            Timing::Since(sent) => Some(now.saturating_duration_since(sent)),
            Timing::Queued | Timing::Unknown => None,
        }
    }
}
