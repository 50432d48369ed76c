//! Hostile clients: what SECURITY.md lists, over plain TCP, with heads and frames made by hand.
//!
//! Each attack is bounded in connections and time, reaches loopback addresses alone, and says in a
//! [`Cost`] what it took the attacker. An attacker whose connection ends comes back after a pause.
//!
//! ```no_run
//! # async fn example() -> Option<()> {
//! use std::time::Duration;
//! use ws_bench::hostile::{ATTACKS, Scale, Target};
//!
//! let target = Target::new("127.0.0.1:9001".parse().ok()?, "/echo")?;
//! for attack in ATTACKS {
//!     let cost = attack.run(&target, Scale::of(attack, Duration::from_secs(5))).await;
//!     println!("{}: {} octets over {} connections", attack.name, cost.octets, cost.connections);
//! }
//! # Some(())
//! # }
//! ```

mod answers;
mod bombs;
mod churn;
mod closes;
mod crowd;
mod fragments;
mod garbage;
mod heads;
mod holders;
mod idle;
mod ledger;
mod messages;
mod pings;
mod readers;
mod subscribers;
mod wire;

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

pub use self::ledger::{Cost, Ledger};
pub(crate) use self::wire::request;

use self::crowd::Scene;

/// The server to attack, on this machine.
#[derive(Clone, Debug)]
pub struct Target {
    address: SocketAddr,
    path: String,
}

impl Target {
    /// `path` echoes, or passes messages on to everyone there if the attack needs that. Returns
    /// `None` for an address that is not of the loopback interface.
    pub fn new(address: SocketAddr, path: &str) -> Option<Self> {
        address.ip().is_loopback().then(|| Self { address, path: path.to_owned() })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// How large an attack is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// The number of clients, each with a connection at a time, except where an attack says more.
    pub connections: usize,
    /// The number of addresses they come from: 127.66.0.1 and the following. With 0 all come from
    /// 127.0.0.1. Only Linux has these addresses without further ado; elsewhere this does nothing.
    pub addresses: usize,
    /// How long it lasts, from the first connection to the last octet.
    pub time: Duration,
}

impl Scale {
    /// The usual number of clients of `attack`, 128 to an address.
    pub fn of(attack: &Attack, time: Duration) -> Self {
        Self::with(attack.connections, time)
    }

    /// So many clients, 128 to an address.
    pub fn with(connections: usize, time: Duration) -> Self {
        Self { connections, addresses: connections.div_ceil(128), time }
    }
}

/// What a server must do so that an attack makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// It echoes.
    Echo,
    /// It echoes, and agrees to permessage-deflate.
    Deflate,
    /// It passes every message on to all connections of the path.
    Broadcast,
}

/// One kind of hostile client.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Its name on a command line.
    pub name: &'static str,
    /// What its clients do.
    pub what: &'static str,
    /// What the server must do.
    pub needs: Needs,
    /// The usual number of clients.
    pub connections: usize,
    start: fn(Scene) -> Running,
}

/// A running attack.
type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Attack {
    /// Attacks for [`Scale::time`], on a tokio runtime with I/O and time.
    ///
    /// # Cancel safety
    /// Dropped, it closes its connections at once.
    pub async fn run(&self, target: &Target, scale: Scale) -> Cost {
        let ledger = Ledger::default();
        self.run_with(target, scale, &ledger).await;
        ledger.cost()
    }

    /// As [`run`](Self::run), with a ledger that can be looked at meanwhile.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn run_with(&self, target: &Target, scale: Scale, ledger: &Ledger) {
        (self.start)(Scene::new(target.clone(), scale, ledger.clone())).await;
        ledger.ended();
    }
}

/// The attack with this name.
pub fn named(name: &str) -> Option<&'static Attack> {
    ATTACKS.iter().find(|attack| attack.name == name)
}

macro_rules! attack {
    ($name:literal, $needs:ident, $connections:literal, $run:path, $what:literal) => {
        Attack {
            name: $name,
            what: $what,
            needs: Needs::$needs,
            connections: $connections,
            start: |scene| Box::pin($run(scene)),
        }
    };
}

/// Every attack, in the order of SECURITY.md.
#[rustfmt::skip]
pub const ATTACKS: &[Attack] = &[
    attack!("idle", Echo, 2000, idle::idle,
        "open and do nothing"),
    attack!("slow-heads", Echo, 1000, heads::slow,
        "a request in single octets, five a second"),
    attack!("large-heads", Echo, 50, heads::large,
        "a request of a MiB of headers, again and again"),
    attack!("unfinished", Echo, 300, holders::unfinished,
        "a message of nearly 1 MiB, whose end trickles"),
    attack!("announced", Echo, 2000, holders::announced,
        "a header that announces 1 MiB, and an octet of it a second"),
    attack!("small-holders", Echo, 2000, holders::small,
        "16 KiB of an unfinished message each"),
    attack!("tiny-fragments", Echo, 50, fragments::tiny,
        "a message in fragments of one octet, without an end"),
    attack!("empty-fragments", Echo, 50, fragments::empty,
        "a message in empty fragments, without an end"),
    attack!("pings", Echo, 50, pings::read,
        "Pings as fast as they go, and the Pongs are read"),
    attack!("pings-unread", Echo, 50, pings::unread,
        "the same, and nothing is read"),
    attack!("never-reading", Echo, 300, readers::never,
        "messages of 16 KiB to an echo, and nothing is read"),
    attack!("slow-reading", Echo, 300, readers::slowly,
        "the same, and 2 KiB/s are read"),
    attack!("bombs", Deflate, 20, bombs::whole,
        "messages of 1 KiB that inflate to almost 1 MiB"),
    attack!("bombs-fragmented", Deflate, 20, bombs::fragmented,
        "the same in fragments of 16 octets"),
    attack!("bombs-large", Deflate, 20, bombs::large,
        "a message of 64 KiB that inflates to 64 MiB"),
    attack!("small-messages", Echo, 50, messages::small,
        "messages of one octet as fast as they go"),
    attack!("close-unanswered", Echo, 100, closes::unanswered,
        "an error that makes the server close, and the socket stays open; 16 of each client"),
    attack!("churn", Echo, 50, churn::churn,
        "open and reset, again and again"),
    attack!("storm", Echo, 1000, churn::storm,
        "all open at once, stay for a second, and reset"),
    attack!("unread-broadcasts", Broadcast, 200, subscribers::unread,
        "one sends 4 KiB to all 500 times a second, which the others do not read"),
    attack!("garbage", Echo, 50, garbage::garbage,
        "random octets, in place of frames or of the request"),
];
