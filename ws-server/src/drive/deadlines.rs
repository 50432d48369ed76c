//! When a connection has waited long enough.
//!
//! Each connection has one timer, which is hardly ever moved: it is set to the earliest deadline known
//! at that time. Traffic only moves deadlines further away, so it costs nothing; when the timer fires,
//! it is set to the deadline that is the earliest by then.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    budget::poll_outside,
    pending::{Blocked, MINUTE, Park, Pending, Ping, Unfinished},
    unread::Unread,
};
use crate::Limits;

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// Nothing came for so long that a Ping is due.
    Ping,
    /// Nothing came after the Ping either.
    Pong,
    /// The same, but nothing was read either.
    Unheard,
    /// A message came too slowly, or stopped in the middle.
    Message,
    /// The client takes nothing of what is to be written.
    Write,
    /// It takes some of it, at less than the least rate.
    WriteRate,
    /// The handler's turn before a Close is answered is over.
    CloseTurn,
    /// Our Close is not answered.
    Close,
    /// No message passed for so long that the extensions are to give back what they can.
    Park,
}

impl Expired {
    /// Whether it is the peer that took too long. It is heard before it is judged.
    pub(super) fn is_peers(self) -> bool {
        match self {
            Self::Pong | Self::Message | Self::Write | Self::WriteRate | Self::Close => true,
            Self::Ping | Self::Unheard | Self::CloseTurn | Self::Park => false,
        }
    }
}

/// The deadlines of one connection.
#[derive(Debug)]
pub(super) struct Deadlines {
    timer: Pin<Box<Sleep>>,
    /// Whether the timer will wake the task, and fires no later than the earliest deadline. That
    /// holds while deadlines only pass away or move further away.
    settled: bool,
    /// When something came last; when reading went on, if it had paused.
    heard: Instant,
    unread: Unread,
    /// In a box, because an idle connection has none.
    pending: Option<Box<Pending>>,
    /// Whether the handler's turn before a Close is answered was long enough.
    turn_over: bool,
    over: bool,
    /// The peer does not answer any more: nothing is waited for.
    pub(super) gone: bool,
    /// Whether reading is paused, and so the deadlines for what the client sends. It is pinged, and its
    /// answer looked for.
    paused: bool,
    /// Whether something is read all the same.
    listening: bool,
}

