//! The part of one connection that its driver shares with other tasks. This room imports only the
//! leaves.
//!
//! In its turn, the handler works on the connection itself (see `drive::turn`). Other tasks, and a
//! `WebSocket` that was moved into one, come here:
//!
//! ```text
//!             ┌─────────── delivered ──────────▶ recv
//!   driver ───┤                                        other tasks
//!             └◀─── outbound: plain, in order ── send
//! ```
//!
//! Messages wait here unencoded, so they can be dropped without tearing a compression context.
//!
//! # Where messages wait
//! In the order in which a message passes through. Most messages pass only the last queue of their
//! direction.
//!
//! | direction | queue | holds |
//! |---|---|---|
//! | in | `drive::receive_queue` | messages decoded while the handler did not receive |
//! | in | `DetachedReceiver::delivered` | messages handed to a receiver in another task |
//! | in | `WebSocket::receiving` | messages that this receiver took at once |
//! | out | `State::waiters` | messages of senders that wait for room, or for the end of a message in pieces |
//! | out | `State::outbound` | messages for this connection alone, whole or in pieces, Pings, Closes and flushes |
//! | out | `State::broadcasts` | broadcasts, each with its place among the own messages |
//! | out | `Broadcasts::refills` | what was missed of a topic, and what is live of it meanwhile |
//! | out | `drive::output`, `to_encode` | messages that the driver took from here but has not encoded |
//! | out | `ws_core::Output` | frames that are not written |

mod accounting;
mod broadcast_queue;
mod broadcasts;
mod closing;
mod deferred;
mod detached;
mod driver_side;
mod flushing;
#[cfg(all(test, shuttle))]
pub(crate) mod model;
mod piece;
pub(crate) mod post;
mod publishers;
mod queued;
mod refill;
mod streamed;
mod subscriber;
mod waiters;
mod waiting;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use tokio::sync::Notify;
use ws_core::{Closed, Message, Payload, extension::Compression};

use self::{
    broadcasts::Broadcasts, deferred::Locked, detached::DetachedReceiver, waiters::Waiters,
};
pub(crate) use self::{
    piece::Piece,
    queued::{Load, Queued, SendQueue},
    subscriber::Dropped,
    waiters::SenderId,
    waiting::{HeldTicket, Waiting},
};
use crate::{
    ClientId, Limits, PingError, Request, SendError, TrySendError, TrySendReason,
    leaves::{
        budget::account::Account,
        data::Data,
        stats::Stats,
        sync::{AtomicBool, AtomicU8, Mutex, PoisonError},
    },
};

/// RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less".
const MAX_CONTROL: usize = 125;

/// Flags of what waits in an outbox: something that may leave now,
const LEAVING: u8 = 1;
/// and something, or a sender in line, that goes before a message which is sent now.
const BEFORE: u8 = 2;

/// The part of one connection that other tasks share.
pub(crate) struct Outbox {
    pub(crate) id: ClientId,
    pub(crate) request: Request,
    pub(crate) limits: Arc<Limits>,
    /// Counters and logs of the server. A client's end has none.
    pub(crate) stats: Option<Arc<Stats>>,
    /// What the application attached.
    pub(crate) data: Data,
    state: Mutex<State>,
    /// Flags that the driver reads without the lock. They are written under it.
    waiting: AtomicU8,
    receiver_waits: AtomicBool,
    receiver_gone: AtomicBool,
    /// Whether the receiver did something that the driver may have missed.
    receiver_called: AtomicBool,
    /// Whether the driver checks the outbox again before it rests.
    driver_busy: AtomicBool,
    /// Whether the driver waits for the socket to take earlier output.
    blocked: AtomicBool,
    /// Octets that the engine held when the driver last rested.
    memory: AtomicUsize,
    /// What the server wants of the driver (see `accounting`).
    orders: AtomicU8,
}

#[derive(Default)]
struct State {
    /// The receiver in another task. Boxed: most connections have none.
    detached: Option<Box<DetachedReceiver>>,
    outbound: SendQueue,
    /// Broadcasts and topics, once the connection has had any.
    broadcasts: Option<Box<Broadcasts>>,
    /// Octets of both queues.
    outbound_bytes: usize,
    /// Senders that wait for room or hold a reservation. Boxed, since most of the time there are
    /// none.
    waiters: Option<Box<Waiters>>,
    /// Whether a Close was ordered or the connection has ended: no more messages are accepted.
    closing: bool,
    /// Whether a message in pieces has left in part: only the rest of it may follow, or a Close.
    in_message: bool,
    /// Whether queued messages were dropped because the client does not keep up.
    dropped: bool,
    /// Whether the driver is done: nothing more comes in or goes out.
    over: bool,
    /// The newest round trip of a Ping, in microseconds. 0 is none.
    round_trip: u32,
    /// Boxed, since most of the time the connection has not ended and no task waits for its end.
    end: Option<Box<End>>,
    driver: Option<Waker>,
    /// What it makes the server hold. Boxed, since most hold next to nothing.
    account: Option<Box<Account>>,
    /// Whether nothing more is counted: the connection is no longer listed.
    left: bool,
}

