//! Tokio's cooperative budget.
//!
//! The handler has its turn in the driver's task and may spend the whole of that task's budget. What
//! tokio owns then returns `Pending` without looking: a socket seems full, and a timer that is set
//! registers no waker. So the driver polls its own I/O and timers outside of the budget, and bounds
//! its turns itself.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use tokio::task::{coop::has_budget_remaining, unconstrained, yield_now};

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
