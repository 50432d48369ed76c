//! What a connection does for the server's memory: it says what it holds, reads less where memory is
//! scarce, and ends at once if it has to.

use std::{task::Context, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_core::{CloseCode, Closed, ClosedBy};

use super::{Driver, TURN, TcpClose, budget::Outside, core::Core, endpoint::Start};
use crate::leaves::budget::{GRANULE, Level, account::Figures};

/// How soon a connection that is held up asks again.
const AGAIN: Duration = Duration::from_millis(250);
/// Octets of one read at the bound, on a connection that holds nothing.
const LITTLE: usize = 4096;
/// Octets that a paused connection reads each time it asks again, below the bound: 32 KiB/s, four times
/// what `min_rate` asks of a message by default.
const TRICKLE: usize = 8 * 1024;

/// How much a connection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Freely,
    /// Only what makes it hold little: so one that answers small messages goes on as ever.
    Little,
    Paused,
    /// Paused, but for one more read: nobody waits for ever because others hold much.
    Once,
}

impl Core {
    /// Counts what the connection holds, if that has changed much. `engine` are the octets that the
    /// engine holds.
    #[inline]
    pub(super) fn count_held(&mut self, engine: usize) {
        let queues = self.outbox.is_anything_before();
        let idle = engine == 0 && self.input.ahead.is_none() && !self.input.delivered && !queues;
        if idle && self.counted == 0 {
            return;
        }
        let held = if idle { 0 } else { self.held(engine) + self.below() };
        if held.abs_diff(self.counted) >= GRANULE || (held == 0 && self.counted > 0) {
            self.recount(held);
        } else if queues && self.output.is_blocked() {
            self.outbox.count_waiting(self.now);
        }
    }

    /// Octets that it holds besides what waits in the outbox.
    fn held(&mut self, engine: usize) -> usize {
        engine + self.received() + self.output.to_encode.own_bytes()
    }

    /// Octets that lie below the stream, at most.
    fn below(&self) -> usize {
        let unread = self.is_reading_stopped() || self.is_held_up();
        self.below * (usize::from(unread) + usize::from(self.output.is_blocked()))
    }

    /// Octets that were received and neither decoded by the engine nor taken by the handler.
    fn received(&mut self) -> usize {
        if self.input.handed_on >= GRANULE {
            // How much of it the receiver has taken is behind a lock.
            self.input.handed_on = self.outbox.ahead().bytes;
        }
        let elsewhere = if self.input.delivered { self.input.handed_on } else { 0 };
        let unread = if self.input.buffer.is_empty() { 0 } else { self.input.buffer.capacity() };
        self.input.ahead.load().bytes + elsewhere + unread
    }

    #[cold]
    fn recount(&mut self, held: usize) {
        self.counted = held;
        let memory = self.ws.memory();
        let figures = Figures {
            receiving: memory.receiving + self.received(),
            sending: memory.sending + self.output.to_encode.own_bytes(),
            extensions: memory.extensions,
            transport: self.below(),
            ..Figures::default()
        };
        self.outbox.count_held(figures, memory.shared, self.now);
    }

    /// Whether it holds so much that reading more would cost memory which is scarce.
    fn holds_much(&mut self) -> bool {
        let engine = self.ws.memory_usage().saturating_sub(self.ws.extensions().memory_usage());
        self.held(engine) >= GRANULE
    }

    /// Reads less, or goes on.
    fn set_reading(&mut self, reading: Reading) {
        self.outbox.set_held_up(reading != Reading::Freely);
        self.reading = reading;
        if reading == Reading::Freely {
            self.deadlines.go_on(self.now);
        }
    }

    /// Octets that may be read now, of these, while memory is scarce.
    #[cold]
    pub(super) fn may_read_little(&mut self, most: usize) -> usize {
        // What ends the connection is always read.
        if self.ws.is_close_awaited() || self.deadlines.is_turn_over() {
            return most;
        }
        if self.reading == Reading::Little && !self.holds_much() {
            self.deadlines.go_on(self.now);
            return most.min(LITTLE);
        }
        self.deadlines.hold_up(self.now + AGAIN, false);
        if self.reading == Reading::Once && most > 0 {
            self.reading = Reading::Paused;
            return most.min(TRICKLE);
        }
        0
    }

    /// Whether reading is held up.
    #[inline]
    pub(super) fn is_held_up(&self) -> bool {
        let paused = matches!(self.reading, Reading::Paused | Reading::Once);
        paused && self.is_open() && !self.input.ended
    }

    /// Asks whether reading goes on.
    pub(super) fn ask_again(&mut self) {
        self.outbox.relieve();
        self.deadlines.hold_up(self.now + AGAIN, true);
        let orders = self.outbox.orders();
        self.weigh(orders.level, orders.pause);
        if self.reading == Reading::Paused && orders.level != Level::Full {
            self.reading = Reading::Once;
        }
    }

    fn weigh(&mut self, level: Level, pause: bool) {
        let reading = match level {
            Level::Calm => Reading::Freely,
            Level::Near if pause && self.holds_much() => Reading::Paused,
            Level::Near => Reading::Freely,
            Level::Full if self.holds_much() => Reading::Paused,
            Level::Full => Reading::Little,
        };
        if reading != self.reading {
            self.set_reading(reading);
        }
    }

    /// Drops everything that the connection holds, and ends it.
    fn evict(&mut self) {
        self.output.to_encode.clear();
        self.input.ahead.clear();
        self.input.buffer.clear();
        self.input.undecoded = false;
        self.input.cut_off = true;
        // Fails only if it has ended anyway.
        self.ws
            .fail(CloseCode::TRY_AGAIN_LATER, "the server has no memory for this connection")
            .ok();
        self.settle();
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin + 'static, S: Start> Driver<Io, S> {
    /// Does what the server wants. Returns how the connection ended, if it had to.
    #[cold]
    pub(super) fn obey(
        &mut self,
        core: &mut Box<Core>,
        cx: &mut Context<'_>,
    ) -> Option<(Closed, TcpClose)> {
        // It is time to look at all from time to time.
        core.outbox.relieve();
        let orders = core.outbox.orders();
        if orders.evict {
            return Some(self.evict(core, cx));
        }
        if orders.park && !core.ws.extensions().is_empty() {
            core.park();
        }
        core.weigh(orders.level, orders.pause);
        None
    }

    /// Ends the connection: its Close goes out if the socket takes it now.
    fn evict(&mut self, core: &mut Box<Core>, cx: &mut Context<'_>) -> (Closed, TcpClose) {
        core.evict();
        core.write(&mut Outside(&mut self.io), cx, &mut { TURN });
        let tcp_close = match core.over().cloned() {
            Some(closed) if closed.code != CloseCode::ABNORMAL && !core.deadlines.gone => {
                TcpClose::InStages { reading: core.time_to_read(&closed) }
            }
            _ => {
                core.deadlines.gone = true;
                TcpClose::AtOnce
            }
        };
        let closed = core.over().cloned().unwrap_or_else(|| Closed::abnormal(ClosedBy::Local));
        (closed, tcp_close)
    }
}
