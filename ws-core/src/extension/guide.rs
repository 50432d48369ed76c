#![doc = include_str!("guide.md")]
// In the text, `rust` blocks are doctests. `rs` and `toml` blocks are files of examples and of
// `cargo xtask new-extension`, which use crates that this one cannot: `xtask/tests/guide.rs` compares
// them.

// Links of the text.
#[cfg(doc)]
use super::*;
#[cfg(doc)]
use crate::{CloseCode, Config, Connection, Extensions, Fault};
