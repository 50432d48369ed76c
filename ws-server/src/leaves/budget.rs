//! What clients make a server hold, and the bound for all of it.
//!
//! Who holds something counts it here when it has changed by [`GRANULE`] or more, and takes it back when
//! it is given back: so the totals are exact to a granule for each connection, and return to zero. A
//! connection at rest with nothing held, and one that echoes small messages, never comes here.
//!
//! From three quarters of the bound on, the registry looks for those who hold most ([`ranking`]), and
//! their reading pauses; at the bound they are closed.

pub(crate) mod account;
pub(crate) mod charge;
mod departed;
mod machine;
pub(crate) mod ranking;

use std::sync::{
    Mutex, OnceLock, PoisonError, Weak,
    atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::SeqCst},
};

use tokio::time::Instant;
use tracing::info;
use ws_core::UNLIMITED;

use self::departed::Departed;
use super::client::Client;
use crate::Held;

/// Octets by which a figure has to change to be counted again: about what every connection takes.
pub(crate) const GRANULE: usize = 2048;

/// What is held, by what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Receiving,
    Sending,
    Shared,
    Extensions,
    Requests,
    Transport,
}

const KINDS: usize = 6;

/// How near the bound the total is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Calm,
    /// From 3/4 on, until less than 5/8 is left.
    Near,
    /// From the bound on, until less than 7/8 is left.
    Full,
}

impl Level {
    fn of(octet: u8) -> Self {
        match octet {
            0 => Self::Calm,
            1 => Self::Near,
            _ => Self::Full,
        }
    }
}

/// What a server's clients make it hold, and how much that may be.
pub(crate) struct Budget {
    held: Totals,
    level: AtomicU8,
    limit: AtomicUsize,
    /// Connections that were closed for it.
    evicted: AtomicU64,
    relief: OnceLock<Weak<dyn Relief>>,
    departed: Mutex<Departed>,
}

/// Apart from everything else that threads write.
#[derive(Default)]
#[repr(align(128))]
struct Totals([AtomicUsize; KINDS]);

/// Who can relieve a budget: the registry, which knows all connections.
pub(crate) trait Relief: Send + Sync {
    /// Acts on the level: pauses, closes, or lets go on.
    fn relieve(&self, now: Instant);
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            held: Totals::default(),
            level: AtomicU8::new(0),
            limit: AtomicUsize::new(UNLIMITED),
            evicted: AtomicU64::new(0),
            relief: OnceLock::new(),
            departed: Mutex::default(),
        }
    }
}

impl Budget {
    /// Sets the bound, `None` a quarter of what this process may use, and who keeps it.
    pub(crate) fn begin(&self, limit: Option<usize>, relief: Weak<dyn Relief>) {
        let max_memory = match limit {
            Some(UNLIMITED) => {
                info!(
                    "max_memory is lifted: nothing bounds what all clients together make the server hold"
                );
                UNLIMITED
            }
            Some(max_memory) => {
                info!(max_memory, "clients may make the server hold so many bytes");
                max_memory
            }
            None => {
                let machine::Allowed { bytes, by } = machine::allowed();
                let max_memory = usize::try_from(bytes / 4).unwrap_or(UNLIMITED / 4).max(1);
                info!(
                    max_memory,
                    "clients may make the server hold so many bytes: a quarter of the {bytes} that \
                     this process may use according to {by}; see ServerLimits::max_memory"
                );
                max_memory
            }
        };
        self.limit.store(max_memory, SeqCst);
        self.relief.set(relief).ok();
    }

