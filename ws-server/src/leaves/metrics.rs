//! What a server has done so far, in numbers.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use ws_core::{CloseCode, Closed, ClosedBy};
use ws_handshake::Cause;

use super::histogram::{CONNECTION_BOUNDS, ROUND_TRIP_BOUNDS, Times};
use crate::{AdmissionLimit, Held, Histogram};

/// What a server has done since it was made, and what it holds now: a snapshot, made by
/// [`Clients::metrics`](crate::Clients::metrics).
///
/// Every number but [`connections`](Self::connections), [`topics`](Self::topics),
/// [`subscriptions`](Self::subscriptions), [`queue_bytes`](Self::queue_bytes),
/// [`memory`](Self::memory), [`held`](Self::held) and [`max_memory`](Self::max_memory) only grows. Those of one
/// snapshot are read one after the other while connections work on, and what a connection is at work
/// on is counted when it rests: two that are read together need not fit to the last message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Connections that are open now.
    pub connections: usize,
    /// Connections that were opened: their 101 was decided on.
    pub opened: u64,
    /// Requests that asked for a WebSocket and got something else, or came without being readable,
    /// and connections that were not let in (503), the most frequent first. Plain requests that a
    /// [fallback](crate::Server::fallback) answered are not among them, nor clients that left before
    /// their request was whole.
    pub rejected: Vec<Rejected>,
    /// Connections that ended before their request, in the handshake of their transport: TLS, or the
    /// PROXY protocol.
    pub failed_transports: u64,
    /// Connections that ended, by close code and by who closed first, as in
    /// [`Closed`](crate::Closed): the code that the client sent, or the one that it was failed with, or
    /// 1006 where there was none. Without those of the two numbers that follow.
    pub closed: BTreeMap<(CloseCode, ClosedBy), u64>,
    /// Connections that clients ended with a code of 3000 to 3999, which are theirs to choose from: in
    /// one number, so that no client makes this snapshot long.
    pub closed_by_clients_3xxx: u64,
    /// The same with a code of 4000 to 4999.
    pub closed_by_clients_4xxx: u64,
    /// How long the connections lasted that have ended, from [`Request::since`](crate::Request::since)
    /// on. The buckets end at 100 ms; 1, 5, 10 and 30 s; 1, 5 and 15 min; 1, 4, 12 and 24 h.
    pub durations: Histogram,
    /// Round trips: from a Ping that keeps a silent connection alive to its Pong, as
    /// [`Client::round_trip`](crate::Client::round_trip). The buckets end at 1, 5, 10, 25, 50, 100, 250
    /// and 500 ms; 1, 2.5, 5 and 10 s.
    pub round_trips: Histogram,
    /// Handlers that were dropped, since they had not returned
    /// [`Limits::handler_grace`](crate::Limits::handler_grace) after the end of their connection, or
    /// another connection needed their place.
    pub handlers_dropped: u64,
    /// What came from clients.
    pub received: Traffic,
    /// What went to clients.
    pub sent: Traffic,
    /// Messages to many that were published, whether anybody was there or not.
    pub broadcasts: u64,
    /// Copies of them that were queued, one for each recipient, and what recipients had
    /// [missed](crate::Client::subscribe_after).
    pub delivered: u64,
    /// Messages that were dropped because a client does not keep up, by
    /// [`SlowConsumer`](crate::SlowConsumer) and [`Publication::key`](crate::Publication::key).
    pub dropped: u64,
    /// Topics that have subscribers.
    pub topics: usize,
    /// Subscriptions, of all connections to all topics.
    pub subscriptions: usize,
    /// Bytes of messages that wait to be encoded, in the queues of all connections: sent by other tasks
    /// or to many, and ahead of what a client takes. [`Limits::send_buffer`](crate::Limits::send_buffer)
    /// bounds them for each.
    pub queue_bytes: usize,
    /// Bytes on the heap that the protocol engines of open connections hold for unfinished messages,
    /// output that was not written, and extensions: compression contexts above all. Each connection's
    /// as of when it rested last. Not in it: what every connection takes (2 KiB), its task and
    /// handler, and queued messages.
    pub memory: usize,
    /// Bytes that all clients together make the server hold, by kind.
    pub held: Held,
    /// The bound for [`held`](Self::held), [`ServerLimits::max_memory`](crate::ServerLimits::max_memory) or
    /// its default. `UNLIMITED` before the server is made of its configuration, and where it is lifted.
    pub max_memory: usize,
    /// Connections that were closed with 1013 because the bound was reached.
    pub evicted: u64,
}

