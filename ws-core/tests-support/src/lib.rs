//! What the tests of several crates share: [frames](frame) written and read without the code under
//! test, the [opening handshake](handshake) as text, the [polling of an engine](engine) at [either
//! end](side), small [extensions](extension), streams of a [peer] that is mostly right, and an
//! [allocator](heap) that counts.
#![deny(unsafe_code)]
#![allow(missing_docs, reason = "read by the tests of this workspace alone")]
#![allow(clippy::unwrap_used)]

pub mod engine;
pub mod extension;
pub mod frame;
pub mod handshake;
pub mod heap;
pub mod peer;
pub mod side;
