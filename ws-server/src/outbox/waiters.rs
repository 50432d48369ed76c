//! Sends that wait for room, in the order in which they came.
//!
//! A send that finds no room takes a ticket and leaves its message here, so that a task that does
//! not come back to poll its send holds up nobody. Its place in the order of all that is sent is
//! taken as well: what is sent or published later goes out after it. It is let in when there is
//! room, and at the latest when all that was queued before it has left, so no wait is longer than
//! that takes.

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

use super::{Bounds, Queued, State, has_room, later::Later, queued::PER_MESSAGE};

/// How long `ready` keeps its turn.
#[cfg(not(all(test, shuttle)))]
const TURN: Duration = Duration::from_secs(1);
#[cfg(all(test, shuttle))]
const TURN: Duration = Duration::from_secs(3600);

/// Which handle sends: a turn that `ready` waited for belongs to it. Most handles never need one.
#[derive(Debug, Default)]
pub(crate) struct SenderId(AtomicU64);

impl SenderId {
    const NONE: u64 = 0;
    /// The `WebSocket` of a connection, of which there is one.
    pub(crate) const WEB_SOCKET: u64 = 1;

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// That of any `WebSocket`.
    pub(crate) fn of_web_socket() -> &'static Self {
        static WEB_SOCKET: SenderId = SenderId(AtomicU64::new(SenderId::WEB_SOCKET));
        &WEB_SOCKET
    }

    /// The number of this handle, which gets one now if it has none.
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

/// Who waits for room. Most connections have none.
#[derive(Default)]
pub(super) struct Waiters {
    line: VecDeque<Ticket>,
    /// The number of the next ticket.
    next: u64,
    /// Tickets below this number were let in, unless they were given up.
    let_in: u64,
    /// Futures that wait, or have yet to learn that they need not.
    pub(super) futures: usize,
    turns: Vec<Turn>,
    /// Publishers that wait until there is room for messages to many.
    publishers: Option<Arc<Notify>>,
}

pub(super) struct Ticket {
    number: u64,
    pub(super) wanted: Wanted,
    pub(super) waker: Waker,
}

pub(super) enum Wanted {
    Send(Queued),
    /// A turn of the handle of this number, with room for so many bytes.
    Turn(u64, usize),
    /// Nothing but its place. Nobody waits here for it.
    Flush(oneshot::Sender<()>),
}

/// What is known of a handle that sends without waiting.
struct Turn {
    by: u64,
    /// What it was refused, or has room for.
    bytes: usize,
    held: Option<Held>,
}

/// It may send next.
struct Held {
    ticket: u64,
    until: Instant,
    /// Whether all that is queued now came later.
    first: bool,
}

/// What a handle that had the turn may do with it.
pub(super) struct Used {
    pub(super) bytes: usize,
    pub(super) first: bool,
}

impl Waiters {
    fn is_unused(&self) -> bool {
        self.line.is_empty()
            && self.futures == 0
            && self.turns.is_empty()
            && self.publishers.is_none()
    }

    /// How many places in the order of own messages are taken here.
    pub(super) fn places(&self) -> usize {
        self.line.len()
    }

    fn push(&mut self, wanted: Wanted) -> u64 {
        let number = self.next;
        self.next += 1;
        self.line.push_back(Ticket { number, wanted, waker: Waker::noop().clone() });
        number
    }

    fn index(&self, number: u64) -> Option<usize> {
        self.line.binary_search_by_key(&number, |ticket| ticket.number).ok()
    }

    /// Whether this ticket was let in, if that is decided, and if it is not, whom to wake then.
    pub(super) fn look_up(&mut self, number: u64) -> Result<bool, &mut Waker> {
        match self.index(number).and_then(|index| self.line.get_mut(index)) {
            Some(ticket) => Err(&mut ticket.waker),
            None => Ok(number < self.let_in),
        }
    }

