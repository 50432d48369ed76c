//! Topics, history and presence of [`ws_server`] over several machines, on NATS with JetStream.

#![forbid(unsafe_code)]

#[expect(dead_code, reason = "the links and tracks count")]
mod metrics;

pub use metrics::Counted;
