//! The deadlines of a connection.
//!
//! Each connection has one timer, which hardly ever moves: it is set to the earliest deadline known
//! at that time. Traffic only moves deadlines further away, so it costs nothing; when the timer
//! fires, it is set to the deadline that is the earliest by then.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    budget::poll_outside,
    expired::Expired,
    pending::{Blocked, Park, Pending, Ping, RATE_WINDOW, Unfinished},
    round_trip::Unanswered,
    unread::Unread,
};
use crate::Limits;

/// The deadlines of one connection.
#[derive(Debug)]
pub(super) struct Deadlines {
    timer: Pin<Box<Sleep>>,
    /// Whether the timer will wake the task no later than the earliest deadline. That holds while
    /// deadlines only disappear or move further away.
    settled: bool,
    /// When input last came, or reading resumed after a pause.
    heard: Instant,
    unread: Unread,
    /// Boxed, because an idle connection has none.
    pending: Option<Box<Pending>>,
    /// Whether the handler has used up its turn before a Close is answered.
    turn_over: bool,
    over: bool,
    /// The peer no longer answers: waiting is over.
    pub(super) gone: bool,
    /// Whether reading is paused, and with it the deadlines for the peer's messages. The peer is
    /// pinged, and its answer looked for.
    paused: bool,
    /// Whether a little is read during the pause.
    listening: bool,
}

/// Adds a limit to a time. A lifted limit gives a time far away.
fn after(then: Instant, limit: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    then.checked_add(limit).unwrap_or_else(|| then + FAR)
}

impl Deadlines {
    pub(super) fn new(now: Instant, limits: &Limits) -> Self {
        Self {
            timer: Box::pin(sleep_until(after(now, limits.ping_interval))),
            settled: false,
            heard: now,
            unread: Unread::new(now),
            pending: None,
            turn_over: false,
            over: false,
            gone: false,
            paused: false,
            listening: true,
        }
    }

    /// Notes that octets came.
    pub(super) fn heard(&mut self, octets: usize, now: Instant) {
        self.heard = now;
        if let Some(pending) = &mut self.pending {
            if let Some(final_read) = &mut pending.final_read {
                final_read.left = final_read.left.saturating_sub(octets);
            }
            // The next Ping may be due before the Pong would have been.
            self.settled &= matches!(pending.ping, Ping::None);
            pending.ping = Ping::None;
        }
    }