    /// When a turn ends that others may wait for. Those that are still to begin count from now on,
    /// since nobody is told when they do.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let held = self.turns.iter().filter_map(|turn| Some(turn.held.as_ref()?.until)).min();
        let due = || self.line.iter().any(|ticket| matches!(ticket.wanted, Wanted::Turn(..)));
        held.or_else(|| due().then(|| Instant::now() + TURN))
    }

    /// Bytes that are promised to those who have a turn.
    fn promised(&self) -> impl Iterator<Item = usize> {
        self.turns.iter().filter(|turn| turn.held.is_some()).map(|turn| turn.bytes)
    }

    /// Takes what is known of a handle: its turn, if it has one. It may have several, where several tasks
    /// use it.
    pub(super) fn use_turn(&mut self, by: u64) -> Option<Used> {
        let index = self.turns.iter().position(|turn| turn.by == by)?;
        let Turn { bytes, held, .. } = self.turns.remove(index);
        // What this handle sends next follows what it sends now.
        for turn in self.turns.iter_mut().filter(|turn| turn.by == by) {
            turn.held.iter_mut().for_each(|held| held.first = false);
        }
        held.map(|held| Used { bytes, first: held.first })
    }

    /// Notes what a handle was refused, for when it waits. How much that was.
    pub(super) fn note_refused(&mut self, by: u64, bytes: usize) {
        self.use_turn(by);
        self.turns.push(Turn { by, bytes, held: None });
    }

    /// What a handle was refused last, if it was.
    fn take_refused(&mut self, by: u64) -> Option<usize> {
        let index = self.turns.iter().position(|turn| turn.by == by)?;
        Some(self.turns.swap_remove(index).bytes)
    }

    pub(super) fn publishers(&mut self) -> &Arc<Notify> {
        self.publishers.get_or_insert_default()
    }
}

impl State {
    pub(super) fn waiters(&mut self) -> &mut Waiters {
        self.waiters.get_or_insert_default()
    }

    /// Queues up for room. The number of the ticket.
    pub(super) fn queue_up(&mut self, wanted: Wanted) -> u64 {
        let waiters = self.waiters();
        waiters.futures += 1;
        waiters.push(wanted)
    }

    /// Queues up for a turn with room for what this handle was refused last.
    pub(super) fn queue_up_for_turn(&mut self, by: u64) -> u64 {
        let bytes = self.waiters().take_refused(by).unwrap_or(PER_MESSAGE + 1);
        self.queue_up(Wanted::Turn(by, bytes))
    }

    /// Puts a flush after all that is queued or waits for room.
    pub(super) fn push_flush(&mut self, told: oneshot::Sender<()>) {
        match &mut self.waiters {
            Some(waiters) if !waiters.line.is_empty() => {
                waiters.push(Wanted::Flush(told));
            }
            _ => self.push(Queued::Flush(told)),
        }
    }

    /// Puts a message before all that is queued.
    pub(super) fn push_first(&mut self, queued: Queued) {
        self.outbound_bytes += queued.bytes();
        self.outbound.push_front(queued);
        if let Some(broadcasts) = &mut self.broadcasts {
            broadcasts.own_put_first();
        }
    }

    /// Whether a message may be queued that waited for nothing.
    pub(super) fn admits(&self, waiters: &Waiters, len: usize, bounds: Bounds) -> bool {
        waiters.line.is_empty() && self.has_room_beside(waiters, len, bounds)
    }

    /// Whether there is room, and will be for those who have a turn.
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

    /// Lets in who has room now, one after the other.
    pub(super) fn settle(&mut self, bounds: Bounds, later: &mut Later) {
        let Some(mut waiters) = self.waiters.take() else {
            return;
        };
        while let Some(ticket) = waiters.line.front() {
            // What goes first is let in, however large.
            let reached = self.first().is_none();
            let fits = match &ticket.wanted {
                Wanted::Send(queued) => self.has_room_beside(&waiters, queued.bytes(), bounds),
                Wanted::Turn(_, bytes) => self.has_room_beside(&waiters, *bytes, bounds),
                Wanted::Flush(_) => true,
            };
            let is_next = reached && waiters.promised().next().is_none();
            if !fits && !is_next {
                break;
            }
            let Some(Ticket { number, wanted, waker }) = waiters.line.pop_front() else {
                break;
            };
            waiters.let_in = number + 1;
            match wanted {
                Wanted::Send(queued) => self.push(queued),
                Wanted::Flush(told) => self.push(Queued::Flush(told)),
                Wanted::Turn(by, bytes) => {
                    self.own_removed(self.outbound.len());
                    let held =
                        Held { ticket: number, until: Instant::now() + TURN, first: reached };
                    waiters.turns.push(Turn { by, bytes, held: Some(held) });
                }
            }
            later.wake(waker);
        }
        if self.has_room_for_publishers(bounds)
            && let Some(publishers) = waiters.publishers.take()
        {
            later.tell(publishers);
        }
        if !waiters.is_unused() {
            self.waiters = Some(waiters);
        }
    }

