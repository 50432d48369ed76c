//! Topics, history and presence of [`ws_server`] over several machines, on NATS with JetStream.

#![forbid(unsafe_code)]
// Until the parts that call each other are all there.
#![allow(dead_code)]

mod api;
mod config;
mod denied;
mod error;
mod event;
mod heartbeat;
mod metrics;
mod options;
mod orders;
mod position;
mod presence;
#[cfg(feature = "prometheus")]
mod prometheus;
mod stream;
mod subject;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod wire;

pub use config::{Config, Credentials, OnGap, OnPresence, Stamp, Storage, TopicKind, TopicPattern};
pub use error::{ConnectError, JoinError, PublishError};
pub use event::{Gap, Member, PresenceEvent};
pub use metrics::{Counted, Metrics};
pub use orders::{Obeyed, OrderError};
pub use position::{InvalidPosition, Position};
pub use presence::{AppearError, Presence};
