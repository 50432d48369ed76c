//! The load for an echo server: many connections from one thread, every reply compared in full.
//!
//! It has to cost less than any server, or it would be what is measured. So everything it sends and
//! expects is made beforehand, replies are compared as octets with no parsing, and what a read
//! answered is answered by one write.

mod accounts;
mod connection;
mod failure;
mod opening;
mod outcome;
mod traffic;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use self::accounts::Accounts;
use self::connection::{Connection, Tally};
use self::traffic::Traffic;

pub use self::failure::Failure;
pub use self::outcome::Outcome;

/// A server that answers nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(5);

/// What all connections together may hold ready, in bytes.
const MEMORY: usize = 2 << 30;

/// What to send, where to, and for how long.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The path to open, without meaning if `raw`.
    pub path: String,
    /// No handshake, and the frames come back as they were sent: for an echo of octets.
    pub raw: bool,
    /// The payload of each message, in bytes.
    pub size: usize,
    /// How many connections.
    pub connections: usize,
    /// How many messages each connection keeps in flight.
    pub depth: usize,
    /// How long before anything is counted.
    pub warm_up: Duration,
    /// How long to measure at most.
    pub measure: Duration,
    /// How many messages to measure at most.
    pub messages: u64,
    /// The process whose CPU time is to be counted.
    pub server: Option<u32>,
}

/// Opens the connections, warms up, measures, and waits for the last replies.
///
/// # Errors
/// If the server cannot be reached, refuses, answers something else than the echo, or nothing for
/// five seconds.
pub fn run(load: &Load) -> Result<Outcome, Failure> {
    let mut connections = connect(load)?;
    let mut poll = Poll::new().map_err(|error| Failure::system("making a poll", &error))?;
    for (index, connection) in connections.iter_mut().enumerate() {
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(connection.stream(), Token(index), interest)
            .map_err(|error| Failure::system("registering a connection", &error))?;
    }

    let mut turns = Turns { poll: &mut poll, connections: &mut connections, tally: Tally::new() };
    turns.fill()?;
    turns.until(Instant::now() + load.warm_up, u64::MAX)?;

    turns.tally.start();
    let before = Accounts::now(load.server);
    let started = Instant::now();
    turns.until(started + load.measure, load.messages)?;
    let elapsed = started.elapsed();
    let spent = Accounts::now(load.server).since(&before);
    let outcome = Outcome::new(load, elapsed, &turns.tally, &spent);

    turns.drain()?;
    Ok(outcome)
}

fn connect(load: &Load) -> Result<Vec<Connection>, Failure> {
    let held = Traffic::memory(load.size, load.depth).saturating_mul(load.connections);
    if held > MEMORY {
        return Err(Failure::new(format!("{held} bytes of messages are more than {MEMORY}")));
    }
    (0..load.connections)
        .map(|index| {
            let stream = opening::connect(load, index as u64)?;
            let traffic = Traffic::new(index as u64, load.size, load.depth, load.raw);
            Ok(Connection::new(index, mio::net::TcpStream::from_std(stream), traffic))
        })
        .collect()
}

/// All connections, turned as the poll says.
struct Turns<'a> {
    poll: &'a mut Poll,
    connections: &'a mut [Connection],
    tally: Tally,
}

impl Turns<'_> {
    /// Every connection sends as much as may be in flight.
    fn fill(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        self.connections.iter_mut().try_for_each(|connection| connection.fill(now))
    }

    /// Answers replies with messages until the deadline, or until so many came.
    fn until(&mut self, deadline: Instant, messages: u64) -> Result<(), Failure> {
        self.tally.sending = true;
        self.run(|tally, now| now >= deadline || tally.messages() >= messages)
    }

    /// Takes the replies that are owed; a server that swallowed a message is found here.
    fn drain(&mut self) -> Result<(), Failure> {
        self.tally.sending = false;
        let owed: u64 = self.connections.iter().map(Connection::in_flight).sum();
        let all = self.tally.messages() + owed;
        self.run(|tally, _| tally.messages() >= all)
    }

    fn run(&mut self, done: impl Fn(&Tally, Instant) -> bool) -> Result<(), Failure> {
        let mut events = Events::with_capacity(1024);
        let mut heard = (self.tally.messages(), Instant::now());
        loop {
            let now = Instant::now();
            if done(&self.tally, now) {
                return Ok(());
            }
            if self.tally.messages() != heard.0 {
                heard = (self.tally.messages(), now);
            } else if now - heard.1 > SILENCE {
                return Err(Failure::new(format!("no reply came for {} s", SILENCE.as_secs())));
            }
            match self.poll.poll(&mut events, Some(Duration::from_millis(20))) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                    return Err(Failure::system("waiting for the server", &error));
                }
                _ => {}
            }
            for event in &events {
                self.connections[event.token().0].turn(&mut self.tally)?;
            }
        }
    }
}

#[cfg(test)]
mod tests;
