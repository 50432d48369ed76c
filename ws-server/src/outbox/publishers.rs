//! Publishers that wait for room.

use std::sync::{Arc, atomic::Ordering};

use tokio::{runtime::Handle, time::timeout};

use super::{Bounds, Outbox, State};

impl Outbox {
    /// Waits until there is room for broadcasts, or until nothing was taken from here for
    /// `write_timeout` although the socket is not full: then no deadline of the connection runs, and
    /// what holds the broadcasts up may last for ever. Returns whether it had to wait.
    pub(crate) async fn wait_for_broadcast_room(&self) -> bool {
        let mut waited = false;
        while let Some((next, room)) = self.broadcast_room() {
            waited = true;
            if Handle::try_current().is_err() {
                room.await;
            } else if Box::pin(timeout(self.limits.write_timeout, room)).await.is_err() {
                self.pass_over(next);
            }
        }
        waited
    }

    /// If there is no room for broadcasts, returns the number of the next one and a future to wait for.
    /// A closing connection counts as having room.
    fn broadcast_room(&self) -> Option<(u64, impl Future<Output = ()> + use<>)> {
        let mut state = self.state();
        if state.has_room_for_publishers(self.bounds()) {
            return None;
        }
        let next = state.broadcasts.as_ref().map_or(0, |broadcasts| broadcasts.progress());
        // From here on no `notify_waiters` is missed.
        Some((next, Arc::clone(state.waiters().publishers()).notified_owned()))
    }

    /// Lets publishers no longer wait, until the next broadcast has left, if it is still this one.
    fn pass_over(&self, next: u64) {
        // A client that does not read has its deadlines.
        if self.blocked.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state();
        let broadcasts = state.broadcasts.get_or_insert_default();
        if broadcasts.progress() == next {
            broadcasts.passed_over = Some(next);
            self.settle(&mut state);
        }
    }
}

impl State {
    /// Whether a publisher need not wait.
    pub(super) fn has_room_for_publishers(&self, bounds: Bounds) -> bool {
        let is_passed_over =
            || self.broadcasts.as_ref().is_some_and(|broadcasts| broadcasts.is_passed_over());
        self.closing
            || self.outbound_bytes.saturating_add(self.behind()) < bounds.soft
            || is_passed_over()
    }
}
