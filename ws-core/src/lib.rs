//! The WebSocket protocol (RFC 6455) without I/O: frames, messages, close codes and the
//! [`Extension`] trait.
//!
//! A [`Connection`] is one end of a connection after the opening handshake. Bytes go in and events
//! come out; messages go in and bytes come out. The caller owns the sockets, the clock, the
//! randomness and the buffers, so the same engine runs on blocking sockets, on any async runtime,
//! in a proxy or in a test.
//!
//! | to | see |
//! |---|---|
//! | drive a connection | [`Connection`], [`Event`], [`Role`] |
//! | bound what a peer can make you hold | [`Config`] |
//! | tell what went wrong | [`Closed`], [`Fault`], [`SendError`], [`CloseCode`] |
//! | write an extension | [`extension`] |
//! | read or write single frames | [`FrameHeader`], [`apply_mask`] |
//! | watch frames go by | [`Connection::observe_frames`] |
//!
//! The opening handshake is the crate `ws-handshake`'s.
//!
//! # Features
//! - `std` (default): SIMD detected at run time for UTF-8, vectored output, `write_to`. Without it
//!   the crate is `no_std` with `alloc`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

extern crate alloc;

mod buffer;
mod close;
mod config;
mod connection;
mod error;
mod event;
pub mod extension;
mod fault;
mod frame;
mod mask;
mod message;
mod observer;
mod opcode;
mod output;
mod payload;
mod receive;
mod role;
mod send;
mod utf8;

pub use close::CloseCode;
pub use config::{Config, Receive, UNLIMITED};
pub use connection::Connection;
pub use error::SendError;
pub use event::{Closed, ClosedBy, Event};
pub use extension::{Extension, ExtensionFactory, Extensions};
pub use fault::Fault;
pub use frame::{FrameHeader, MAX_CONTROL_PAYLOAD};
pub use mask::apply_mask;
pub use message::{Message, MessageKind};
pub use observer::{FrameDirection, FrameObserver, ObservedFrame};
pub use opcode::Opcode;
pub use output::{Outgoing, Output};
pub use payload::{InvalidUtf8, Payload, Text};
pub use receive::Unfinished;
pub use role::{MaskKeys, Role};

/// Bytes of input or output that one call may work through.
const WORK_PER_CALL: usize = 64 * 1024;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