/// Requests that were rejected, or connections that were not let in, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// The status of the answer.
    pub status: u16,
    /// Why. A path without a route is [`Cause::NoRoute`], a server that is full
    /// [`Cause::NoRoom`].
    pub cause: Cause,
    /// The limit that was reached, where the server was full.
    pub limit: Option<AdmissionLimit>,
    /// How many.
    pub count: u64,
}

impl Rejected {
    /// The [name of the limit](AdmissionLimit::name) where the server was full, or the
    /// [name of the cause](Cause::name): from a fixed set, so that it can be a metric's label.
    pub fn label(&self) -> &'static str {
        self.limit.map_or(self.cause.name(), AdmissionLimit::name)
    }
}

/// What went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Whole messages. Control frames are none.
    pub messages: u64,
    /// Those of them that are text. The others are [`binaries`](Self::binaries).
    pub texts: u64,
    /// Bytes of these messages, as the handler sees them: before they were compressed, or after they
    /// were inflated.
    pub payload: u64,
    /// Bytes of frames on the wire: headers, payload as it was transferred, and control frames; not
    /// the opening handshake, and nothing of TLS or TCP.
    pub wire: u64,
}

impl Traffic {
    /// Whole messages that are binary.
    pub fn binaries(&self) -> u64 {
        // A snapshot reads the two one after the other.
        self.messages.saturating_sub(self.texts)
    }
}

/// Counts what connections do. In many places, so that threads do not wait for each other's cache
/// lines, and most need no locked instruction: those that come first have a place of their own.
#[derive(Default)]
pub(crate) struct Counters {
    shards: Shards,
    opened: AtomicU64,
    failed_transports: AtomicU64,
    handlers_dropped: AtomicU64,
    broadcasts: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
    durations: Times,
    round_trips: Times,
    ends: Mutex<Ends>,
}

const SHARDS: usize = 64;
/// The shards that have one writer each: the threads of this process that come first.
const OWNED: usize = SHARDS - 8;

/// So many. On the heap from the start: they are much for a small stack.
struct Shards(Box<[Shard]>);

impl Default for Shards {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Shard::default()).collect())
    }
}

#[derive(Default)]
#[repr(align(128))]
struct Shard {
    received: Counts,
    sent: Counts,
    /// What was taken here may be given back elsewhere.
    memory: AtomicI64,
}

#[derive(Default)]
struct Counts {
    messages: AtomicU64,
    texts: AtomicU64,
    payload: AtomicU64,
    wire: AtomicU64,
}

/// What happens once a connection, or instead of one.
#[derive(Default)]
struct Ends {
    rejected: HashMap<(StatusCode, Cause, Option<AdmissionLimit>), u64>,
    closed: BTreeMap<(CloseCode, ClosedBy), u64>,
    closed_by_clients_3xxx: u64,
    closed_by_clients_4xxx: u64,
}

