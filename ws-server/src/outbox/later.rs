//! What is done when no lock is held any more: wakers and what an application sent may do anything.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    task::Waker,
};

use tokio::sync::Notify;

use super::{Queued, State, waiters::Ticket};
use crate::leaves::sync::MutexGuard;

/// The state of a connection, locked. What is to be done later is, when it is dropped.
// In this order.
pub(super) struct Locked<'a> {
    state: MutexGuard<'a, State>,
    pub(super) later: Later,
}

impl<'a> Locked<'a> {
    #[inline]
    pub(super) fn new(state: MutexGuard<'a, State>) -> Self {
        Self { state, later: Later::default() }
    }

    /// Both, to be changed at a time.
    pub(super) fn parts(&mut self) -> (&mut State, &mut Later) {
        (&mut self.state, &mut self.later)
    }
}

impl Deref for Locked<'_> {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

#[derive(Default)]
pub(super) struct Later {
    /// The one that is woken most often.
    pub(super) driver: Option<Waker>,
    others: Vec<What>,
}

enum What {
    Wake(Waker),
    Tell(Arc<Notify>),
    TurnAway(Ticket),
    /// Dropped, and nothing else.
    Forget(#[expect(dead_code)] Ticket),
    Drop(#[expect(dead_code)] Queued),
}

impl Later {
    pub(super) fn wake(&mut self, waker: Waker) {
        self.others.push(What::Wake(waker));
    }

    pub(super) fn tell(&mut self, notify: Arc<Notify>) {
        self.others.push(What::Tell(notify));
    }

    pub(super) fn turn_away(&mut self, ticket: Ticket) {
        self.others.push(What::TurnAway(ticket));
    }

    pub(super) fn forget(&mut self, ticket: Option<Ticket>) {
        self.others.extend(ticket.map(What::Forget));
    }

    pub(super) fn drop(&mut self, queued: Queued) {
        self.others.push(What::Drop(queued));
    }

    #[cold]
    fn act(&mut self) {
        for what in self.others.drain(..) {
            match what {
                What::Wake(waker) => waker.wake(),
                What::Tell(notify) => notify.notify_waiters(),
                What::TurnAway(ticket) => ticket.waker.wake(),
                What::Forget(_) | What::Drop(_) => {}
            }
        }
    }
}

impl Drop for Later {
    #[inline]
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
        if !self.others.is_empty() {
            self.act();
        }
    }
}
