//! The connections that are being driven, and their end when the server shuts down.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;

/// Counts the connections of a server from their 101 until their task has nothing left to do,
/// whoever brought their streams.
#[derive(Default)]
pub(crate) struct Running {
    state: Mutex<State>,
    /// Each connection looks at it whenever it is polled.
    aborted: AtomicBool,
    /// Tells that the last one has ended.
    ended: Notify,
}

#[derive(Default)]
struct State {
    count: usize,
    next: u64,
    /// The tasks of connections that are over but not done: no registry has them any more.
    finishing: BTreeMap<u64, Waker>,
    closed: bool,
}

impl Running {
    /// Counts one more connection. `None`: the server shuts down.
    pub(crate) fn start(self: &Arc<Self>) -> Option<Guard> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.count += 1;
        state.next += 1;
        Some(Guard { running: Arc::clone(self), key: state.next })
    }

    /// Admits no more. Returns how many are left.
    pub(crate) fn close(&self) -> usize {
        let mut state = self.state();
        state.closed = true;
        state.count
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Waits until the last one has ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn ended(&self) {
        loop {
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            ended.await;
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.state().count
    }

    /// Ends all that are left. Those that are open have to be woken for it by the caller.
    pub(crate) fn abort(&self) {
        let mut state = self.state();
        self.aborted.store(true, Ordering::Release);
        let finishing = std::mem::take(&mut state.finishing);
        drop(state);
        finishing.into_values().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that may panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one connection until it is dropped.
pub(crate) struct Guard {
    running: Arc<Running>,
    key: u64,
}

impl Guard {
    /// Whether the connection must end at once.
    #[inline]
    pub(crate) fn is_aborted(&self) -> bool {
        self.running.aborted.load(Ordering::Acquire)
    }

    /// As [`is_aborted`](Self::is_aborted); if not, the task is woken when it must.
    pub(crate) fn poll_aborted(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.running.state();
        if self.is_aborted() {
            return Poll::Ready(());
        }
        let older = state.finishing.insert(self.key, cx.waker().clone());
        drop(state);
        drop(older);
        Poll::Pending
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.running.state();
        state.count -= 1;
        let waker = state.finishing.remove(&self.key);
        let last = state.count == 0 && state.closed;
        drop(state);
        drop(waker);
        if last {
            self.running.ended.notify_waiters();
        }
    }
}
