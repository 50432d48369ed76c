//! A peer is heard before it is judged.
//!
//! A deadline can pass while what meets it lies in the socket: the process was stopped, its machine
//! was suspended, a neighbour took all of the processor. So when one about the peer has passed, first
//! all is read that had come by then; what that proved is measured to the moment at which the deadline
//! passed, not to the end of the reading, so that octets in a trickle buy no time.

use std::task::Context;

use tokio::time::Instant;

use super::{
    core::Core,
    deadlines::{Deadlines, Expired},
};
use crate::{
    Limits,
    leaves::socket::{self, PASS},
};

/// Octets that are read at most, where the stream is no socket that says how many it holds.
const MOST: usize = 256 * 1024;

/// A deadline about the peer has passed, and the peer is heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hearing {
    /// When it passed.
    at: Instant,
    /// Octets that are read still, at most.
    pub(super) left: usize,
    passes: u16,
    /// When the last pass is over.
    passed: Instant,
}

impl Core {
    /// Acts on what has expired, once the peer was heard. `more` says that this turn ended with more
    /// to be read.
    pub(super) fn judge<Io: 'static>(
        &mut self,
        io: &Io,
        expired: Expired,
        more: bool,
        cx: &mut Context<'_>,
    ) {
        if !expired.is_peers() {
            return self.expire(expired);
        }
        let limits = &self.outbox.limits;
        let hearing = self.deadlines.hearing(limits, self.now, || socket::receive_buffer(io));
        if hearing.left > 0 {
            if more {
                return;
            }
            let passes = match expired {
                // The runtime may not know yet that it takes more.
                Expired::Write | Expired::WriteRate if self.write_now(io) => return,
                Expired::Write | Expired::WriteRate => 1,
                _ => socket::passes(io),
            };
            if passes > 0 && (hearing.passes < passes || self.now < hearing.passed) {
                return self.deadlines.wait_a_pass(self.now, cx);
            }
        }
        if let Some(expired) = self.deadlines.verdict(&self.outbox.limits, self.now) {
            self.expire(expired);
        }
    }
}

impl Deadlines {
    /// The hearing, which begins now if there was none.
    fn hearing(
        &mut self,
        limits: &Limits,
        now: Instant,
        most: impl FnOnce() -> Option<usize>,
    ) -> Hearing {
        if let Some(hearing) = self.pending().hearing {
            return hearing;
        }
        let at = self.earliest(limits).map_or(now, |(at, _)| at);
        let left = most().unwrap_or(MOST);
        *self.pending().hearing.insert(Hearing { at, left, passes: 0, passed: at })
    }

    /// Waits until the runtime has looked at its sockets once more.
    fn wait_a_pass(&mut self, now: Instant, cx: &mut Context<'_>) {
        let Some(hearing) = &mut self.pending().hearing else { return };
        if hearing.passed <= now {
            hearing.passes += 1;
            hearing.passed = now + PASS;
        }
        let passed = hearing.passed;
        self.wake_at(passed, now, cx);
    }

    /// What had expired when the hearing began, after all that was heard.
    fn verdict(&mut self, limits: &Limits, now: Instant) -> Option<Expired> {
        let hearing = self.pending().hearing.take()?;
        let (at, expired) = self.earliest(limits)?;
        if at <= hearing.at {
            return Some(expired);
        }
        self.forgive(now - hearing.at);
        None
    }
}
