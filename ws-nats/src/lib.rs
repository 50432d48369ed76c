//! Topics, history and presence of [`ws_server`] over several machines, on NATS with JetStream.

#![forbid(unsafe_code)]
// Until the parts that call each other are all there.
#![allow(dead_code)]

mod api;
mod audit;
mod config;
mod denied;
mod ephemeral;
mod error;
mod event;
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
