//! Whose turn it is to connect.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

/// Lets clients connect to one address one after the other, as
/// [RFC 6455 §4.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.1) asks of them: "There MUST be
/// no more than one connection in a CONNECTING state." A handle: cloning it is cheap.
///
/// The rule keeps a script in a browser from flooding a third party. A program that decides itself
/// what it connects to may do without, and then connects to as many at once as it likes.
///
/// Where the address is not known, because the stream was [given](crate::Connect::over), hosts count
/// by their names.
#[derive(Clone, Default)]
pub struct ConnectQueue {
    turns: Arc<Mutex<HashMap<Remote, Weak<tokio::sync::Mutex<()>>>>>,
}

/// What somebody connects to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Remote {
    Address(SocketAddr),
    Host(Box<str>, u16),
}

/// The turn to connect, until it is dropped.
pub(super) type Turn = OwnedMutexGuard<()>;

impl ConnectQueue {
    /// Nobody connects yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits, in the order of the calls.
    pub(super) async fn turn(&self, remote: Remote) -> Turn {
        let turn = {
            // Nothing that may panic runs under the lock.
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            // Only those of whom somebody has the turn, or waits for it, are of interest.
            turns.retain(|_, turn| turn.strong_count() > 0);
            let known = turns.get(&remote).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(remote, Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}

impl fmt::Debug for ConnectQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectQueue").finish_non_exhaustive()
    }
}
