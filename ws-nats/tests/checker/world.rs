//! What all clients and publishers of a run share.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::sync::watch;

use crate::ledger::{Event, Fate, Id, Publication, TopicNumber};

/// What clients and publishers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Publishers publish, clients come and go.
    Busy,
    /// As `Busy`; those clients that can be away are.
    SomeAway,
    /// Nobody publishes, and clients stay where they are.
    Quiet,
    Over,
}

pub(crate) struct World {
    pub(crate) topics: Vec<String>,
    /// Where nodes listen; `None` is one that was killed.
    pub(crate) urls: watch::Sender<Vec<Option<String>>>,
    pub(crate) mode: watch::Sender<Mode>,
    pub(crate) publications: Mutex<Vec<Publication>>,
    pub(crate) connections: AtomicU64,
}

/// The events of one client in one topic, as they come.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) events: Mutex<Vec<Event>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(topics: usize, urls: Vec<Option<String>>) -> Self {
        Self {
            topics: (0..topics).map(|number| format!("t.{number}")).collect(),
            urls: watch::Sender::new(urls),
            mode: watch::Sender::new(Mode::Busy),
            publications: Mutex::default(),
            connections: AtomicU64::new(0),
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    /// A node that lives: this one, or the next.
    pub(crate) fn node(&self, wanted: usize) -> Option<(usize, String)> {
        let urls = self.urls.borrow();
        let count = urls.len();
        (0..count)
            .map(|step| (wanted + step) % count)
            .find_map(|node| Some((node, urls[node].clone()?)))
    }

    pub(crate) fn topic(&self, name: &str) -> Option<TopicNumber> {
        name.strip_prefix("t.")?.parse().ok()
    }

    pub(crate) fn connection(&self) -> u64 {
        self.connections.fetch_add(1, Relaxed)
    }

    /// A new publication, whose fate is unknown by now.
    pub(crate) fn publication(&self, topic: TopicNumber, connection: u64, node: usize) -> Id {
        let mut publications = lock(&self.publications);
        let id = publications.len() as Id;
        let node = Some(node);
        publications.push(Publication { id, topic, fate: Fate::Unknown, connection, node });
        id
    }

    pub(crate) fn fate(&self, id: Id, fate: Fate) {
        lock(&self.publications)[id as usize].fate = fate;
    }
}

/// The body of a publication: what it says is known by its number.
pub(crate) fn body(id: Id) -> String {
    let mixed = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let size = if mixed.is_multiple_of(97) { 6000 } else { 16 + mixed % 200 };
    format!("{id} {}", "x".repeat(size as usize))
}

/// The number of a body, if it is whole.
pub(crate) fn id(text: &str) -> Option<Id> {
    let id = text.split_once(' ')?.0.parse().ok()?;
    (body(id) == text).then_some(id)
}

/// Numbers that are the same in every run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }
}
