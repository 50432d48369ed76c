//! Futures that wait for room.

use std::{
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

use super::{LEAVING, Outbox, Queued, deferred::Locked, waiters::Wanted};
use crate::SendError;

/// A send, or a wait for a reservation, that holds a ticket. Dropping it abandons the ticket.
pub(crate) struct Waiting<'a> {
    outbox: &'a Outbox,
    ticket: HeldTicket,
}

/// A ticket that a future holds, apart from its outbox. Its holder gives it up when it is dropped.
pub(crate) struct HeldTicket {
    number: u64,
    done: bool,
    /// Ends expired reservations of others, in case nothing else wakes this task.
    clock: Option<Pin<Box<Sleep>>>,
}

impl Outbox {
    /// Queues a message that found no room.
    pub(crate) fn wait_to_send(
        &self,
        mut message: Option<Queued>,
    ) -> Result<Waiting<'_>, SendError> {
        if let Some(message) = &mut message {
            message.detach();
        }
        let mut state = self.state();
        match message {
            Some(message) if !state.closing => {
                let ticket = state.queue_up(Wanted::Send(message));
                Ok(self.wait(state, ticket))
            }
            message => {
                drop(state);
                drop(message);
                Err(SendError::Closed)
            }
        }
    }

    /// Waits for a reservation for this handle.
    pub(crate) async fn ready(&self, by: u64) -> Result<(), SendError> {
        let waiting = {
            let mut state = self.state();
            if state.closing {
                return Err(SendError::Closed);
            }
            let ticket = state.queue_up_for_reservation(by);
            self.wait(state, ticket)
        };
        waiting.await
    }

    fn wait(&self, mut state: Locked<'_>, ticket: u64) -> Waiting<'_> {
        self.settle(&mut state);
        Waiting { outbox: self, ticket: HeldTicket::new(ticket) }
    }

    /// Does the same as [`push`](Self::push) while others wait or hold reservations.
    #[cold]
    pub(super) fn push_in_order(
        &self,
        mut state: Locked<'_>,
        message: &mut Option<Queued>,
        by: u64,
    ) -> Option<Result<(), SendError>> {
        let bytes = message.as_ref().map_or(0, Queued::bytes);
        let bounds = self.bounds();
        let (inner, deferred) = state.parts();
        inner.end_reservations(bounds, deferred);
        let reservation = match &mut inner.waiters {
            Some(waiters) => waiters.use_reservation(by),
            None => None,
        };
        let reservation = reservation.filter(|reservation| bytes <= reservation.bytes);
        let room = reservation.is_some()
            || match &inner.waiters {
                None => inner.has_room(bytes, bounds),
                Some(waiters) => inner.admits(waiters, bytes, bounds),
            };
        if room && let Some(message) = message.take() {
            if reservation.is_some_and(|reservation| reservation.first) {
                inner.push_first(message);
            } else {
                inner.push(message);
            }
        }
        self.settle(&mut state);
        room.then_some(Ok(()))
    }

    /// Admits the waiters that have room now, and wakes the driver if necessary.
    pub(super) fn settle(&self, state: &mut Locked<'_>) {
        let (inner, deferred) = state.parts();
        inner.settle(self.bounds(), deferred);
        self.tell_driver(state);
    }

    /// Notes what waits, and wakes the driver if something may leave.
    fn tell_driver(&self, state: &mut Locked<'_>) {
        let waiting = state.waiting();
        if waiting & LEAVING != 0 {
            self.queued(state);
        } else {
            self.waiting.store(waiting, Ordering::Release);
        }
    }

    /// Removes a handle that was dropped.
    pub(super) fn forget(&self, state: &mut Locked<'_>, by: u64) {
        let (inner, deferred) = state.parts();
        if inner.waiters.is_some() {
            inner.forget_sender(by, self.bounds(), deferred);
            self.tell_driver(state);
        }
    }

    /// Locks and calls [`forget`](Self::forget).
    pub(crate) fn forget_sender(&self, by: u64) {
        self.forget(&mut self.state(), by);
    }

    /// Returns the outcome of a ticket. While it waits, returns when to ask again if nothing
    /// happens.
    fn poll_ticket(
        &self,
        ticket: u64,
        cx: &Context<'_>,
    ) -> Result<Result<(), SendError>, Option<Instant>> {
        let mut fresh = None;
        loop {
            let mut state = self.state();
            let (inner, deferred) = state.parts();
            inner.end_reservations(self.bounds(), deferred);
            if !self.has_outbound() {
                self.tell_driver(&mut state);
            }
            let Some(waiters) = &mut state.waiters else {
                return Ok(Err(SendError::Closed));
            };
            let until = waiters.next_end();
            let waker = match waiters.look_up(ticket) {
                Ok(admitted) => {
                    state.future_done();
                    return Ok(if admitted { Ok(()) } else { Err(SendError::Closed) });
                }
                Err(waker) => waker,
            };
            if waker.will_wake(cx.waker()) {
                return Err(until);
            }
            if let Some(fresh) = fresh.take() {
                let older = std::mem::replace(waker, fresh);
                drop(state);
                drop(older);
                return Err(until);
            }
            // Never clone or drop a waker under the lock.
            drop(state);
            fresh = Some(cx.waker().clone());
        }
    }
}

impl HeldTicket {
    pub(super) fn new(number: u64) -> Self {
        Self { number, done: false, clock: None }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Waits to be admitted.
    pub(crate) fn poll(
        &mut self,
        outbox: &Outbox,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        loop {
            let until = match outbox.poll_ticket(self.number, cx) {
                Ok(done) => {
                    self.done = true;
                    return Poll::Ready(done);
                }
                Err(until) => until,
            };
            let Some(until) = until.filter(|_| Handle::try_current().is_ok()) else {
                self.clock = None;
                return Poll::Pending;
            };
            match &mut self.clock {
                Some(clock) if clock.deadline() == until => {}
                Some(clock) => clock.as_mut().reset(until),
                clock => *clock = Some(Box::pin(sleep_until(until))),
            }
            let clock = self.clock.as_mut().map(|clock| clock.as_mut().poll(cx));
            if clock.is_none_or(|clock| clock.is_pending()) {
                return Poll::Pending;
            }
        }
    }

    /// Gives the ticket up, unless its holder has learnt of its end.
    pub(crate) fn give_up(&self, outbox: &Outbox) {
        if !self.done {
            let mut state = outbox.state();
            let (inner, deferred) = state.parts();
            inner.abandon(self.number, outbox.bounds(), deferred);
            outbox.tell_driver(&mut state);
        }
    }
}

impl Future for Waiting<'_> {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outbox = self.outbox;
        self.ticket.poll(outbox, cx)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.ticket.give_up(self.outbox);
    }
}
