//! A WebSocket server for tokio: the connection lives while your handler waits, and everything that
//! a client can make large, slow or many has a limit.
//!
//! ```no_run
//! use ws_server::{ServeError, Server, WebSocket};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), ServeError> {
//!     let echo = |mut ws: WebSocket| async move {
//!         while let Some(message) = ws.recv().await {
//!             ws.send(message).await?;
//!         }
//!         Ok(())
//!     };
//!     // It never returns; `serve_until` does.
//!     Server::new().any(echo).bind("127.0.0.1:9001").await?.serve().await
//! }
//! ```
//!
//! # The map
//! | to | see |
//! |---|---|
//! | route, limit | [`Server`], [`Route`], [`Limits`], [`ServerLimits`] |
//! | decide who may connect | [`Gate`], [`Admit`], [`Rejection`] |
//! | listen, shut down | [`BoundServer`], [`Listener`], [`Report`] |
//! | write a handler, share state among them | [`Handler`] |
//! | talk with one client | [`WebSocket`], [`Sender`], [`Message`] |
//! | receive or send a message larger than memory | [`Limits::streaming`](Limits#structfield.streaming), [`WebSocket::recv_streaming`], [`WebSocket::send_streaming`] |
//! | learn how it ended | [`WebSocket::closed`], [`Closed`] |
//! | reach all connected clients | [`Clients`], [`Client`] |
//! | send to many: rooms, topics, tags | [`WebSocket::subscribe`], [`Clients::publish`], [`Publication`] |
//! | let a topic span several servers | [`Server::backplane`], [`Backplane`] |
//! | send a client what it missed | [`Client::subscribe_after`] |
//! | receive a topic in any task | [`Clients::listen`], [`Subscription`] |
//! | choose what happens to slow clients | [`SlowConsumer`] |
//! | count connections, messages and refusals | [`Clients::metrics`], [`Metrics`]; for Prometheus `Clients::prometheus`, in the feature `prometheus` |
//! | measure round trips | [`Client::round_trip`], [`Metrics::round_trips`] |
//! | see every frame of a connection, and why an extension was declined | [`Server::observe`] |
//! | look at path, query, headers, peer | [`WebSocket::request`], [`Request`] |
//! | choose which web pages may connect | [`Server::origin`], [`OriginPolicy`], [`Server::hosts`] |
//! | stand behind a proxy | [`Server::trust_proxies`], [`ProxyProtocol`] |
//! | answer plain HTTP requests | [`Server::fallback`] |
//! | compress, or add an extension of your own | [`Server::extension`] |
//! | speak TLS | `Tls`, in the feature `tls` |
//! | serve a stream of your own | [`Service::serve_connection`] |
//! | serve inside of axum, hyper or tower, over HTTP/2 too | the crate `ws-tower` |
//! | accept requests that another HTTP implementation reads | [`Service::upgrade`], [`Service::open`] |
//! | be the client, and reconnect | `connect` and `Reconnect`, in the feature `client` |
//!
//! # How it is driven
//! The [`Handler`] and the connection are polled in one task. While the handler awaits anything, the
//! connection answers Pings and a Close, sends messages of other tasks, and pings a silent client. A
//! wake-up is one turn: read once, let the handler work, write once. So a burst of messages costs two
//! system calls, and you never need to flush.
//!
//! A client that is faster than the handler is paused, not buffered: 64 KiB or 256 messages are
//! received ahead, and a little more is looked at, so that its Pongs, its Close and its end are
//! noticed while the handler does not receive. A client that is slower than the handler makes
//! [`WebSocket::send`] wait at 256 KiB. Messages in pieces are no exception: a relay of messages of any
//! size holds a few hundred KiB. Broadcasts wait for no client; the [`SlowConsumer`] policy
//! decides what happens to those that a slow client cannot take. [`Limits`] has every bound with its
//! default.
//!
//! # Logs
//! The crate prints nothing. Events go to [`tracing`](https://docs.rs/tracing), in a span for each
//! connection; refused connections and the reasons are logged at `INFO`. To see them, add the crate
//! `tracing-subscriber` and call `tracing_subscriber::fmt::init()` in `main`.
//!
//! # Features
//! - `deflate` (default): permessage-deflate, as `Deflate`.
//! - `auth` (default): cookies, `Bearer` and `Basic` of a [`Request`], for a [`Gate`].
//! - `tls`: `wss`, by rustls, as [`Tls`](https://docs.rs/ws-server/latest/ws_server/struct.Tls.html).
//! - `futures`: a [`WebSocket`] as a `Stream` and a `Sink`.
//! - `prometheus`: `Clients::prometheus` and `Clients::collector`, what the server counts for Prometheus.
//! - `client`: `connect` and `Connect`, the same [`WebSocket`] on the other end.
//!
//! # The other crates
//! [`ws-core`](ws_core) implements the protocol and the traits for extensions,
//! [`ws-handshake`](ws_handshake) the opening handshake, and
//! [`ws-ext-deflate`](https://docs.rs/ws-ext-deflate) compression. This crate adds sockets, tasks and
//! timers.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(feature = "client")]
mod connect;
mod drive;
mod handles;
mod leaves;
mod listen;
mod open;
mod outbox;
mod registry;
#[cfg(feature = "client")]
mod test_client;

