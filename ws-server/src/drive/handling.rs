//! The handler's side of a connection's task.

use std::{
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
};

use tracing::{debug, error, warn};
use ws_core::CloseCode;

use super::endpoint::{Failure, HandlerFuture, Start};
use crate::{
    leaves::{
        error::{CLOSED, INTERRUPTED, causes, error_chain},
        log_limiter::Escaped,
    },
    outbox::Outbox,
};

/// The handler of one connection.
pub(crate) enum Handling<S> {
    /// Starts in its first turn. Boxed, since it is in this state only briefly.
    Due(Box<S>),
    Running(HandlerFuture),
}

impl<S: Start> Handling<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self {
            Self::Running(future) => future.as_mut().poll(cx),
            Self::Due(due) => {
                let mut future = due.start();
                let poll = future.as_mut().poll(cx);
                *self = Self::Running(future);
                poll
            }
        }
    }
}

/// How a handler ended.
#[derive(Debug)]
pub(super) enum Ended {
    Returned,
    Failed(Failure),
    Panicked,
}

impl Ended {
    /// The code to close the connection with.
    pub(super) fn close_code(&self) -> CloseCode {
        match self {
            Self::Returned => CloseCode::NORMAL,
            // RFC 6455 §7.4.1: 1011 "indicates that a server is terminating the connection because
            // it encountered an unexpected condition that prevented it from fulfilling the request."
            Self::Failed(_) | Self::Panicked => CloseCode::INTERNAL_ERROR,
        }
    }

    /// Logs a failure. Clients may cause failures, so a server limits the number of lines.
    pub(super) fn log(&self, outbox: &Outbox) {
        match self {
            Self::Returned => return,
            Self::Failed(error) if outbox.is_closing() && is_closed_error(&**error) => {
                debug!(reason = %Escaped(&error.to_string()), "the handler ended with its connection");
                return;
            }
            Self::Failed(_) | Self::Panicked => {}
        }
        let Some(left_out) =
            outbox.stats.as_ref().map_or(Some(None), |stats| stats.handler_log.admit())
        else {
            return;
        };
        // The span has these fields too, but at level INFO, so a log of warnings lacks them.
        let (id, peer) = (outbox.id, outbox.request.peer());
        match self {
            Self::Returned => {}
            Self::Failed(reason) => {
                // The reason may quote the client.
                let reason = error_chain(&**reason);
                warn!(%id, %peer, reason = %Escaped(&reason), left_out, "the handler failed");
            }
            Self::Panicked => error!(%id, %peer, left_out, "the handler panicked"),
        }
    }
}

/// Whether an error, or one of its sources, says that the connection is over.
///
/// Compares the text: transparent wrappers (`anyhow::Error`, `io::Error::other`, thiserror's
/// `transparent`) hide the type, but not the message.
fn is_closed_error(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|error| matches!(&*error.to_string(), CLOSED | INTERRUPTED))
}

/// Polls a handler. A panic ends only its own connection.
pub(super) fn poll<S: Start>(handling: &mut Handling<S>, cx: &mut Context<'_>) -> Poll<Ended> {
    // After a panic the handler is never polled again, so its half-done state stays unseen.
    match catch_unwind(AssertUnwindSafe(|| handling.poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(Ok(()))) => Poll::Ready(Ended::Returned),
        Ok(Poll::Ready(Err(reason))) => Poll::Ready(Ended::Failed(reason)),
        Err(_) => Poll::Ready(Ended::Panicked),
    }
}
