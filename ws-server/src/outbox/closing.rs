//! How a connection is closed by those who hold it, and how they wait for its end.

use std::sync::Arc;

use ws_core::{CloseCode, Closed, fitting_reason};

use super::{Outbox, Queued, deferred::Locked};
use crate::SendError;

impl Outbox {
    /// Queues a Close after everything that is queued.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        if !code.is_sendable() {
            return Err(SendError::InvalidCloseCode(code));
        }
        let mut state = self.state();
        if state.closing {
            return Err(SendError::Closed);
        }
        self.queue_close(&mut state, code, reason);
        Ok(())
    }

    /// Fails the connection, after everything that is queued, unless it is closing already.
    /// Returns whether it failed.
    pub(crate) fn fail(&self, code: CloseCode, reason: &str) -> bool {
        let mut state = self.state();
        let fails = !state.closing;
        if fails {
            let (inner, deferred) = state.parts();
            inner.reject_waiters(deferred);
            inner.push(Queued::Fail(code, reason.into()));
            self.queued(&mut state);
        }
        fails
    }

    /// Queues a Close after everything that is queued. Rejects messages that wait for room, and gives up
    /// the one that is being sent in pieces.
    pub(super) fn queue_close(&self, state: &mut Locked<'_>, code: CloseCode, reason: &str) {
        let (inner, deferred) = state.parts();
        inner.reject_waiters(deferred);
        inner.push(Queued::Close(code, fitting_reason(reason).into()));
        self.queued(state);
    }

    /// Waits until the connection has ended.
    pub(crate) async fn closed(&self) -> Closed {
        loop {
            let ended = {
                let mut state = self.state();
                let end = state.end();
                if let Some(closed) = &end.closed {
                    return closed.clone();
                }
                // From here on no `notify_waiters` is missed.
                Arc::clone(end.notify.get_or_insert_default()).notified_owned()
            };
            ended.await;
        }
    }

    /// Whether no more messages are accepted for sending.
    pub(crate) fn is_closing(&self) -> bool {
        self.state().closing
    }
}
