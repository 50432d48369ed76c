//! The driver's operations on its [`Outbox`].

use std::{collections::VecDeque, mem, sync::atomic::Ordering, task::Waker, time::Duration};

use ws_core::{CloseCode, Closed, Message};

use super::{Bounds, LEAVING, Load, Outbox, Queued, SendQueue, State, deferred::Deferred};

impl Outbox {
    /// Sets the waker of the driver's task.
    pub(crate) fn set_driver(&self, waker: &Waker) {
        let waker = waker.clone();
        let older = self.state().driver.replace(waker);
        drop(older);
    }

    /// Wakes the driver's task, whatever it waits for.
    pub(crate) fn wake_task(&self) {
        let driver = self.state().driver.clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Notes that the driver works until [`rest`](Self::rest). A task that still finds it at rest
    /// wakes it once in vain.
    pub(crate) fn begin(&self) {
        self.driver_busy.store(true, Ordering::Release);
    }

    /// Lets the driver rest. While it is `blocked`, messages to send do not keep it from resting.
    /// Returns `false` if there are messages to send or the receiver called.
    ///
    /// Dekker-style, without the lock: either side stores first and then loads, all `SeqCst`. A
    /// task that needs the driver stores its request and then checks whether the driver rests; the
    /// driver stores that it rests and then checks for requests. So at least one of the two sees
    /// the other.
    #[inline]
    pub(crate) fn rest(&self, blocked: bool) -> bool {
        if self.blocked.load(Ordering::Relaxed) != blocked {
            self.blocked.store(blocked, Ordering::SeqCst);
        }
        self.driver_busy.store(false, Ordering::SeqCst);
        let called = self.receiver_called.load(Ordering::SeqCst);
        if called || (!blocked && self.waiting.load(Ordering::SeqCst) & LEAVING != 0) {
            self.driver_busy.store(true, Ordering::Release);
            if called {
                self.receiver_called.swap(false, Ordering::AcqRel);
            }
            return false;
        }
        true
    }

    /// Notes how long a Ping and its Pong took.
    pub(crate) fn set_round_trip(&self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.state().round_trip = micros.max(1);
        if let Some(stats) = &self.stats {
            stats.counters.round_trip(time);
        }
    }

    /// Hands received messages to a receiver in another task, and leaves `batch` empty.
    pub(crate) fn deliver(&self, batch: &mut VecDeque<Message>, load: Load) {
        let mut state = self.state();
        let detached = state.detached();
        if detached.delivered.is_empty() {
            mem::swap(&mut detached.delivered, batch);
        } else {
            detached.delivered.append(batch);
        }
        detached.queued.messages += load.messages;
        detached.queued.bytes += load.bytes;
        self.receiver_waits.store(false, Ordering::Release);
        let receiver = detached.waker.take();
        drop(state);
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }

    /// Takes back messages that were handed over but not taken: the handler receives in its turn
    /// again.
    pub(crate) fn take_back(&self) -> (VecDeque<Message>, Load) {
        let mut state = self.state();
        let detached = state.detached();
        detached.handed = Load::default();
        (mem::take(&mut detached.delivered), mem::take(&mut detached.queued))
    }

    /// The load that a receiver in another task was given and may not have handled.
    pub(crate) fn ahead(&self) -> Load {
        self.state().ahead()
    }

    /// Whether a receiver in another task took everything and waits for more.
    pub(crate) fn receiver_waits(&self) -> bool {
        self.receiver_waits.load(Ordering::Acquire)
    }

    pub(crate) fn is_receiver_gone(&self) -> bool {
        self.receiver_gone.load(Ordering::Acquire)
    }

    /// Whether something may leave now.
    pub(crate) fn has_outbound(&self) -> bool {
        self.waiting.load(Ordering::Acquire) & LEAVING != 0
    }

    /// Whether anything is queued, or anybody is in line, before a message that is sent now.
    pub(crate) fn is_anything_before(&self) -> bool {
        self.waiting.load(Ordering::Acquire) != 0
    }

    /// Moves about `room` octets of messages to send into an empty queue.
    pub(crate) fn take_outbound(&self, into: &mut SendQueue, room: usize) {
        let mut locked = self.state();
        let (state, deferred) = locked.parts();
        let bounds = self.bounds();
        if self.blocked.load(Ordering::Relaxed) {
            // The waiting messages were taken, so the client keeps up until the socket is full
            // again.
            self.blocked.store(false, Ordering::SeqCst);
        }
        if state.waiters.is_some() {
            state.end_reservations(bounds, deferred);
        }
        if state.is_refilling() {
            state.take_and_refill(into, room, bounds, deferred);
        } else {
            state.take_queued(into, room, bounds, deferred);
        }
        // The queue may have served a burst, and the next one may be far away.
        state.outbound.shrink();
        if state.waiters.is_some() {
            state.settle(bounds, deferred);
        }
        self.waiting.store(state.waiting(), Ordering::Release);
        if state.account.is_some() {
            self.note_waiting(&mut locked);
        }
    }

    /// Queues the driver's own Close, unless one was ordered before.
    pub(crate) fn order_close(&self, code: CloseCode) {
        let mut state = self.state();
        if !state.closing {
            let torn = code == CloseCode::NORMAL && state.is_message_unfinished();
            let code = if torn { CloseCode::INTERNAL_ERROR } else { code };
            self.queue_close(&mut state, code, "");
        }
    }

    /// The reason of the Close in the queue, if there is one.
    pub(crate) fn close_reason(&self) -> Option<Box<str>> {
        self.state().outbound.close_reason().map(Box::from)
    }

    /// Stops accepting messages to send.
    pub(crate) fn stop_sending(&self) {
        let mut state = self.state();
        let (inner, deferred) = state.parts();
        inner.reject_waiters(deferred);
    }

    /// Notes that the driver is done. The `received` messages can still be taken.
    pub(crate) fn over(&self, received: VecDeque<Message>) {
        let mut state = self.state();
        if state.over {
            return;
        }
        state.over = true;
        let (inner, deferred) = state.parts();
        inner.reject_waiters(deferred);
        let driver = state.driver.take();
        if !self.is_receiver_gone() && !received.is_empty() {
            state.detached().delivered.extend(received);
        }
        let broadcasts = state.broadcasts.as_mut().map(|broadcasts| broadcasts.queue.take_all());
        let waiting = (mem::take(&mut state.outbound), broadcasts);
        state.outbound_bytes = 0;
        let receiver = state.detached.as_mut().and_then(|detached| detached.waker.take());
        drop(state);
        drop((waiting, driver));
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }

    /// Notes how the connection ended, in the first call, and notifies the tasks that wait for that.
    pub(crate) fn end(&self, closed: &Closed) {
        let told = {
            let mut state = self.state();
            let end = state.end();
            end.closed.get_or_insert_with(|| closed.clone());
            end.notify.take()
        };
        if let Some(told) = told {
            told.notify_waiters();
        }
    }
}

impl State {
    /// Moves about `room` octets of the queues.
    // It has a second caller, for refills, which is rare and must not cost the first one a call.
    #[inline(always)]
    pub(super) fn take_queued(
        &mut self,
        into: &mut SendQueue,
        room: usize,
        bounds: Bounds,
        deferred: &mut Deferred,
    ) {
        match &mut self.broadcasts {
            Some(broadcasts) if !broadcasts.queue.is_empty() => {
                if self.outbound.is_empty() && self.waiters.is_none() {
                    self.outbound_bytes -= broadcasts.queue.take(into, room);
                } else {
                    self.take_in_order(into, room, bounds, deferred);
                }
            }
            _ if self.outbound.is_empty() => {}
            _ if self.outbound_bytes <= room && self.waiters.is_none() => {
                mem::swap(into, &mut self.outbound);
                self.outbound_bytes = 0;
            }
            _ => self.take_in_order(into, room, bounds, deferred),
        }
    }

    /// Takes about `room` octets, and admits waiters whose place is reached.
    fn take_in_order(
        &mut self,
        into: &mut SendQueue,
        room: usize,
        bounds: Bounds,
        deferred: &mut Deferred,
    ) {
        let mut taken = 0;
        while taken < room {
            if self.waiters.is_some() && self.first().is_none() {
                self.settle(bounds, deferred);
            }
            let Some(queued) = self.pop() else { break };
            taken += queued.bytes();
            self.outbound_bytes -= queued.bytes();
            let ended = matches!(queued, Queued::End(_));
            into.push_back(queued);
            if ended && self.is_refilling() {
                // Another message in pieces may follow, within which nothing else may leave.
                break;
            }
        }
    }
}
