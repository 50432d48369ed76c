//! The WebSockets of [`ws_server`] inside axum, hyper and whatever speaks tower: permessage-deflate,
//! limits, topics, Pings while a handler waits, and a graceful shutdown, over HTTP/1.1 and HTTP/2
//! ([RFC 8441](https://www.rfc-editor.org/rfc/rfc8441)).
//!
//! ```no_run
//! # #[cfg(feature = "axum")]
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, response::Response, routing::any};
//! use ws_server::{Server, Tcp, WebSocket};
//! use ws_tower::WebSocketUpgrade;
//!
//! async fn echo(upgrade: WebSocketUpgrade) -> Response {
//!     upgrade.on_upgrade(|mut ws: WebSocket| async move {
//!         while let Some(message) = ws.recv().await {
//!             ws.send(message).await?;
//!         }
//!         Ok(())
//!     })
//! }
//!
//! let service = Server::new().service()?;
//! let app = Router::new().route("/echo", any(echo)).with_state(service);
//! ws_tower::serve(Tcp::bind("127.0.0.1:3000").await?, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The map
//! | to | see |
//! |---|---|
//! | open a WebSocket in a handler of axum | `WebSocketUpgrade`, in the feature `axum` |
//! | mount the routes of a [`ws_server::Server`] in a router, in hyper, in tonic | [`service`] |
//! | serve HTTP/1.1, HTTP/2 and their WebSockets, and shut them all down | [`serve`] |
//! | let a layer refuse what a handler accepted | [`ConfirmLayer`] |
//! | make another server accept WebSockets over HTTP/2 | [`configure`] |
//! | test a router with its WebSockets, without a socket | `test_client`, in the feature `client` |
//!
//! Both ways of opening share one [`ws_server::Service`]: its limits, metrics, topics and shutdown.
//! WebSockets are made in the same way over both versions of HTTP.
//!
//! # Features
//! - `deflate` (default): permessage-deflate, as [`ws_server`] has it.
//! - `axum`: the extractor, for axum 0.8.
//! - `tls`: TLS by tokio-rustls, as [`ws_server`] has it.
//! - `client`: `test_client`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(all(doctest, feature = "axum", feature = "deflate"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(feature = "axum")]
mod extract;
mod mount;
mod peer;
mod serve;
mod services;
#[cfg(feature = "client")]
mod test_client;
mod upgrade;

#[cfg(feature = "axum")]
pub use extract::WebSocketUpgrade;
pub use mount::{MountedService, service};
pub use serve::{HttpService, Serve, configure, serve};
#[cfg(feature = "client")]
pub use test_client::{test_client, test_client_with};
pub use upgrade::{
    UpgradeError,
    confirm::{Confirm, ConfirmLayer, Confirming},
};
pub use ws_server;
