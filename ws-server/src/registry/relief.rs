//! Keeps what clients make the server hold within its bound: who pauses, and who is closed.

use std::{
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use tokio::time::Instant;

use super::Registry;
use crate::{
    leaves::budget::{
        Level, Relief,
        ranking::{Holder, Ranking},
    },
    outbox::Outbox,
};

/// As long as the level stays, no survey follows another one sooner.
const PAUSED: Duration = Duration::from_millis(200);
/// The same at the bound: those who were closed need a moment to go.
const CLOSED: Duration = Duration::from_millis(2);
/// The same after a survey that found nobody to close.
const IN_VAIN: Duration = Duration::from_millis(10);

/// The last look at all connections. One task at a time takes it.
#[derive(Default)]
pub(super) struct Survey(Mutex<Option<Last>>);

#[derive(Clone, Copy)]
struct Last {
    at: Instant,
    level: Level,
    /// Whether it closed anybody.
    closed: bool,
}

impl Last {
    fn is_enough(self, level: Level, now: Instant) -> bool {
        let until = match level {
            Level::Full if self.closed => CLOSED,
            Level::Full => IN_VAIN,
            Level::Near | Level::Calm => PAUSED,
        };
        self.level == level && now.saturating_duration_since(self.at) < until
    }
}

impl Registry {
    /// Bounds what clients make the server hold.
    pub(crate) fn bound_memory(self: &Arc<Self>, limit: Option<usize>) {
        let relief: Weak<Self> = Arc::downgrade(self);
        self.stats.budget.begin(limit, relief);
    }

    /// Looks at all who hold something, and gives orders by the level.
    fn survey(&self, level: Level, now: Instant) -> Last {
        let budget = &self.stats.budget;
        let mut holders: Vec<(Arc<Outbox>, Holder)> = Vec::new();
        let mut going = 0_usize;
        self.each(|outbox| match outbox.holder(now) {
            Some(Ok(holder)) => holders.push((outbox, holder)),
            Some(Err(octets)) => going = going.saturating_add(octets),
            // Who paused and gave everything back goes on.
            None => outbox.order_pause(false),
        });
        let ranking = budget.departed(|departed| {
            let all = holders.iter().map(|(_, holder)| *holder);
            Ranking::new(all, |client| departed.of(client, now))
        });
        let staying = budget.total().saturating_sub(going);
        let mut closed = false;
        if level == Level::Full {
            for place in ranking.first(staying.saturating_sub(budget.relieved())) {
                closed |= holders.get(place).is_some_and(|(outbox, _)| outbox.evict());
            }
        }
        let mut pause = vec![false; holders.len()];
        if level != Level::Calm {
            // Those who would have to go for the level to be calm.
            for place in ranking.first(staying.saturating_sub(budget.calm())) {
                if let Some(pause) = pause.get_mut(place) {
                    *pause = true;
                }
            }
        }
        for ((outbox, _), pause) in holders.iter().zip(pause) {
            outbox.order_pause(pause);
            if level != Level::Calm && outbox.has_contexts() {
                outbox.order_park();
            }
        }
        Last { at: now, level, closed }
    }
}

impl Relief for Registry {
    fn relieve(&self, now: Instant) {
        let budget = &self.stats.budget;
        // Another task is at it. Those who pause ask again.
        let Ok(mut last) = self.survey.0.try_lock() else { return };
        // The level may have changed meanwhile.
        for _ in 0..4 {
            let level = budget.level();
            if last.is_some_and(|last| last.is_enough(level, now)) {
                return;
            }
            *last = Some(self.survey(level, now));
            if budget.level() == level {
                return;
            }
        }
    }
}
