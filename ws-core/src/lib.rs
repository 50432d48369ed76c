//! The WebSocket protocol ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455)) without I/O: frames,
//! messages, close codes and the [`Extension`] trait.
//!
//! A [`Connection`] is one end of a connection after the opening handshake. Bytes go in and events
//! come out; messages go in and bytes come out. The caller owns the sockets, the clock, the
//! randomness and the buffers, so the same engine runs on blocking sockets, on any async runtime,
//! in a proxy or in a test.
//!
//! ```
//! use bytes::BytesMut;
//! use ws_core::{Config, Connection, Event, Extensions, Role};
//!
//! let mut ws = Connection::new(Role::Server, Config::default(), Extensions::none());
//! // What was read from a socket: a client's "Hello", masked.
//! let mut input = BytesMut::from(&b"\x81\x857\xfa!=\x7f\x9fMQX"[..]);
//! while let Some(event) = ws.poll_event(&mut input) {
//!     match event {
//!         Event::Message(message) => ws.send(message)?, // an echo
//!         Event::Closed(closed) => println!("closed with {}", closed.code),
//!         _ => {} // the Pong owed for a Ping is already queued
//!     }
//! }
//! # #[cfg(feature = "std")] {
//! let mut output = Vec::new(); // or a socket
//! ws.write_to(&mut output)?;
//! assert_eq!(output, b"\x81\x05Hello");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The map
//! | to | see |
//! |---|---|
//! | drive a connection | [`Connection`], [`Event`], [`Role`] |
//! | send and receive | [`Message`], [`Payload`], [`Text`]; in pieces: [`Connection::start_message`], [`Receive`] |
//! | send to many | [`Broadcast`], [`Connection::send_broadcast`] |
//! | write out as you like | [`Connection::poll_output`], [`Output`]; in turns with others: [`Connection::poll_output_bounded`] |
//! | bound what a peer can make you hold | [`Config`] |
//! | tell what went wrong | [`Closed`], [`Fault`], [`SendError`], [`CloseCode`] |
//! | write an extension | [the guide](extension::guide), [`extension`] |
//! | read or write single frames | [`FrameHeader`], [`apply_mask`] |
//! | watch frames go by | [`Connection::observe_frames`] |
//!
//! # What it promises
//! - What a peer does wrong is an event with the close code that the RFC names, at the first octet
//!   that proves it; what the caller does wrong is an `Err`. Neither panics.
//! - A Close or a fault acts in stream order: messages before it are delivered, replies to them go
//!   out, then our Close.
//! - Everything that a peer can make grow has a limit by default ([`Config`]), and one call works
//!   through 64 KiB at most.
//! - An idle connection holds no buffer.
//!
//! # What it leaves to you
//! Sockets, deadlines, heartbeats, rates, a client's masking keys: [`Connection`] says what is open,
//! and for how long it may stay so is for you to say.
//!
//! # The other crates
//! - [`ws-handshake`](https://docs.rs/ws-handshake): the opening handshake, which comes before a
//!   [`Connection`] and negotiates its [`Extensions`].
//! - [`ws-ext-deflate`](https://docs.rs/ws-ext-deflate): permessage-deflate, an [`Extension`].
//! - `ws-server`: a server and a client for tokio, with all of the above
//!   done.
//!
//! # Features
//! - `std` (default): SIMD detected at run time for UTF-8, vectored output, `write_to`; a broadcast is
//!   encoded once and not for each connection. Without it the crate is `no_std` with `alloc`.
//! - `testkit`: the module `testkit`, which proves an extension. For dev-dependencies.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

extern crate alloc;

mod broadcast;
mod buffer;
mod close;
mod config;
mod connection;
mod conversions;
mod error;
mod event;
pub mod extension;
mod fault;
mod frame;
mod mask;
mod memory_use;
mod message;
mod message_head;
mod observer;
mod opcode;
mod output;
mod payload;
mod receive;
mod role;
mod send;
#[cfg(feature = "testkit")]
pub mod testkit;
mod text;
mod utf8;

pub use broadcast::Broadcast;
pub use buffer::BufferSize;
pub use close::{CloseCode, fitting_reason};
pub use config::{Config, Receive, UNLIMITED};
pub use connection::Connection;
pub use conversions::NotText;
pub use error::SendError;
pub use event::{Closed, ClosedBy, Event};
pub use extension::{Extension, ExtensionFactory, Extensions};
pub use fault::{Fault, Misplaced};
pub use frame::FrameHeader;
pub use mask::apply_mask;
pub use memory_use::MemoryUse;
pub use message::{Compression, Message, MessageKind};
pub use observer::{FrameDirection, FrameObserver, ObservedFrame};
pub use opcode::{MAX_CONTROL_PAYLOAD, Opcode};
pub use output::{Outgoing, Output};
pub use payload::Payload;
pub use receive::Unfinished;
pub use role::{MaskKeys, Role};
pub use text::{InvalidUtf8, Text};
pub use utf8::Utf8Validator;

/// Bytes of input or output that one call may work through.
const WORK_PER_CALL: usize = 64 * 1024;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
