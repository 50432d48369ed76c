//! Connections that rest: what a server holds for each, open, after one message and after twenty.

use std::thread;
use std::time::Instant;

use super::accounts::Memory;
use super::turns::{Clients, Turns};
use super::{Failure, Load, Outcome};

/// How many messages each connection has sent and got back at each look, besides none at all.
const LOOKS: [usize; 2] = [1, 20];

pub(super) fn measure<C: Clients>(
    load: &Load,
    open: fn(&Load) -> Result<C, Failure>,
) -> Result<Outcome, Failure> {
    let pid = load.server.ok_or_else(|| Failure::new("idle needs the server's process id"))?;
    let look = |rest| {
        thread::sleep(rest);
        Memory::of(pid).ok_or_else(|| Failure::new("this system does not tell a server's memory"))
    };
    // One connection first, so that what a server makes for its first one is not counted.
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
