//! Sends that wait for room, in their order of arrival.
//!
//! A send that finds no room takes a ticket and leaves its message here, so that a task that stops
//! polling its send delays no other. The ticket also keeps its place in the order: later messages
//! and broadcasts go out after it. It is admitted as soon as there is room, and at the latest when
//! everything queued before it has left. That bounds the wait.
//!
//! What is granted and not used, a reservation or the turn of a writer, ends after a second.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{
    Bounds, Queued, State, deferred::Deferred, has_room, queued::PER_MESSAGE, streamed::Writer,
};

/// How long a reservation made by `ready` lasts, and the turn of a writer that does not begin.
#[cfg(not(all(test, shuttle)))]
const RESERVATION: Duration = Duration::from_secs(1);
#[cfg(all(test, shuttle))]
const RESERVATION: Duration = Duration::from_secs(3600);

/// Identifies a handle that sends: a reservation made by `ready` belongs to it. Most handles never
/// need one.
#[derive(Debug, Default)]
pub(crate) struct SenderId(AtomicU64);

impl SenderId {
    const NONE: u64 = 0;
    /// The one `WebSocket` of a connection.
    pub(crate) const WEB_SOCKET: u64 = 1;

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The id of any `WebSocket`.
    pub(crate) fn of_web_socket() -> &'static Self {
        static WEB_SOCKET: SenderId = SenderId(AtomicU64::new(SenderId::WEB_SOCKET));
        &WEB_SOCKET
    }

    /// Returns the number of this handle, assigning one if it has none.
    pub(crate) fn get_or_new(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(SenderId::WEB_SOCKET + 1);

        let known = self.get();
        if known != Self::NONE {
            return known;
        }
        let new = NEXT.fetch_add(1, Ordering::Relaxed);
        let set = self.0.compare_exchange(Self::NONE, new, Ordering::Relaxed, Ordering::Relaxed);
        set.map_or_else(|known| known, |_| new)
    }
}

/// The tasks that wait for room. Most connections have none.
#[derive(Default)]
pub(super) struct Waiters {
    pub(super) line: VecDeque<Ticket>,
    /// The number of the next ticket.
    next: u64,
    /// Tickets below this number were admitted, unless they were abandoned.
    admitted: u64,
    /// Futures that wait, or have not yet been polled since they were admitted.
    pub(super) futures: usize,
    senders: Vec<SendState>,
    /// Notifies publishers that wait for room for broadcasts.
    publishers: Option<Arc<Notify>>,
    /// The one who sends a message in pieces. Until its end is queued nobody else is admitted.
    pub(super) writer: Option<Writer>,
    /// Messages in pieces that have begun and have not left whole.
    pub(super) streams: usize,
}

pub(super) struct Ticket {
    number: u64,
    pub(super) wanted: Wanted,
    pub(super) waker: Waker,
}

pub(super) enum Wanted {
    Send(Queued),
    /// A reservation for this handle, with room for so many octets.
    Reservation(u64, usize),
    /// The turn of a writer, with room for a first piece of so many octets.
    Stream(usize),
    /// Only a place in the order. No future waits here for it.
    Flush(oneshot::Sender<()>),
}

/// The refused size or the reservation of a handle.
struct SendState {
    by: u64,
    /// Octets that were refused, or are reserved.
    bytes: usize,
    grant: Option<Grant>,
}

/// A reservation that is in force: the handle may send next.
struct Grant {
    ticket: u64,
    until: Instant,
    /// Whether everything in the queue came deferred.
    first: bool,
}

/// What a used reservation allows.
pub(super) struct Used {
    pub(super) bytes: usize,
    pub(super) first: bool,
}

impl Waiters {
    fn is_unused(&self) -> bool {
        self.line.is_empty()
            && self.futures == 0
            && self.senders.is_empty()
            && self.publishers.is_none()
            && self.writer.is_none()
            && self.streams == 0
    }

    /// Places that waiters take in the order of own messages.
    pub(super) fn places(&self) -> usize {
        self.line.len()
    }

    /// Octets of the messages that wait here.
    pub(super) fn bytes(&self) -> usize {
        let messages = self.line.iter().map(|ticket| match &ticket.wanted {
            Wanted::Send(message) => message.bytes(),
            Wanted::Reservation(..) | Wanted::Stream(_) | Wanted::Flush(_) => 0,
        });
        messages.sum()
    }

    /// Whether a message that is sent now waits for anybody.
    pub(super) fn is_anyone_before(&self) -> bool {
        self.writer.is_some() || !self.line.is_empty()
    }

    pub(super) fn push(&mut self, wanted: Wanted) -> u64 {
        let number = self.next;
        self.next += 1;
        self.line.push_back(Ticket { number, wanted, waker: Waker::noop().clone() });
        number
    }

    fn index(&self, number: u64) -> Option<usize> {
        self.line.binary_search_by_key(&number, |ticket| ticket.number).ok()
    }

