//! What is known of a connection and what is counted. Imports other crates alone.

pub(crate) mod error;
pub(crate) mod limits;
pub(crate) mod linger;
pub(crate) mod log_limiter;
pub(crate) mod metrics;
pub(crate) mod request;
pub(crate) mod socket;
pub(crate) mod sync;
