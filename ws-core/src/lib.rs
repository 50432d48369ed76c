//! The WebSocket protocol without I/O.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod close;
pub mod extension;
mod message;

pub use close::CloseCode;
pub use extension::{Extension, ExtensionFactory, Extensions};
pub use message::MessageKind;