    /// Whether this ticket was admitted, if that is decided. Otherwise returns the waker to set.
    pub(super) fn look_up(&mut self, number: u64) -> Result<bool, &mut Waker> {
        match self.index(number).and_then(|index| self.line.get_mut(index)) {
            Some(ticket) => Err(&mut ticket.waker),
            None => Ok(number < self.admitted),
        }
    }

    /// When the next reservation ends, or the turn of a writer that does not begin. One that is yet to
    /// be granted counts from now, since no task is notified when it is.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let grants = self.senders.iter().filter_map(|sender| Some(sender.grant.as_ref()?.until));
        let turn = self.writer.as_ref().and_then(Writer::ends);
        let ends =
            |ticket: &Ticket| matches!(ticket.wanted, Wanted::Reservation(..) | Wanted::Stream(_));
        let due = || self.line.iter().any(ends);
        grants.chain(turn).min().or_else(|| due().then(|| Instant::now() + RESERVATION))
    }

    /// Octets reserved for each reservation in force.
    fn promised(&self) -> impl Iterator<Item = usize> {
        self.senders.iter().filter(|sender| sender.grant.is_some()).map(|sender| sender.bytes)
    }

    /// Removes the entry of a handle. Returns its reservation, if it has one. Several tasks may use
    /// a handle, which may then have several.
    pub(super) fn use_reservation(&mut self, by: u64) -> Option<Used> {
        let index = self.senders.iter().position(|sender| sender.by == by)?;
        let SendState { bytes, grant, .. } = self.senders.remove(index);
        // Deferred sends of this handle follow the current one.
        for sender in self.senders.iter_mut().filter(|sender| sender.by == by) {
            sender.grant.iter_mut().for_each(|grant| grant.first = false);
        }
        grant.map(|grant| Used { bytes, first: grant.first })
    }

    /// Notes the size of the message that a handle was refused, for when it waits.
    pub(super) fn note_refused(&mut self, by: u64, bytes: usize) {
        self.use_reservation(by);
        self.senders.push(SendState { by, bytes, grant: None });
    }

    /// Takes the size that a handle was last refused, if any.
    fn take_refused(&mut self, by: u64) -> Option<usize> {
        let index = self.senders.iter().position(|sender| sender.by == by)?;
        Some(self.senders.swap_remove(index).bytes)
    }

    pub(super) fn publishers(&mut self) -> &Arc<Notify> {
        self.publishers.get_or_insert_default()
    }
}

impl State {
    pub(super) fn waiters(&mut self) -> &mut Waiters {
        self.waiters.get_or_insert_default()
    }

    /// Takes a ticket for room. Returns its number.
    pub(super) fn queue_up(&mut self, wanted: Wanted) -> u64 {
        let waiters = self.waiters();
        waiters.futures += 1;
        waiters.push(wanted)
    }

    /// Takes a ticket for a reservation with room for the message that this handle was last
    /// refused.
    pub(super) fn queue_up_for_reservation(&mut self, by: u64) -> u64 {
        let bytes = self.waiters().take_refused(by).unwrap_or(PER_MESSAGE + 1);
        self.queue_up(Wanted::Reservation(by, bytes))
    }

    /// Puts a message before everything that is queued.
    pub(super) fn push_first(&mut self, queued: Queued) {
        self.outbound_bytes += queued.bytes();
        self.outbound.push_front(queued);
        if let Some(broadcasts) = &mut self.broadcasts {
            broadcasts.queue.own_put_first();
        }
    }

    /// Whether a message may be queued without waiting.
    pub(super) fn admits(&self, waiters: &Waiters, len: usize, bounds: Bounds) -> bool {
        !waiters.is_anyone_before() && self.has_room_beside(waiters, len, bounds)
    }

    /// Whether there is room besides the reservations.
    fn has_room_beside(&self, waiters: &Waiters, len: usize, bounds: Bounds) -> bool {
        let first = self.first();
        let mut waiting = self.outbound_bytes;
        if !has_room(waiting, first, len, bounds) {
            return false;
        }
        waiting += len;
        let first = first.unwrap_or(len);
        waiters.promised().all(|bytes| {
            let room = has_room(waiting, Some(first), bytes, bounds);
            waiting += bytes;
            room
        })
    }

