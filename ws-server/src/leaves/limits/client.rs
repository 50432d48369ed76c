//! Limits of a client that connects.

use std::time::Duration;

use super::style::{check_head, limits};
use crate::ConfigError;

limits! {
    /// Limits on connecting. Those of the connection itself are [`Limits`](crate::Limits), and the same
    /// rules hold for zero and for "no limit".
    ClientLimits {
        /// Time to be connected: name, TCP, request and answer. Default 20 s. Beyond it
        /// `ConnectError::Timeout`.
        connect_timeout: Duration = Duration::from_secs(20),

        /// Sizes and counts in the head of the answer. Default 16 KiB in all, 256 headers, and 16 KiB of
        /// the body of a refusal. Beyond them `ConnectError::Response`, and a body that is cut.
        head: ws_handshake::Limits = ws_handshake::Limits::default(),
    }
}

impl ClientLimits {
    /// Names the first field that lets nothing through.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.check_zero()?;
        check_head(&self.head)
    }
}
