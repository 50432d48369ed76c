//! What the tests of several crates share: [frames](frame) written and read without the code under
//! test, the [opening handshake](handshake) as text, the [polling of an engine](engine), and small
//! [extensions](extension).
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "read by the tests of this workspace alone")]
#![allow(clippy::unwrap_used)]

pub mod engine;
pub mod extension;
pub mod frame;
pub mod handshake;