    /// Admits the waiters that have room now, in order.
    pub(super) fn settle(&mut self, bounds: Bounds, deferred: &mut Deferred) {
        let Some(mut waiters) = self.waiters.take() else {
            return;
        };
        while let Some(ticket) = waiters.line.front() {
            // The message that goes next is admitted, however large.
            let reached = self.first().is_none();
            let promised = waiters.promised().next().is_some();
            let fits = match &ticket.wanted {
                Wanted::Send(queued) => self.has_room_beside(&waiters, queued.bytes(), bounds),
                Wanted::Reservation(_, bytes) => self.has_room_beside(&waiters, *bytes, bounds),
                Wanted::Stream(bytes) => !promised && self.has_room(PER_MESSAGE + *bytes, bounds),
                Wanted::Flush(_) => true,
            };
            let is_next = reached && !promised;
            let held_up = match &ticket.wanted {
                Wanted::Flush(_) => self.holds_flush(&waiters),
                _ => waiters.writer.is_some(),
            };
            if held_up || (!fits && !is_next) {
                break;
            }
            let Some(Ticket { number, wanted, waker }) = waiters.line.pop_front() else {
                break;
            };
            waiters.admitted = number + 1;
            match wanted {
                Wanted::Send(queued) => self.push(queued),
                Wanted::Flush(flushed) => self.push(Queued::Flush(flushed)),
                Wanted::Stream(_) => {
                    self.own_removed(self.outbound.len());
                    waiters.writer = Some(Writer::new(number, Instant::now() + RESERVATION));
                }
                Wanted::Reservation(by, bytes) => {
                    self.own_removed(self.outbound.len());
                    let grant = Grant {
                        ticket: number,
                        until: Instant::now() + RESERVATION,
                        first: reached,
                    };
                    waiters.senders.push(SendState { by, bytes, grant: Some(grant) });
                }
            }
            deferred.wake(waker);
        }
        if let Some(writer) = &mut waiters.writer
            && self.has_room_for_piece(PER_MESSAGE + 1, bounds)
        {
            writer.wake(deferred);
        }
        if self.has_room_for_publishers(bounds)
            && let Some(publishers) = waiters.publishers.take()
        {
            deferred.notify(publishers);
        }
        if !waiters.is_unused() {
            self.waiters = Some(waiters);
        }
    }

    /// Ends expired reservations, and the turn of a writer that does not begin.
    pub(super) fn end_reservations(&mut self, bounds: Bounds, deferred: &mut Deferred) {
        let Some(waiters) = &mut self.waiters else {
            return;
        };
        let turn = waiters.writer.as_ref().and_then(Writer::ends);
        if turn.is_some() || waiters.promised().next().is_some() {
            let now = Instant::now();
            if turn.is_some_and(|until| until <= now)
                && let Some(mut writer) = waiters.writer.take()
            {
                writer.wake(deferred);
            }
            waiters
                .senders
                .retain(|sender| sender.grant.as_ref().is_none_or(|grant| now < grant.until));
            self.settle(bounds, deferred);
        }
    }

    /// Notes that a future has learned of its ticket's fate.
    pub(super) fn future_done(&mut self) {
        if let Some(waiters) = &mut self.waiters {
            waiters.futures -= 1;
            if waiters.is_unused() {
                self.waiters = None;
            }
        }
    }

    /// Notes that a future was dropped: abandons its ticket, or the reservation that it was
    /// granted.
    pub(super) fn abandon(&mut self, number: u64, bounds: Bounds, deferred: &mut Deferred) {
        let own = self.outbound.len();
        let Some(waiters) = &mut self.waiters else {
            return;
        };
        waiters.futures -= 1;
        let was_granted =
            |sender: &SendState| sender.grant.as_ref().is_some_and(|grant| grant.ticket == number);
        waiters.senders.retain(|sender| !was_granted(sender));
        if waiters.writer.as_ref().is_some_and(|writer| writer.ticket == number) {
            waiters.writer = None;
        }
        if let Some(index) = waiters.index(number) {
            deferred.forget(waiters.line.remove(index));
            self.own_removed(own + index);
        }
        self.settle(bounds, deferred);
    }

    /// Removes a handle that was dropped.
    pub(super) fn forget_sender(&mut self, by: u64, bounds: Bounds, deferred: &mut Deferred) {
        if let Some(waiters) = &mut self.waiters {
            waiters.use_reservation(by);
            self.settle(bounds, deferred);
        }
    }

    /// Stops accepting messages: wakes all waiters, and frees their places.
    pub(super) fn reject_waiters(&mut self, deferred: &mut Deferred) {
        self.closing = true;
        if let Some(broadcasts) = &mut self.broadcasts {
            // Nothing follows a Close, and a Close does not wait for it.
            deferred.end(broadcasts.refills.take());
        }
        let Some(waiters) = &mut self.waiters else {
            return;
        };
        waiters.senders.clear();
        if let Some(mut writer) = waiters.writer.take() {
            writer.wake(deferred);
        }
        waiters.streams = 0;
        for ticket in waiters.line.drain(..) {
            deferred.reject(ticket);
        }
        if let Some(publishers) = waiters.publishers.take() {
            deferred.notify(publishers);
        }
        if waiters.is_unused() {
            self.waiters = None;
        }
        let own = self.outbound.len();
        if let Some(broadcasts) = &mut self.broadcasts {
            broadcasts.queue.truncate_own(own);
        }
    }

    /// Adjusts the order of broadcasts after an own message was removed.
    pub(super) fn own_removed(&mut self, before: usize) {
        if let Some(broadcasts) = &mut self.broadcasts {
            broadcasts.queue.own_removed(before);
        }
    }
}
