//! A mix of all kinds, to see whether a server's memory grows: echoes of all sizes, compression
//! with and without takeover, and handshakes, over connections that come and go.

use std::thread;
use std::time::{Duration, Instant};

use super::accounts::Memory;
use super::{Failure, Kind, Load, Outcome, run};

/// Connections last this long; then others replace them.
const LIFE: Duration = Duration::from_secs(3);

/// The interval between memory samples.
const LOOK: Duration = Duration::from_secs(1);

/// Works through the warm-up and the measurement, sampling memory all the time. The first
/// connections of every kind belong to the warm-up.
pub(super) fn measure(load: &Load) -> Result<Outcome, Failure> {
    let pid = load.server.ok_or_else(|| Failure::new("mixed needs the server's process id"))?;
    let look = || {
        Memory::of(pid).ok_or_else(|| Failure::new("this system does not report a server's memory"))
    };
    let measured = Instant::now() + load.warm_up;
    let over = measured + load.measure;
    thread::scope(|scope| {
        let parts = parts(load).map(|part| scope.spawn(move || work(&part, over)));
        let mut looks = Vec::new();
        thread::sleep(load.warm_up);
        loop {
            looks.push(look()?);
            if Instant::now() >= over || parts.iter().any(thread::ScopedJoinHandle::is_finished) {
                break;
            }
            thread::sleep(LOOK);
        }
        let mut messages = 0;
        for part in parts {
            messages += part.join().map_err(|_| Failure::new("a part of the load panicked"))??;
        }
        looks.push(look()?);
        Ok(Outcome::growth(load, messages, &looks))
    })
}

/// About 150 connections at a time.
fn parts(load: &Load) -> [Load; 8] {
    let part = |kind, size, connections, depth| Load {
        kind,
        size,
        connections,
        depth,
        warm_up: Duration::ZERO,
        measure: LIFE,
        messages: u64::MAX,
        server: None,
        ..load.clone()
    };
    [
        part(Kind::Echo, 20, 64, 4),
        part(Kind::Echo, 1024, 16, 16),
        Load { text: true, ..part(Kind::Echo, 16 * 1024, 8, 2) },
        part(Kind::Echo, 100_000, 4, 2),
        part(Kind::Echo, 1024 * 1024, 2, 1),
        part(Kind::Deflate, 1024, 32, 1),
        Load { no_takeover: true, ..part(Kind::Deflate, 16 * 1024, 16, 1) },
        part(Kind::Handshake, 0, 8, 1),
    ]
}

/// Repeats one part. Returns the number of messages.
fn work(part: &Load, over: Instant) -> Result<u64, Failure> {
    let mut messages = 0;
    while let Some(left) = over.checked_duration_since(Instant::now()) {
        let outcome = run(&Load { measure: left.min(part.measure), ..part.clone() })?;
        messages += outcome.json()["messages"].as_u64().unwrap_or(0);
    }
    Ok(messages)
}
