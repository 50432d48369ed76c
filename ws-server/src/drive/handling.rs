//! The handler's side of a connection's task.

use std::{
    error::Error,
    iter::successors,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
};

use tracing::{debug, error, warn};
use ws_core::CloseCode;

use super::endpoint::{Failure, Start, Working};
use crate::{
    leaves::{error::CLOSED, log_limiter::Escaped},
    outbox::Outbox,
};

/// The handler of one connection.
pub(crate) enum Handling<S> {
    /// To be started in its first turn. In a box, since most of the time it is not.
    Due(Box<S>),
    AtWork(Working),
}

impl<S: Start> Handling<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self {
            Self::AtWork(working) => working.as_mut().poll(cx),
            Self::Due(due) => {
                let mut working = due.start();
                let poll = working.as_mut().poll(cx);
                *self = Self::AtWork(working);
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
    /// The code that the connection closes with.
    pub(super) fn close_code(&self) -> CloseCode {
        match self {
            Self::Returned => CloseCode::NORMAL,
            // RFC 6455 §7.4.1: 1011 "indicates that a server is terminating the connection because
            // it encountered an unexpected condition that prevented it from fulfilling the request."
            Self::Failed(_) | Self::Panicked => CloseCode::INTERNAL_ERROR,
        }
    }

    /// Says so in the log if it failed. What a client sends may be why, so a server lets only so many
    /// lines in.
    pub(super) fn log(&self, outbox: &Outbox) {
        match self {
            Self::Returned => return,
            Self::Failed(error) if outbox.is_closing() && says_closed(&**error) => {
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
        // The span has them too, but is of level INFO, and so is not there for a log of warnings.
        let (id, peer) = (outbox.id, outbox.request.peer());
        match self {
            Self::Returned => {}
            Self::Failed(reason) => {
                // It may quote the client.
                let reason = told(&**reason);
                warn!(%id, %peer, reason = %Escaped(&reason), left_out, "the handler failed");
            }
            Self::Panicked => error!(%id, %peer, left_out, "the handler panicked"),
        }
    }
}

/// An error and those that it came from.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| error.source())
}

/// What an error says, and then what those say that it came from: most say only what was tried.
fn told(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = causes(error).map(ToString::to_string).collect();
    // One that says what its source does already is told once.
    parts.dedup();
    parts.join(": ")
}

/// Whether an error, or one that it came from, says that the connection is over.
///
/// By its text: what wraps an error transparently (`anyhow::Error`, `io::Error::other`, thiserror's
/// `transparent`) hides its type, but not what it says.
fn says_closed(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|error| error.to_string() == CLOSED)
}

/// Polls a handler. A panic costs its own connection and nothing else.
pub(super) fn poll<S: Start>(handling: &mut Handling<S>, cx: &mut Context<'_>) -> Poll<Ended> {
    // After a panic the handler is never polled again, so nobody sees what it left half done.
    match catch_unwind(AssertUnwindSafe(|| handling.poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(Ok(()))) => Poll::Ready(Ended::Returned),
        Ok(Poll::Ready(Err(reason))) => Poll::Ready(Ended::Failed(reason)),
        Err(_) => Poll::Ready(Ended::Panicked),
    }
}
