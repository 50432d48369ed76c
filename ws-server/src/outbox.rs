//! What one connection's driver shares with other tasks. This room imports leaves alone.
//!
//! While the handler has its turn it works on the connection itself (see `drive::turn`). Other tasks,
//! and a `WebSocket` that was moved into one, come here:
//!
//! ```text
//!             ┌─────────── delivered ──────────▶ recv
//!   driver ───┤                                        other tasks
//!             └◀─── outbound: plain, in order ── send
//! ```
//!
//! Nothing that waits here was encoded, so it can be dropped without tearing a compression context.
//!
//! # Where messages wait
//! In the order in which a message passes them; most messages pass none of the queues of a direction
//! but the last.
//!
//! | direction | queue | holds |
//! |---|---|---|
//! | in | `drive::receive_queue` | what was decoded while the handler did not receive |
//! | in | `DetachedReceiver::delivered` | what was handed over to a receiver in another task |
//! | in | `WebSocket::batch` | what that receiver took in one go |
//! | out | `State::waiters` | messages of senders that wait for room |
//! | out | `State::outbound` | messages for this connection alone, with Pings, Closes and flushes |
//! | out | `State::broadcasts` | messages to many, each with its place among the own ones |
//! | out | `drive::output`, `to_encode` | what the driver took from here and has not encoded |
//! | out | `ws_core::Output` | frames that were not written |

mod broadcasts;
mod detached;
mod driver_side;
mod later;
#[cfg(all(test, shuttle))]
pub(crate) mod model;
pub(crate) mod post;
mod queued;
mod subscriber;
mod waiters;
mod waiting;

use std::{
    any::Any,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
};

use tokio::sync::Notify;
use ws_core::{CloseCode, Closed, Message, Payload, extension::Compression, fitting_reason};

use self::{
    broadcasts::Broadcasts,
    detached::DetachedReceiver,
    later::{Later, Locked},
    waiters::Waiters,
};
pub(crate) use self::{
    queued::{Load, Queued, SendQueue},
    subscriber::Dropped,
    waiters::SenderId,
    waiting::Waiting,
};
use crate::{
    ClientId, Limits, PingError, Request, SendError, TrySendError, TrySendReason,
    leaves::{
        stats::Stats,
        sync::{AtomicBool, Mutex, PoisonError},
    },
};

/// RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less".
const MAX_CONTROL: usize = 125;

/// The shared part of one connection.
pub(crate) struct Outbox {
    pub(crate) id: ClientId,
    pub(crate) request: Request,
    pub(crate) limits: Arc<Limits>,
    /// What is counted and logged with the other connections of its server. A client's end has none.
    pub(crate) stats: Option<Arc<Stats>>,
    /// Set by the application, once. In a box, since most have none.
    data: OnceLock<Box<Arc<dyn Any + Send + Sync>>>,
    state: Mutex<State>,
    /// What the driver can see without the lock. Written under it.
    has_outbound: AtomicBool,
    receiver_waits: AtomicBool,
    receiver_gone: AtomicBool,
    /// Whether the receiver did something that the driver may have passed by.
    receiver_called: AtomicBool,
    /// Whether the driver looks here again before it waits.
    driver_busy: AtomicBool,
    /// Whether the driver waits for the socket to take what was sent before.
    blocked: AtomicBool,
    /// Bytes that the engine held when the driver rested last.
    memory: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// Where one receives in another task. Boxed: most do not.
    detached: Option<Box<DetachedReceiver>>,
    outbound: SendQueue,
    /// Where it is, or was, one of many.
    broadcasts: Option<Box<Broadcasts>>,
    /// Of both.
    outbound_bytes: usize,
    /// Who waits for room, or has a turn to send. In a box, since most of the time there is none.
    waiters: Option<Box<Waiters>>,
    /// Whether a Close was ordered, or the connection ended: nothing more is taken.
    closing: bool,
    /// Whether what was queued was dropped for a client that does not keep up.
    dropped: bool,
    /// Whether the driver is done: nothing more comes, and nothing goes out.
    over: bool,
    /// In a box, since most of the time the end has not come and nobody waits for it.
    end: Option<Box<End>>,
    driver: Option<Waker>,
}

