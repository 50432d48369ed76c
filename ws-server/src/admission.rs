//! How many connections there are at a time: in all, of one client, and in their opening handshake.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    future::poll_fn,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use crate::{Limits, Peer};

/// Counts the connections of a server.
pub(crate) struct Admission {
    limits: Arc<Limits>,
    counts: Mutex<Counts>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    per_client: HashMap<Client, usize>,
}

/// The opening handshakes, the oldest first.
#[derive(Default)]
struct Waiting {
    next: u64,
    /// Whom to wake when a handshake has to end: it does when it is not here any more.
    handshakes: BTreeMap<u64, Waker>,
    closed: bool,
}

/// Who counts as one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address: one customer usually has all of the rest.
    V6(u64),
}

impl Client {
    fn of(peer: Peer) -> Option<Self> {
        // An IPv4 client of an IPv6 socket (`::ffff:192.0.2.1`) is that of IPv4.
        Some(match peer.address()?.ip().to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        })
    }
}

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// [`Limits::max_connections`].
    All,
    /// [`Limits::max_per_ip`].
    Client,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "max_connections are connected",
            Self::Client => "max_per_ip are connected from its address",
        })
    }
}

impl Admission {
    pub(crate) fn new(limits: Arc<Limits>) -> Self {
        Self { limits, counts: Mutex::default(), waiting: Mutex::default() }
    }

    /// Lets a connection in, if there is room.
    pub(crate) fn enter(self: &Arc<Self>, peer: Peer) -> Result<Place, Full> {
        let client = Client::of(peer);
        let mut counts = lock(&self.counts);
        if counts.all >= self.limits.max_connections {
            return Err(Full::All);
        }
        if let Some(client) = client {
            let count = counts.per_client.entry(client).or_default();
            // There is always room for the first, so that none of no connections is left behind.
            if *count >= self.limits.max_per_ip {
                return Err(Full::Client);
            }
            *count += 1;
        }
        counts.all += 1;
        drop(counts);
        Ok(Place { admission: Arc::clone(self), client })
    }

    /// Begins an opening handshake. Where there are too many, the oldest one ends.
    ///
    /// One that is slow on purpose costs its sender a connection and us a place in the queue, and
    /// never keeps out who is in earnest: a handshake needs one round trip.
    pub(crate) fn begin(self: &Arc<Self>) -> Pending {
        let mut waiting = lock(&self.waiting);
        let key = waiting.next;
        waiting.next += 1;
        let mut oldest = None;
        if !waiting.closed {
            if waiting.handshakes.len() >= self.limits.max_pending {
                oldest = waiting.handshakes.pop_first();
            }
            waiting.handshakes.insert(key, Waker::noop().clone());
        }
        drop(waiting);
        if let Some((_, waker)) = oldest {
            waker.wake();
        }
        Pending { admission: Arc::clone(self), key }
    }

    /// Ends all opening handshakes, those that are still to begin too.
    pub(crate) fn close(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.closed = true;
        let all = std::mem::take(&mut waiting.handshakes);
        drop(waiting);
        all.into_values().for_each(Waker::wake);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that may panic runs under the locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection's place in the counts, given up when it is dropped.
pub(crate) struct Place {
    admission: Arc<Admission>,
    client: Option<Client>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.admission.counts);
        counts.all -= 1;
        if let Some(client) = self.client
            && let Some(count) = counts.per_client.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                counts.per_client.remove(&client);
            }
        }
    }
}

/// An opening handshake under way.
pub(crate) struct Pending {
    admission: Arc<Admission>,
    key: u64,
}

impl Pending {
    /// Waits until this handshake has to end for others.
    pub(crate) async fn dropped(&self) {
        poll_fn(|cx| match lock(&self.admission.waiting).handshakes.get_mut(&self.key) {
            Some(waker) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
    }

    /// Whether it was still under way, and succeeded.
    pub(crate) fn succeed(self) -> bool {
        self.leave()
    }

    fn leave(&self) -> bool {
        lock(&self.admission.waiting).handshakes.remove(&self.key).is_some()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Wake},
    };

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn handshake_is_woken_when_it_has_to_end_and_not_when_it_succeeds() {
        let limits = Limits { max_pending: 1, ..Limits::default() };
        let admission = Arc::new(Admission::new(Arc::new(limits)));
        let wakes = Arc::new(Wakes::default());
        let wait = |pending: &Pending| {
            let waker = Arc::clone(&wakes).into();
            pin!(pending.dropped()).poll(&mut Context::from_waker(&waker)).is_ready()
        };
        let first = admission.begin();
        assert!(!wait(&first));
        assert!(first.succeed());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);

        let second = admission.begin();
        assert!(!wait(&second));
        let third = admission.begin();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(wait(&second) && !second.succeed() && third.succeed());
    }
}
