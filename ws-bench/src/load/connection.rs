//! One connection: a ring of messages going out, the ring of their echoes coming in.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

use hdrhistogram::Histogram;
use mio::net::TcpStream;

use super::Failure;
use super::traffic::Traffic;

/// What one read takes at most.
const READ: usize = 64 * 1024;

pub(super) struct Connection {
    index: usize,
    stream: TcpStream,
    traffic: Traffic,
    /// Where in the ring of requests the next octet to write lies, and how many are due.
    write_at: usize,
    unwritten: usize,
    /// Where in the ring of replies the next octet has to lie, and how many are awaited.
    read_at: usize,
    awaited: usize,
    /// When the messages in flight were sent, and how many at once; the oldest first.
    sent: VecDeque<(Instant, u64)>,
}

/// What all connections have in common.
pub(super) struct Tally {
    /// Whether a reply is answered with the next message.
    pub(super) sending: bool,
    messages: u64,
    octets: u64,
    latency: Histogram<u64>,
    buffer: Box<[u8]>,
}

impl Tally {
    pub(super) fn new() -> Self {
        // Nanoseconds up to a minute; 0.1 % is finer than any two runs agree.
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds");
        let buffer = vec![0; READ].into_boxed_slice();
        Self { sending: false, messages: 0, octets: 0, latency, buffer }
    }

    /// Counts from here.
    pub(super) fn start(&mut self) {
        (self.messages, self.octets) = (0, 0);
        self.latency.reset();
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// In nanoseconds.
    pub(super) fn latency(&self, percentile: f64) -> u64 {
        self.latency.value_at_percentile(percentile)
    }
}

impl Connection {
    pub(super) fn new(index: usize, stream: TcpStream, traffic: Traffic) -> Self {
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
    pub(super) fn fill(&mut self, now: Instant) -> Result<(), Failure> {
        self.queue(self.traffic.depth, now);
        self.write()
    }

    /// Reads what came, compares it, and answers it with as many messages, in one write.
    pub(super) fn turn(&mut self, tally: &mut Tally) -> Result<(), Failure> {
        let awaited = self.awaited;
        self.read(&mut tally.buffer)?;
        let frame = self.traffic.replies.frame;
        let messages = awaited.div_ceil(frame) - self.awaited.div_ceil(frame);
        if messages > 0 {
            tally.octets += (messages * frame) as u64;
            tally.messages += messages as u64;
            let now = Instant::now();
            self.settle(messages as u64, now, &mut tally.latency);
            if tally.sending {
                self.queue(messages, now);
            }
        }
        self.write()
    }

    /// Reads until nothing is left, which a short read says as well as a refused one.
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

    /// `messages` of the oldest in flight are answered.
    fn settle(&mut self, mut messages: u64, now: Instant, latency: &mut Histogram<u64>) {
        while messages > 0
            && let Some((since, count)) = self.sent.front_mut()
        {
            let answered = messages.min(*count);
            latency.saturating_record_n(now.duration_since(*since).as_nanos() as u64, answered);
            messages -= answered;
            *count -= answered;
            if *count == 0 {
                self.sent.pop_front();
            }
        }
    }

    fn queue(&mut self, messages: usize, now: Instant) {
        self.unwritten += messages * self.traffic.requests.frame;
        self.awaited += messages * self.traffic.replies.frame;
        self.sent.push_back((now, messages as u64));
    }

    fn write(&mut self) -> Result<(), Failure> {
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
