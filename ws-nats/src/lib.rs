//! Topics, history and presence of [`ws_server`] over several machines, on [NATS](https://nats.io) with
//! JetStream.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use ws_nats::{Config, Nats};
//! use ws_server::{Message, Server, WebSocket};
//!
//! let chat = |mut ws: WebSocket| async move {
//!     let room = ws.subscribe("room")?;
//!     while let Some(Message::Text(text)) = ws.recv().await {
//!         room.publish(text); // to the subscribers on all machines, in one order
//!     }
//!     Ok(())
//! };
//! let server = Server::new().route("/chat", chat);
//! let config = Config::default().servers(["nats://127.0.0.1:4222"]);
//! let nats = Nats::connect(config, server.clients()).await?;
//! server.backplane(Arc::clone(&nats) as _).bind("0.0.0.0:9001").await?.serve().await
//! # }
//! ```
//!
//! | to | see |
//! |---|---|
//! | say how NATS is reached, and what is kept | [`Config`] |
//! | give a client what it missed | [`Nats::join`], [`Position`], [`Recovered`] |
//! | know that a message is stored | [`Nats::publish_acked`] |
//! | keep nothing of some topics | [`Config::ephemeral`] |
//! | know who is there | [`Nats::presence`], [`Config::presence_event`](Config#structfield.presence_event) |
//! | close connections and end subscriptions on all machines | [`Nats::kick`], [`Nats::unsubscribe_all`] |
//! | count | [`Nats::metrics`]; for Prometheus `Nats::prometheus`, in the feature `prometheus` |
//! | leave | [`Nats::shutdown`] |
//!
//! # What it promises
//! 1. **Order**: all nodes see a stored topic in stream order; no local shortcut; nothing is said
//!    across topics.
//! 2. **Duplicates**: none per connection; an application's own retry gives a message id.
//! 3. **Loss**: acknowledged means that a quorum took it; a power failure may lose `sync_interval`
//!    of the server (its configuration can say `always`). Not acknowledged means unknown: counted,
//!    never sent again.
//! 4. **Gaps** are refilled in order or told as `Gap { from, to }`, at the tail too: every topic of
//!    interest is compared with the stream within `audit` (10 s) and after every reconnect, in
//!    batches. A refill is complete only when the message it ends at was read; a 404 before that is
//!    asked again of the leader (`STREAM.MSG.GET`), then told.
//! 5. **Recovery** (`since`): a position carries epoch, sequence and the message's time; a mismatch
//!    is `Lost`; `All` only if nothing can be missing. A changed limit begins an epoch; purges by
//!    hand are the named exception.
//! 6. **Subscribing**: live from the returned position on.
//! 7. **NATS away**: `publish` is refused, nothing is delivered locally, what was refused is never
//!    sent; until it is noticed (3 s at most) what was handed over is unknown and counted.
//! 8. **Presence**: eventual; a dead node is gone within three heartbeats; a node that is cut off
//!    knows it.
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `prometheus` | `Nats::prometheus`: metrics in the text format of Prometheus |
//!
//! The README has the wire format, the permissions that a node needs, and how other programs publish.

#![forbid(unsafe_code)]

mod api;
mod audit;
mod config;
mod denied;
mod ephemeral;
mod error;
mod event;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod heartbeat;
mod inspector;
mod join;
mod link;
mod log_limiter;
mod metrics;
mod nats;
mod node;
mod options;
mod orders;
mod own;
mod position;
mod presence;
#[cfg(feature = "prometheus")]
mod prometheus;
mod publisher;
mod refill;
mod ring;
mod stream;
mod subject;
mod time;
mod topic;
mod track;
mod tracks;
mod wire;

#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

pub use config::{Config, Credentials, OnGap, OnPresence, Stamp, Storage, TopicKind, TopicPattern};
pub use error::{ConnectError, JoinError, PublishError};
pub use event::{Gap, Member, PresenceEvent};
pub use join::{Joined, Recovered, Since};
pub use metrics::{Counted, Metrics};
pub use nats::{Nats, Shutdown};
pub use orders::{Obeyed, OrderError};
pub use position::{InvalidPosition, Position};
pub use presence::{AppearError, Presence};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
