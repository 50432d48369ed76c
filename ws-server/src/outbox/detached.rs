//! A receiver in another task than the connection's. Messages are handed to it under the lock.

use std::{
    collections::VecDeque,
    mem,
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
};

use ws_core::Message;

use super::{Load, Outbox, SenderId, State};

/// The messages for a receiver in another task.
#[derive(Default)]
pub(super) struct DetachedReceiver {
    /// Messages that it has not taken.
    pub(super) delivered: VecDeque<Message>,
    pub(super) queued: Load,
    /// The load that it took last and may not have handled yet.
    pub(super) handed: Load,
    /// The receiver's waker, while it waits.
    pub(super) waker: Option<Waker>,
}

impl Outbox {
    /// Exchanges an empty batch for all messages that are there. Returns `false` at the end.
    pub(crate) fn poll_inbound(
        &self,
        batch: &mut VecDeque<Message>,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        let mut fresh = None;
        loop {
            let mut state = self.state();
            if state.over && state.detached.is_none() {
                // The handler received everything in its turn.
                return Poll::Ready(false);
            }
            if state.ahead().is_full(&self.limits) {
                self.call_driver(&mut state);
            }
            let over = state.over;
            let detached = state.detached();
            detached.handed = mem::take(&mut detached.queued);
            if !detached.delivered.is_empty() {
                mem::swap(batch, &mut detached.delivered);
                return Poll::Ready(true);
            }
            if over {
                return Poll::Ready(false);
            }
            let known = detached.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
            let older = match (known, fresh.take()) {
                (true, _) => None,
                (false, Some(waker)) => detached.waker.replace(waker),
                (false, None) => {
                    // Never clone or drop a waker under the lock.
                    drop(state);
                    fresh = Some(cx.waker().clone());
                    continue;
                }
            };
            self.receiver_waits.store(true, Ordering::Release);
            if !known {
                // From now on the driver delivers here, and it may have a Close to answer.
                self.call_driver(&mut state);
            }
            drop(state);
            drop(older);
            return Poll::Pending;
        }
    }

    /// Notes that the `WebSocket` was dropped and receives no more.
    pub(crate) fn receiver_gone(&self) {
        let mut state = self.state();
        let detached = state.detached.take();
        self.receiver_gone.store(true, Ordering::Release);
        self.call_driver(&mut state);
        self.forget(&mut state, SenderId::WEB_SOCKET);
        drop(state);
        drop(detached);
    }
}

impl State {
    pub(super) fn detached(&mut self) -> &mut DetachedReceiver {
        self.detached.get_or_insert_default()
    }

    pub(super) fn ahead(&self) -> Load {
        self.detached
            .as_ref()
            .map_or_else(Load::default, |detached| detached.queued.and(detached.handed))
    }
}
