//! A connection without its socket and its handler.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use tokio::time::Instant;
use tracing::debug;
use ws_core::{CloseCode, Closed, ClosedBy, Connection, Event};

use super::{
    deadlines::Deadlines, expired::Expired, input::Input, output::Output, pool, pressure::Reading,
};
use crate::{leaves::metrics::Traffic, outbox::Outbox};

/// The state that the driver and, in its turn, the handler work on.
pub(crate) struct Core {
    pub(super) ws: Connection,
    pub(super) outbox: Arc<Outbox>,
    pub(super) input: Input,
    pub(super) output: Output,
    pub(super) deadlines: Deadlines,
    pub(super) state: ConnectionState,
    /// The time of this wake-up.
    pub(super) now: Instant,
    /// Octets that it held when that was counted last.
    pub(super) counted: usize,
    /// Octets that lie below the stream while it is not read, and as many while it takes nothing.
    pub(super) below: usize,
    /// How much it reads, as far as the server's memory is concerned.
    pub(super) reading: Reading,
}

/// How far the connection has come.
#[derive(Debug)]
pub(super) enum ConnectionState {
    Open,
    /// Boxed, since a connection is open most of the time.
    Ending(Box<Ending>),
}

#[derive(Debug)]
pub(super) enum Ending {
    /// The peer's Close or fault was read. It is answered after the handler's turn.
    Closing,
    /// Over, except for the output left to write.
    Over(Closed),
}

impl ConnectionState {
    pub(super) fn closing() -> Self {
        Self::Ending(Box::new(Ending::Closing))
    }

    /// How the connection ended, if it is over.
    fn closed(&self) -> Option<&Closed> {
        match self {
            Self::Open => None,
            Self::Ending(ending) => match &**ending {
                Ending::Closing => None,
                Ending::Over(closed) => Some(closed),
            },
        }
    }
}

impl Core {
    /// `head` is the 101 response, which goes out with the first frames; `input` holds the octets
    /// read after the head of the request.
    ///
    /// Boxed from the start, because it is large to move.
    pub(crate) fn boxed(
        ws: Connection,
        outbox: Arc<Outbox>,
        head: BytesMut,
        input: BytesMut,
    ) -> Box<Self> {
        let now = Instant::now();
        Box::new(Self {
            ws,
            input: Input::new(input),
            output: Output::new(head),
            deadlines: Deadlines::new(now, &outbox.limits),
            state: ConnectionState::Open,
            now,
            counted: 0,
            below: 0,
            reading: Reading::Freely,
            outbox,
        })
    }

    /// The transport below the stream holds so many octets while it is not read, and while it takes
    /// nothing.
    pub(crate) fn set_below(&mut self, octets: usize) {
        self.below = octets;
    }

