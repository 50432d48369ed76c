//! The result of a load.

use std::time::Duration;

use serde_json::{Value, json};

use super::Load;
use super::accounts::{Memory, Spent, Usage};
use super::tally::Tally;

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
                "messages": tally.messages,
                "reply_bytes": tally.octets,
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

    /// Adds the number of messages that the server answered in total, including those outside of
    /// the measurement.
    pub(super) fn with_served(mut self, messages: u64) -> Self {
        self.json["served"] = messages.into();
        self
    }

    /// The memory `before` the connections, and at each of the `looks`.
    pub(super) fn memory(load: &Load, before: Memory, looks: &[Memory]) -> Self {
        let of = |value: fn(&Memory) -> u64| looks.iter().map(value).collect::<Vec<_>>();
        let grown = |look: &Memory| look.private.saturating_sub(before.private);
        let each: Vec<f64> =
            looks.iter().map(|look| grown(look) as f64 / load.connections as f64).collect();
        Self {
            json: json!({
                "size": load.size,
                "connections": load.connections,
                "bytes_per_connection": each,
                "private": of(|look| look.private),
                "resident": of(|look| look.resident),
                "private_before": before.private,
            }),
        }
    }

    /// The memory at each of the `looks`, during which `messages` came back.
    pub(super) fn growth(load: &Load, messages: u64, looks: &[Memory]) -> Self {
        let of = |value: fn(&Memory) -> u64| looks.iter().map(value).collect::<Vec<_>>();
        Self {
            json: json!({
                "seconds": load.measure.as_secs_f64(),
                "messages": messages,
                "private": of(|look| look.private),
                "resident": of(|look| look.resident),
            }),
        }
    }

    /// One line of JSON. Times are in nanoseconds, or `null` if the system does not report them;
    /// memory is in bytes.
    pub fn json(&self) -> &Value {
        &self.json
    }
}
