//! Limits the number of connections: in total, from one client, and in their opening handshake.

mod crowd;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

use crate::{AdmissionLimit, Peer, ServerLimits, leaves::client::Client, open::running::Running};
use crowd::Crowd;
pub(crate) use crowd::Membership;

/// The `Retry-After` of a response to a client for which there is no room.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Counts the connections of a server.
pub(crate) struct Admission {
    limits: Arc<ServerLimits>,
    counts: Mutex<Counts>,
    /// Opening handshakes whose head is incomplete, or whose gate has not decided.
    handshakes: Crowd,
    /// Connections that get another response than a 101, until they have lingered.
    answers: Crowd,
    /// Connections that are driven. It is here because every permit leads here.
    pub(crate) running: Running,
}

#[derive(Default)]
struct Counts {
    all: usize,
    clients: HashMap<Client, OfClient>,
    next: u64,
    /// Connections that are over but for their handlers, the oldest first.
    leaving: BTreeMap<u64, Leaving>,
}

/// The connections of one client.
#[derive(Default)]
struct OfClient {
    count: usize,
    leaving: BTreeSet<u64>,
}

struct Leaving {
    client: Option<Client>,
    /// Woken when another connection has taken the permit, which is then no longer listed.
    waker: Waker,
}

impl Admission {
    pub(crate) fn new(limits: Arc<ServerLimits>) -> Self {
        let (handshakes, answers) =
            (Crowd::new(limits.max_pending), Crowd::new(limits.max_pending));
        Self { limits, counts: Mutex::default(), handshakes, answers, running: Running::default() }
    }

    /// Admits a connection if there is room. If there is none, a connection that is over and waits
    /// only for its handler gives up its permit.
    pub(crate) fn enter(self: &Arc<Self>, peer: Peer) -> Result<Permit, AdmissionLimit> {
        let client = Client::of(peer);
        let mut counts = lock(&self.counts);
        let left = counts.make_room(client, &self.limits)?;
        counts.all += 1;
        if let Some(client) = client {
            counts.clients.entry(client).or_default().count += 1;
        }
        drop(counts);
        if let Some(left) = left {
            left.waker.wake();
        }
        Ok(Permit { admission: Arc::clone(self), held: Held::By(client) })
    }

    /// Begins an opening handshake, if there is room for it.
    pub(crate) fn begin(&self, client: Option<Client>) -> Option<Membership<'_>> {
        self.handshakes.enter(client)
    }

    /// Begins another response than a 101, if there is room for it.
    pub(crate) fn begin_answer(&self, client: Option<Client>) -> Option<Membership<'_>> {
        self.answers.enter(client)
    }

    /// Ends every handshake and response, and admits no more.
    pub(crate) fn close(&self) {
        self.handshakes.close();
        self.answers.close();
    }

    /// Whether no more connections are opened.
    pub(crate) fn is_closed(&self) -> bool {
        self.handshakes.is_closed()
    }
}

impl Counts {
    /// Makes room for one connection of `client`. Returns the connection that gave up its permit, if none
    /// was free.
    fn make_room(
        &mut self,
        client: Option<Client>,
        limits: &ServerLimits,
    ) -> Result<Option<Leaving>, AdmissionLimit> {
        let own = client.and_then(|client| self.clients.get(&client));
        let key = if own.is_some_and(|own| own.count >= limits.max_per_ip) {
            // The client's own: another's would not help.
            let key = own.and_then(|own| own.leaving.first());
            *key.ok_or(AdmissionLimit::MaxPerIp)?
        } else if self.all >= limits.max_connections {
            *self.leaving.keys().next().ok_or(AdmissionLimit::MaxConnections)?
        } else {
            return Ok(None);
        };
        let left = self.stay(key);
        if let Some(left) = &left {
            self.leave(left.client);
        }
        Ok(left)
    }

    /// Removes a connection from those that are leaving.
    fn stay(&mut self, key: u64) -> Option<Leaving> {
        let leaving = self.leaving.remove(&key)?;
        if let Some(own) = leaving.client.and_then(|client| self.clients.get_mut(&client)) {
            own.leaving.remove(&key);
        }
        Some(leaving)
    }

    /// Counts one connection less.
    fn leave(&mut self, client: Option<Client>) {
        self.all -= 1;
        if let Some(client) = client
            && let Some(own) = self.clients.get_mut(&client)
        {
            own.count -= 1;
            if own.count == 0 {
                self.clients.remove(&client);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that may panic runs under the locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of one connection, given back when it is dropped.
pub(crate) struct Permit {
    admission: Arc<Admission>,
    held: Held,
}

/// Whether a permit is still valid, and for whom. One enum, since idle connections hold it.
enum Held {
    By(Option<Client>),
    /// Another connection has it.
    Taken,
}

impl Permit {
    pub(crate) fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    pub(crate) fn client(&self) -> Option<Client> {
        match self.held {
            Held::By(client) => client,
            Held::Taken => None,
        }
    }

    /// Counts the connection as one of `peer`. No client was counted for it so far.
    pub(crate) fn count_as(&mut self, peer: Peer) -> Result<(), AdmissionLimit> {
        let Some(client) = Client::of(peer).filter(|_| self.client().is_none()) else {
            return Ok(());
        };
        let admission = Arc::clone(&self.admission);
        let mut counts = lock(&admission.counts);
        let own = counts.clients.entry(client).or_default();
        if own.count < admission.limits.max_per_ip {
            own.count += 1;
            self.held = Held::By(Some(client));
            return Ok(());
        }
        // A connection of this client that is over but for its handler makes room.
        let key = own.leaving.first().copied().ok_or(AdmissionLimit::MaxPerIp)?;
        let left = counts.stay(key);
        if let Some(left) = left {
            // That gives up its place among all, and this connection has its own.
            counts.all -= 1;
            self.held = Held::By(Some(client));
            drop(counts);
            left.waker.wake();
        }
        Ok(())
    }

    /// Offers the permit to others, and waits until another connection takes it, which happens when a
    /// limit is reached.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call keeps the permit, unless it was taken already.
    pub(crate) async fn taken(&mut self) {
        if matches!(self.held, Held::Taken) {
            return;
        }
        let admission = Arc::clone(&self.admission);
        let offer = Offer::new(&admission, self);
        poll_fn(|cx| match lock(&admission.counts).leaving.get_mut(&offer.key) {
            Some(leaving) => {
                leaving.waker.clone_from(cx.waker());
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Held::By(client) = self.held {
            lock(&self.admission.counts).leave(client);
        }
    }
}

/// A permit that others may take, until this is dropped.
struct Offer<'a> {
    admission: &'a Admission,
    permit: &'a mut Permit,
    key: u64,
}

impl<'a> Offer<'a> {
    fn new(admission: &'a Admission, permit: &'a mut Permit) -> Self {
        let client = permit.client();
        let mut counts = lock(&admission.counts);
        let key = counts.next;
        counts.next += 1;
        counts.leaving.insert(key, Leaving { client, waker: Waker::noop().clone() });
        if let Some(own) = client.and_then(|client| counts.clients.get_mut(&client)) {
            own.leaving.insert(key);
        }
        drop(counts);
        Self { admission, permit, key }
    }
}

impl Drop for Offer<'_> {
    fn drop(&mut self) {
        let offered = lock(&self.admission.counts).stay(self.key);
        if offered.is_none() {
            // Another connection has it.
            self.permit.held = Held::Taken;
        }
    }
}
