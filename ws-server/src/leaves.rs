//! What all other rooms build on: limits, errors, counters, log limits, sockets. This room imports
//! other crates alone.

pub(crate) mod admission_limit;
pub(crate) mod budget;
pub(crate) mod capacity;
pub(crate) mod client;
pub(crate) mod data;
pub(crate) mod error;
pub(crate) mod held;
pub(crate) mod histogram;
pub(crate) mod id;
pub(crate) mod limits;
pub(crate) mod linger;
pub(crate) mod log_limiter;
pub(crate) mod metrics;
pub(crate) mod networks;
pub(crate) mod request;
pub(crate) mod socket;
pub(crate) mod stats;
pub(crate) mod sync;
#[cfg(feature = "tls")]
pub(crate) mod tls;
