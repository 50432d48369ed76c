//! What this process publishes to a topic before it knows where the topic is.

use std::sync::{Mutex, PoisonError};

/// A subscriber gets what this process publishes after `subscribe` returned, though the stream may take
/// it before this node learned where the stream is. So until then the acknowledgements are looked at.
#[derive(Debug, Default)]
pub(crate) struct Own(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_closed: bool,
    pending: usize,
    /// The least and the greatest sequence that the stream gave.
    stored: Option<(u64, u64)>,
}

impl Own {
    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A publication is taken. Returns whether its outcome is wanted.
    pub(crate) fn published(&self) -> bool {
        self.with(|state| {
            state.pending += usize::from(!state.is_closed);
            !state.is_closed
        })
    }

    /// Its outcome: its sequence, if the stream acknowledged it.
    pub(crate) fn settled(&self, sequence: Option<u64>) {
        self.with(|state| {
            state.pending = state.pending.saturating_sub(1);
            if let Some(sequence) = sequence {
                let (least, greatest) = state.stored.unwrap_or((sequence, sequence));
                state.stored = Some((least.min(sequence), greatest.max(sequence)));
            }
        });
    }

    /// What is published from now on comes after all that the node knows.
    pub(crate) fn close(&self) {
        self.with(|state| state.is_closed = true);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.with(|state| state.is_closed)
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.with(|state| state.pending == 0)
    }

    pub(crate) fn stored(&self) -> Option<(u64, u64)> {
        self.with(|state| state.stored)
    }
}