/// How the connection ended, and the tasks that wait for that.
struct End {
    closed: Option<Closed>,
    /// Set once a task waits for the end.
    notify: Option<Arc<Notify>>,
}

impl Outbox {
    pub(crate) fn new(
        id: ClientId,
        request: Request,
        limits: Arc<Limits>,
        stats: Option<Arc<Stats>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            request,
            limits,
            stats,
            data: Data::default(),
            state: Mutex::default(),
            waiting: AtomicU8::new(0),
            receiver_waits: AtomicBool::new(false),
            receiver_gone: AtomicBool::new(false),
            receiver_called: AtomicBool::new(false),
            driver_busy: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            memory: AtomicUsize::new(0),
            orders: AtomicU8::new(0),
        })
    }

    /// One to which broadcasts go and nothing else: a task of the application takes them.
    pub(crate) fn without_connection(id: ClientId, limits: Arc<Limits>) -> Arc<Self> {
        Self::new(id, Request::none(), limits, None)
    }

    #[inline]
    fn state(&self) -> Locked<'_> {
        // No code that may panic runs under the lock.
        Locked::new(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[inline]
    fn bounds(&self) -> Bounds {
        Bounds { soft: self.limits.send_buffer, hard: self.limits.max_send_buffer }
    }

    /// Queues the content of `message` and leaves `None` there, if there is room and no earlier
    /// message waits for it. Returns `None` if not. Uses up a reservation that the handle `by` has.
    ///
    /// By reference, since a message is large to move and every message comes this way.
    #[inline]
    pub(crate) fn push(
        &self,
        message: &mut Option<Queued>,
        by: u64,
    ) -> Option<Result<(), SendError>> {
        let mut state = self.state();
        if state.closing {
            return Some(Err(SendError::Closed));
        }
        if state.waiters.is_some() {
            return self.push_in_order(state, message, by);
        }
        let bytes = message.as_ref().map_or(0, Queued::bytes);
        if !state.has_room(bytes, self.bounds()) {
            return None;
        }
        if let Some(message) = message.take() {
            state.outbound_bytes += bytes;
            state.outbound.push_back(message);
            self.queued(&mut state);
        }
        Some(Ok(()))
    }

    /// Makes the driver check what the receiver did.
    fn call_driver(&self, state: &mut Locked<'_>) {
        self.receiver_called.store(true, Ordering::SeqCst);
        self.wake_driver(state);
    }

    /// Wakes the driver, unless it checks the outbox again by itself.
    #[inline]
    fn wake_driver(&self, state: &mut Locked<'_>) {
        if state.driver.is_some() && !self.driver_busy.swap(true, Ordering::SeqCst) {
            state.deferred.driver = state.driver.clone();
        }
    }

    /// Notes that something was queued, and wakes the driver if necessary.
    #[inline]
    fn queued(&self, state: &mut Locked<'_>) {
        self.waiting.store(LEAVING | BEFORE, Ordering::SeqCst);
        if !self.blocked.load(Ordering::SeqCst) && state.driver.is_some() {
            self.wake_driver(state);
        } else {
            // No turn that counts it is due.
            self.note_waiting(state);
        }
    }

    /// Queues a message, waiting for room.
    #[inline]
    pub(crate) async fn send(
        &self,
        message: &mut Option<Queued>,
        by: u64,
    ) -> Result<(), SendError> {
        match self.push(message, by) {
            Some(done) => done,
            None => self.wait_to_send(message.take())?.await,
        }
    }

    /// Queues a message if there is room. Notes the size of a refused one for the handle.
    pub(crate) fn try_send(
        &self,
        message: Message,
        compression: Compression,
        by: Option<&SenderId>,
    ) -> Result<(), TrySendError> {
        let mut queued = Some(Queued::Message(message, compression));
        let reason = match self.push(&mut queued, by.map_or(0, SenderId::get)) {
            None => TrySendReason::Full,
            Some(Err(_)) => TrySendReason::Closed,
            Some(Ok(())) => return Ok(()),
        };
        if let (TrySendReason::Full, Some(by)) = (reason, by) {
            let bytes = queued.as_ref().map_or(0, Queued::bytes);
            self.state().waiters().note_refused(by.get_or_new(), bytes);
        }
        match queued {
            Some(Queued::Message(message, _)) => Err(TrySendError { message, reason }),
            _ => Ok(()),
        }
    }

    /// Octets that the engine held when the driver last rested.
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Notes how many octets the engine holds.
    #[inline]
    pub(crate) fn set_memory(&self, bytes: usize) {
        if self.memory() == bytes {
            return;
        }
        let before = self.memory.swap(bytes, Ordering::Relaxed);
        if let Some(stats) = &self.stats {
            stats.counters.memory(bytes as i64 - before as i64);
        }
    }

    /// The newest round trip of a Ping that kept the connection alive.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let micros = self.state().round_trip;
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }

    /// Bytes of the messages that wait in the queues.
    pub(crate) fn queue_bytes(&self) -> usize {
        if !self.is_anything_before() {
            return 0;
        }
        let state = self.state();
        state.outbound_bytes + state.behind()
    }

    pub(crate) fn ping(&self, payload: Payload) -> Result<(), PingError> {
        if payload.len() > MAX_CONTROL {
            return Err(PingError::TooLong { len: payload.len() });
        }
        let mut state = self.state();
        if state.closing {
            return Err(PingError::Closed);
        }
        // A Ping does not wait for room, but Pings must not pile up either.
        let bounds = self.bounds();
        let room = match &state.waiters {
            None => state.has_room(payload.len(), bounds),
            // Between the pieces of a message.
            Some(waiters) if waiters.writer.is_some() => {
                state.has_room_for_piece(payload.len(), bounds)
            }
            Some(waiters) => state.admits(waiters, payload.len(), bounds),
        };
        if !room {
            return Err(PingError::Full);
        }
        state.push(Queued::Ping(payload));
        self.queued(&mut state);
        Ok(())
    }
}

