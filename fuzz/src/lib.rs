//! What the fuzzer runs: functions over octets, so that libFuzzer, a replay of the corpus and a plain test
//! can run them alike. See `README.md`.

#![forbid(unsafe_code)]

pub mod client;
pub mod connection;
pub mod corpus;
pub mod differential;
pub mod extensions;
pub mod failing;
pub mod frames;
pub mod handshake;
pub mod inflate;
pub mod input;
#[cfg(fuzzing)]
pub mod nats;
pub mod pair;
pub mod proxy;
pub mod stack;
pub mod stream;
pub mod threads;
pub mod upgrade;
pub mod verdict;

/// A target: takes any octets, and panics if a promise is broken.
pub type Target = fn(&[u8]);

/// All targets, by the names of their corpora. `nats` has doors to go through that are there with
/// `--cfg fuzzing` alone.
pub const TARGETS: &[(&str, Target)] = &[
    ("connection", connection::run),
    ("pair", pair::run),
    ("inflate", inflate::run),
    ("differential", differential::run),
    ("handshake", handshake::run),
    ("failing", failing::run),
    ("threads", threads::run),
    ("upgrade", upgrade::run),
    ("proxy", proxy::run),
    ("client", client::run),
    #[cfg(fuzzing)]
    ("nats", nats::run),
];

/// Whether the replay of one input tells what it does.
pub fn is_shown() -> bool {
    std::env::var_os("SHOW").is_some()
}
