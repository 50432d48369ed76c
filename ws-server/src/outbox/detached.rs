//! A receiver in another task than the connection's: messages are handed over to it under the lock.

use std::{
    collections::VecDeque,
    mem,
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
};

use ws_core::Message;

use super::{Load, Outbox, SenderId, State};

/// For a receiver in another task.
#[derive(Default)]
pub(super) struct DetachedReceiver {
    /// What it has not taken.
    pub(super) delivered: VecDeque<Message>,
    pub(super) queued: Load,
    /// What it took last, and may not have handled.
    pub(super) handed: Load,
    /// The receiver, while it waits.
    pub(super) waker: Option<Waker>,
}

impl Outbox {
    /// Exchanges an empty batch for all messages that are there. `false` is the end.
    // In a box, as [`WebSocket`](crate::WebSocket) has it.
    #[allow(clippy::box_collection)]
    pub(crate) fn poll_inbound(
        &self,
        batch: &mut Option<Box<VecDeque<Message>>>,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        let mut fresh = None;
        loop {
            let mut state = self.state();
            if state.over && state.detached.is_none() {
                // It received in its turn to the end.
                return Poll::Ready(false);
            }
            if state.ahead().is_full(&self.limits) {
                self.call_driver(&mut state);
            }
            let over = state.over;
            let detached = state.detached();
            detached.handed = mem::take(&mut detached.queued);
            if !detached.delivered.is_empty() {
                mem::swap(&mut **batch.get_or_insert_default(), &mut detached.delivered);
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
                    // A waker is not cloned under the lock, nor dropped.
                    drop(state);
                    fresh = Some(cx.waker().clone());
                    continue;
                }
            };
            self.receiver_waits.store(true, Ordering::Release);
            if !known {
                // It delivers here from now on, and may have a Close to answer.
                self.call_driver(&mut state);
            }
            drop(state);
            drop(older);
            return Poll::Pending;
        }
    }

    /// The `WebSocket` was dropped: nobody receives any more.
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