    /// Whether a publisher need not wait.
    pub(super) fn has_room_for_publishers(&self, bounds: Bounds) -> bool {
        self.closing || self.outbound_bytes < bounds.soft
    }

    /// Ends turns that nobody used.
    pub(super) fn end_turns(&mut self, bounds: Bounds, later: &mut Later) {
        let Some(waiters) = &mut self.waiters else {
            return;
        };
        if waiters.promised().next().is_some() {
            let now = Instant::now();
            waiters.turns.retain(|turn| turn.held.as_ref().is_none_or(|held| now < held.until));
            self.settle(bounds, later);
        }
    }

    /// A future has learnt that it need not wait any more.
    pub(super) fn learnt(&mut self) {
        if let Some(waiters) = &mut self.waiters {
            waiters.futures -= 1;
            if waiters.is_unused() {
                self.waiters = None;
            }
        }
    }

    /// A future waits no more, whatever became of its ticket, or of the turn that it was given.
    pub(super) fn give_up(&mut self, number: u64, bounds: Bounds, later: &mut Later) {
        let own = self.outbound.len();
        let Some(waiters) = &mut self.waiters else {
            return;
        };
        waiters.futures -= 1;
        let had_turn = |turn: &Turn| turn.held.as_ref().is_some_and(|held| held.ticket == number);
        waiters.turns.retain(|turn| !had_turn(turn));
        if let Some(index) = waiters.index(number) {
            later.forget(waiters.line.remove(index));
            self.own_removed(own + index);
        }
        self.settle(bounds, later);
    }

    /// A handle is dropped.
    pub(super) fn forget_sender(&mut self, by: u64, bounds: Bounds, later: &mut Later) {
        if let Some(waiters) = &mut self.waiters {
            waiters.use_turn(by);
            self.settle(bounds, later);
        }
    }

    /// Takes away flushes whose futures were dropped.
    pub(super) fn forget_flushes(&mut self, later: &mut Later) {
        let gone = |told: &oneshot::Sender<()>| told.is_closed();
        let own = self.outbound.len();
        if let Some(waiters) = &mut self.waiters {
            let is_gone =
                |ticket: &Ticket| matches!(&ticket.wanted, Wanted::Flush(told) if gone(told));
            if let Some(index) = waiters.line.iter().rposition(is_gone) {
                later.forget(waiters.line.remove(index));
                self.own_removed(own + index);
                return;
            }
        }
        let is_gone = |queued: &Queued| matches!(queued, Queued::Flush(told) if gone(told));
        if let Some((index, queued)) = self.outbound.remove_last(is_gone) {
            later.drop(queued);
            self.own_removed(index);
        }
    }

    /// Nothing more is taken: whoever waits learns so, and no place is kept.
    pub(super) fn turn_away(&mut self, later: &mut Later) {
        self.closing = true;
        let Some(waiters) = &mut self.waiters else {
            return;
        };
        waiters.turns.clear();
        for ticket in waiters.line.drain(..) {
            later.turn_away(ticket);
        }
        if let Some(publishers) = waiters.publishers.take() {
            later.tell(publishers);
        }
        if waiters.is_unused() {
            self.waiters = None;
        }
        let own = self.outbound.len();
        if let Some(broadcasts) = &mut self.broadcasts {
            broadcasts.only_behind(own);
        }
    }

    /// The own message after so many others has left without going out.
    fn own_removed(&mut self, before: usize) {
        if let Some(broadcasts) = &mut self.broadcasts {
            broadcasts.own_removed(before);
        }
    }
}
