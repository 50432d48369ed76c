//! Who lives when: each kind has so many clients at a time, and whoever dies is born anew.

use std::{net::Ipv4Addr, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use ws_bench::json::Random;

use crate::{
    good, hostile,
    life::{Gone, Life, PATIENCE, World},
    slow,
    transport::Transport,
};

type Living = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A kind of clients.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// So many at a time.
    count: usize,
    /// Milliseconds that a life takes at most, and that pass until the next.
    life: usize,
    gap: usize,
    pub(crate) good: bool,
    live: fn(&'static str, Life) -> Living,
}

/// A good kind: its errors are told, and its lives counted.
macro_rules! good {
    ($name:literal, $count:literal, $life:literal, $gap:literal, $live:path) => {
        Kind {
            name: $name,
            count: $count,
            life: $life,
            gap: $gap,
            good: true,
            live: |kind, life| {
                let (world, over) = (Arc::clone(&life.world), life.over);
                Box::pin(async move { told(&world, kind, over, $live(life).await) })
            },
        }
    };
}

fn told(world: &World, kind: &'static str, over: Transport, ended: Result<(), Gone>) {
    match ended {
        Ok(()) => world.tally.lived(kind, over),
        Err(Gone::TurnedAway) => world.tally.end("good: turned away with 503".into()),
        Err(Gone::Complains(what)) => {
            world.tally.error(format!("{kind} over {}: {what}", over.name()));
        }
    }
}

pub(crate) const KINDS: [Kind; 12] = [
    good!("echo", 16, 15_000, 500, good::echo),
    good!("short echo", 4, 800, 400, good::echo),
    good!("idle", 24, 25_000, 1000, good::idle),
    good!("chat", 18, 15_000, 1000, good::chat),
    good!("news", 8, 15_000, 1000, good::news),
    good!("upload", 3, 10_000, 1000, good::upload),
    good!("mirror", 3, 10_000, 1000, good::mirror),
    good!("slow upload", 3, 10_000, 1000, good::slow_upload),
    good!("slow handler", 3, 10_000, 1000, good::lazy),
    good!("pausing", 3, 10_000, 1000, good::pausing),
    good!("refused", 3, 1000, 1000, good::refused),
    Kind {
        name: "slow reader",
        count: 8,
        life: 40_000,
        gap: 2000,
        good: false,
        live: |_, life| {
            let world = Arc::clone(&life.world);
            Box::pin(async move {
                let end = slow::reader(life).await;
                world.tally.end(end.unwrap_or_else(|error| format!("slow: not opened: {error}")));
            })
        },
    },
];

/// Lets clients come and go until then, and returns once all of them have left.
pub(crate) async fn populate(world: Arc<World>, seed: u64, until: Instant) {
    let mut slots = JoinSet::new();
    for (nth, kind) in KINDS.iter().enumerate() {
        for slot in 0..kind.count {
            let random = Random::new(seed ^ (nth as u64) << 32 ^ (slot as u64) << 48);
            slots.spawn(slot_of(Arc::clone(&world), kind, nth as u8, random, until));
        }
    }
    hostile::join(&world, &mut slots, seed, until);
    // Longer than any client waits for anything.
    let all = async { while slots.join_next().await.is_some() {} };
    if timeout_at(until + 3 * PATIENCE, all).await.is_err() {
        world.tally.error(format!("{} clients have not left", slots.len()));
    }
    world.server.good.leave().await;
    world.server.others.leave().await;
}

/// Now and then a client that comes and goes at once, so that the server's threads do what they put off
/// until their next turn: what else would wait for the next client is no leak.
pub(crate) async fn stir(world: Arc<World>, until: Instant) {
    let mut random = Random::new(7);
    while Instant::now() < until {
        for over in [Transport::ALL, Transport::ALL].concat() {
            let life = Life {
                world: Arc::clone(&world),
                random: Random::new(random.number()),
                until: Instant::now(),
                over,
                from: Ipv4Addr::new(127, 9, 0, 1),
            };
            told(&world, "short echo", over, good::echo(life).await);
        }
        world.server.good.leave().await;
        sleep(Duration::from_secs(2)).await;
    }
}

async fn slot_of(
    world: Arc<World>,
    kind: &'static Kind,
    nth: u8,
    mut random: Random,
    until: Instant,
) {
    let millis = |random: &mut Random, most: usize| {
        Instant::now() + Duration::from_millis(random.below(most) as u64)
    };
    // Not all at once.
    sleep_until(millis(&mut random, 3000)).await;
    while Instant::now() < until {
        let life = Life {
            world: Arc::clone(&world),
            until: millis(&mut random, kind.life).min(until),
            over: Transport::ALL[random.below(4)],
            from: Ipv4Addr::new(
                127,
                10 + nth,
                random.below(250) as u8,
                1 + random.below(250) as u8,
            ),
            random: Random::new(random.number()),
        };
        world.tally.born(kind.name);
        (kind.live)(kind.name, life).await;
        world.tally.died(kind.name);
        sleep_until(millis(&mut random, kind.gap).min(until)).await;
    }
}