/// How the connection ended, and whom to tell.
struct End {
    closed: Option<Closed>,
    /// Once somebody waits for the end.
    told: Option<Arc<Notify>>,
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
            data: OnceLock::new(),
            state: Mutex::default(),
            has_outbound: AtomicBool::new(false),
            receiver_waits: AtomicBool::new(false),
            receiver_gone: AtomicBool::new(false),
            receiver_called: AtomicBool::new(false),
            driver_busy: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            memory: AtomicUsize::new(0),
        })
    }

    #[inline]
    fn state(&self) -> Locked<'_> {
        // Nothing that may panic runs under the lock.
        Locked::new(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[inline]
    fn bounds(&self) -> Bounds {
        Bounds { soft: self.limits.send_buffer, hard: self.limits.max_send_buffer }
    }

    /// Queues what is in `message`, and leaves nothing there, if there is room and nobody who came
    /// before waits for it; `None` if not. A turn that the handle `by` has is over.
    ///
    /// By reference, since a message is large to move and this is the way of every one.
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
            return self.push_in_turn(state, message, by);
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

    /// Lets the driver look at what the receiver did.
    fn call_driver(&self, state: &mut Locked<'_>) {
        self.receiver_called.store(true, Ordering::SeqCst);
        self.wake_driver(state);
    }

    /// Wakes the driver, unless it looks here again by itself.
    #[inline]
    fn wake_driver(&self, state: &mut Locked<'_>) {
        if state.driver.is_some() && !self.driver_busy.swap(true, Ordering::SeqCst) {
            state.later.driver = state.driver.clone();
        }
    }

    /// Something was queued: the driver is to know.
    #[inline]
    fn queued(&self, state: &mut Locked<'_>) {
        self.has_outbound.store(true, Ordering::SeqCst);
        if !self.blocked.load(Ordering::SeqCst) {
            self.wake_driver(state);
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

    /// Queues a message if there is room. What is refused is noted for the handle.
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

    /// Bytes that the engine held when the driver rested last.
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// The engine holds so many bytes.
    #[inline]
    pub(crate) fn tell_memory(&self, bytes: usize) {
        if self.memory() == bytes {
            return;
        }
        let before = self.memory.swap(bytes, Ordering::Relaxed);
        if let Some(stats) = &self.stats {
            stats.counters.memory(bytes as i64 - before as i64);
        }
    }

    /// Attaches a value. Whether there was none before.
    pub(crate) fn set_data(&self, data: Arc<dyn Any + Send + Sync>) -> bool {
        self.data.set(Box::new(data)).is_ok()
    }

    /// The value that was attached.
    pub(crate) fn data(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.data.get().map(|data| Arc::clone(data))
    }

    pub(crate) fn ping(&self, payload: Payload) -> Result<(), PingError> {
        if payload.len() > MAX_CONTROL {
            return Err(PingError::TooLong { len: payload.len() });
        }
        let mut state = self.state();
        if state.closing {
            return Err(PingError::Closed);
        }
        // A Ping waits for no room, but Pings do not pile up either.
        let bounds = self.bounds();
        let room = match &state.waiters {
            None => state.has_room(payload.len(), bounds),
            Some(waiters) => state.admits(waiters, payload.len(), bounds),
        };
        if !room {
            return Err(PingError::Full);
        }
        state.push(Queued::Ping(payload));
        self.queued(&mut state);
        Ok(())
    }

    /// Orders a Close after what is queued.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        if !code.is_sendable() {
            return Err(SendError::InvalidCloseCode(code));
        }
        let mut state = self.state();
        if state.closing {
            return Err(SendError::Closed);
        }
        self.close_behind(&mut state, code, reason);
        Ok(())
    }

    /// Orders a Close after what is queued; what waits for room is turned away.
    fn close_behind(&self, state: &mut Locked<'_>, code: CloseCode, reason: &str) {
        let (inner, later) = state.parts();
        inner.turn_away(later);
        inner.push(Queued::Close(code, fitting_reason(reason).into()));
        self.queued(state);
    }

    /// Waits for the end.
    pub(crate) async fn closed(&self) -> Closed {
        loop {
            let ended = {
                let mut state = self.state();
                let end = state.end();
                if let Some(closed) = &end.closed {
                    return closed.clone();
                }
                // From here on no `notify_waiters` is missed.
                Arc::clone(end.told.get_or_insert_default()).notified_owned()
            };
            ended.await;
        }
    }

    /// Whether nothing more is taken for sending.
    pub(crate) fn is_closing(&self) -> bool {
        self.state().closing
    }
}

