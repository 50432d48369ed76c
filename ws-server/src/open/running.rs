//! Counts the connections that are driven, and ends them when the server shuts down.

use std::{
    pin::pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

/// Counts the connections of a server, whichever way their streams came, from their 101 until their
/// task has nothing left to do.
#[derive(Default)]
pub(crate) struct Running {
    state: Mutex<State>,
    /// Every connection reads it when it is polled.
    aborted: AtomicBool,
    /// Notifies connections that are over, and whose handlers are not, of the abort: no registry lists
    /// them.
    abort: Notify,
    /// Notifies that the last connection has ended.
    ended: Notify,
}

#[derive(Default)]
struct State {
    count: usize,
    closed: bool,
}

impl Running {
    /// Counts one more connection, until [`leave`](Self::leave). Returns `false` if the server shuts down.
    pub(crate) fn enter(&self) -> bool {
        let mut state = self.state();
        if !state.closed {
            state.count += 1;
        }
        !state.closed
    }

    /// Counts one connection less.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        state.count -= 1;
        let last = state.count == 0 && state.closed;
        drop(state);
        if last {
            self.ended.notify_waiters();
        }
    }

    /// Admits no more connections. Returns the number that is left.
    pub(crate) fn close(&self) -> usize {
        let mut state = self.state();
        state.closed = true;
        state.count
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    pub(crate) fn count(&self) -> usize {
        self.state().count
    }

    /// Waits until the last one has ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn ended(&self) {
        wait(&self.ended, || self.count() == 0).await;
    }

    /// Ends all that are left. The caller must wake those that are open.
    pub(crate) fn abort(&self) {
        self.aborted.store(true, Ordering::Release);
        self.abort.notify_waiters();
    }

    /// Whether a connection must end at once.
    #[inline]
    pub(crate) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Acquire)
    }

    /// Waits until a connection must end at once.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn aborted(&self) {
        wait(&self.abort, || self.is_aborted()).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that may panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until a condition holds; `told` notifies of changes.
async fn wait(told: &Notify, is_so: impl Fn() -> bool) {
    loop {
        let mut told = pin!(told.notified());
        // Before the condition is checked, so that no notification is missed.
        told.as_mut().enable();
        if is_so() {
            return;
        }
        told.await;
    }
}
