//! What a connection's driver shares with other tasks.
//!
//! The handler itself has the connection at hand while it has its turn (see `driver::turn`). Other
//! tasks, and a `WebSocket` that was moved into one, come here:
//!
//! ```text
//!             ┌──────────── inbound ───────────▶ recv
//!   driver ───┤                                        other tasks
//!             └◀─── outbound: plain, in order ── send
//! ```
//!
//! What waits here was never encoded, so that it can be dropped without tearing a compression
//! context.

mod broadcasts;
mod driver_side;
#[cfg(all(test, shuttle))]
mod model;
mod queued;
mod subscriber;

use std::{
    any::Any,
    collections::VecDeque,
    mem,
    num::NonZeroUsize,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio::sync::{Notify, oneshot};
use ws_core::{CloseCode, Closed, Message, Payload, extension::Compression, fitting_reason};

use self::broadcasts::Broadcasts;
pub(crate) use self::{
    queued::{Load, Queue, Queued},
    subscriber::Dropped,
};
use crate::{
    ClientId, Limits, Request, SendError, TrySendError, TrySendReason,
    hub::Hub,
    sync::{AtomicBool, Mutex, MutexGuard, PoisonError},
};

/// RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less".
const MAX_CONTROL: usize = 125;

/// The shared part of one connection.
pub(crate) struct Link {
    pub(crate) id: ClientId,
    pub(crate) request: Request,
    pub(crate) limits: Arc<Limits>,
    /// What it shares with the other connections of its server. A client's end has none.
    pub(crate) hub: Option<Arc<Hub>>,
    /// Set by the application, once. In a box, since most have none.
    pub(crate) data: OnceLock<Box<Arc<dyn Any + Send + Sync>>>,
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
    /// There may be room for sending, or the connection closes or has ended. Once somebody waits for
    /// it.
    room: OnceLock<Box<Notify>>,
}

#[derive(Default)]
struct State {
    /// Where one receives in another task. Boxed: most do not.
    away: Option<Box<Away>>,
    outbound: Queue,
    /// Where it is, or was, one of many.
    broadcasts: Option<Box<Broadcasts>>,
    /// Of both.
    outbound_bytes: usize,
    /// The most that was refused for want of room since there was room for all of it: somebody may
    /// wait for that.
    refused: Option<NonZeroUsize>,
    /// Whether a Close was ordered, or the connection ended: nothing more is taken.
    closing: bool,
    /// Whether what was queued was dropped for a client that does not keep up.
    dropped: bool,
    /// Whether the driver is done: nothing more comes, and nothing goes out.
    over: bool,
    closed: Option<Box<Closed>>,
    driver: Option<Waker>,
}

/// For a receiver in another task.
#[derive(Default)]
struct Away {
    /// What it has not taken.
    inbound: VecDeque<Message>,
    queued: Load,
    /// What it took last, and may not have handled.
    handed: Load,
    /// The receiver, while it waits.
    waker: Option<Waker>,
}

impl Link {
    pub(crate) fn new(
        id: ClientId,
        request: Request,
        limits: Arc<Limits>,
        hub: Option<Arc<Hub>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            request,
            limits,
            hub,
            data: OnceLock::new(),
            state: Mutex::default(),
            has_outbound: AtomicBool::new(false),
            receiver_waits: AtomicBool::new(false),
            receiver_gone: AtomicBool::new(false),
            receiver_called: AtomicBool::new(false),
            driver_busy: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            memory: AtomicUsize::new(0),
            room: OnceLock::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that may panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For somebody who waits, and looks under the lock whether there is reason to.
    fn room(&self) -> &Notify {
        self.room.get_or_init(Box::default)
    }

    /// Wakes all who wait. What they wait for was done under the lock: whoever has not found it done
    /// was there before.
    fn tell_room(&self) {
        if let Some(room) = self.room.get() {
            room.notify_waiters();
        }
    }

    /// Exchanges an empty inbox for all messages that are there. `false` is the end.
    // In a box, as [`WebSocket`](crate::WebSocket) has it.
    #[allow(clippy::box_collection)]
    pub(crate) fn poll_inbound(
        &self,
        inbox: &mut Option<Box<VecDeque<Message>>>,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        let mut state = self.state();
        if state.over && state.away.is_none() {
            // It received in its turn to the end.
            return Poll::Ready(false);
        }
        if state.ahead().is_full(&self.limits) {
            self.call_driver(&state);
        }
        let over = state.over;
        let away = state.away();
        away.handed = mem::take(&mut away.queued);
        if !away.inbound.is_empty() {
            mem::swap(&mut **inbox.get_or_insert_default(), &mut away.inbound);
            return Poll::Ready(true);
        }
        if over {
            return Poll::Ready(false);
        }
        let known = away.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !known {
            away.waker = Some(cx.waker().clone());
        }
        self.receiver_waits.store(true, Ordering::Release);
        if !known {
            // It delivers here from now on, and may have a Close to answer.
            self.call_driver(&state);
        }
        Poll::Pending
    }

    /// The `WebSocket` was dropped: nobody receives any more.
    pub(crate) fn receiver_gone(&self) {
        let mut state = self.state();
        let away = state.away.take();
        self.receiver_gone.store(true, Ordering::Release);
        self.call_driver(&state);
        drop(state);
        drop(away);
    }

    /// Queues what is in `message`, and leaves nothing there, if there is room; `None` if there is
    /// none.
    ///
    /// By reference, since a message is large to move and this is the way of every one.
    #[inline]
    pub(crate) fn push(&self, message: &mut Option<Queued>) -> Option<Result<(), SendError>> {
        let mut state = self.state();
        if state.closing {
            return Some(Err(SendError::Closed));
        }
        let bytes = message.as_ref().map_or(0, Queued::bytes);
        if !state.has_room(bytes, &self.limits) {
            state.refused = state.refused.max(NonZeroUsize::new(bytes));
            return None;
        }
        if let Some(message) = message.take() {
            state.outbound_bytes += bytes;
            state.outbound.push_back(message);
            self.queued(&state);
        }
        Some(Ok(()))
    }

    /// Lets the driver look at what the receiver did.
    fn call_driver(&self, state: &State) {
        self.receiver_called.store(true, Ordering::SeqCst);
        self.wake_driver(state);
    }

    /// Wakes the driver, unless it looks here again by itself.
    fn wake_driver(&self, state: &State) {
        if let Some(driver) = &state.driver
            && !self.driver_busy.swap(true, Ordering::SeqCst)
        {
            driver.wake_by_ref();
        }
    }

    /// Something was queued: the driver is to know.
    fn queued(&self, state: &State) {
        self.has_outbound.store(true, Ordering::SeqCst);
        if !self.blocked.load(Ordering::SeqCst) {
            self.wake_driver(state);
        }
    }

    /// Queues a message, waiting for room.
    #[inline]
    pub(crate) async fn send(&self, message: &mut Option<Queued>) -> Result<(), SendError> {
        match self.push(message) {
            Some(done) => done,
            None => self.send_when_ready(message).await,
        }
    }

    async fn send_when_ready(&self, message: &mut Option<Queued>) -> Result<(), SendError> {
        loop {
            // From here on no `notify_waiters` is missed, so that looking again tells the truth.
            let room = self.room().notified();
            if let Some(done) = self.push(message) {
                return done;
            }
            room.await;
        }
    }

    /// Queues a message if there is room.
    pub(crate) fn try_send(
        &self,
        message: Message,
        compression: Compression,
    ) -> Result<(), TrySendError> {
        let mut queued = Some(Queued::Message(message, compression));
        let reason = match self.push(&mut queued) {
            None => TrySendReason::Full,
            Some(Err(_)) => TrySendReason::Closed,
            Some(Ok(())) => return Ok(()),
        };
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
        if let Some(hub) = &self.hub {
            hub.counters.memory(bytes as i64 - before as i64);
        }
    }

    /// Waits until [`send`](Self::send) would not, with the largest message that was refused.
    pub(crate) async fn ready(&self) -> Result<(), SendError> {
        loop {
            let room = self.room().notified();
            {
                let mut state = self.state();
                if state.closing {
                    return Err(SendError::Closed);
                }
                // Whoever was refused would be again, and ask again, without an end.
                let wanted = state.refused.unwrap_or(NonZeroUsize::MIN);
                if state.has_room(wanted.get(), &self.limits) {
                    return Ok(());
                }
                state.refused = Some(wanted);
            }
            room.await;
        }
    }

    /// Waits until everything that was queued before is with the operating system.
    pub(crate) async fn flush(&self) -> Result<(), SendError> {
        let (told, written) = oneshot::channel();
        {
            let mut state = self.state();
            if state.over || state.dropped {
                return Err(SendError::Closed);
            }
            state.push(Queued::Flush(told));
            self.queued(&state);
        }
        written.await.map_err(|_| SendError::Closed)
    }

    pub(crate) fn ping(&self, payload: Payload) -> Result<(), SendError> {
        if payload.len() > MAX_CONTROL {
            return Err(SendError::PingTooLong { len: payload.len() });
        }
        let mut state = self.state();
        if state.closing {
            return Err(SendError::Closed);
        }
        // Pings are not messages and wait for no room, but do not pile up either.
        if state.has_room(payload.len(), &self.limits) {
            state.push(Queued::Ping(payload));
            self.queued(&state);
        }
        Ok(())
    }

    /// Orders a Close behind what is queued.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        if !code.is_sendable() {
            return Err(SendError::InvalidCloseCode(code));
        }
        let mut state = self.state();
        if state.closing {
            return Err(SendError::Closed);
        }
        state.close(code, reason);
        self.queued(&state);
        drop(state);
        self.tell_room();
        Ok(())
    }

    /// Waits for the end.
    pub(crate) async fn closed(&self) -> Closed {
        loop {
            let ended = self.room().notified();
            if let Some(closed) = &self.state().closed {
                return Closed::clone(closed);
            }
            ended.await;
        }
    }

    /// Whether nothing more is taken for sending.
    pub(crate) fn is_closing(&self) -> bool {
        self.state().closing
    }
}

