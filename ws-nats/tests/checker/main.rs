//! Three nodes, clients that write down every message, publishers that write down what became of each,
//! and one fault: whatever happens, the promises hold.
//!
//! Short here; `cargo xtask nats-check` runs them long.

#[path = "../support/mod.rs"]
mod support;

mod client;
mod connection;
mod faults;
mod figures;
mod ledger;
mod node;
mod observer;
mod publisher;
mod scenario;
mod world;