/// How many bytes may wait.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// So many are enough.
    soft: usize,
    /// Beside what goes first, no more than so many.
    hard: usize,
}

/// Whether `len` bytes may wait besides so many, of which `first` are what goes next.
#[inline]
fn has_room(waiting: usize, first: Option<usize>, len: usize, bounds: Bounds) -> bool {
    let Some(first) = first else {
        return true;
    };
    waiting < bounds.soft && (waiting - first).saturating_add(len) <= bounds.hard
}

impl State {
    /// One message is always taken by an empty queue, so that a large one can pass.
    #[inline]
    fn has_room(&self, len: usize, bounds: Bounds) -> bool {
        has_room(self.outbound_bytes, self.first(), len, bounds)
    }

    /// Bytes of what goes next.
    #[inline]
    fn first(&self) -> Option<usize> {
        let due = self.broadcasts.as_ref().and_then(|broadcasts| broadcasts.due());
        due.or_else(|| self.outbound.front().map(Queued::bytes))
    }

    /// For whoever ends the connection or waits for that.
    fn end(&mut self) -> &mut End {
        self.end.get_or_insert_with(|| Box::new(End { closed: None, told: None }))
    }

    /// Own messages that are queued or wait for room.
    fn own(&self) -> usize {
        self.outbound.len() + self.waiters.as_ref().map_or(0, |waiters| waiters.places())
    }

    /// Takes what is to go next.
    fn pop(&mut self) -> Option<Queued> {
        let Some(broadcasts) = &mut self.broadcasts else {
            return self.outbound.pop_front();
        };
        // Where only what waits for its turn is left, nothing waits for that.
        if (broadcasts.due().is_some() || self.outbound.is_empty())
            && let Some((broadcast, _)) = broadcasts.pop()
        {
            return Some(Queued::Broadcast(broadcast));
        }
        let own = self.outbound.pop_front()?;
        broadcasts.own_left();
        Some(own)
    }

    /// Takes about as many bytes as `room` says, and lets in whose place is reached.
    fn take_in_order(
        &mut self,
        into: &mut SendQueue,
        room: usize,
        bounds: Bounds,
        later: &mut Later,
    ) {
        let mut taken = 0;
        while taken < room {
            if self.waiters.is_some() && self.first().is_none() {
                self.settle(bounds, later);
            }
            let Some(queued) = self.pop() else { break };
            taken += queued.bytes();
            self.outbound_bytes -= queued.bytes();
            into.push_back(queued);
        }
    }

    /// Whether nothing is to be sent.
    fn is_drained(&self) -> bool {
        let broadcasts = self.broadcasts.as_ref();
        self.outbound.is_empty() && broadcasts.is_none_or(|broadcasts| broadcasts.is_empty())
    }

    fn push(&mut self, queued: Queued) {
        self.outbound_bytes += queued.bytes();
        self.outbound.push_back(queued);
    }
}
