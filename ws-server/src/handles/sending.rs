//! Sending a message from the handler.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ws_core::{Message, extension::Compression};

use crate::{
    SendError,
    drive::turn,
    outbox::{Outbox, Queued, SenderId, Waiting},
};

/// Sends one message. A future by hand, since handlers hold it and an idle one is to be small.
pub(crate) enum Sending<'a> {
    Due(&'a Arc<Outbox>, Message, Compression),
    /// There was no room.
    Waiting(Waiting<'a>),
    Done,
}

impl<'a> Future for Sending<'a> {
    type Output = Result<(), SendError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Self::Due(outbox, message, compression) = &*self
            && let Some(done) =
                turn::with(outbox, |core| core.send(message, *compression)).flatten()
        {
            *self = Self::Done;
            return Poll::Ready(done);
        }
        self.poll_elsewhere(cx)
    }
}

impl Sending<'_> {
    /// Sends through the outbox.
    fn poll_elsewhere(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if let Self::Due(outbox, ..) = self
            && turn::with(outbox, |core| core.yields(cx)) == Some(true)
        {
            return Poll::Pending;
        }
        match std::mem::replace(self, Self::Done) {
            Self::Due(outbox, message, compression) => {
                let mut message = Some(Queued::Message(message, compression));
                if let Some(done) = outbox.push(&mut message, SenderId::WEB_SOCKET) {
                    return Poll::Ready(done);
                }
                match outbox.wait_to_send(message) {
                    Ok(waiting) => *self = Self::Waiting(waiting),
                    Err(error) => return Poll::Ready(Err(error)),
                }
                self.poll_elsewhere(cx)
            }
            Self::Waiting(mut waiting) => {
                let poll = Pin::new(&mut waiting).poll(cx);
                if poll.is_pending() {
                    *self = Self::Waiting(waiting);
                }
                poll
            }
            // `Future::poll`: once it was ready, "clients should not poll it again". An async
            // function panics there as well.
            Self::Done => panic!("polled again after the message was sent"),
        }
    }
}
