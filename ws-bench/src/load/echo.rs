//! One connection: a ring of messages is sent, and the ring of their echoes is expected.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::Instant;

use mio::net::TcpStream;

use super::tally::Tally;
use super::traffic::Traffic;
use super::turns::Clients;
use super::{Failure, Load, MEMORY, opening};

pub(super) struct Connection {
    index: usize,
    stream: TcpStream,
    traffic: Rc<Traffic>,
    /// The place of the next octet to write in the ring of requests, and the number of octets due.
    write_at: usize,
    unwritten: usize,
    /// The place of the next octet to read in the ring of replies, and the number expected.
    read_at: usize,
    awaited: usize,
    /// When the messages in flight were sent, and how many at once; oldest first.
    sent: VecDeque<(Instant, u64)>,
}

/// Connections that echo independently.
pub(super) struct Connections(Vec<Connection>);

impl Connections {
    pub(super) fn open(load: &Load) -> Result<Self, Failure> {
        let held = Traffic::memory(load.size, load.depth).saturating_mul(load.connections);
        if held > MEMORY {
            return Err(Failure::new(format!(
                "{held} bytes of messages exceed the limit of {MEMORY}"
            )));
        }
        let open = |index| {
            let (stream, _) = opening::connect(load, index as u64, None)?;
            let traffic = Rc::new(Traffic::new(index as u64, load));
            Ok(Connection::new(index, stream, traffic))
        };
        (0..load.connections).map(open).collect::<Result<_, _>>().map(Self)
    }
}

impl Clients for Connections {
    fn streams(&mut self) -> Vec<&mut TcpStream> {
        self.0.iter_mut().map(Connection::stream).collect()
    }

    fn fill(&mut self, now: Instant) -> Result<(), Failure> {
        self.0.iter_mut().try_for_each(|connection| connection.fill(now))
    }

    fn turn(&mut self, index: usize, tally: &mut Tally) -> Result<(), Failure> {
        self.0[index].turn(tally)
    }

    fn in_flight(&self) -> u64 {
        self.0.iter().map(Connection::in_flight).sum()
    }
}

impl Connection {
    pub(super) fn new(index: usize, stream: TcpStream, traffic: Rc<Traffic>) -> Self {
        let sent = VecDeque::with_capacity(traffic.depth);
        Self { index, stream, traffic, write_at: 0, unwritten: 0, read_at: 0, awaited: 0, sent }
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.sent.iter().map(|(_, count)| count).sum()
    }

    /// Sends as many messages as may be in flight.
    fn fill(&mut self, now: Instant) -> Result<(), Failure> {
        self.send(self.traffic.depth, now)
    }

    /// Reads and compares replies, and answers them with as many messages, in one write.
    fn turn(&mut self, tally: &mut Tally) -> Result<(), Failure> {
        let messages = self.receive(tally)?;
        if messages > 0 && tally.sending {
            self.send(messages, Instant::now())
        } else {
            self.write()
        }
    }

    /// Reads and compares replies. Returns the number of messages completed.
    pub(super) fn receive(&mut self, tally: &mut Tally) -> Result<usize, Failure> {
        let awaited = self.awaited;
        self.read(&mut tally.buffer)?;
        let frame = self.traffic.replies.frame;
        let messages = awaited.div_ceil(frame) - self.awaited.div_ceil(frame);
        if messages > 0 {
            tally.octets += (messages * frame) as u64;
            tally.messages += messages as u64;
            self.settle(messages as u64, tally);
        }
        Ok(messages)
    }

    /// Sends the next `messages`, and expects their echoes.
    pub(super) fn send(&mut self, messages: usize, now: Instant) -> Result<(), Failure> {
        self.unwritten += messages * self.traffic.requests.frame;
        self.expect(messages, now);
        self.write()
    }

    /// Expects `messages`, from any sender.
    pub(super) fn expect(&mut self, messages: usize, now: Instant) {
        self.awaited += messages * self.traffic.replies.frame;
        self.sent.push_back((now, messages as u64));
    }

    /// Reads until no data is left: until a short read, or one that would block.
    fn read(&mut self, buffer: &mut [u8]) -> Result<(), Failure> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(self.failure("the server closed it")),
                Ok(n) => {
                    self.compare(&buffer[..n])?;
                    if n < buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failure(&format!("reading: {error}"))),
            }
        }
    }

    fn compare(&mut self, came: &[u8]) -> Result<(), Failure> {
        let expected = self.traffic.replies.slice(self.read_at, came.len().min(self.awaited));
        if came != expected {
            return Err(self.difference(came, expected));
        }
        self.awaited -= came.len();
        self.read_at = self.traffic.replies.advance(self.read_at, came.len());
        Ok(())
    }

    /// Settles the oldest `messages` in flight, which are answered.
    fn settle(&mut self, mut messages: u64, tally: &mut Tally) {
        let now = Instant::now();
        while messages > 0
            && let Some((since, count)) = self.sent.front_mut()
        {
            let answered = messages.min(*count);
            tally.came(answered, *since, now);
            messages -= answered;
            *count -= answered;
            if *count == 0 {
                self.sent.pop_front();
            }
        }
    }

    pub(super) fn write(&mut self) -> Result<(), Failure> {
        while self.unwritten > 0 {
            let octets = self.traffic.requests.slice(self.write_at, self.unwritten);
            match self.stream.write(octets) {
                Ok(n) => {
                    self.unwritten -= n;
                    self.write_at = self.traffic.requests.advance(self.write_at, n);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failure(&format!("writing: {error}"))),
            }
        }
        Ok(())
    }

    fn difference(&self, came: &[u8], expected: &[u8]) -> Failure {
        let same = came.iter().zip(expected).take_while(|(one, other)| one == other).count();
        let shown = |octets: &[u8]| {
            octets[same.min(octets.len())..]
                .iter()
                .take(16)
                .fold(String::new(), |text, octet| format!("{text} {octet:02x}"))
        };
        let within = (self.read_at + same) % self.traffic.replies.frame;
        self.failure(&format!(
            "at octet {within} of a reply came{}, which the echo in one frame of the shortest form \
             would not have; expected{}",
            shown(came),
            if expected.len() > same { shown(expected) } else { " nothing more".to_owned() },
        ))
    }

    fn failure(&self, what: &str) -> Failure {
        Failure::new(format!("connection {}: {what}", self.index))
    }
}
