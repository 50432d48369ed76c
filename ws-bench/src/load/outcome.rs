//! What a load found out.

use std::time::Duration;

use serde_json::{Value, json};

use super::Load;
use super::accounts::{Spent, Usage};
use super::connection::Tally;

/// The figures of one measurement.
#[derive(Clone, Debug)]
pub struct Outcome {
    json: Value,
}

impl Outcome {
    pub(super) fn new(load: &Load, elapsed: Duration, tally: &Tally, spent: &Spent) -> Self {
        let running = |usage: Option<Usage>| usage.map(|usage| usage.running.as_nanos() as u64);
        let waiting = |usage: Option<Usage>| Some(usage?.waiting?.as_nanos() as u64);
        Self {
            json: json!({
                "size": load.size,
                "connections": load.connections,
                "depth": load.depth,
                "raw": load.raw,
                "seconds": elapsed.as_secs_f64(),
                "messages": tally.messages(),
                "reply_bytes": tally.octets(),
                "latency_ns": {
                    "p50": tally.latency(50.0),
                    "p99": tally.latency(99.0),
                    "p99.9": tally.latency(99.9),
                },
                "server_cpu_ns": running(spent.server),
                "server_waited_ns": waiting(spent.server),
                "load_cpu_ns": running(spent.load),
                "load_waited_ns": waiting(spent.load),
                "stolen": spent.stolen,
            }),
        }
    }

    /// One line of JSON. Times are in nanoseconds and `null` where the system does not tell them.
    pub fn json(&self) -> &Value {
        &self.json
    }
}
