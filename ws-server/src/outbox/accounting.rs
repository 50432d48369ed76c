//! What a connection makes the server hold, and what the server orders it to do about that.

use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tracing::info;

use super::{Outbox, Queued, State, deferred::Locked};
use crate::leaves::{
    budget::{
        Budget, GRANULE, Level,
        account::{Account, Figures, Shared},
        ranking::Holder,
    },
    client::Client,
    log_limiter::Escaped,
};

/// End at once.
pub(super) const EVICT: u8 = 1;
/// Read no more of a client that holds much.
const PAUSE: u8 = 2;
/// Let the extensions give memory back.
const PARK: u8 = 4;
/// The driver's own note: it does not read as it would.
const HELD_UP: u8 = 8;
/// A note for those who look for holders: there is an account. The driver has nothing to do for it.
const HOLDS: u8 = 128;

/// Octet-seconds that are not worth remembering once nothing is held.
const FORGOTTEN: f64 = GRANULE as f64;

/// What the server wants of a driver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orders {
    pub(crate) evict: bool,
    pub(crate) pause: bool,
    pub(crate) park: bool,
    pub(crate) level: Level,
}

impl Outbox {
    fn budget(&self) -> Option<&Budget> {
        self.stats.as_ref().map(|stats| &stats.budget)
    }

    /// Whether there are [`orders`](Self::orders).
    #[inline]
    pub(crate) fn is_ordered(&self) -> bool {
        self.orders.load(Ordering::Relaxed) & !HOLDS != 0
            || self.budget().is_some_and(|budget| budget.level() != Level::Calm)
    }

    pub(crate) fn orders(&self) -> Orders {
        let orders = self.orders.fetch_and(!PARK, Ordering::AcqRel);
        let is = |order: u8| orders & order != 0;
        let level = self.budget().map_or(Level::Calm, Budget::level);
        Orders { evict: is(EVICT), pause: is(PAUSE), park: is(PARK), level }
    }

    /// Notes whether the driver reads less than it would, so that it is woken when that ends.
    pub(crate) fn set_held_up(&self, held_up: bool) {
        match held_up {
            true => self.orders.fetch_or(HELD_UP, Ordering::SeqCst),
            false => self.orders.fetch_and(!HELD_UP, Ordering::SeqCst),
        };
    }

    /// Asks for what the level calls for, since nothing else happens here.
    pub(crate) fn relieve(&self) {
        if let Some(budget) = self.budget() {
            budget.relieve();
        }
    }

    /// Counts what the driver holds, and what waits in the queues.
    #[cold]
    pub(crate) fn count_held(&self, driver: Figures, shared: usize, now: Instant) {
        self.count(now, |state, own, both| {
            (own.receiving, own.sending, own.extensions) =
                (driver.receiving, driver.sending, driver.extensions);
            own.transport = driver.transport;
            both.sending = shared;
            state.count_queued(own, both);
        });
    }

    /// Counts what waits in the queues.
    #[cold]
    pub(crate) fn count_waiting(&self, now: Instant) {
        self.count(now, State::count_queued);
    }

    /// Counts what is kept of the request.
    pub(crate) fn count_request(&self) {
        let octets = self.request.memory_usage();
        if octets >= GRANULE {
            self.count(Instant::now(), |_, own, _| own.request = octets);
        }
    }

    fn count(&self, now: Instant, change: impl FnOnce(&State, &mut Figures, &mut Shared)) {
        let mut state = self.state();
        if self.account(&mut state, now, change) {
            drop(state);
            self.relieve();
        }
    }

    /// Changes the account. Returns whether the budget is to be relieved, once nothing is locked.
    fn account(
        &self,
        state: &mut Locked<'_>,
        now: Instant,
        change: impl FnOnce(&State, &mut Figures, &mut Shared),
    ) -> bool {
        let Some(budget) = self.budget().filter(|_| !state.left) else { return false };
        let mut account = state.account.take().unwrap_or_else(|| {
            self.orders.fetch_or(HOLDS, Ordering::Relaxed);
            Box::new(Account::new(now))
        });
        let relieve = account.set(budget, now, |own, shared| change(state, own, shared));
        if account.is_empty() {
            // A connection at rest keeps nothing.
            self.orders.fetch_and(!HOLDS, Ordering::Relaxed);
            self.remember(budget, &account, now);
        } else {
            state.account = Some(account);
        }
        relieve
    }

    fn remember(&self, budget: &Budget, account: &Account, now: Instant) {
        let score = account.score(now);
        if score >= FORGOTTEN {
            budget.remember(self.client(), score, now);
        }
    }

    fn client(&self) -> Option<Client> {
        Client::of(self.request.peer())
    }