    #[inline]
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Charges the handler for the copies of a message that it published.
    pub(super) fn published(&mut self, copies: usize) {
        self.input.handled(copies);
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, ConnectionState::Open)
    }

    /// Whether the peer's Close or fault awaits an answer.
    pub(super) fn is_closing(&self) -> bool {
        !self.is_open() && !self.is_over()
    }

    /// Whether the connection is over, except for the output left to write.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.state.closed().is_some()
    }

    /// Answers the peer's Close or fault after the handler's turn.
    pub(super) fn answer_close(&mut self, handler_runs: bool) {
        let turn_over = self.deadlines.is_turn_over();
        // Nothing may follow our Close.
        if !turn_over && handler_runs && !self.is_handler_done() && !self.outbox.is_closing() {
            return;
        }
        // RFC 6455 §5.5.1 lets replies to earlier messages go out before the Close.
        self.encode();
        if turn_over || !self.has_more_to_encode() {
            self.settle();
        }
    }

    /// Asks the engine how the connection ended.
    pub(super) fn settle(&mut self) {
        let mut nothing = BytesMut::new();
        while let Some(event) = self.ws.poll_event(&mut nothing) {
            if let Event::Closed(closed) = event {
                self.end(closed);
            }
        }
    }

    /// Stops receiving and accepting messages to send.
    pub(super) fn end(&mut self, mut closed: Closed) {
        if closed.code == CloseCode::ABNORMAL
            && closed.by == ClosedBy::Peer
            && let Some(reason) = self.unsent_close()
        {
            closed.by = ClosedBy::Local;
            closed.reason = reason.into();
        }
        self.outbox.stop_sending();
        self.deadlines.over();
        self.state = ConnectionState::Ending(Box::new(Ending::Over(closed)));
    }

    /// The reason of our Close if it waits after unsent messages: the engine does not know of it
    /// yet.
    #[cold]
    fn unsent_close(&self) -> Option<Box<str>> {
        let taken = self.output.to_encode.close_reason();
        taken.map(Box::from).or_else(|| self.outbox.close_reason())
    }

    /// Notes the end of the transport. To a WebSocket, an orderly end and a failure are both an end
    /// without a Close.
    pub(super) fn lost(&mut self, error: Option<&std::io::Error>) {
        if let Some(error) = error {
            debug!(%error, "the transport failed");
        }
        self.input.ended = true;
        self.ws.input_ended();
    }

    /// The peer is gone, and data from it is unread. A handler that still receives gets this data
    /// first, and has as long for each part as before a Close.
    pub(super) fn hung_up(&mut self) {
        if self.is_open() && !self.deadlines.is_closing() {
            debug!("the peer is gone, and data beyond receive_ahead is unread");
            self.deadlines.closing(self.now);
        }
    }

    /// Notes a message, in either direction.
    #[inline]
    pub(super) fn passed(&mut self) {
        if !self.ws.extensions().is_empty() {
            self.deadlines.passed(self.now);
        }
    }

    /// Returns the expired deadline, if any.
    #[inline]
    pub(super) fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        self.deadlines.poll(&self.outbox.limits, self.output.written(), self.now, cx)
    }

    /// The time that the peer may take to read the rest after an end like this.
    pub(super) fn time_to_read(&mut self, closed: &Closed) -> Duration {
        if closed.clean && closed.by == ClosedBy::Local {
            // The peer has answered the last message.
            return Duration::ZERO;
        }
        self.deadlines.time_to_read(self.output.written(), &self.outbox.limits, self.now)
    }

    /// Gives back what the connection does not need until the next wake-up.
    #[inline]
    pub(super) fn rest(&mut self) {
        if !self.ws.extensions().is_empty() && self.output.is_written(&self.ws) {
            // An idle engine gives back the buffers kept for the next message.
            let _ = self.ws.poll_output_bounded();
        }
        if self.output.is_blocked() {
            self.ws.detach_output();
        }
        self.keep_large();
        self.input.give_back();
        pool::give_back(self.now);
        self.output.rest();
        self.deadlines.rest();
        // Without extensions, an idle engine holds no memory.
        let plain = self.ws.extensions().is_empty();
        let idle = plain && self.ws.encoded() == 0 && self.ws.unfinished().is_none();
        let engine = if idle { 0 } else { self.ws.memory_usage() };
        self.outbox.set_memory(engine);
        self.count_held(engine);
    }

    /// Hands over what is left of a connection that is over. Returns how it ended.
    pub(super) fn finish(
        mut self: Box<Self>,
        closed: Closed,
        octets_read: u64,
        written_before: u64,
    ) -> Closed {
        self.wake_handler();
        self.count(octets_read, written_before);
        let Self { outbox, input, .. } = *self;
        outbox.over(input.into_ahead());
        closed
    }

    /// Whether a turn may have taken longer than its octets suggest.
    pub(super) fn has_worked(&self) -> bool {
        self.output.is_spent() || !self.ws.extensions().is_empty()
    }

    /// Adds the work of this turn to the server's counters.
    #[inline]
    pub(super) fn count(&mut self, octets_read: u64, written_before: u64) {
        let received = Traffic { wire: octets_read, ..self.input.received() };
        let wire = self.output.written() - written_before;
        let sent = Traffic { wire, ..self.output.sent() };
        if let Some(stats) = &self.outbox.stats {
            stats.counters.add(received, sent);
        }
    }

    /// How the connection ended, once everything is written or cannot be.
    pub(super) fn over(&self) -> Option<&Closed> {
        self.state.closed().filter(|closed| {
            closed.code == CloseCode::ABNORMAL
                || self.deadlines.gone
                || self.output.is_written(&self.ws)
        })
    }

    /// Whether the closing handshake is done, except for the output left to write, and the socket
    /// holds no data of the peer.
    ///
    /// A Pong may still come: a client answers Pings "unless it already received a Close frame"
    /// (RFC 6455 §5.5.2), and ours is under way.
    pub(super) fn has_read_all(&self) -> bool {
        self.state.closed().is_some_and(|closed| {
            closed.clean
                && self.ws.role().is_server()
                && self.input.is_drained()
                && !self.deadlines.is_pong_awaited()
        })
    }

    pub(super) fn expire(&mut self, expired: Expired) {
        if !matches!(expired, Expired::Park | Expired::HeldUp) {
            debug!(?expired, "a deadline passed");
        }
        match expired {
            Expired::Park => self.park(),
            Expired::HeldUp => self.ask_again(),
            Expired::Ping => self.ping(),
            Expired::Pong => {
                self.deadlines.gone = true;
                self.fail(CloseCode::INTERNAL_ERROR, "no answer to a Ping");
            }
            Expired::PongUnread if self.look_ahead() => {
                self.deadlines.look_ahead(&self.outbox.limits, self.now);
            }
            // Earlier data blocks the Pong. A Ping shows whether the network still reaches the
            // peer.
            Expired::PongUnread => self.ping(),
            Expired::Message => self.fail(CloseCode::POLICY_VIOLATION, "message too slow"),
            Expired::CloseTurn => self.deadlines.turn_over(),
            Expired::Write => {
                let limit = self.outbox.limits.write_timeout.as_secs_f64();
                self.give_up(format_args!("took nothing for {limit} s"));
            }
            Expired::WriteRate => {
                let limit = self.outbox.limits.min_write_rate;
                self.give_up(format_args!("took less than {limit} bytes a second"));
            }
            Expired::Close => {
                let limit = self.outbox.limits.close_timeout.as_secs_f64();
                self.give_up(format_args!("no answer to a Close for {limit} s"));
            }
        }
    }

    /// A Close could not be written or was not answered: hang up.
    pub(super) fn give_up(&mut self, reason: fmt::Arguments<'_>) {
        self.deadlines.gone = true;
        self.lost(None);
        self.settle();
        if let ConnectionState::Ending(ending) = &mut self.state
            && let Ending::Over(closed) = &mut **ending
            && closed.code == CloseCode::ABNORMAL
        {
            closed.by = ClosedBy::Local;
            closed.reason = reason.to_string().into();
        }
    }

    fn ping(&mut self) {
        // Fails only if we are closing anyway.
        self.ws.ping("").ok();
        self.deadlines.pinged(self.output.end(&self.ws));
    }

    /// Lets the extensions give memory back. In the middle of a message they cannot, and are asked
    /// again later.
    pub(super) fn park(&mut self) {
        if self.ws.park() {
            self.deadlines.parked();
        } else {
            self.deadlines.passed(self.now);
        }
    }

    fn fail(&mut self, code: CloseCode, reason: &str) {
        // Fails only if we are closing anyway.
        self.ws.fail(code, reason).ok();
        self.settle();
    }
}
