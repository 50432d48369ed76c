//! What clients saw.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::transport::Transport;

/// Shared by all clients.
pub(crate) struct Tally(Mutex<Seen>);

struct Seen {
    /// Round trips of this second, in microseconds.
    round_trips: Histogram<u64>,
    messages: u64,
    alive: BTreeMap<&'static str, i64>,
    /// Good clients that lived to their end, by kind and by transport.
    lives: BTreeMap<&'static str, u64>,
    transports: BTreeMap<&'static str, u64>,
    /// How slow and hostile clients ended.
    ends: BTreeMap<String, u64>,
    errors: u64,
    /// Those that were not told yet.
    untold: Vec<String>,
}

impl Tally {
    /// With kinds of good clients.
    pub(crate) fn new(kinds: impl Iterator<Item = &'static str>) -> Self {
        let round_trips = Histogram::new_with_bounds(1, 600_000_000, 3);
        Self(Mutex::new(Seen {
            round_trips: round_trips.expect("valid bounds"),
            messages: 0,
            alive: BTreeMap::new(),
            lives: kinds.map(|kind| (kind, 0)).collect(),
            transports: Transport::ALL.map(|transport| (transport.name(), 0)).into(),
            ends: BTreeMap::new(),
            errors: 0,
            untold: Vec::new(),
        }))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message that came back as it was to.
    pub(crate) fn round_trip(&self, time: Duration) {
        let mut seen = self.seen();
        seen.messages += 1;
        seen.round_trips.saturating_record(time.as_micros() as u64);
    }

    /// A message that came as it was to.
    pub(crate) fn message(&self) {
        self.seen().messages += 1;
    }

    pub(crate) fn born(&self, kind: &'static str) {
        *self.seen().alive.entry(kind).or_default() += 1;
    }

    pub(crate) fn died(&self, kind: &'static str) {
        *self.seen().alive.entry(kind).or_default() -= 1;
    }

    /// A good client lived to its end.
    pub(crate) fn lived(&self, kind: &'static str, over: Transport) {
        let mut seen = self.seen();
        *seen.lives.entry(kind).or_default() += 1;
        *seen.transports.entry(over.name()).or_default() += 1;
    }

    /// A slow or hostile client ended.
    pub(crate) fn end(&self, how: String) {
        self.ends(how, 1);
    }

    /// So many of them.
    pub(crate) fn ends(&self, how: String, count: u64) {
        if count > 0 {
            *self.seen().ends.entry(how).or_default() += count;
        }
    }

    /// A good client has something to complain of.
    pub(crate) fn error(&self, what: String) {
        let mut seen = self.seen();
        seen.errors += 1;
        seen.untold.push(what);
    }

    /// What was seen up to now, and the latencies since the last time; and errors, once each.
    pub(crate) fn take(&self) -> (Value, Vec<String>) {
        let mut seen = self.seen();
        let any = !seen.round_trips.is_empty();
        let at = |quantile| any.then(|| seen.round_trips.value_at_quantile(quantile));
        let line = json!({
            "alive": seen.alive.values().sum::<i64>(),
            "by_kind": seen.alive,
            "messages": seen.messages,
            "p50_us": at(0.5),
            "p99_us": at(0.99),
            "max_us": any.then(|| seen.round_trips.max()),
            "errors": seen.errors,
            "lives": seen.lives,
            "transports": seen.transports,
            "ends": seen.ends,
        });
        seen.round_trips.reset();
        (line, std::mem::take(&mut seen.untold))
    }
}
