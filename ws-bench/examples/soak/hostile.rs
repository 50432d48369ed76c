//! Clients that mean harm: the attacks of `ws_bench::hostile`, a few clients each, over every transport.

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use tokio::{
    io::copy_bidirectional,
    net::TcpListener,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use ws_bench::{
    hostile::{ATTACKS, Attack, Cost, Needs, Scale, Target},
    json::Random,
};

use crate::{life::World, transport::Transport};

/// What keeps a processor busy. One of them at a time, with few clients and for a short time: the good
/// ones have to share two cores with it.
const FLOODS: [&str; 9] = [
    "pings",
    "pings-unread",
    "bombs",
    "bombs-fragmented",
    "bombs-large",
    "small-messages",
    "large-heads",
    "churn",
    "tiny-fragments",
];

/// Attacks of the other kind that go on at a time.
const HOLDERS: usize = 3;

/// Adds the attackers to the clients, until then.
pub(crate) fn join(world: &Arc<World>, slots: &mut JoinSet<()>, seed: u64, until: Instant) {
    let (floods, holders): (Vec<&Attack>, Vec<&Attack>) =
        ATTACKS.iter().partition(|attack| FLOODS.contains(&attack.name));
    let flood = Bounds { connections: 2, longest: 1500, pause: 3000 };
    slots.spawn(attackers(Arc::clone(world), floods, flood, seed ^ 1, until));
    for nth in 0..HOLDERS {
        let bounds = Bounds { connections: 10, longest: 8000, pause: 1000 };
        let random = seed ^ (2 + nth as u64);
        slots.spawn(attackers(Arc::clone(world), holders.clone(), bounds, random, until));
    }
}

#[derive(Clone, Copy)]
struct Bounds {
    connections: usize,
    /// Milliseconds.
    longest: usize,
    pause: usize,
}

/// One attack after the other.
async fn attackers(
    world: Arc<World>,
    attacks: Vec<&'static Attack>,
    bounds: Bounds,
    seed: u64,
    until: Instant,
) {
    let mut random = Random::new(seed);
    while Instant::now() < until {
        let attack = attacks[random.below(attacks.len())];
        let over = Transport::ALL[random.below(4)];
        let time = Duration::from_millis(500 + random.below(bounds.longest) as u64);
        let time = time.min(until - Instant::now());
        match run(&world, attack, over, bounds.connections, time, random.number()).await {
            Ok(cost) => tell(&world, attack, &cost),
            Err(error) => world.tally.end(format!("{}: {error}", attack.name)),
        }
        let pause = Duration::from_millis(random.below(bounds.pause) as u64);
        sleep_until(until.min(Instant::now() + pause)).await;
    }
}

async fn run(
    world: &Arc<World>,
    attack: &Attack,
    over: Transport,
    connections: usize,
    time: Duration,
    seed: u64,
) -> io::Result<Cost> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let path = if attack.needs == Needs::Broadcast { "/chat/hostile" } else { "/echo" };
    let target = Target::new(listener.local_addr()?, path).ok_or("not loopback");
    let target = target.map_err(io::Error::other)?;
    let scale = Scale { connections, addresses: 0, time };
    tokio::select! {
        cost = attack.run(&target, scale) => Ok(cost),
        // They know TCP alone; this carries them over whatever it is to be.
        error = carry(world, listener, over, seed) => Err(error),
    }
}

/// Ends only with an error; dropped, it drops all that it carries.
async fn carry(world: &Arc<World>, listener: TcpListener, over: Transport, seed: u64) -> io::Error {
    let mut random = Random::new(seed);
    let mut carried = JoinSet::new();
    loop {
        let mut io = match listener.accept().await {
            Ok((io, _)) => io,
            Err(error) => return error,
        };
        while carried.try_join_next().is_some() {}
        let world = Arc::clone(world);
        let from = Ipv4Addr::new(127, 66, 0, 1 + random.below(20) as u8);
        carried.spawn(async move {
            let dialled = world.server.dial(over, from, None, false).await;
            let Ok(mut server) = dialled else { return };
            // Either may end it in any way.
            let _ = copy_bidirectional(&mut io, &mut server).await;
            // What is left unread must not become a reset that hides the answer from the attacker.
            sleep(Duration::from_millis(100)).await;
        });
    }
}

fn tell(world: &World, attack: &Attack, cost: &Cost) {
    for (status, count) in cost.statuses.iter().filter(|(status, _)| **status != 101) {
        world.tally.ends(format!("{}: {status}", attack.name), *count);
    }
    let opened = cost.statuses.get(&101).copied().unwrap_or(0);
    for (code, count) in &cost.closes {
        world.tally.ends(format!("{}: closed with {code}", attack.name), *count);
    }
    let closed: u64 = cost.closes.values().sum();
    let rest = opened.saturating_sub(closed);
    world.tally.ends(format!("{}: opened, and not told a code", attack.name), rest);
}
