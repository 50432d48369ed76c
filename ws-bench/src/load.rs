//! The load for a server: many connections from one thread, which checks every reply.
//!
//! It must cost less than any server; otherwise it would be the thing measured. So it prepares
//! everything that it sends and expects, compares replies as octets without parsing if their octets
//! are known, and answers the replies of one read with one write.

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

pub(crate) use self::accounts::Usage;
pub use self::failure::Failure;
pub use self::outcome::Outcome;

/// A server that is silent for this long has failed.
const SILENCE: Duration = Duration::from_secs(5);

/// The memory for the prepared messages of all connections, in bytes.
const MEMORY: usize = 2 << 30;

/// The behaviour of the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Messages are echoed.
    Echo,
    /// JSON is echoed, compressed both ways.
    Deflate,
    /// All clients receive the messages of one.
    FanOut,
    /// Connections that open and close.
    Handshake,
    /// Connections rest, to measure their memory.
    Idle,
    /// A mix of the above, to see whether memory grows.
    Mixed,
}

/// What to send, to which server, and for how long.
#[derive(Clone, Debug)]
pub struct Load {
    /// The behaviour of the clients.
    pub kind: Kind,
    /// Where the server listens.
    pub address: SocketAddr,
    /// The path to open, without meaning if `raw`.
    pub path: String,
    /// No handshake: the server echoes the frames unchanged.
    pub raw: bool,
    /// Text instead of binary messages. JSON is always text.
    pub text: bool,
    /// permessage-deflate, for connections that rest.
    pub deflate: bool,
    /// Offer permessage-deflate without context takeover.
    pub no_takeover: bool,
    /// The payload of each message before compression, in bytes.
    pub size: usize,
    /// The number of connections; with fan-out, besides the sender.
    pub connections: usize,
    /// The number of messages that each connection keeps in flight.
    pub depth: usize,
    /// The time before anything is counted; for idle connections, before memory is sampled without
    /// messages.
    pub warm_up: Duration,
    /// How long idle connections rest after messages before memory is sampled.
    pub rest: Duration,
    /// The longest measurement.
    pub measure: Duration,
    /// The most messages in the measurement.
    pub messages: u64,
    /// The process whose CPU time and memory are measured.
    pub server: Option<u32>,
}

/// Opens the connections, warms up, measures, and waits for the last replies.
///
/// # Errors
/// If the server cannot be reached, refuses, gives a wrong answer, or none for five seconds.
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
