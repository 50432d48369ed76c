//! Tokio's cooperative budget.
//!
//! The handler has its turn in the driver's task and may spend the whole of that task's budget. What
//! tokio owns then returns `Pending` without looking: a socket seems full, and a timer that is set
//! registers no waker. So the driver polls its own I/O and timers outside of the budget, and bounds
//! its turns itself.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::{coop::has_budget_remaining, unconstrained, yield_now},
};

/// A stream that is polled whatever is left of the budget.
///
/// Each call to it by itself, since what is built around a call would be compiled twice, for either
/// case, and no longer into one piece: a hundred instructions more for each message.
pub(super) struct Outside<'a, Io>(pub(super) &'a mut Io);

impl<Io: AsyncRead + Unpin> AsyncRead for Outside<'_, Io> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self(io) = self.get_mut();
        poll_outside(cx, |cx| Pin::new(&mut **io).poll_read(cx, buf))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Outside<'_, Io> {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self(io) = self.get_mut();
        poll_outside(cx, |cx| Pin::new(&mut **io).poll_write(cx, octets))
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self(io) = self.get_mut();
        poll_outside(cx, |cx| Pin::new(&mut **io).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self(io) = self.get_mut();
        poll_outside(cx, |cx| Pin::new(&mut **io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self(io) = self.get_mut();
        poll_outside(cx, |cx| Pin::new(&mut **io).poll_shutdown(cx))
    }
}

/// Polls whatever is left of the budget.
#[inline]
pub(super) fn poll_outside<T>(
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T> + Unpin,
) -> Poll<T> {
    // The cheaper way. One unit is enough for what tokio owns.
    if has_budget_remaining() { poll(cx) } else { poll_unconstrained(cx, poll) }
}

#[cold]
fn poll_unconstrained<T>(
    cx: &mut Context<'_>,
    poll: impl FnMut(&mut Context<'_>) -> Poll<T> + Unpin,
) -> Poll<T> {
    Pin::new(&mut unconstrained(poll_fn(poll))).poll(cx)
}

/// Ends a turn with work left: wakes the task once the other tasks of its thread that are ready have
/// had their turns and the operating system was asked for events. A plain wake would let it go first
/// in 60 of 61 cases.
#[cold]
pub(super) fn yield_turn(cx: &mut Context<'_>) {
    // Pending, always: it has handed on the waker.
    let _ = pin!(yield_now()).poll(cx);
}
