//! permessage-deflate ([RFC 7692](https://www.rfc-editor.org/rfc/rfc7692)) for both ends of a
//! WebSocket connection.
//!
//! [`Deflate`] is a [`ws_core::ExtensionFactory`]: give it to whatever does the opening handshake,
//! and every connection that agrees on it compresses its messages.
//!
//! | in | by |
//! |---|---|
//! | `ws-server`, which has it as `ws_server::Deflate` | `.extension(Deflate::default())` |
//! | [`ws-handshake`](https://docs.rs/ws-handshake), on I/O of your own | `ExtensionSet::new().with(Deflate::default())?` |
//! | [`ws-core`](ws_core) alone | [`accept`](ws_core::ExtensionFactory::accept) or [`confirm`](ws_core::ExtensionFactory::confirm), and [`Extensions::push`](ws_core::Extensions::push) |
//!
//! The setters of [`Deflate`] choose level, threshold, windows, context takeover and memory. The crate
//! uses nothing but the public traits of the engine, so it also shows what an extension of yours may
//! look like.
//!
//! ```
//! use ws_core::{ExtensionFactory, extension::{Params, Rsv}};
//! use ws_ext_deflate::Deflate;
//!
//! // A browser offers `permessage-deflate; client_max_window_bits`.
//! let offer = Params::new().with_flag("client_max_window_bits");
//! let agreed = Deflate::default().accept(&offer, Rsv::ALL)?;
//! assert_eq!(agreed.response.to_string(), "; client_max_window_bits=12");
//! # Ok::<(), ws_core::extension::NegotiationError>(())
//! ```
//!
//! # What is negotiated
//! All four parameters, in both roles. A server declines an offer with an unknown, repeated or
//! malformed parameter and looks at the next one; its reason names the parameter. A client fails the
//! handshake for the same reasons, and if the response lacks what it insisted on. [`Deflate`] says
//! what each option means for either role.
//!
//! A response names what the client offered and what was set here, and nothing else: a server at its
//! defaults compresses with 12 bits and does not say so.
//!
//! # What is compressed
//! A message is compressed if its sender says [`Compression::Always`](ws_core::Compression), and not
//! with `Never`. With `Auto`, the default, it is compressed unless
//! - it is shorter than the [threshold](Deflate::threshold), or
//! - messages of its kind, text or binary, did not shrink of late: the last ones tried, 1 KiB or more
//!   together, lost less than a sixteenth of their bytes. Then 8 times as many bytes go out plain
//!   before the next try; each failure in a row doubles that, up to 64 times.
//!
//! A message that goes out plain leaves the compression context untouched. The pieces of a streamed
//! message leave when the compressor has output, not one by one.
//!
//! # Broadcasts
//! A server compresses a [`Broadcast`](ws_core::Broadcast) once for all connections of one level whose
//! window is no smaller than the message, with context takeover and without; connections with smaller
//! windows share a form for each size. The shared form refers back to nothing before the message,
//! which is valid for every peer and takes some more bytes: 39 % of 1 KiB of JSON, where a context of
//! 12 bits brings 27 % to 33 %. To 1,000 connections, each written to a TCP socket:
//!
//! | 1 KiB of JSON | bytes | time of a delivery |
//! |---|---|---|
//! | without compression | 1,028 | 4.8 µs |
//! | compressed once | 400 | 5.0 µs |
//! | compressed by each connection | 311 | 24 µs |
//!
//! Threshold and hint apply as to any other message. With `Auto` a broadcast goes out plain to all if
//! it did not lose a sixteenth of its bytes; what a connection learned from messages of its own has no
//! influence, and does not change.
//!
//! With context takeover, the next message of a connection's own can refer back to the broadcast, if
//! the broadcast is no longer than the window and the connection sent messages of its own before; it
//! cannot refer back past the broadcast.
//!
// R7692-8-a
//! # Secrets
//! Someone who can make you compress their text next to your secret, and sees the size of the output,
//! can guess the secret bit by bit, encrypted or not (CRIME, BREACH; RFC 7692 §8). Context takeover
//! puts all messages of a connection next to each other. Send such messages with `Never`, or leave the
//! extension out of such connections.
//!
// R7692-8-b
//! # Proxies
//! An intermediary that passes messages on compressed has to keep to what was agreed on each side:
//! one end of this crate for each connection does. One that did not see the handshake leaves
//! messages and their bits as they are.
//!
//! # Memory and work
//! With context takeover, a connection holds
//!
//! | what | bytes | when |
//! |---|---|---|
//! | record of received plaintext | as received, by the KiB, at most 2^bits of the sender's window | from the first compressed message on: the peer may refer back to all of it |
//! | record of sent plaintext | [`history`](Deflate::history), 4096 | while few connections are busy |
//! | | 256 | while it [rests](ws_core::Connection::park), or many are busy |
//! | | 0 | while the pool is at its limit |
//! | last broadcast | its plaintext, at most 2^bits, shared by all that hold it | between messages of its own, unless it rests |
//! | inflater | 47,700 | in the middle of a received message |
//! | deflater | 249,200 + 4 · 2^bits | in the middle of a sent one |
//!
//! Inflaters and deflaters come from a [`Pool`] for every message and return to it. Thousands of
//! connections need one of each for every thread that serves them; the pool keeps four of each for a
//! processor. They go on from the records. A deflater that meets the connection it served last goes on
//! from where it was, so one busy connection compresses as well as with a state of its own. The pool
//! counts all bytes. Its limit, 256 MiB unless you give [another pool](Deflate::pool), bounds what
//! connections can do without: sent plaintext can be forgotten, because a sender need not look back.
//! Received plaintext cannot: connections that were sent more than their window keep their records
//! whatever the limit, 4 KiB each with windows of 12 bits and 32 KiB with 15.
//!
//! Records of more than 256 bytes of sent plaintext share a 256th of the limit, 1 MiB: about 270 busy
//! connections can keep their whole history.
//!
//! Output grows in steps of at most 16 KiB under the limit of the engine, so a bomb ends with 1009 at
//! the first byte too many; corrupt data ends with 1007. Work is in proportion to input and output,
//! and blocks without data are [charged](ws_core::extension::Sink::charge) at their cost: of input
//! that inflates to nothing, a call takes about 1 KiB and finishes within a millisecond. A peer that
//! makes us inflate far more than it sends gets its replies at [level 1](Deflate::level). After a
//! block with BFINAL set the inflater starts anew within the same message, with nothing to refer back
//! to, and nothing remains for the next message.
//!
//! # Level, window and states
#![doc = include_str!("../figures.md")]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod amplification;
mod decoder;
mod deflater;
mod encoder;
mod factory;
mod inflater;
mod level;
mod options;
mod outcomes;
mod params;
mod permessage;
mod pool;
mod record;
mod shared;
mod tail;
mod window;

pub use options::Deflate;
pub use pool::Pool;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