/// The octets that may wait.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// No more is queued once this many wait.
    soft: usize,
    /// No more than this may wait besides the message that goes next.
    hard: usize,
}

/// Whether `len` octets may wait besides `waiting`, of which `first` belong to the next message.
#[inline]
fn has_room(waiting: usize, first: Option<usize>, len: usize, bounds: Bounds) -> bool {
    let Some(first) = first else {
        return true;
    };
    waiting < bounds.soft && (waiting - first).saturating_add(len) <= bounds.hard
}

impl State {
    /// An empty queue always accepts one message, so that a large one can pass.
    #[inline]
    fn has_room(&self, len: usize, bounds: Bounds) -> bool {
        has_room(self.outbound_bytes, self.first(), len, bounds)
    }

    /// Octets of the next message.
    #[inline]
    fn first(&self) -> Option<usize> {
        if self.in_message {
            return Some(self.outbound.front().map_or(0, Queued::bytes));
        }
        let due = self.broadcasts.as_ref().and_then(|broadcasts| broadcasts.queue.due());
        due.or_else(|| self.outbound.front().map(Queued::bytes))
    }

    /// The end of the connection, for the driver and for tasks that wait for it.
    fn end(&mut self) -> &mut End {
        self.end.get_or_insert_with(|| Box::new(End { closed: None, notify: None }))
    }

    /// Messages for this connection alone that are queued or wait for room.
    fn own(&self) -> usize {
        self.outbound.len() + self.waiters.as_ref().map_or(0, |waiters| waiters.places())
    }

    /// Takes the message that goes next.
    fn pop(&mut self) -> Option<Queued> {
        if let Some(broadcasts) = &mut self.broadcasts {
            // A broadcast is not held up by own messages that still wait for room.
            if !self.in_message
                && (broadcasts.queue.due().is_some() || self.outbound.is_empty())
                && let Some((broadcast, _)) = broadcasts.queue.pop()
            {
                return Some(Queued::Broadcast(broadcast));
            }
            if !self.outbound.is_empty() {
                broadcasts.queue.own_left();
            }
        }
        let own = self.outbound.pop_front()?;
        self.left(&own);
        Some(own)
    }

    /// Whether nothing in the queues may leave now.
    fn is_drained(&self) -> bool {
        let broadcasts = self.broadcasts.as_ref();
        self.outbound.is_empty()
            && (self.in_message
                || broadcasts.is_none_or(|it| it.queue.is_empty() && it.refills.is_none()))
    }

    /// The flags of what waits.
    fn waiting(&self) -> u8 {
        if !self.is_drained() {
            return LEAVING | BEFORE;
        }
        let in_line = self.waiters.as_ref().is_some_and(|waiters| waiters.is_anyone_before());
        if in_line || self.outbound_bytes > 0 { BEFORE } else { 0 }
    }

    /// Queues an element, before those that wait in line.
    fn push(&mut self, queued: Queued) {
        if let (Some(waiters), Some(broadcasts)) = (&self.waiters, &mut self.broadcasts)
            && waiters.places() > 0
        {
            broadcasts.queue.own_put(self.outbound.len());
        }
        self.outbound_bytes += queued.bytes();
        self.outbound.push_back(queued);
    }
}
