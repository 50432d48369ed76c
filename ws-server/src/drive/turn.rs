//! The handler's turn, in which it works on the connection itself.
//!
//! Driver and handler are polled in one task, so messages need neither a queue nor a lock between
//! them: while the handler is polled, the connection lies in a thread-local slot, from which `recv`
//! decodes and into which `send` encodes. A `WebSocket` that is used elsewhere (in another task, or
//! in the turn of another connection) does not find its connection there, and goes through its
//! [`Outbox`].

use std::{cell::Cell, sync::Arc};

use super::core::Core;
use crate::outbox::Outbox;

thread_local! {
    static TURN: Cell<Option<Box<Core>>> = const { Cell::new(None) };
}

/// Puts a connection into the slot while `act` runs, which must not unwind. Turns may be nested.
///
/// Returns `None` if the connection is lost because the thread is ending.
pub(super) fn enter<T>(core: Box<Core>, act: impl FnOnce() -> T) -> (Option<Box<Core>>, T) {
    let outer = TURN.try_with(|turn| turn.replace(Some(core)));
    let result = act();
    match outer {
        Ok(outer) => (TURN.try_with(|turn| turn.replace(outer)).ok().flatten(), result),
        Err(_) => (None, result),
    }
}

/// Calls `act` with the connection of `outbox`, if this is its turn.
#[inline]
pub(crate) fn with<T>(outbox: &Arc<Outbox>, act: impl FnOnce(&mut Core) -> T) -> Option<T> {
    TURN.try_with(|turn| {
        // Dropping the guard puts the connection back, even after a panic.
        let mut guard = SlotGuard { turn, core: turn.take() };
        match &mut guard.core {
            Some(core) if Arc::ptr_eq(core.outbox(), outbox) => Some(act(core)),
            _ => None,
        }
    })
    .ok()
    .flatten()
}

/// Charges the handler whose turn it is, if any, for the copies of a message that it published.
pub(crate) fn published(copies: usize) {
    TURN.try_with(|turn| {
        let mut guard = SlotGuard { turn, core: turn.take() };
        if let Some(core) = &mut guard.core {
            core.published(copies);
        }
    })
    // Without the slot there are no turns.
    .ok();
}

struct SlotGuard<'a> {
    turn: &'a Cell<Option<Box<Core>>>,
    core: Option<Box<Core>>,
}

impl Drop for SlotGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        // The slot is empty, and `set` would generate the code that drops a connection for nothing.
        if let Some(other) = self.turn.replace(self.core.take()) {
            drop(other);
        }
    }
}
