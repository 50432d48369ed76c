//! What the connections of a server count and may write into the log, all together.

use super::{
    budget::Budget,
    log_limiter::{HintLimiter, LogLimiter},
    metrics::Counters,
};

/// Counters, and limits on what the log says.
#[derive(Default)]
pub(crate) struct Stats {
    pub(crate) counters: Counters,
    /// What clients make the server hold.
    pub(crate) budget: Budget,
    /// Lines about clients.
    pub(crate) client_log: LogLimiter,
    /// Lines about handlers that failed: apart from those about clients, which would drown them.
    pub(crate) handler_log: LogLimiter,
    /// Lines about subprotocols that the server does not speak.
    pub(crate) subprotocol_log: HintLimiter,
}
