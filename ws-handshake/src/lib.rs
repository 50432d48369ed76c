//! Both sides of the WebSocket opening handshake
//! ([RFC 6455 §4](https://www.rfc-editor.org/rfc/rfc6455#section-4)), without sockets.
//!
//! A handshake is one HTTP request and one response. This crate reads and writes both, as raw octets or
//! in the types of the [`http`] crate, for any HTTP implementation. The result is a stack of
//! [`ws_core::Extensions`] and a subprotocol, to open a [`ws_core::Connection`] with.
//!
//! | to | see |
//! |---|---|
//! | answer on a raw byte stream | [`RequestReader`], [`Upgrade`], [`Accepted::write`] |
//! | answer in a framework with `http` types | [`Upgrade::inspect`], [`Accepted`] |
//! | open it over HTTP/2 (RFC 8441) | [`ConnectProtocol`] |
//! | refuse | [`Rejection`], [`Cause`] |
//! | ask as a client | [`ClientOptions`], [`ClientHandshake`], [`ResponseReader`], [`BodyReader`] |
//! | offer extensions and learn their fate | [`ExtensionSet`], [`Report`] |
//! | agree on a subprotocol | [`Subprotocols`] |
//! | say which web pages may connect | [`OriginPolicy`] |
//! | say which hosts the server answers for | [`Hosts`] |
//! | limit what a peer can send | [`Limits`] |
//!
//! # The server
//!
//! ```text
//!  octets ──RequestReader──▶ http::Request ──Upgrade::inspect──▶ Upgrade ──accept──▶ Accepted
//!                 │                                 │                        │
//!                 └───────────── Rejection ─────────┴────────────────────────┘
//! ```
//!
//! [`RequestReader`] finds the head in a byte stream, [`Upgrade::inspect`] checks that the request is a
//! valid handshake, and [`Upgrade::accept`] answers it according to [`AcceptOptions`]. In between, an
//! application can look at the path, headers and cookies, and answer with a [`Rejection`] of its own.
//! Every fault is a [`Rejection`] too, with its status and its [`Cause`].
//!
//! On a raw byte stream [`RequestReader::read_head`] is faster: its [`RequestHead`] has no header map,
//! and is a [`RequestView`] like the types of the [`http`] crate.
//!
//! It is secure by default: pages of other sites are refused ([`OriginPolicy`]), and everything that a
//! peer sends has a limit ([`Limits`]).
//!
//! ```
//! use bytes::BytesMut;
//! use ws_handshake::{AcceptOptions, RequestReader, Upgrade};
//!
//! let mut input = BytesMut::from(
//!     "GET /chat HTTP/1.1\r\n\
//!      Host: server.example.com\r\n\
//!      Upgrade: websocket\r\n\
//!      Connection: Upgrade\r\n\
//!      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
//!      Sec-WebSocket-Version: 13\r\n\
//!      \r\n",
//! );
//! let request = RequestReader::default().read(&mut input)?.expect("a whole head");
//! let upgrade = Upgrade::inspect(&request)?;
//! assert_eq!(upgrade.path(), "/chat");
//! let accepted = upgrade.accept(&AcceptOptions::default())?;
//! let mut output = BytesMut::new();
//! accepted.write(&mut output);
//! assert!(output.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The client
//!
//! [`ClientOptions`] make a [`ClientHandshake`] from 16 random octets. Send its request, read the answer
//! with [`ResponseReader`], and let [`ClientHandshake::verify`] check it against the offers.
//!
//! # Extensions
//!
//! An [`ExtensionSet`] holds the factories, in the order of their operations; the server's order is that
//! of the response. A declined offer never fails the handshake: at both ends a [`Report`] tells the fate
//! of each.
//!
//! # The other crates
//!
//! - [`ws-core`](ws_core): frames and messages, after the handshake.
//! - [`ws-ext-deflate`](https://docs.rs/ws-ext-deflate): permessage-deflate, for an [`ExtensionSet`].
//! - `ws-server`: a server and a client for tokio, on top of all this.
//!
//! # Choices where the RFCs leave one
//!
//! - The answer to a missing or other `Upgrade` is 426, to a `Connection` without `Upgrade` 400, to an
//!   HTTP/1.0 request 400, and to `Expect` 417.
//! - A key must have the form of 16 octets in base64; the unused bits of its last character may have any
//!   value.
//! - A malformed `Sec-WebSocket-Extensions` is answered with 400; a known extension with unsupported
//!   parameters is declined.
//! - Lines that end in LF alone are refused, and so is data after a request that asks for an upgrade,
//!   unless [`RequestReader::allow_early_data`] permits it.
//! - Characters in a request-target that RFC 3986 wants escaped, but browsers send raw (`/%zz`,
//!   `?a[]=b|c`, `?{}`), reach the application unchanged, and so does `"` in a path. `<`, `>`, `#`, spaces,
//!   `"` in a query and a backquote in a path, which browsers escape, are answered with 400, which names
//!   the character and its escape: RFC 9112 §3.2 asks servers not to correct it.
//! - `websocket/13` in `Upgrade` is not `websocket`.
//! - A client accepts a 101 with `Content-Length` or `Transfer-Encoding`, which mean nothing there, and
//!   extensions in several lines.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod accept;
mod accept_key;
mod authority;
mod body_reader;
mod cause;
mod client;
mod client_response;
mod connect_protocol;
mod extension_header;
mod extension_set;
mod extra_headers;
mod fields;
mod head;
mod head_writer;
mod header_lines;
mod hosts;
mod limits;
#[cfg(test)]
mod linearity;
mod list;
mod negotiation;
mod octet_set;
mod origin;
mod rejection;
mod report;
mod request_head;
mod request_reader;
mod request_view;
mod response_error;
mod response_reader;
mod server;
mod subprotocol;
mod uri;
mod visits;

pub use accept::{AcceptError, AcceptOptions, Accepted};
pub use accept_key::{accept_key, is_valid_key};
pub use authority::Authority;
pub use body_reader::BodyReader;
pub use cause::Cause;
pub use client::{ClientHandshake, ClientOptions, RequestError};
pub use client_response::Connected;
pub use connect_protocol::ConnectProtocol;
pub use extension_header::{ExtensionElement, ExtensionHeaderError, parse_extensions};
pub use extension_set::{ExtensionSet, ExtensionSetError};
pub use extra_headers::{InvalidHeader, ResponseHeaders};
pub use head::HeadError;
pub use head_writer::{write_response, write_response_head};
pub use hosts::{Hosts, HostsError};
pub use limits::Limits;
pub use negotiation::Negotiation;
pub use origin::{OriginError, OriginPolicy, OriginRefusal};
pub use rejection::Rejection;
pub use report::{FactoryFault, Report, ReportEntry, Verdict};
pub use request_head::RequestHead;
pub use request_reader::RequestReader;
pub use request_view::RequestView;
pub use response_error::{Refusal, ResponseError};
pub use response_reader::ResponseReader;
pub use server::Upgrade;
pub use subprotocol::{SubprotocolError, SubprotocolHeaderError, Subprotocols};
pub use uri::{UriError, WebSocketUri};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