    /// The bound.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(SeqCst)
    }

    /// How near the bound the total is.
    #[inline]
    pub(crate) fn level(&self) -> Level {
        Level::of(self.level.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Counts what one holder holds of a kind, in place of what it held before. Returns whether
    /// [`relieve`](Self::relieve) is due, for which no lock may be held.
    #[must_use]
    pub(crate) fn count(&self, kind: Kind, before: usize, now: usize) -> bool {
        let held = &self.held.0[kind as usize];
        // Each holder takes back what it has counted, and nothing else.
        if now >= before {
            held.fetch_add(now - before, SeqCst);
        } else {
            held.fetch_sub(before - now, SeqCst);
        }
        self.settle(now > before)
    }

    /// Brings the level up to date. Returns whether that has to be acted on.
    fn settle(&self, more: bool) -> bool {
        let limit = self.limit();
        let mut changed = false;
        // Whoever changed the level looks at the totals once more, so that the last one sees all of
        // them.
        loop {
            let (level, total) = (self.level.load(SeqCst), self.total());
            let next = match Level::of(level) {
                _ if total >= limit => Level::Full,
                Level::Full if total >= eighths(limit, 7) => Level::Full,
                Level::Calm if total < eighths(limit, 6) => Level::Calm,
                _ if total >= eighths(limit, 5) => Level::Near,
                _ => Level::Calm,
            };
            if next == Level::of(level) {
                return changed || (more && total >= limit);
            }
            changed |= self.level.compare_exchange(level, next as u8, SeqCst, SeqCst).is_ok();
        }
    }

    /// Acts on the level. No lock may be held.
    #[cold]
    pub(crate) fn relieve(&self) {
        if let Some(relief) = self.relief.get().and_then(Weak::upgrade) {
            relief.relieve(Instant::now());
        }
    }

    /// Octets in all.
    pub(crate) fn total(&self) -> usize {
        self.held.0.iter().map(|held| held.load(SeqCst)).fold(0, usize::saturating_add)
    }

    /// Octets by kind.
    pub(crate) fn held(&self) -> Held {
        let of = |kind: Kind| self.held.0[kind as usize].load(SeqCst);
        Held {
            receiving: of(Kind::Receiving),
            sending: of(Kind::Sending),
            shared: of(Kind::Shared),
            extensions: of(Kind::Extensions),
            requests: of(Kind::Requests),
            transport: of(Kind::Transport),
        }
    }

    /// The total at which those who hold most are closed no more.
    pub(crate) fn relieved(&self) -> usize {
        eighths(self.limit(), 7)
    }

    /// The total below which nobody pauses.
    pub(crate) fn calm(&self) -> usize {
        eighths(self.limit(), 5)
    }

    pub(crate) fn note_evicted(&self) {
        self.evicted.fetch_add(1, SeqCst);
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(SeqCst)
    }

    /// What is remembered of clients whose connections have ended.
    pub(crate) fn departed<T>(&self, act: impl FnOnce(&mut Departed) -> T) -> T {
        act(&mut self.departed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers what a client had held by a connection that has ended.
    pub(crate) fn remember(&self, client: Option<Client>, score: f64, now: Instant) {
        if let Some(client) = client {
            self.departed(|departed| departed.add(client, score, now));
        }
    }
}

fn eighths(limit: usize, n: usize) -> usize {
    // Without overflow, and exact for what anybody sets.
    limit / 8 * n + limit % 8 * n / 8
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicUsize};

    use super::*;

    struct Counted(AtomicUsize);

    impl Relief for Counted {
        fn relieve(&self, _: Instant) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn budget(limit: usize) -> Budget {
        let budget = Budget::default();
        let none: Weak<Counted> = Weak::new();
        budget.begin(Some(limit), none);
        budget
    }

    #[test]
    fn level_has_a_memory_and_returns_to_calm() {
        let budget = budget(800);
        let mut held = 0;
        let mut set = |now: usize| {
            let due = budget.count(Kind::Receiving, held, now);
            held = now;
            (budget.level(), due)
        };
        assert_eq!(set(599), (Level::Calm, false));
        assert_eq!(set(600), (Level::Near, true));
        assert_eq!(set(799), (Level::Near, false));
        assert_eq!(set(800), (Level::Full, true));
        assert_eq!(set(801), (Level::Full, true), "still more");
        assert_eq!(set(700), (Level::Full, false));
        assert_eq!(set(699), (Level::Near, true));
        assert_eq!(set(500), (Level::Near, false));
        assert_eq!(set(499), (Level::Calm, true));
        assert_eq!(set(599), (Level::Calm, false));
        assert_eq!(set(900), (Level::Full, true));
        assert_eq!(set(0), (Level::Calm, true));
        assert_eq!(budget.held(), Held::default());
    }

    #[test]
    fn kinds_add_up_and_a_lifted_bound_is_never_near() {
        let budget = budget(UNLIMITED);
        for (nth, kind) in [
            Kind::Receiving,
            Kind::Sending,
            Kind::Shared,
            Kind::Extensions,
            Kind::Requests,
            Kind::Transport,
        ]
        .into_iter()
        .enumerate()
        {
            assert!(!budget.count(kind, 0, 1 << (40 + nth)));
        }
        assert_eq!((budget.total(), budget.level()), (0b11_1111 << 40, Level::Calm));
        assert_eq!(budget.held().total(), budget.total());
        assert_eq!((budget.held().receiving, budget.held().transport), (1 << 40, 1 << 45));
    }

    #[test]
    fn level_is_that_of_the_totals_once_all_threads_are_done() {
        let budget = Arc::new(budget(64_000));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for round in 0..20_000 {
                        let held = 1000 + round % 9000;
                        let _ = budget.count(Kind::Sending, 0, held);
                        let _ = budget.count(Kind::Sending, held, 0);
                    }
                });
            }
        });
        assert_eq!((budget.total(), budget.level()), (0, Level::Calm));
    }

    #[test]
    fn relief_is_asked_as_long_as_it_is_there() {
        let counted = Arc::new(Counted(AtomicUsize::new(0)));
        let budget = Budget::default();
        budget.relieve();
        let relief: Weak<Counted> = Arc::downgrade(&counted);
        budget.begin(None, relief);
        assert!(budget.limit() > 1 << 20, "a quarter of what there is");
        budget.relieve();
        assert_eq!(counted.0.load(SeqCst), 1);
        drop(counted);
        budget.relieve();
    }

    #[test]
    fn eighths_of_any_limit() {
        for limit in [1, 7, 8, 9, 800, 1 << 30, UNLIMITED] {
            assert!(eighths(limit, 5) <= eighths(limit, 6) && eighths(limit, 7) <= limit);
            assert_eq!(eighths(limit, 8), limit);
        }
        assert_eq!(eighths(15, 7), 13);
    }
}