/// Whether `len` bytes may wait besides so many, of which `first` are what goes next.
fn has_room(waiting: usize, first: Option<usize>, len: usize, limits: &Limits) -> bool {
    let Some(first) = first else {
        return true;
    };
    waiting < limits.send_buffer && (waiting - first).saturating_add(len) <= limits.max_send_buffer
}

impl State {
    fn away(&mut self) -> &mut Away {
        self.away.get_or_insert_default()
    }

    fn ahead(&self) -> Load {
        self.away.as_ref().map_or_else(Load::default, |away| away.queued.and(away.handed))
    }

    /// One message is always taken by an empty queue, so that a large one can pass.
    fn has_room(&self, len: usize, limits: &Limits) -> bool {
        let due = self.broadcasts.as_ref().and_then(|broadcasts| broadcasts.due());
        let first = due.or_else(|| self.outbound.front().map(Queued::bytes));
        has_room(self.outbound_bytes, first, len, limits)
    }

    /// Takes what is to go next.
    fn pop(&mut self) -> Option<Queued> {
        let Some(broadcasts) = &mut self.broadcasts else {
            return self.outbound.pop_front();
        };
        if broadcasts.due().is_some()
            && let Some((broadcast, _)) = broadcasts.pop()
        {
            return Some(Queued::Broadcast(broadcast));
        }
        let own = self.outbound.pop_front()?;
        broadcasts.own_left();
        Some(own)
    }

    /// Takes about as many bytes as `room` says. How many.
    fn take_in_order(&mut self, into: &mut Queue, room: usize) -> usize {
        let mut taken = 0;
        while taken < room
            && let Some(queued) = self.pop()
        {
            taken += queued.bytes();
            into.push_back(queued);
        }
        taken
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

    fn close(&mut self, code: CloseCode, reason: &str) {
        self.push(Queued::Close(code, fitting_reason(reason).into()));
        self.closing = true;
    }
}
