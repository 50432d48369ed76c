//! What one connection holds, and has held.

use std::time::Duration;

use tokio::time::Instant;

use super::{Budget, Kind};

/// After so long what was held counts half.
pub(crate) const HALF_LIFE: Duration = Duration::from_secs(30);

/// What one connection holds alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Of messages that are received: unfinished, or ahead of the handler.
    pub(crate) receiving: usize,
    /// What the driver has taken from the queues and not written.
    pub(crate) sending: usize,
    /// What waits in the queues.
    pub(crate) queued: usize,
    pub(crate) extensions: usize,
    /// What is kept of the request.
    pub(crate) request: usize,
    /// What waits below the connection's stream.
    pub(crate) transport: usize,
}

impl Figures {
    /// With their kinds. What connections share is counted with the message.
    fn by_kind(self) -> [(Kind, usize); 6] {
        [
            (Kind::Receiving, self.receiving),
            (Kind::Sending, self.sending),
            (Kind::Sending, self.queued),
            (Kind::Extensions, self.extensions),
            (Kind::Requests, self.request),
            (Kind::Transport, self.transport),
        ]
    }

    pub(crate) fn sum(self) -> usize {
        self.by_kind().into_iter().map(|(_, octets)| octets).fold(0, usize::saturating_add)
    }
}

/// What it holds together with others: messages to many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shared {
    /// In the queues.
    pub(crate) queued: usize,
    /// In frames that were not written.
    pub(crate) sending: usize,
}

/// What one connection holds, as it was counted last, and its octet-seconds.
#[derive(Debug)]
pub(crate) struct Account {
    counted: Figures,
    shared: Shared,
    score: Score,
}

/// Octets times the seconds that they were held, which fade.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score {
    octet_seconds: f64,
    since: Instant,
}

impl Score {
    pub(crate) fn new(now: Instant) -> Self {
        Self { octet_seconds: 0.0, since: now }
    }

    /// Adds the time until now, in which so many octets were held.
    pub(crate) fn advance(&mut self, held: usize, now: Instant) {
        self.octet_seconds = self.at(held, now);
        self.since = self.since.max(now);
    }

    /// The octet-seconds at a time, if so many octets are held until then.
    pub(crate) fn at(&self, held: usize, now: Instant) -> f64 {
        let half_lives =
            now.saturating_duration_since(self.since).as_secs_f64() / HALF_LIFE.as_secs_f64();
        let left = (-half_lives).exp2();
        // The integral of what is left of each octet's every moment.
        let whole = HALF_LIFE.as_secs_f64() / std::f64::consts::LN_2;
        self.octet_seconds * left + held as f64 * whole * (1.0 - left)
    }

    pub(crate) fn add(&mut self, octet_seconds: f64) {
        self.octet_seconds += octet_seconds;
    }
}

impl Account {
    pub(crate) fn new(now: Instant) -> Self {
        let (counted, shared) = Default::default();
        Self { counted, shared, score: Score::new(now) }
    }

    /// Counts the figures that `change` sets, and the octets held together with others. Returns whether
    /// the budget is to be [relieved](Budget::relieve).
    #[must_use]
    pub(crate) fn set(
        &mut self,
        budget: &Budget,
        now: Instant,
        change: impl FnOnce(&mut Figures, &mut Shared),
    ) -> bool {
        self.score.advance(self.charged(), now);
        let before = self.counted;
        change(&mut self.counted, &mut self.shared);
        let mut relieve = false;
        let changes = before.by_kind().into_iter().zip(self.counted.by_kind());
        for ((kind, before), (_, after)) in changes.filter(|(before, after)| before != after) {
            relieve |= budget.count(kind, before, after);
        }
        relieve
    }

    pub(crate) fn counted(&self) -> Figures {
        self.counted
    }

    pub(crate) fn shared(&self) -> Shared {
        self.shared
    }

    /// Octets that are free once the connection is over.
    pub(crate) fn own(&self) -> usize {
        self.counted.sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counted == Figures::default() && self.shared == Shared::default()
    }

    /// Octets that count in the ranking: what it holds together with others too, since this client does
    /// not take it.
    fn charged(&self) -> usize {
        self.own().saturating_add(self.shared.queued).saturating_add(self.shared.sending)
    }

    /// Its octet-seconds.
    pub(crate) fn score(&self, now: Instant) -> f64 {
        self.score.at(self.charged(), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn much_for_a_moment_weighs_less_than_little_for_long() {
        let start = Instant::now();
        let upload = Score::new(start).at(1 << 20, after(start, 2.0));
        let holder = Score::new(start).at(100 << 10, after(start, 60.0));
        assert!(upload < holder, "{upload} {holder}");
        // For short times it is the product.
        assert!((upload / (2.0 * f64::from(1 << 20)) - 1.0).abs() < 0.03);
    }

    #[test]
    fn steps_of_time_make_no_difference() {
        let start = Instant::now();
        let mut steps = Score::new(start);
        for step in 1..=600 {
            steps.advance(5000, after(start, f64::from(step) / 10.0));
        }
        let whole = Score::new(start).at(5000, after(start, 60.0));
        assert!((steps.at(0, after(start, 60.0)) / whole - 1.0).abs() < 1e-6);
        let later = steps.at(0, after(start, 90.0));
        assert!((later / whole - 0.5).abs() < 1e-6, "half of it fades in half a minute");
        // A clock that goes back adds nothing.
        steps.advance(1 << 30, start);
        assert!((steps.at(0, after(start, 60.0)) / whole - 1.0).abs() < 1e-6);
    }

    #[test]
    fn account_gives_everything_back() {
        let (start, budget) = (Instant::now(), Budget::default());
        let mut account = Account::new(start);
        let _ = account.set(&budget, start, |own, shared| {
            (own.receiving, own.sending, own.queued, own.extensions) = (1000, 200, 10, 30);
            (own.request, own.transport) = (4, 5);
            *shared = Shared { queued: 1 << 20, sending: 100 };
        });
        assert_eq!((account.own(), budget.total()), (1249, 1249));
        let held = budget.held();
        assert_eq!((held.receiving, held.sending, held.extensions), (1000, 210, 30));
        assert_eq!((held.requests, held.transport, held.shared), (4, 5, 0));
        let score = account.score(after(start, 1.0));
        assert!(score > f64::from(1 << 20) * 0.98, "what it shares counts in the ranking: {score}");
        let _ = account.set(&budget, after(start, 1.0), |own, shared| {
            (*own, *shared) = Default::default();
        });
        assert!(account.is_empty() && budget.total() == 0);
        assert!(account.score(after(start, 2.0)) > 0.9 * score);
    }
}