impl Counters {
    /// The shard of this thread, and whether no other thread writes there.
    fn shard(&self) -> (&Shard, bool) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
        }
        let mut own = OWN.get();
        if own == usize::MAX {
            let nth = NEXT.fetch_add(1, Ordering::Relaxed);
            own = if nth < OWNED { nth } else { OWNED + nth % (SHARDS - OWNED) };
            OWN.set(own);
        }
        (&self.shards.0[own % SHARDS], own < OWNED)
    }

    /// Adds what a connection did in a turn.
    pub(crate) fn add(&self, received: Traffic, sent: Traffic) {
        let (shard, owned) = self.shard();
        shard.received.add(received, owned);
        shard.sent.add(sent, owned);
    }

    /// A connection holds more, or less, than before.
    pub(crate) fn memory(&self, change: i64) {
        self.shard().0.memory.fetch_add(change, Ordering::Relaxed);
    }

    pub(crate) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn transport_failed(&self) {
        self.failed_transports.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn rejected(&self, status: StatusCode, cause: Cause) {
        *self.ends().rejected.entry((status, cause, None)).or_default() += 1;
    }

    /// A connection was not let in.
    pub(crate) fn kept_out(&self, limit: AdmissionLimit) {
        let reason = (StatusCode::SERVICE_UNAVAILABLE, Cause::NoRoom, Some(limit));
        *self.ends().rejected.entry(reason).or_default() += 1;
    }

    /// A handler was dropped, since it did not return.
    pub(crate) fn handler_dropped(&self) {
        self.handlers_dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, closed: &Closed, after: Duration) {
        self.durations.add(after, &CONNECTION_BOUNDS);
        let mut ends = self.ends();
        match (closed.by, closed.code.get()) {
            (ClosedBy::Peer, 4000..) => ends.closed_by_clients_4xxx += 1,
            (ClosedBy::Peer, 3000..) => ends.closed_by_clients_3xxx += 1,
            _ => *ends.closed.entry((closed.code, closed.by)).or_default() += 1,
        }
    }

    pub(crate) fn round_trip(&self, time: Duration) {
        self.round_trips.add(time, &ROUND_TRIP_BOUNDS);
    }

    pub(crate) fn broadcast(&self, queued: usize, dropped: usize) {
        self.broadcasts.fetch_add(1, Ordering::Relaxed);
        self.delivered(queued);
        if dropped > 0 {
            self.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
        }
    }

    /// Counts copies of messages to many.
    pub(crate) fn delivered(&self, copies: usize) {
        self.delivered.fetch_add(copies as u64, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// All but what is held elsewhere.
    pub(crate) fn read(&self) -> Metrics {
        let mut metrics = Metrics {
            opened: self.opened.load(Ordering::Relaxed),
            failed_transports: self.failed_transports.load(Ordering::Relaxed),
            handlers_dropped: self.handlers_dropped.load(Ordering::Relaxed),
            broadcasts: self.broadcasts.load(Ordering::Relaxed),
            delivered: self.delivered.load(Ordering::Relaxed),
            dropped: self.dropped(),
            durations: self.durations.read(&CONNECTION_BOUNDS),
            round_trips: self.round_trips.read(&ROUND_TRIP_BOUNDS),
            ..Metrics::default()
        };
        let mut memory = 0;
        for shard in &self.shards.0 {
            shard.received.read(&mut metrics.received);
            shard.sent.read(&mut metrics.sent);
            memory += shard.memory.load(Ordering::Relaxed);
        }
        // What moves from shard to shard meanwhile may be seen to leave and not to come.
        metrics.memory = usize::try_from(memory).unwrap_or(0);
        let ends = self.ends();
        metrics.closed.clone_from(&ends.closed);
        metrics.closed_by_clients_3xxx = ends.closed_by_clients_3xxx;
        metrics.closed_by_clients_4xxx = ends.closed_by_clients_4xxx;
        let rejected = ends.rejected.iter();
        metrics.rejected = rejected
            .map(|(&(status, cause, limit), &count)| {
                let status = status.as_u16();
                Rejected { status, cause, limit, count }
            })
            .collect();
        drop(ends);
        metrics.rejected.sort_by_key(|it| (std::cmp::Reverse(it.count), it.status, it.limit));
        metrics
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        // Nothing that may panic runs under the lock.
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn add(&self, traffic: Traffic, owned: bool) {
        for (count, more) in [
            (&self.messages, traffic.messages),
            (&self.texts, traffic.texts),
            (&self.payload, traffic.payload),
            (&self.wire, traffic.wire),
        ] {
            if owned {
                // Where nobody else writes nothing is lost, and a locked instruction costs as much as
                // twenty of others.
                count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
            } else if more > 0 {
                count.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    fn read(&self, into: &mut Traffic) {
        // Before the total, so that the rest is not less than none.
        into.texts += self.texts.load(Ordering::Relaxed);
        into.messages += self.messages.load(Ordering::Relaxed);
        into.payload += self.payload.load(Ordering::Relaxed);
        into.wire += self.wire.load(Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn nothing_is_lost_where_more_threads_count_than_there_are_places() {
        const TIMES: u64 = 20_000;
        let threads = 2 * SHARDS as u64;
        let counters = Counters::default();
        let one = Traffic { messages: 3, texts: 1, payload: 2, wire: 4 };
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..TIMES).for_each(|_| counters.add(one, one)));
            }
        });
        let all = threads * TIMES;
        let all = Traffic { messages: 3 * all, texts: all, payload: 2 * all, wire: 4 * all };
        let metrics = counters.read();
        assert_eq!((metrics.received, metrics.sent), (all, all));
    }
}