    /// Counts what waits in the queues, if that has changed much and the driver may not do it soon.
    #[cold]
    pub(super) fn note_waiting(&self, state: &mut Locked<'_>) {
        if self.stats.is_none() {
            return;
        }
        let (mut own, mut shared) = state.account.as_ref().map_or_else(Default::default, |it| {
            let own = it.counted();
            (own, it.shared())
        });
        let before = (own.queued, shared.queued);
        state.count_queued(&mut own, &mut shared);
        let little = |before: usize, after: usize| {
            before.abs_diff(after) < GRANULE && (after > 0 || before == 0)
        };
        if little(before.0, own.queued) && little(before.1, shared.queued) {
            return;
        }
        let count = |_: &State, to: &mut Figures, both: &mut Shared| {
            (to.queued, both.queued) = (own.queued, shared.queued);
        };
        if self.account(state, Instant::now(), count)
            && let Some(stats) = &self.stats
        {
            state.deferred.relieve(stats);
        }
    }

    /// Takes back what was counted, since the connection is no longer listed. Nothing more is counted.
    pub(crate) fn settle_account(&self) {
        let mut state = self.state();
        let now = Instant::now();
        let mut relieve = false;
        if state.account.is_some() {
            relieve = self.account(&mut state, now, |_, own, shared| {
                (*own, *shared) = Default::default();
            });
        }
        state.left = true;
        drop(state);
        if relieve {
            self.relieve();
        }
    }

    /// What it holds, for those who rank. `Err` are octets that will soon be free, since it has to end.
    pub(crate) fn holder(&self, now: Instant) -> Option<Result<Holder, usize>> {
        if self.orders.load(Ordering::Relaxed) & HOLDS == 0 {
            return None;
        }
        let state = self.state();
        let account = state.account.as_ref()?;
        let (own, score) = (account.own(), account.score(now));
        drop(state);
        if self.orders.load(Ordering::Relaxed) & EVICT != 0 {
            return Some(Err(own));
        }
        Some(Ok(Holder { client: self.client(), score, own }))
    }

    /// Whether its extensions may have something to give back.
    pub(crate) fn has_contexts(&self) -> bool {
        let state = self.state();
        state.account.as_ref().is_some_and(|account| account.counted().extensions >= GRANULE)
    }

    /// Orders the driver to let its extensions give memory back.
    pub(crate) fn order_park(&self) {
        self.orders.fetch_or(PARK, Ordering::SeqCst);
        self.wake_task();
    }

    /// Orders the driver to read no more, or to go on.
    pub(crate) fn order_pause(&self, pause: bool) {
        let before = self.orders.load(Ordering::SeqCst);
        match (pause, before & PAUSE != 0) {
            (true, false) => _ = self.orders.fetch_or(PAUSE, Ordering::SeqCst),
            (false, true) => _ = self.orders.fetch_and(!PAUSE, Ordering::SeqCst),
            (true, true) | (false, false) => {}
        }
        let is_full = || self.budget().is_some_and(|budget| budget.level() == Level::Full);
        if !pause && before & HELD_UP != 0 && !is_full() {
            self.wake_task();
        }
    }

    /// Drops everything that waits, and orders the driver to end at once. Returns whether it had no such
    /// order before.
    #[cold]
    pub(crate) fn evict(&self) -> bool {
        let mut locked = self.state();
        if locked.left || self.orders.fetch_or(EVICT, Ordering::SeqCst) & EVICT != 0 {
            return false;
        }
        let held = locked.account.as_ref().map_or(0, |account| account.own());
        let (state, deferred) = locked.parts();
        state.reject_waiters(deferred);
        let own: Vec<Queued> = state.outbound.drain().collect();
        let broadcasts = state.broadcasts.as_mut().map(|broadcasts| broadcasts.queue.take_all());
        let delivered = state.detached.as_mut().map(|detached| {
            detached.queued = Default::default();
            std::mem::take(&mut detached.delivered)
        });
        state.outbound_bytes = 0;
        state.dropped = true;
        self.waiting.store(state.waiting(), Ordering::Release);
        locked.deferred.driver = locked.driver.clone();
        // The survey that called this looks at the level itself.
        let _ = self.account(&mut locked, Instant::now(), |_, own, shared| {
            (own.queued, shared.queued) = (0, 0);
        });
        drop(locked);
        drop((own, broadcasts, delivered));
        if let Some(stats) = &self.stats {
            stats.budget.note_evicted();
            if let Some(left_out) = stats.client_log.admit() {
                let (id, path) = (self.id.0, Escaped(self.request.path()));
                info!(
                    id, peer = %self.request.peer(), %path, held, left_out,
                    "closing with 1013: max_memory is reached, and this client is among those that have held most"
                );
            }
        }
        true
    }
}

impl State {
    /// The octets that wait in the queues: those of this connection, and those of messages to many.
    fn count_queued(&self, own: &mut Figures, shared: &mut Shared) {
        let mut to_many = 0;
        if let Some(broadcasts) = &self.broadcasts {
            to_many = broadcasts.queue.payload();
            shared.queued = to_many + broadcasts.behind();
        } else {
            shared.queued = 0;
        }
        let in_line = self.waiters.as_ref().map_or(0, |waiters| waiters.bytes());
        own.queued = self.outbound_bytes - to_many + in_line;
    }
}