    /// Notes that the incomplete message is complete: the next one has its own time. So has each piece of a
    /// message that is received in pieces.
    #[inline]
    pub(super) fn message_complete(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.unfinished = None;
        }
    }

    /// Notes a queued Ping, which ends at this place of the output.
    pub(super) fn pinged(&mut self, at: u64) {
        let pending = self.pending();
        pending.ping = Ping::Queued(at);
        Unanswered::pinged(&mut pending.unanswered, at);
    }

    /// Whether our Ping awaits its Pong.
    pub(super) fn is_pong_awaited(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.unanswered.is_some())
    }

    /// Notes a Pong: the peer has read everything before our Ping, the oldest one at least. Returns
    /// the time of the round trip, where it is known.
    pub(super) fn ponged(
        &mut self,
        written: u64,
        limits: &Limits,
        now: Instant,
    ) -> Option<Duration> {
        let ping = self.pending.as_mut()?.unanswered.take()?;
        self.unread.read(ping.at, written, limits, now);
        ping.time(now)
    }

    /// The time that the peer may take to read the rest of the output.
    pub(super) fn time_to_read(&mut self, written: u64, limits: &Limits, now: Instant) -> Duration {
        self.unread.time(written, limits, now)
    }

    /// Restarts the time of a Close, or of a silent peer, since the handler received while reading
    /// was paused.
    pub(super) fn received(&mut self, closing: bool, now: Instant) {
        self.heard = now;
        if let Some(pending) = &mut self.pending {
            if let Ping::Sent { .. } = pending.ping {
                pending.ping = Ping::None;
                self.settled = false;
            }
            if closing && pending.closing.is_some() {
                pending.closing = Some(now);
            }
        }
    }

    /// Restarts the wait for a Pong, which may lie in input that was not looked at before.
    pub(super) fn look_ahead(&mut self, limits: &Limits, now: Instant) {
        self.pending().ping = Ping::Sent { due: after(now, limits.pong_timeout) };
        self.settled = false;
    }

    pub(super) fn pending(&mut self) -> &mut Pending {
        self.pending.get_or_insert_default()
    }

    /// Gives back what the connection does not need until the next wake-up.
    #[inline]
    pub(super) fn rest(&mut self) {
        if self.pending.as_ref().is_some_and(|pending| pending.is_empty()) {
            self.pending = None;
        }
    }

    /// Notes that a message passes the extensions, in either direction.
    #[inline]
    pub(super) fn passed(&mut self, now: Instant) {
        let pending = self.pending.get_or_insert_default();
        self.settled &= matches!(pending.park, Park::Since(_));
        pending.park = Park::Since(now);
    }

    /// Notes that the extensions gave memory back.
    pub(super) fn parked(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.park = Park::Parked;
        }
    }

    /// Notes the octets received of the incomplete message, if there is one.
    #[inline]
    pub(super) fn unfinished(&mut self, unfinished: Option<u64>, now: Instant) {
        let Some(received) = unfinished else {
            return self.message_complete();
        };
        let before = self.pending().unfinished;
        self.settled &= before.is_some();
        let since = before.map_or(now, |unfinished| unfinished.since);
        self.pending().unfinished = Some(Unfinished { since, received });
    }

    /// Notes whether reading is paused, and whether a little is read during the pause.
    #[inline]
    pub(super) fn paused(&mut self, paused: bool, listening: bool, now: Instant) {
        self.listening = listening;
        if self.paused && !paused {
            self.resumed(now);
        }
        if paused && let Some(pending) = &mut self.pending {
            pending.paused();
        }
        self.paused = paused;
    }

    /// Notes that the server's memory holds reading up, and when to ask again: `anew`, or if none is due.
    #[cold]
    pub(super) fn hold_up(&mut self, again: Instant, anew: bool) {
        if anew || self.pending().held_up.is_none() {
            self.pending().held_up = Some(again);
            self.settled = false;
        }
    }

    /// Notes that it does not, or no longer.
    #[cold]
    pub(super) fn go_on(&mut self, now: Instant) {
        let Some(pending) = &mut self.pending else { return };
        if pending.held_up.take().is_some() {
            self.heard = now;
            if let Ping::Sent { .. } = pending.ping {
                pending.ping = Ping::None;
            }
            self.settled = false;
        }
    }

    /// Reading resumes.
    #[cold]
    fn resumed(&mut self, now: Instant) {
        // A client whose handler is slow is not dead.
        self.heard = now;
        if let Some(pending) = &mut self.pending {
            if let Some(unfinished) = &mut pending.unfinished {
                unfinished.since = now;
            }
            if let Ping::Sent { .. } = pending.ping {
                pending.ping = Ping::None;
            }
            // The handler receives: the end that was seen beyond the unread data is reached in
            // order.
            pending.closing = None;
        }
        self.settled = false;
    }

    /// Notes whether the socket takes no more for now; `progress` says whether it took something,
    /// and `written` how many octets in all.
    #[inline]
    pub(super) fn written(
        &mut self,
        blocked: bool,
        progress: bool,
        written: u64,
        limits: &Limits,
        now: Instant,
    ) {
        if progress {
            self.unread.wrote(now);
        }
        if self.pending.is_some() || blocked {
            self.pending_written(blocked, progress, written, limits, now);
        }
    }

    fn pending_written(
        &mut self,
        blocked: bool,
        progress: bool,
        written: u64,
        limits: &Limits,
        now: Instant,
    ) {
        let pending = self.pending.get_or_insert_default();
        if let Ping::Queued(at) = pending.ping
            && at <= written
        {
            // Octets in the operating system are no sign of life, and the peer reads the Ping only
            // after the earlier output.
            let time = limits.pong_timeout.saturating_add(self.unread.time(written, limits, now));
            pending.ping = Ping::Sent { due: after(now, time) };
            self.settled = false;
        }
        pending.written(written, now);
        if !blocked {
            pending.blocked = None;
        } else if let Some(before) = &mut pending.blocked {
            if progress {
                before.since = now;
            }
            let least = (limits.min_write_rate as u64).saturating_mul(RATE_WINDOW.as_secs());
            if written - before.written >= least {
                (before.minute, before.written) = (now, written);
            }
        } else {
            pending.blocked = Some(Blocked { since: now, minute: now, written });
            self.settled = false;
        }
    }

    /// Moves deadlines by the time that counts for neither side: the peer was heard, and is not
    /// late.
    pub(super) fn postpone(&mut self, late: Duration) {
        self.settled = false;
        let pending = self.pending();
        if let Some(unfinished) = &mut pending.unfinished {
            unfinished.since += late;
        }
        if let Some(blocked) = &mut pending.blocked {
            blocked.since += late;
            blocked.minute += late;
        }
    }

    /// Notes that the peer's Close or fault was read.
    pub(super) fn closing(&mut self, now: Instant) {
        self.pending().closing = Some(now);
        self.settled = false;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.turn_over || self.pending.as_ref().is_some_and(|pending| pending.closing.is_some())
    }

    /// Ends the handler's turn before a Close is answered.
    pub(super) fn turn_over(&mut self) {
        self.turn_over = true;
        self.pending().closing = None;
    }

    pub(super) fn is_turn_over(&self) -> bool {
        self.turn_over
    }

    /// Notes that the connection is over, except for the output left to write.
    pub(super) fn over(&mut self) {
        self.over = true;
        let pending = self.pending();
        (pending.closing, pending.close_due) = (None, None);
        pending.park = Park::Parked;
    }

    /// Notes that our Close was written, after everything else, and that the peer's is awaited.
    pub(super) fn close_sent(&mut self, written: u64, limits: &Limits, now: Instant) {
        if self.over || self.pending().close_due.is_some() {
            return;
        }
        let time = limits.close_timeout.saturating_add(self.time_to_read(written, limits, now));
        self.pending().close_due = Some(after(now, time));
        self.settled = false;
    }

    /// All deadlines that are running.
    fn all(&self, limits: &Limits) -> impl Iterator<Item = (Instant, Expired)> {
        let Pending { ping, unfinished, blocked, closing, close_due, park, held_up, .. } =
            self.pending.as_deref().copied().unwrap_or_default();
        let of =
            |since: Option<Instant>, limit, what| since.map(|since| (after(since, limit), what));
        let ours = [
            of(blocked.map(|blocked| blocked.since), limits.write_timeout, Expired::Write),
            of(blocked.map(|blocked| blocked.minute), RATE_WINDOW, Expired::WriteRate),
            of(closing, limits.close_turn, Expired::CloseTurn),
            close_due.map(|due| (due, Expired::Close)),
            held_up.map(|again| (again, Expired::HeldUp)),
            match park {
                Park::Parked => None,
                Park::Since(passed) => of(Some(passed), limits.park_after, Expired::Park),
            },
        ];
        // Deadlines of the peer, while its input is read and the connection is not ending.
        let ending = self.over || closing.is_some() || close_due.is_some();
        let attending = !ending && !self.turn_over;
        // A silence that is ours is none of the peer's. Its message has its whole time and no more.
        let heard = held_up.is_none();
        let ping = (attending && heard).then(|| match ping {
            Ping::None => of(Some(self.heard), limits.ping_interval, Expired::Ping),
            // Until then the write deadlines apply.
            Ping::Queued(_) => None,
            Ping::Sent { due } if self.paused && !self.listening => {
                Some((due, Expired::PongUnread))
            }
            Ping::Sent { due } => Some((due, Expired::Pong)),
        });
        let listened = attending && !self.paused;
        let theirs = listened.then(|| {
            [
                unfinished.and_then(|unfinished| {
                    of(Some(unfinished.since), unfinished.time(limits), Expired::Message)
                }),
                unfinished
                    .filter(|_| heard)
                    .and_then(|_| of(Some(self.heard), limits.progress_timeout, Expired::Message)),
            ]
        });
        ours.into_iter().chain(theirs.into_iter().flatten()).chain(ping).flatten()
    }

    /// The deadline that expires first.
    pub(super) fn earliest(&self, limits: &Limits) -> Option<(Instant, Expired)> {
        self.all(limits).min_by_key(|(at, _)| *at)
    }

    /// Returns the deadline that expired first, if any. Otherwise the task is woken when one may
    /// expire.
    #[inline]
    pub(super) fn poll(
        &mut self,
        limits: &Limits,
        written: u64,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Expired> {
        if self.settled && now < self.timer.deadline() {
            return Poll::Pending;
        }
        self.unread.time(written, limits, now);
        self.settle(limits, now, cx)
    }

    fn settle(&mut self, limits: &Limits, now: Instant, cx: &mut Context<'_>) -> Poll<Expired> {
        let (earliest, what) = match self.earliest(limits) {
            Some(earliest) => earliest,
            None => return Poll::Pending,
        };
        if earliest <= now {
            return Poll::Ready(what);
        }
        if let Some(pending) = &mut self.pending {
            pending.final_read = None;
        }
        self.wake_at(earliest, now, cx);
        Poll::Pending
    }

    /// Wakes the task at this time or earlier.
    pub(super) fn wake_at(&mut self, at: Instant, now: Instant, cx: &mut Context<'_>) {
        let before = self.timer.deadline();
        if at < before || before <= now || self.timer.is_elapsed() {
            self.timer.as_mut().reset(at);
        }
        if self.poll_timer(cx).is_ready() {
            // The timer fired for a deadline that has moved since.
            self.timer.as_mut().reset(at);
            if self.poll_timer(cx).is_ready() {
                // The turn took so long that this deadline has passed too: the next turn sees it.
                cx.waker().wake_by_ref();
            }
        }
        self.settled = true;
    }

    /// Outside of the budget: a timer without budget registers no waker.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        poll_outside(cx, |cx| self.timer.as_mut().poll(cx))
    }

    /// Notes that the task's waker has changed.
    pub(super) fn disarm(&mut self) {
        self.settled = false;
    }
}
