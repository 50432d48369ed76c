//! Who goes first: those who hold most, by client and by time.

use std::collections::HashMap;

use crate::leaves::client::Client;

/// A connection that holds something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    /// `None` is a client of its own.
    pub(crate) client: Option<Client>,
    /// Its octet-seconds.
    pub(crate) score: f64,
    /// Octets that are free once it is closed.
    pub(crate) own: usize,
}

/// Connections by client, those first that hold most: each with its place in the list that it was made
/// of.
pub(crate) struct Ranking {
    accounts: Vec<Account>,
}

struct Account {
    /// Of all its connections, and of those that have ended.
    score: f64,
    /// Its connections, by their own scores.
    holders: Vec<(usize, Holder)>,
}

impl Ranking {
    /// `departed` is what is left of the score of a client's connections that have ended.
    pub(crate) fn new(
        holders: impl IntoIterator<Item = Holder>,
        departed: impl Fn(Client) -> f64,
    ) -> Self {
        let mut accounts: Vec<Account> = Vec::new();
        let mut known = HashMap::new();
        for (place, holder) in holders.into_iter().enumerate() {
            let at = match holder.client {
                None => accounts.len(),
                Some(client) => *known.entry(client).or_insert(accounts.len()),
            };
            if at == accounts.len() {
                let score = holder.client.map_or(0.0, &departed);
                accounts.push(Account { score, holders: Vec::new() });
            }
            if let Some(account) = accounts.get_mut(at) {
                account.score += holder.score;
                account.holders.push((place, holder));
            }
        }
        accounts.sort_by(|one, two| two.score.total_cmp(&one.score));
        for account in &mut accounts {
            account.holders.sort_by(|(_, one), (_, two)| two.score.total_cmp(&one.score));
        }
        Self { accounts }
    }

