//! What the driver does with its [`Outbox`].

use std::{collections::VecDeque, mem, sync::atomic::Ordering, task::Waker};

use ws_core::{CloseCode, Closed, Message};

use super::{Load, Outbox, SendQueue};

impl Outbox {
    /// Whom to wake when the driver is needed.
    pub(crate) fn set_driver(&self, waker: &Waker) {
        let waker = waker.clone();
        let older = self.state().driver.replace(waker);
        drop(older);
    }

    /// Wakes the driver's task, whatever the driver waits for.
    pub(crate) fn rouse(&self) {
        let driver = self.state().driver.clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// The driver is at work until [`rest`](Self::rest). Whoever still finds it at rest wakes it once
    /// in vain.
    pub(crate) fn begin(&self) {
        self.driver_busy.store(true, Ordering::Release);
    }

    /// The driver wants to wait, and where it is `blocked` more to send is no reason not to.
    /// `false`: there is more to send, or the receiver to be looked at.
    ///
    /// Without the lock, by one order of all that is done here and by those who want the driver: they
    /// first say so and then look whether it rests, it first rests and then looks. So one of the two
    /// sees the other.
    #[inline]
    pub(crate) fn rest(&self, blocked: bool) -> bool {
        if self.blocked.load(Ordering::Relaxed) != blocked {
            self.blocked.store(blocked, Ordering::SeqCst);
        }
        self.driver_busy.store(false, Ordering::SeqCst);
        let called = self.receiver_called.load(Ordering::SeqCst);
        if called || (!blocked && self.has_outbound.load(Ordering::SeqCst)) {
            self.driver_busy.store(true, Ordering::Release);
            if called {
                self.receiver_called.swap(false, Ordering::AcqRel);
            }
            return false;
        }
        true
    }

    /// Hands over what was received to a receiver in another task, and leaves `batch` empty.
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

    /// Takes back what was handed over and not taken: the handler receives in its turn again.
    pub(crate) fn take_back(&self) -> (VecDeque<Message>, Load) {
        let mut state = self.state();
        let detached = state.detached();
        detached.handed = Load::default();
        (mem::take(&mut detached.delivered), mem::take(&mut detached.queued))
    }

    /// What a receiver in another task has been given and may not have handled.
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

    pub(crate) fn has_outbound(&self) -> bool {
        self.has_outbound.load(Ordering::Acquire)
    }

    /// Takes what is to be sent, about as many bytes as `room` says, into an empty queue.
    pub(crate) fn take_outbound(&self, into: &mut SendQueue, room: usize) {
        let mut locked = self.state();
        let (state, later) = locked.parts();
        let bounds = self.bounds();
        if self.blocked.load(Ordering::Relaxed) {
            // What waited is taken: the client keeps up, until the socket is full again.
            self.blocked.store(false, Ordering::SeqCst);
        }
        if state.waiters.is_some() {
            state.end_turns(bounds, later);
        }
        match &mut state.broadcasts {
            Some(broadcasts) if !broadcasts.is_empty() => {
                if state.outbound.is_empty() && state.waiters.is_none() {
                    state.outbound_bytes -= broadcasts.take(into, room);
                } else {
                    state.take_in_order(into, room, bounds, later);
                }
            }
            _ if state.outbound.is_empty() => {}
            _ if state.outbound_bytes <= room => {
                mem::swap(into, &mut state.outbound);
                state.outbound_bytes = 0;
            }
            _ => state.take_in_order(into, room, bounds, later),
        }
        // It may have served a burst, and the next one is not in sight.
        state.outbound.shrink();
        if state.waiters.is_some() {
            state.settle(bounds, later);
        }
        self.has_outbound.store(!state.is_drained(), Ordering::Release);
    }

    /// Orders a Close from the driver's side, unless there was one.
    pub(crate) fn order_close(&self, code: CloseCode) {
        let mut state = self.state();
        if !state.closing {
            self.close_behind(&mut state, code, "");
        }
    }

    /// The reason of a Close that waits to be sent, if one does.
    pub(crate) fn close_reason(&self) -> Option<Box<str>> {
        self.state().outbound.close_reason().map(Box::from)
    }

    /// Takes nothing more for sending.
    pub(crate) fn stop_sending(&self) {
        let mut state = self.state();
        let (inner, later) = state.parts();
        inner.turn_away(later);
    }

    /// The driver is done. What was `received` can still be taken.
    pub(crate) fn over(&self, received: VecDeque<Message>) {
        let mut state = self.state();
        if state.over {
            return;
        }
        state.over = true;
        let (inner, later) = state.parts();
        inner.turn_away(later);
        let driver = state.driver.take();
        if !self.is_receiver_gone() && !received.is_empty() {
            state.detached().delivered.extend(received);
        }
        let broadcasts = state.broadcasts.as_mut().map(|broadcasts| broadcasts.take_all());
        let waiting = (mem::take(&mut state.outbound), broadcasts);
        state.outbound_bytes = 0;
        let receiver = state.detached.as_mut().and_then(|detached| detached.waker.take());
        drop(state);
        drop((waiting, driver));
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }

    /// The connection has ended. The first call says how.
    pub(crate) fn end(&self, closed: &Closed) {
        let told = {
            let mut state = self.state();
            let end = state.end();
            end.closed.get_or_insert_with(|| closed.clone());
            end.told.take()
        };
        if let Some(told) = told {
            told.notify_waiters();
        }
    }
}
