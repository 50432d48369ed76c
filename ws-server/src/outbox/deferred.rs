//! Actions that run only after the lock is released: wakers and values of the application may run
//! any code.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    task::Waker,
};

use tokio::sync::Notify;

use super::{Queued, State, refill::Refills, waiters::Ticket};
use crate::leaves::{stats::Stats, sync::MutexGuard};

/// The locked state of a connection. Dropping it unlocks the state and then runs the deferred
/// actions.
// The fields are dropped in this order.
pub(super) struct Locked<'a> {
    state: MutexGuard<'a, State>,
    pub(super) deferred: Deferred,
}

impl<'a> Locked<'a> {
    #[inline]
    pub(super) fn new(state: MutexGuard<'a, State>) -> Self {
        Self { state, deferred: Deferred::default() }
    }

    /// Returns both parts, to be changed together.
    pub(super) fn parts(&mut self) -> (&mut State, &mut Deferred) {
        (&mut self.state, &mut self.deferred)
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
pub(super) struct Deferred {
    /// The waker that is used most often.
    pub(super) driver: Option<Waker>,
    others: Vec<Action>,
}

enum Action {
    Wake(Waker),
    Relieve(Arc<Stats>),
    Notify(Arc<Notify>),
    Reject(Ticket),
    /// Only dropped.
    Forget(#[expect(dead_code)] Ticket),
    Drop(#[expect(dead_code)] Queued),
    End(#[expect(dead_code)] Box<Refills>),
}

impl Deferred {
    pub(super) fn wake(&mut self, waker: Waker) {
        self.others.push(Action::Wake(waker));
    }

    pub(super) fn relieve(&mut self, stats: &Arc<Stats>) {
        self.others.push(Action::Relieve(Arc::clone(stats)));
    }

    pub(super) fn notify(&mut self, notify: Arc<Notify>) {
        self.others.push(Action::Notify(notify));
    }

    pub(super) fn reject(&mut self, ticket: Ticket) {
        self.others.push(Action::Reject(ticket));
    }

    pub(super) fn forget(&mut self, ticket: Option<Ticket>) {
        self.others.extend(ticket.map(Action::Forget));
    }

    pub(super) fn drop(&mut self, queued: Queued) {
        self.others.push(Action::Drop(queued));
    }

    pub(super) fn end(&mut self, refills: Option<Box<Refills>>) {
        self.others.extend(refills.map(Action::End));
    }

    #[cold]
    fn act(&mut self) {
        for what in self.others.drain(..) {
            match what {
                Action::Wake(waker) => waker.wake(),
                Action::Relieve(stats) => stats.budget.relieve(),
                Action::Notify(notify) => notify.notify_waiters(),
                Action::Reject(ticket) => ticket.waker.wake(),
                Action::Forget(_) | Action::Drop(_) | Action::End(_) => {}
            }
        }
    }
}

impl Drop for Deferred {
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
