//! What clients had held by connections that have ended, so that a new connection forgets nothing.

use std::collections::HashMap;

use tokio::time::Instant;

use super::account::Score;
use crate::leaves::client::Client;

/// Clients that are remembered. Beyond it those that held least are forgotten.
const MOST: usize = 4096;

#[derive(Default)]
pub(crate) struct Departed(HashMap<Client, Score>);

impl Departed {
    /// Adds to what a client had held.
    pub(super) fn add(&mut self, client: Client, octet_seconds: f64, now: Instant) {
        if self.0.len() >= MOST && !self.0.contains_key(&client) {
            self.forget(now);
        }
        let score = self.0.entry(client).or_insert_with(|| Score::new(now));
        score.advance(0, now);
        score.add(octet_seconds);
    }

    /// What is left of it.
    pub(crate) fn of(&self, client: Client, now: Instant) -> f64 {
        self.0.get(&client).map_or(0.0, |score| score.at(0, now))
    }

    /// Forgets half of them.
    fn forget(&mut self, now: Instant) {
        let mut scores: Vec<f64> = self.0.values().map(|score| score.at(0, now)).collect();
        let half = scores.len() / 2;
        let (_, median, _) = scores.select_nth_unstable_by(half, f64::total_cmp);
        let median = *median;
        self.0.retain(|_, score| score.at(0, now) > median);
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;

    fn client(n: usize) -> Client {
        Client::V4(Ipv4Addr::from_bits(n as u32))
    }

    #[test]
    fn it_fades_and_is_bounded() {
        let start = Instant::now();
        let mut departed = Departed::default();
        departed.add(client(0), 1e9, start);
        departed.add(client(0), 1e9, start + Duration::from_secs(30));
        assert_eq!(departed.of(client(0), start + Duration::from_secs(30)), 1.5e9);
        assert_eq!(departed.of(client(1), start), 0.0);
        for n in 0..10 * MOST {
            departed.add(client(n), 1.0 + n as f64 % 100.0, start + Duration::from_secs(30));
            assert!(departed.0.len() <= MOST);
        }
        assert!(departed.of(client(0), start + Duration::from_secs(30)) > 1e9, "the most is kept");
        // Equals too.
        let mut departed = Departed::default();
        for n in 0..2 * MOST {
            departed.add(client(n), 1.0, start);
        }
        assert!(departed.0.len() <= MOST);
    }
}
