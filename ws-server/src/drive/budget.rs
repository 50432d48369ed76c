//! Tokio's cooperative budget.
//!
//! The handler has its turn in the driver's task and may spend the task's whole budget. Tokio's
//! resources then return `Pending` without a check: a socket seems full, and a set timer registers
//! no waker. So the driver polls its own I/O and timers outside of the budget, and bounds its turns
//! itself.

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

/// A stream that is polled outside of the budget.
///
/// Each call is wrapped separately: code built around several calls would be compiled twice, once
/// for either case, and no longer inlined. That cost a hundred instructions for each message.
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

/// Polls outside of the budget.
#[inline]
pub(super) fn poll_outside<T>(
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T> + Unpin,
) -> Poll<T> {
    // The cheaper way: one unit is enough for tokio's resources.
    if has_budget_remaining() { poll(cx) } else { poll_unconstrained(cx, poll) }
}

#[cold]
fn poll_unconstrained<T>(
    cx: &mut Context<'_>,
    poll: impl FnMut(&mut Context<'_>) -> Poll<T> + Unpin,
) -> Poll<T> {
    Pin::new(&mut unconstrained(poll_fn(poll))).poll(cx)
}

/// Ends a turn with work left: wakes the task after the other ready tasks of its thread have had
/// their turns and the runtime has asked the operating system for events. A plain wake would let
/// this task go first in 60 of 61 cases.
#[cold]
pub(super) fn yield_turn(cx: &mut Context<'_>) {
    // Always pending: it has passed on the waker.
    let _ = pin!(yield_now()).poll(cx);
}
