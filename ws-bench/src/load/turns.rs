//! The turns of all connections in the order of their events: a warm-up, a measurement, and the
//! last replies.

use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::accounts::Accounts;
use super::tally::Tally;
use super::{Failure, Load, Outcome, SILENCE};

/// Connections that are driven together.
pub(super) trait Clients {
    /// The sockets, in the order of the indices of `turn`.
    fn streams(&mut self) -> Vec<&mut TcpStream>;
    /// Sends as much as may be in flight.
    fn fill(&mut self, now: Instant) -> Result<(), Failure>;
    /// Reads the replies of one connection, and answers them.
    fn turn(&mut self, index: usize, tally: &mut Tally) -> Result<(), Failure>;
    /// The number of expected replies.
    fn in_flight(&self) -> u64;
}

pub(super) fn measure(load: &Load, clients: impl Clients) -> Result<Outcome, Failure> {
    let mut turns = Turns::new(clients)?;
    turns.tally.sending = true;
    turns.clients.fill(Instant::now())?;
    turns.until(Instant::now() + load.warm_up, u64::MAX)?;

    let before_measuring = turns.tally.messages;
    turns.tally.start();
    let before = Accounts::now(load.server);
    let started = Instant::now();
    turns.until(started + load.measure, load.messages)?;
    let elapsed = started.elapsed();
    let spent = Accounts::now(load.server).since(&before);
    let outcome = Outcome::new(load, elapsed, &turns.tally, &spent);

    turns.drain()?;
    Ok(outcome.with_served(before_measuring + turns.tally.messages))
}

pub(super) struct Turns<C> {
    poll: Poll,
    events: Events,
    pub(super) clients: C,
    pub(super) tally: Tally,
}

impl<C: Clients> Turns<C> {
    pub(super) fn new(mut clients: C) -> Result<Self, Failure> {
        let poll = Poll::new().map_err(|error| Failure::system("making a poll", &error))?;
        for (index, stream) in clients.streams().into_iter().enumerate() {
            poll.registry()
                .register(stream, Token(index), Interest::READABLE | Interest::WRITABLE)
                .map_err(|error| Failure::system("registering a connection", &error))?;
        }
        Ok(Self { poll, events: Events::with_capacity(1024), clients, tally: Tally::new() })
    }

    /// Answers replies with messages until the deadline, or until this many messages came.
    fn until(&mut self, deadline: Instant, messages: u64) -> Result<(), Failure> {
        self.run(|turns, now| now >= deadline || turns.tally.messages >= messages)
    }

    /// Receives the outstanding replies; this finds a server that swallowed a message.
    pub(super) fn drain(&mut self) -> Result<(), Failure> {
        self.tally.sending = false;
        self.run(|turns, _| turns.clients.in_flight() == 0)
    }

    fn run(&mut self, done: impl Fn(&Self, Instant) -> bool) -> Result<(), Failure> {
        let mut heard = (self.tally.messages, Instant::now());
        loop {
            let now = Instant::now();
            if done(self, now) {
                return Ok(());
            }
            if self.tally.messages != heard.0 {
                heard = (self.tally.messages, now);
            } else if now - heard.1 > SILENCE {
                return Err(Failure::new(format!("no reply came for {} s", SILENCE.as_secs())));
            }
            match self.poll.poll(&mut self.events, Some(Duration::from_millis(20))) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                    return Err(Failure::system("waiting for the server", &error));
                }
                _ => {}
            }
            for event in &self.events {
                self.clients.turn(event.token().0, &mut self.tally)?;
            }
        }
    }
}