    /// The places of those who go so that so many octets become free, in that order.
    pub(crate) fn first(&self, octets: usize) -> impl Iterator<Item = usize> {
        let mut left = octets;
        let holders = self.accounts.iter().flat_map(|account| &account.holders);
        // Who has nothing of his own makes no room.
        holders.filter(|(_, holder)| holder.own > 0).map_while(move |(place, holder)| {
            let before = left;
            left = left.saturating_sub(holder.own);
            (before > 0).then_some(*place)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;
    use crate::leaves::budget::account::{HALF_LIFE, Score};

    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;

    fn client(n: usize) -> Client {
        Client::V4(Ipv4Addr::from_bits(n as u32))
    }

    /// What a connection holds over time: from each of these seconds on, so many octets.
    #[derive(Clone, Debug)]
    struct Life {
        client: usize,
        steps: Vec<(f64, usize)>,
    }

    impl Life {
        fn new(client: usize, steps: &[(f64, usize)]) -> Self {
            Self { client, steps: steps.to_vec() }
        }

        /// As it is counted: at each change.
        fn holder(&self, start: Instant, end: f64) -> Holder {
            let at = |seconds| start + Duration::from_secs_f64(seconds);
            let (mut score, mut held) = (Score::new(start), 0);
            for (from, octets) in self.steps.iter().filter(|(from, _)| *from <= end) {
                score.advance(held, at(*from));
                held = *octets;
            }
            Holder { client: Some(client(self.client)), score: score.at(held, at(end)), own: held }
        }

        /// Its octet-seconds, added up moment by moment.
        fn octet_seconds(&self, end: f64) -> f64 {
            const STEP: f64 = 0.1;
            let moments = (0..(end / STEP) as usize).map(|n| (n as f64 + 0.5) * STEP);
            moments
                .map(|moment| {
                    let held = self.steps.iter().rev().find(|(from, _)| *from <= moment);
                    let fades = (-(end - moment) / HALF_LIFE.as_secs_f64()).exp2();
                    held.map_or(0, |(_, octets)| *octets) as f64 * fades * STEP
                })
                .sum()
        }
    }

    /// Who goes so that so many octets become free.
    fn first(lives: &[Life], end: f64, octets: usize) -> Vec<usize> {
        let start = Instant::now();
        let holders = lives.iter().map(|life| life.holder(start, end));
        Ranking::new(holders, |_| 0.0).first(octets).collect()
    }

    fn life() -> impl Strategy<Value = Life> {
        let step = (0.1..20.0, prop_oneof![Just(0), 1..100 * KIB, 1..4 * MIB]);
        (0..12_usize, 0.0..40.0, prop::collection::vec(step, 1..6)).prop_map(
            |(client, begin, steps)| {
                let mut now = begin;
                let steps = steps.into_iter().map(|(lasts, held)| {
                    let from = now;
                    now += lasts;
                    (from, held)
                });
                Life { client, steps: steps.collect() }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

        /// Nobody goes while somebody stays who has held more, of all who hold anything.
        #[test]
        fn nobody_goes_before_who_has_held_more(
            lives in prop::collection::vec(life(), 1..40),
            end in 20.0..100.0,
            octets in 1..20 * MIB,
        ) {
            let mut of_client = HashMap::<usize, f64>::new();
            for life in &lives {
                *of_client.entry(life.client).or_default() += life.octet_seconds(end);
            }
            let start = Instant::now();
            let own = |place: usize| lives[place].holder(start, end).own;
            let gone = first(&lives, end, octets);
            let stays = |place: &usize| !gone.contains(place) && own(*place) > 0;
            for stays in (0..lives.len()).filter(stays) {
                for goes in &gone {
                    let (one, two) = (lives[*goes].client, lives[stays].client);
                    prop_assert!(of_client[&one] >= of_client[&two] * 0.99 - 5e5);
                }
            }
            // As few as that takes, and all if they hold less.
            let freed: usize = gone.iter().map(|place| own(*place)).sum();
            let all: usize = (0..lives.len()).map(own).sum();
            prop_assert!(freed >= octets.min(all));
            if let Some((_, others)) = gone.split_last() {
                prop_assert!(others.iter().map(|place| own(*place)).sum::<usize>() < octets);
            }
        }

        /// An upload that goes on and ends is not chosen, whatever the number of those who hold a tenth
        /// of it or more for a minute, each from an address of its own, and whoever holds more beside them.
        #[test]
        fn crowd_never_goes_after_an_upload(
            crowd in prop::collection::vec((100 * KIB..MIB, 0.0..30.0), 100..1000),
            large in prop::collection::vec((MIB..50 * MIB, 0.0..80.0), 0..5),
            seconds in 0.5..5.0,
            share in 0.0..0.8,
        ) {
            let end = 90.0;
            let upload = (0..100).map(|n| {
                let part = f64::from(n) / 100.0;
                (end - seconds * (1.0 - part), (part * MIB as f64) as usize)
            });
            let mut lives = vec![Life { client: 0, steps: upload.collect() }];
            for (nth, (octets, from)) in crowd.iter().chain(&large).enumerate() {
                lives.push(Life::new(nth + 1, &[(*from, *octets)]));
            }
            let all: usize = crowd.iter().chain(&large).map(|(octets, _)| octets).sum();
            let gone = first(&lives, end, (all as f64 * share) as usize);
            prop_assert!(!gone.contains(&0));
        }
    }

    #[test]
    fn connections_of_a_client_count_together_and_its_departed_ones() {
        let many: Vec<Life> = (0..20).map(|_| Life::new(1, &[(0.0, 100 * KIB)])).collect();
        let lives = [vec![Life::new(2, &[(0.0, MIB)])], many].concat();
        assert_eq!(first(&lives, 10.0, 500 * KIB), [1, 2, 3, 4, 5]);
        let all = lives.iter().map(|life| life.holder(Instant::now(), 10.0));
        let ranking = Ranking::new(all, |of| if of == client(2) { 1e9 } else { 0.0 });
        assert_eq!(ranking.first(500 * KIB).collect::<Vec<_>>(), [0]);
        assert_eq!(ranking.first(0).count(), 0);
        assert_eq!(ranking.first(usize::MAX).count(), 21);
    }

    #[test]
    fn sockets_without_an_address_are_clients_of_their_own() {
        let holder = |score| Holder { client: None, score, own: 10 };
        let ranking = Ranking::new([1.0, 3.0, 2.0].map(holder), |_| 0.0);
        assert_eq!(ranking.first(15).collect::<Vec<_>>(), [1, 2]);
    }
}
