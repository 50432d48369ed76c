//! Connections that rest: the server's memory for each, when open, after one message and after
//! twenty.

use std::thread;
use std::time::Instant;

use super::accounts::Memory;
use super::turns::{Clients, Turns};
use super::{Failure, Load, Outcome};

/// Messages that each connection has exchanged at each sample, apart from the sample before any.
const LOOKS: [usize; 2] = [1, 20];

pub(super) fn measure<C: Clients>(
    load: &Load,
    open: fn(&Load) -> Result<C, Failure>,
) -> Result<Outcome, Failure> {
    let pid = load.server.ok_or_else(|| Failure::new("idle needs the server's process id"))?;
    let look = |rest| {
        thread::sleep(rest);
        Memory::of(pid).ok_or_else(|| Failure::new("this system does not report a server's memory"))
    };
    // Opens one connection first, so that allocations for a server's first connection do not count.
    drop(Turns::new(open(&Load { connections: 1, ..load.clone() })?)?);
    let before = look(load.warm_up)?;
    let mut turns = Turns::new(open(load)?)?;
    let mut looks = vec![look(load.warm_up)?];
    let mut sent = 0;
    for messages in LOOKS {
        for _ in sent..messages {
            turns.clients.fill(Instant::now())?;
            turns.drain()?;
        }
        sent = messages;
        looks.push(look(load.rest)?);
    }
    Ok(Outcome::memory(load, before, &looks))
}
