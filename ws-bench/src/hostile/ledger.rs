//! What an attack has cost the attacker, and how the server answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts an attack while it runs. A clone counts the same attack.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    began: Instant,
    octets: AtomicU64,
    connections: AtomicU64,
    failed: AtomicU64,
    answers: Mutex<Answers>,
}

#[derive(Clone, Debug, Default)]
struct Answers {
    statuses: BTreeMap<u16, u64>,
    closes: BTreeMap<u16, u64>,
    ended: Option<Duration>,
}

/// The attacker's cost, and the server's answers.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// The octets that the attacker wrote into its sockets. Some may still be in them.
    pub octets: u64,
    /// The connections of TCP that were established.
    pub connections: u64,
    /// The connections that the system refused or did not establish.
    pub failed: u64,
    /// How often the server answered a request with which status; 101 is an opened WebSocket.
    pub statuses: BTreeMap<u16, u64>,
    /// How often the server closed with which code; 1005 where its Close had none.
    pub closes: BTreeMap<u16, u64>,
    /// How long it has lasted.
    pub time: Duration,
}

impl Default for Ledger {
    fn default() -> Self {
        Self(Arc::new(Counts {
            began: Instant::now(),
            octets: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            answers: Mutex::default(),
        }))
    }
}

impl Ledger {
    /// The costs up to now.
    pub fn cost(&self) -> Cost {
        let answers = self.answers(|answers| answers.clone());
        Cost {
            octets: self.0.octets.load(Ordering::Relaxed),
            connections: self.0.connections.load(Ordering::Relaxed),
            failed: self.0.failed.load(Ordering::Relaxed),
            statuses: answers.statuses,
            closes: answers.closes,
            time: answers.ended.unwrap_or_else(|| self.0.began.elapsed()),
        }
    }

    pub(super) fn wrote(&self, octets: usize) {
        self.0.octets.fetch_add(octets as u64, Ordering::Relaxed);
    }

    pub(super) fn connected(&self) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn status(&self, status: u16) {
        self.answers(|answers| *answers.statuses.entry(status).or_default() += 1);
    }

    pub(super) fn closed(&self, code: u16) {
        self.answers(|answers| *answers.closes.entry(code).or_default() += 1);
    }

    pub(super) fn ended(&self) {
        let time = self.0.began.elapsed();
        self.answers(|answers| answers.ended = Some(time));
    }

    fn answers<T>(&self, look: impl FnOnce(&mut Answers) -> T) -> T {
        look(&mut self.0.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