pub use async_trait::async_trait;
pub use bytes::Bytes;
#[cfg(all(feature = "client", feature = "tls"))]
pub use connect::ClientTls;
#[cfg(feature = "client")]
pub use connect::{Connect, ConnectError, ConnectQueue, Reconnect, connect};
pub use handles::clients::{Client, Clients};
#[cfg(feature = "futures")]
pub use handles::messages::Messages;
#[cfg(feature = "prometheus")]
pub use handles::prometheus::PROMETHEUS_TEXT;
pub use handles::reader::MessageReader;
pub use handles::sender::Sender;
pub use handles::subscription::Subscription;
pub use handles::topic::Topic;
pub use handles::websocket::WebSocket;
pub use handles::writer::MessageWriter;
pub use leaves::admission_limit::AdmissionLimit;
pub use leaves::error::{
    ConfigError, Interrupted, Lagged, PingError, SendError, ServeError, SubscribeError,
    TrySendError, TrySendReason,
};
pub use leaves::held::Held;
pub use leaves::histogram::Histogram;
pub use leaves::id::ClientId;
#[cfg(feature = "client")]
pub use leaves::limits::ClientLimits;
pub use leaves::limits::{Limits, ServerLimits};
pub use leaves::metrics::{Metrics, Rejected, Traffic};
pub use leaves::networks::Networks;
#[cfg(feature = "auth")]
pub use leaves::request::credentials::{Basic, Bearer};
pub use leaves::request::{Agreed, Peer, Request};
#[cfg(feature = "tls")]
pub use leaves::tls::{Pem, TlsError, TlsInfo};
pub use listen::backoff::Backoff;
pub use listen::bound::BoundServer;
pub use listen::listener::{Immediate, Listener, Pending, Transport};
pub use listen::proxy_protocol::{ProxyPending, ProxyProtocol};
pub use listen::server::Server;
pub use listen::tcp::Tcp;
#[cfg(feature = "tls")]
pub use listen::tls::{Tls, TlsListener, TlsPending};
#[cfg(unix)]
pub use listen::unix::Unix;
pub use open::accepted::Accepted;
pub use open::gate::{Admit, Gate, Opening};
pub use open::handler::{Handler, HandlerError};
pub use open::inspected::Inspected;
pub use open::options::Options;
pub use open::outcome::Outcome;
pub use open::proxies::Forwarding;
pub use open::route::{IntoRoute, Route};
pub use open::service::{Report, Service};
pub use outbox::post::SlowConsumer;
#[cfg(feature = "prometheus")]
pub use prometheus_client;
pub use registry::backplane::Backplane;
pub use registry::publication::{Publication, PublicationParts};
pub use registry::published::{Published, Refused};
pub use ws_core::{
    CloseCode, Closed, ClosedBy, FrameDirection, FrameObserver, InvalidUtf8, Message, MessageKind,
    NotText, ObservedFrame, Payload, Text, UNLIMITED, extension::Compression,
};
#[cfg(feature = "deflate")]
pub use ws_ext_deflate::{Deflate, Pool as DeflatePool};
pub use ws_handshake::{
    Cause, ConnectProtocol, Hosts, InvalidHeader, Limits as HeadLimits, OriginPolicy, Rejection,
    Report as NegotiationReport, SubprotocolError, Subprotocols,
};
#[cfg(feature = "client")]
pub use ws_handshake::{Refusal, RequestError, ResponseError, UriError};

#[cfg(all(doctest, feature = "deflate"))]
#[doc = include_str!("../README.md")]
struct Readme;
