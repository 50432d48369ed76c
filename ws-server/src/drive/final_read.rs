//! Reads what has arrived before a deadline of the peer is enforced.
//!
//! A deadline can pass while the data that meets it already lies in the socket: the process was
//! stopped, its machine was suspended, or a neighbour took all of the processor. So when a deadline
//! of the peer passes, everything that had arrived by then is read first. Progress counts up to the
//! moment when the deadline passed, not to the end of the reading, so that a trickle of octets buys
//! no time.

use std::task::Context;

use tokio::time::Instant;

use super::{core::Core, deadlines::Deadlines, expired::Expired};
use crate::{
    Limits,
    leaves::socket::{self, PASS},
};

/// Octets read at most if the stream is not a socket that reports how many it holds.
const MOST: usize = 256 * 1024;

/// The last reads after a deadline of the peer has passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct FinalRead {
    /// When the deadline passed.
    at: Instant,
    /// Octets that may still be read.
    pub(super) left: usize,
    passes: u16,
    /// When the last pass of the runtime over its sockets ends.
    passed: Instant,
}

impl Core {
    /// Acts on an expired deadline, a peer's only after its input was read. `more` says that this
    /// turn ended with more to read.
    pub(super) fn enforce<Io: 'static>(
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
        let final_read = self.deadlines.final_read(limits, self.now, || socket::receive_buffer(io));
        if final_read.left > 0 {
            if more {
                return;
            }
            let passes = match expired {
                // The runtime may not know yet that the socket takes more.
                Expired::Write | Expired::WriteRate if self.write_now(io) => return,
                Expired::Write | Expired::WriteRate => 1,
                _ => socket::passes(io),
            };
            if passes > 0 && (final_read.passes < passes || self.now < final_read.passed) {
                return self.deadlines.wait_for_pass(self.now, cx);
            }
        }
        if let Some(expired) = self.deadlines.still_expired(&self.outbox.limits, self.now) {
            self.expire(expired);
        }
    }
}

impl Deadlines {
    /// Returns the final read, which starts now unless it has started.
    fn final_read(
        &mut self,
        limits: &Limits,
        now: Instant,
        most: impl FnOnce() -> Option<usize>,
    ) -> FinalRead {
        if let Some(final_read) = self.pending().final_read {
            return final_read;
        }
        let at = self.earliest(limits).map_or(now, |(at, _)| at);
        let left = most().unwrap_or(MOST);
        *self.pending().final_read.insert(FinalRead { at, left, passes: 0, passed: at })
    }

    /// Waits until the runtime has polled its sockets once more.
    fn wait_for_pass(&mut self, now: Instant, cx: &mut Context<'_>) {
        let Some(final_read) = &mut self.pending().final_read else { return };
        if final_read.passed <= now {
            final_read.passes += 1;
            final_read.passed = now + PASS;
        }
        let passed = final_read.passed;
        self.wake_at(passed, now, cx);
    }

    /// Returns the deadline that had expired when the final read began and was still not met after
    /// it.
    fn still_expired(&mut self, limits: &Limits, now: Instant) -> Option<Expired> {
        let final_read = self.pending().final_read.take()?;
        let (at, expired) = self.earliest(limits)?;
        if at <= final_read.at {
            return Some(expired);
        }
        self.postpone(now - final_read.at);
        None
    }
}
