//! The load for a server: many connections from one thread, every reply looked at.
//!
//! It has to cost less than any server, or it would be what is measured. So everything it sends and
//! expects is made beforehand, replies are compared as octets with no parsing where their octets
//! are known, and what a read answered is answered by one write.

mod accounts;
mod compressed;
mod echo;
mod failure;
mod fan_out;
mod handshakes;
mod idle;
mod mixed;
mod opening;
mod outcome;
mod script;
mod tally;
mod traffic;
mod turns;

use std::net::SocketAddr;
use std::time::Duration;

pub use self::failure::Failure;
pub use self::outcome::Outcome;

/// A server that answers nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(5);

/// What all connections together may hold ready, in bytes.
const MEMORY: usize = 2 << 30;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Messages that come back.
    Echo,
    /// JSON that comes back, compressed both ways.
    Deflate,
    /// The messages of one client go to all.
    FanOut,
    /// Connections that open and close.
    Handshake,
    /// Connections that rest, for the memory that they take.
    Idle,
    /// Much of the above at once, to see whether memory grows.
    Mixed,
}

/// What to send, where to, and for how long.
#[derive(Clone, Debug)]
pub struct Load {
    /// What to do.
    pub kind: Kind,
    /// Where the server listens.
    pub address: SocketAddr,
    /// The path to open, without meaning if `raw`.
    pub path: String,
    /// No handshake, and the frames come back as they were sent: for an echo of octets.
    pub raw: bool,
    /// Text in place of binary messages. JSON is always text.
    pub text: bool,
    /// permessage-deflate, for connections that rest.
    pub deflate: bool,
    /// Offer permessage-deflate without context takeover.
    pub no_takeover: bool,
    /// The payload of each message before compression, in bytes.
    pub size: usize,
    /// How many connections; with fan-out how many besides the one that sends.
    pub connections: usize,
    /// How many messages each connection keeps in flight.
    pub depth: usize,
    /// How long before anything is counted; for idle connections, before memory is looked at while
    /// there were no messages.
    pub warm_up: Duration,
    /// How long idle connections rest after messages before memory is looked at.
    pub rest: Duration,
    /// How long to measure at most.
    pub measure: Duration,
    /// How many messages to measure at most.
    pub messages: u64,
    /// The process whose CPU time and memory are to be counted.
    pub server: Option<u32>,
}

/// Opens the connections, warms up, measures, and waits for the last replies.
///
/// # Errors
/// If the server cannot be reached, refuses, answers something else than it has to, or nothing for
/// five seconds.
pub fn run(load: &Load) -> Result<Outcome, Failure> {
    match load.kind {
        Kind::Echo => turns::measure(load, echo::Connections::open(load)?),
        Kind::Deflate => turns::measure(load, compressed::Connections::open(load)?),
        Kind::FanOut => turns::measure(load, fan_out::FanOut::open(load)?),
        Kind::Handshake => handshakes::measure(load),
        Kind::Mixed => mixed::measure(load),
        Kind::Idle if load.deflate => idle::measure(load, compressed::Connections::open),
        Kind::Idle => idle::measure(load, echo::Connections::open),
    }
}

#[cfg(test)]
mod tests;
