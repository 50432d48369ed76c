//! permessage-deflate ([RFC 7692](https://www.rfc-editor.org/rfc/rfc7692)) for WebSocket.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod decoder;
mod encoder;
mod factory;
mod options;
mod params;
mod permessage;
mod record;
mod window;
mod worth;

pub use options::{Deflate, DeflateBuilder, OptionsError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
