//! The handler's turn, in which it works on the connection itself.
//!
//! Driver and handler are polled in one task, so a message needs neither a queue nor a
//! lock between them: while the handler is polled, the connection lies in a
//! thread-local slot, from which `recv` decodes and into which `send` encodes. A `WebSocket` that is
//! used anywhere else (in another task, in the turn of another connection) does not find itself
//! there, and goes through its [`Outbox`].

use std::{cell::Cell, sync::Arc};

use super::core::Core;
use crate::outbox::Outbox;

thread_local! {
    static TURN: Cell<Option<Box<Core>>> = const { Cell::new(None) };
}

/// Puts a connection into the slot while `act` runs, which must not unwind. Turns may be nested.
///
/// `None`: it is lost, because the thread is ending.
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
        // Put back whatever happens.
        let mut held = Held { turn, core: turn.take() };
        match &mut held.core {
            Some(core) if Arc::ptr_eq(core.outbox(), outbox) => Some(act(core)),
            _ => None,
        }
    })
    .ok()
    .flatten()
}

/// A message was published, in so many copies: where a handler did it in its turn, they count.
pub(crate) fn published(copies: usize) {
    TURN.try_with(|turn| {
        let mut held = Held { turn, core: turn.take() };
        if let Some(core) = &mut held.core {
            core.published(copies);
        }
    })
    // Without the slot there are no turns.
    .ok();
}

struct Held<'a> {
    turn: &'a Cell<Option<Box<Core>>>,
    core: Option<Box<Core>>,
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        // The slot is empty, and `set` would call what drops a connection, to find nothing.
        if let Some(other) = self.turn.replace(self.core.take()) {
            drop(other);
        }
    }
}