/// `then` and a limit later; far away for a limit that was lifted.
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

    /// So many octets came.
    pub(super) fn heard(&mut self, octets: usize, now: Instant) {
        self.heard = now;
        if let Some(pending) = &mut self.pending {
            if let Some(hearing) = &mut pending.hearing {
                hearing.left = hearing.left.saturating_sub(octets);
            }
            // The next Ping may be due before the Pong would have been.
            self.settled &= matches!(pending.ping, Ping::None);
            pending.ping = Ping::None;
        }
    }

    /// What was incomplete is complete: the next one has its own time.
    #[inline]
    pub(super) fn message_complete(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.unfinished = None;
        }
    }

    /// A Ping was queued, and ends at this place of the output.
    pub(super) fn pinged(&mut self, at: u64) {
        let pending = self.pending();
        pending.ping = Ping::Queued(at);
        pending.unanswered.get_or_insert(at);
    }

    /// Whether a Ping of ours was not answered.
    pub(super) fn is_pong_awaited(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.unanswered.is_some())
    }

    /// A Pong came: what was written before a Ping of ours, the oldest one at least, was read.
    pub(super) fn answered(&mut self, written: u64, limits: &Limits, now: Instant) {
        if let Some(at) = self.pending.as_mut().and_then(|pending| pending.unanswered.take()) {
            self.unread.read(at, written, limits, now);
        }
    }

    /// Time that the client may take for what it has yet to read of all that was written.
    pub(super) fn time_to_read(&mut self, written: u64, limits: &Limits, now: Instant) -> Duration {
        self.unread.time(written, limits, now)
    }

    /// The handler received while reading was paused: what is `closing` or silent has its time again.
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

    /// A Pong is looked for where it has not been, and has its time again.
    pub(super) fn look_ahead(&mut self, limits: &Limits, now: Instant) {
        self.pending().ping = Ping::Sent { due: after(now, limits.pong_timeout) };
        self.settled = false;
    }

    pub(super) fn pending(&mut self) -> &mut Pending {
        self.pending.get_or_insert_default()
    }

    /// Gives back what is not needed until the next wake-up.
    #[inline]
    pub(super) fn rest(&mut self) {
        if self.pending.as_ref().is_some_and(|pending| pending.is_empty()) {
            self.pending = None;
        }
    }

    /// A message passes the extensions, in either direction.
    #[inline]
    pub(super) fn passed(&mut self, now: Instant) {
        let pending = self.pending.get_or_insert_default();
        self.settled &= matches!(pending.park, Park::Since(_));
        pending.park = Park::Since(now);
    }

    /// The extensions gave back what they can.
    pub(super) fn parked(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.park = Park::Parked;
        }
    }

    /// Bytes that came of what is incomplete now.
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

    /// Whether reading is paused, and whether something is read all the same.
    #[inline]
    pub(super) fn paused(&mut self, paused: bool, listening: bool, now: Instant) {
        self.listening = listening;
        if self.paused && !paused {
            self.resumed(now);
        }
        self.paused = paused;
    }

    /// Reading goes on.
    #[cold]
    fn resumed(&mut self, now: Instant) {
        // A client with a slow handler is not dead.
        self.heard = now;
        if let Some(pending) = &mut self.pending {
            if let Some(unfinished) = &mut pending.unfinished {
                unfinished.since = now;
            }
            if let Ping::Sent { .. } = pending.ping {
                pending.ping = Ping::None;
            }
            // The handler receives: an end that was seen beyond what is unread is reached in order.
            pending.closing = None;
        }
        self.settled = false;
    }

    /// Whether the socket takes no more for now; `progress` says whether it took something, and
    /// `written` how many bytes in all.
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
            // That the operating system has it is no sign of life, but the client comes to it only
            // after what was written before.
            let time = limits.pong_timeout.saturating_add(self.unread.time(written, limits, now));
            pending.ping = Ping::Sent { due: after(now, time) };
            self.settled = false;
        }
        if !blocked {
            pending.blocked = None;
        } else if let Some(before) = &mut pending.blocked {
            if progress {
                before.since = now;
            }
            let least = (limits.min_write_rate as u64).saturating_mul(MINUTE.as_secs());
            if written - before.written >= least {
                (before.minute, before.written) = (now, written);
            }
        } else {
            pending.blocked = Some(Blocked { since: now, minute: now, written });
            self.settled = false;
        }
    }

    /// Time passed that counts for nobody: the peer was heard, and is not late.
    pub(super) fn forgive(&mut self, late: Duration) {
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

    /// The peer's Close or fault was read.
    pub(super) fn closing(&mut self, now: Instant) {
        self.pending().closing = Some(now);
        self.settled = false;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.turn_over || self.pending.as_ref().is_some_and(|pending| pending.closing.is_some())
    }

    /// The handler's turn is over, whatever it does.
    pub(super) fn turn_over(&mut self) {
        self.turn_over = true;
        self.pending().closing = None;
    }

    pub(super) fn is_turn_over(&self) -> bool {
        self.turn_over
    }

    /// The connection is over, but for what is to be written.
    pub(super) fn over(&mut self) {
        self.over = true;
        let pending = self.pending();
        (pending.closing, pending.close_due) = (None, None);
        pending.park = Park::Parked;
    }

    /// Our Close was written, after everything else, and the peer's is awaited.
    pub(super) fn close_sent(&mut self, written: u64, limits: &Limits, now: Instant) {
        if self.over || self.pending().close_due.is_some() {
            return;
        }
        let time = limits.close_timeout.saturating_add(self.time_to_read(written, limits, now));
        self.pending().close_due = Some(after(now, time));
        self.settled = false;
    }

    /// All of them.
    fn all(&self, limits: &Limits) -> impl Iterator<Item = (Instant, Expired)> {
        let Pending { ping, unfinished, blocked, closing, close_due, park, .. } =
            self.pending.as_deref().copied().unwrap_or_default();
        let of =
            |since: Option<Instant>, limit, what| since.map(|since| (after(since, limit), what));
        let ours = [
            of(blocked.map(|blocked| blocked.since), limits.write_timeout, Expired::Write),
            of(blocked.map(|blocked| blocked.minute), MINUTE, Expired::WriteRate),
            of(closing, limits.close_turn, Expired::CloseTurn),
            close_due.map(|due| (due, Expired::Close)),
            match park {
                Park::Parked => None,
                Park::Since(passed) => of(Some(passed), limits.park_after, Expired::Park),
            },
        ];
        // What the client owes, while it is listened to and nothing is ending.
        let ending = self.over || closing.is_some() || close_due.is_some();
        let attending = !ending && !self.turn_over;
        let ping = attending.then(|| match ping {
            Ping::None => of(Some(self.heard), limits.ping_interval, Expired::Ping),
            // Until then there is the deadline for writing.
            Ping::Queued(_) => None,
            Ping::Sent { due } if self.paused && !self.listening => Some((due, Expired::Unheard)),
            Ping::Sent { due } => Some((due, Expired::Pong)),
        });
        let listened = attending && !self.paused;
        let theirs = listened.then(|| {
            [
                unfinished.and_then(|unfinished| {
                    of(Some(unfinished.since), unfinished.time(limits), Expired::Message)
                }),
                unfinished
                    .and_then(|_| of(Some(self.heard), limits.progress_timeout, Expired::Message)),
            ]
        });
        ours.into_iter().chain(theirs.into_iter().flatten()).chain(ping).flatten()
    }

    /// What expires first.
    pub(super) fn earliest(&self, limits: &Limits) -> Option<(Instant, Expired)> {
        self.all(limits).min_by_key(|(at, _)| *at)
    }

    /// What expired first, if anything has. Otherwise the task is woken when something may have.
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
            pending.hearing = None;
        }
        self.wake_at(earliest, now, cx);
        Poll::Pending
    }

    /// Has the task woken at this time, or before.
    pub(super) fn wake_at(&mut self, at: Instant, now: Instant, cx: &mut Context<'_>) {
        let before = self.timer.deadline();
        if at < before || before <= now || self.timer.is_elapsed() {
            self.timer.as_mut().reset(at);
        }
        if self.poll_timer(cx).is_ready() {
            // It stood at a deadline that has moved since.
            self.timer.as_mut().reset(at);
            if self.poll_timer(cx).is_ready() {
                // The turn took so long that this one has passed too: the next turn sees it.
                cx.waker().wake_by_ref();
            }
        }
        self.settled = true;
    }

    /// Outside of the budget: without one a timer registers no waker.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        poll_outside(cx, |cx| self.timer.as_mut().poll(cx))
    }

    /// The task has another waker than before.
    pub(super) fn disarm(&mut self) {
        self.settled = false;
    }
}
