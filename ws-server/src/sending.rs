//! Sending a message from the handler.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ws_core::{Message, extension::Compression};

use crate::{
    SendError,
    driver::turn,
    link::{Link, Queued},
};

/// Sends one message. A future by hand, since handlers hold it and an idle one is to be small: where
/// there is room the message is gone before it is polled.
pub(crate) enum Sending<'a> {
    Done(Result<(), SendError>),
    /// There was no room.
    Waiting(Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>),
    Told,
}

impl<'a> Sending<'a> {
    #[inline]
    pub(crate) fn new(link: &'a Arc<Link>, message: Message, compression: Compression) -> Self {
        match turn::with(link, |core| core.send(&message, compression)).flatten() {
            Some(done) => Self::Done(done),
            None => Self::elsewhere(link, message, compression),
        }
    }

    /// Sends through the link.
    fn elsewhere(link: &'a Link, message: Message, compression: Compression) -> Self {
        let mut message = Some(Queued::Message(message, compression));
        match link.push(&mut message) {
            Some(done) => Self::Done(done),
            None => Self::Waiting(Box::pin(async move { link.send(&mut message).await })),
        }
    }
}

impl Future for Sending<'_> {
    type Output = Result<(), SendError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match mem::replace(&mut *self, Self::Told) {
            Self::Done(done) => Poll::Ready(done),
            Self::Waiting(mut waiting) => {
                let poll = waiting.as_mut().poll(cx);
                if poll.is_pending() {
                    *self = Self::Waiting(waiting);
                }
                poll
            }
            // `Future::poll`: once it was ready, "clients should not poll it again". An async
            // function panics there as well.
            Self::Told => panic!("polled again after the message was sent"),
        }
    }
}
