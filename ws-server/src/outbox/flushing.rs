//! Waiting until the operating system has what was sent.

use tokio::sync::oneshot;

use super::{
    Outbox, Queued, State,
    deferred::Deferred,
    waiters::{Ticket, Waiters, Wanted},
};
use crate::SendError;

impl Outbox {
    /// Waits until the operating system has everything queued before.
    pub(crate) async fn flush(&self) -> Result<(), SendError> {
        let (flushed, written) = oneshot::channel();
        {
            let mut state = self.state();
            if state.over || state.dropped {
                return Err(SendError::Closed);
            }
            state.push_flush(flushed);
            self.queued(&mut state);
        }
        let mut flushing = Flushing { outbox: self, written, done: false };
        let written = (&mut flushing.written).await;
        flushing.done = true;
        written.map_err(|_| SendError::Closed)
    }
}

impl State {
    /// Puts a flush after everything that is queued or waits for room.
    fn push_flush(&mut self, flushed: oneshot::Sender<()>) {
        let waits = |waiters: &Waiters| waiters.places() > 0 || self.holds_flush(waiters);
        if self.waiters.as_deref().is_some_and(waits) {
            self.waiters().push(Wanted::Flush(flushed));
        } else {
            self.push(Queued::Flush(flushed));
        }
    }

    /// Whether broadcasts before a flush wait for the end of a message in pieces.
    pub(super) fn holds_flush(&self, waiters: &Waiters) -> bool {
        let broadcasts =
            self.broadcasts.as_ref().is_some_and(|broadcasts| !broadcasts.queue.is_empty());
        broadcasts && waiters.writer.as_ref().is_some_and(|writer| writer.begun)
    }

    /// Removes flushes whose futures were dropped.
    fn forget_flushes(&mut self, deferred: &mut Deferred) {
        let gone = |flushed: &oneshot::Sender<()>| flushed.is_closed();
        let own = self.outbound.len();
        if let Some(waiters) = &mut self.waiters {
            let is_gone =
                |ticket: &Ticket| matches!(&ticket.wanted, Wanted::Flush(flushed) if gone(flushed));
            if let Some(index) = waiters.line.iter().rposition(is_gone) {
                deferred.forget(waiters.line.remove(index));
                self.own_removed(own + index);
                return;
            }
        }
        let is_gone = |queued: &Queued| matches!(queued, Queued::Flush(flushed) if gone(flushed));
        if let Some((index, queued)) = self.outbound.remove_last(is_gone) {
            deferred.drop(queued);
            self.own_removed(index);
        }
    }
}

/// A flush that a future waits for. Dropping it removes the flush from the queue.
struct Flushing<'a> {
    outbox: &'a Outbox,
    written: oneshot::Receiver<()>,
    done: bool,
}

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.written.close();
            let mut state = self.outbox.state();
            let (inner, deferred) = state.parts();
            inner.forget_flushes(deferred);
            self.outbox.settle(&mut state);
        }
    }
}
