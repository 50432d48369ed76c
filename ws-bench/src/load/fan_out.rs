//! One client sends, and all receive: the next message is sent once the last one has reached all.

use std::rc::Rc;
use std::time::Instant;

use mio::net::TcpStream;

use super::echo::Connection;
use super::tally::Tally;
use super::traffic::Traffic;
use super::turns::Clients;
use super::{Failure, Load, opening};

pub(super) struct FanOut {
    /// The first one sends, and receives its own messages too.
    connections: Vec<Connection>,
    depth: usize,
    /// Receipts that are still missing for the messages in flight.
    missing: usize,
}

impl FanOut {
    pub(super) fn open(load: &Load) -> Result<Self, Failure> {
        let traffic = Rc::new(Traffic::new(0, load));
        let open = |index| {
            let (stream, _) = opening::connect(load, index as u64, None)?;
            Ok(Connection::new(index, stream, Rc::clone(&traffic)))
        };
        let connections = (0..=load.connections).map(open).collect::<Result<_, _>>()?;
        Ok(Self { connections, depth: load.depth, missing: 0 })
    }

    fn publish(&mut self, now: Instant) -> Result<(), Failure> {
        let (sender, others) = self.connections.split_first_mut().expect("one sends");
        self.missing = (1 + others.len()) * self.depth;
        others.iter_mut().for_each(|connection| connection.expect(self.depth, now));
        sender.send(self.depth, now)
    }
}

impl Clients for FanOut {
    fn streams(&mut self) -> Vec<&mut TcpStream> {
        self.connections.iter_mut().map(Connection::stream).collect()
    }

    fn fill(&mut self, now: Instant) -> Result<(), Failure> {
        self.publish(now)
    }

    fn turn(&mut self, index: usize, tally: &mut Tally) -> Result<(), Failure> {
        let connection = &mut self.connections[index];
        connection.write()?;
        self.missing -= connection.receive(tally)?;
        if self.missing == 0 && tally.sending { self.publish(Instant::now()) } else { Ok(()) }
    }

    fn in_flight(&self) -> u64 {
        self.missing as u64
    }
}
