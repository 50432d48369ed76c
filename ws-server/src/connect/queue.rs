//! A queue of clients that connect to the same address.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

/// Makes clients connect to one address one after the other, as [RFC 6455
/// §4.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.1) requires: "There MUST be no more than
/// one connection in a CONNECTING state." A handle: cloning it is cheap.
///
/// The rule keeps a script in a browser from flooding a third party. A program that decides itself
/// where it connects may do without a queue, and then connects to as many servers at once as it
/// likes.
///
/// If the address is unknown because the application [passed a stream](crate::Connect::over), the
/// name of the host counts instead.
#[derive(Clone, Default)]
pub struct ConnectQueue {
    slots: Arc<Mutex<HashMap<Remote, Weak<tokio::sync::Mutex<()>>>>>,
}

/// A target of connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Remote {
    Address(SocketAddr),
    Host(Box<str>, u16),
}

/// The right to connect to a target, until it is dropped.
pub(super) type Slot = OwnedMutexGuard<()>;

impl ConnectQueue {
    /// Makes an empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for the slot of this target, in the order of the calls.
    pub(super) async fn slot(&self, remote: Remote) -> Slot {
        let slot = {
            // No code that may panic runs under the lock.
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            // Keeps only targets whose slot is taken or waited for.
            slots.retain(|_, slot| slot.strong_count() > 0);
            let known = slots.get(&remote).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let slot = Arc::default();
                slots.insert(remote, Arc::downgrade(&slot));
                slot
            })
        };
        slot.lock_owned().await
    }
}

impl fmt::Debug for ConnectQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectQueue").finish_non_exhaustive()
    }
}
