//! The terms of a connection, on one route or on all.

use std::sync::Arc;

use ws_core::Config;
use ws_handshake::AcceptOptions;

use crate::{ConfigError, Limits};

/// The rules of an opening handshake, and the limits of its connection.
pub(crate) struct Terms {
    pub(crate) accept: AcceptOptions,
    pub(crate) limits: Arc<Limits>,
    /// The engine's part of them.
    pub(crate) config: Arc<Config>,
}

impl Terms {
    pub(crate) fn new(accept: AcceptOptions, limits: Limits) -> Result<Self, ConfigError> {
        limits.check()?;
        let limits = Arc::new(limits);
        Ok(Self { accept, config: Arc::new(limits.core()), limits })
    }

    /// Other handshakes, within the same limits.
    pub(super) fn with(&self, accept: AcceptOptions) -> Self {
        Self { accept, limits: Arc::clone(&self.limits), config: Arc::clone(&self.config) }
    }
}
