//! A WebSocket server for tokio: the connection lives while your handler waits.
//!
//! ```no_run
//! use ws_server::{Server, WebSocket};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! Server::bind("127.0.0.1:9001")
//!     .await?
//!     .any(|mut ws: WebSocket| async move {
//!         while let Some(message) = ws.recv().await? {
//!             ws.send(message).await?;
//!         }
//!         Ok(())
//!     })
//!     .serve()
//!     .await?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod accept;
mod admission;
mod clients;
mod complaints;
#[cfg(feature = "client")]
mod connect;
mod driver;
mod error;
mod handler;
mod limits;
mod linger;
mod link;
mod opening;
mod request;
mod route;
mod sender;
mod server;
mod service;
mod websocket;

pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use clients::{Client, ClientId, Clients};
#[cfg(feature = "client")]
pub use connect::{Connect, ConnectError, ConnectQueue, connect};
pub use error::{ConfigError, RecvError, SendError, ServeError, TrySendError, TrySendReason};
pub use handler::{Handler, HandlerError};
pub use limits::Limits;
pub use request::{Peer, Request};
pub use sender::Sender;
pub use server::{Report, Server};
pub use service::Service;
pub use websocket::WebSocket;
pub use ws_core::{
    CloseCode, Closed, ClosedBy, Message, Payload, Text, UNLIMITED, extension::Compression,
};
#[cfg(feature = "deflate")]
pub use ws_ext_deflate::Deflate;
pub use ws_handshake::OriginPolicy;
#[cfg(feature = "client")]
pub use ws_handshake::{InvalidHeader, Refusal, RequestError, ResponseError, UriError};

#[cfg(all(doctest, feature = "deflate"))]
#[doc = include_str!("../README.md")]
struct Readme;
