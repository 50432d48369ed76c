//! permessage-deflate ([RFC 7692](https://www.rfc-editor.org/rfc/rfc7692)) for both ends of a
//! WebSocket connection.
//!
//! [`Deflate`] is a [`ws_core::ExtensionFactory`]: give it to whatever does the opening handshake,
//! and the messages of every connection that agrees on it are compressed.
//!
//! | in | by |
//! |---|---|
//! | `ws-server`, which has it as `ws_server::Deflate` | `.extension(Deflate::default())` |
//! | [`ws-handshake`](https://docs.rs/ws-handshake), on I/O of your own | `ExtensionSet::new().with(Deflate::default())?` |
//! | [`ws-core`](ws_core) alone | [`accept`](ws_core::ExtensionFactory::accept) or [`confirm`](ws_core::ExtensionFactory::confirm), and [`Extensions::push`](ws_core::Extensions::push) |
//!
//! [`Deflate::builder`] sets level, threshold, windows, context takeover and memory. Nothing here knows more
//! of the engine than its public traits, so it is also what an extension of yours may look like.
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
//! All four parameters, in both roles. A server declines an offer that has an unknown, repeated or
//! malformed parameter, and looks at the next one; the reason names the parameter. A client fails
//! the handshake for the same reasons, or if what it insisted on is not agreed. What each option
//! means for either role stands at [`DeflateBuilder`].
//!
//! An answer names what the client offered and what was set here, and nothing else: a server that is
//! left to its defaults compresses with 12 bits and does not say so.
//!
//! # What is compressed
//! A message whose sender says [`Compression::Always`](ws_core::extension::Compression) is, one
//! with `Never` is not. With `Auto`, the default, it is unless
//! - it is shorter than the [threshold](DeflateBuilder::threshold), or
//! - messages of its kind, text or binary, did not shrink lately: those that were tried, together
//!   1 KiB or more, lost less than a sixteenth of their bytes. Then 8 times as many bytes go out
//!   plain before the next try; each failure in a row doubles that, up to 64 times.
//!
//! A message that goes out plain leaves the compression context untouched. The pieces of a streamed
//! message leave when the compressor has something to write, not each on its own.
//!
//! # Broadcasts
//! A server compresses a [`Broadcast`](ws_core::Broadcast) once for all connections of one level whose
//! window is no smaller than the message, with context takeover and without; those with smaller
//! windows have a form for each size. It refers back to nothing before it, which is valid for every
//! peer, and takes some more bytes: 39 % of 1 KiB of JSON in place of the 27 % to 33 % that a context
//! of 12 bits brings. To 1,000 connections, each written to a TCP socket:
//!
//! | 1 KiB of JSON | bytes | time of a delivery |
//! |---|---|---|
//! | without compression | 1,028 | 4.8 µs |
//! | compressed once | 400 | 5.0 µs |
//! | compressed by each connection | 311 | 24 µs |
//!
//! Threshold and hint hold as for any other message. With `Auto` it goes out plain to all if it did
//! not lose a sixteenth of its bytes; what a connection learned from messages of its own is not asked,
//! and not changed.
//!
//! With context takeover the next message of a connection's own refers back to the broadcast, if that
//! is no longer than the window and the connection sent messages of its own before; to nothing that
//! was before the broadcast.
//!
// R7692-8-a
//! # Secrets
//! Who can make you compress text of theirs next to a secret of yours, and sees the size of what
//! goes out, can guess the secret bit by bit, encrypted or not (CRIME, BREACH; RFC 7692 §8). A
//! context that is taken over puts all messages of a connection next to each other. Send such
//! messages with `Never`, or leave the extension out of such connections.
//!
// R7692-8-b
//! # Proxies
//! An intermediary that passes messages on compressed has to keep to what was agreed on each side:
//! one end of this crate for each connection does. One that did not see the handshake leaves
//! messages and their bits as they are.
//!
//! # Memory and work
//! A connection holds, with context takeover,
//!
//! | held | bytes | when |
//! |---|---|---|
//! | record of received plaintext | as received, by the KiB, at most 2^bits of the sender's window | from the first compressed message on: the peer may refer back to all of it |
//! | record of sent plaintext | [`history`](DeflateBuilder::history), 4096 | while few connections are busy |
//! | | 256 | while it [rests](ws_core::Connection::park), or many are busy |
//! | | 0 | while the pool is at its limit |
//! | last broadcast | its plaintext, at most 2^bits, which all that hold it share | between messages of its own, unless it rests |
//! | inflater | 47,700 | in the middle of a received message |
//! | deflater | 249,200 + 4 · 2^bits | in the middle of a sent one |
//!
//! Inflaters and deflaters come from a [`Pool`] for every message, and go back to it: thousands of
//! connections need one of each for every thread that serves them, and four of each are kept for a
//! processor. They go on from the records. A deflater that finds its last connection again goes on
//! from where it stands, so that one busy connection compresses as well as with a state of its own.
//! The pool counts all bytes, and its limit, 256 MiB unless you give
//! [another one](DeflateBuilder::pool), is what records and states keep to as far as they can be
//! done without. What was sent can be forgotten, because a sender need not look back. What was
//! received cannot: the records of connections that were sent more than their window are all there,
//! 4 KiB each with windows of 12 bits and 32 KiB with 15, whatever the limit.
//!
//! Records of more than 256 bytes of what was sent share a 256th of the limit, 1 MiB: some 270 busy
//! connections have all of their history.
//!
//! Output grows in steps of at most 16 KiB under the limit of the engine, so a bomb ends with 1009
//! at the first byte too many; corrupt data ends with 1007. Work is in proportion to input and
//! output, and what blocks without data cost is [charged](ws_core::extension::Sink::charge): of input
//! that inflates to nothing, a call takes about 1 KiB and is done within a millisecond. What is sent to
//! a peer that has us inflate far more than it sends is compressed at [level 1](DeflateBuilder::level).
//! Behind a block with BFINAL set the inflater starts anew within the same message, with
//! nothing to refer back to, and nothing is left over for the next.
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
mod held;
mod inflater;
mod level;
mod options;
mod params;
mod permessage;
mod pool;
mod record;
mod shared;
mod window;
mod worth;

pub use options::{Deflate, DeflateBuilder, OptionsError};
pub use pool::Pool;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
