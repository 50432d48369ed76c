//! Which limit kept a connection out.

use std::fmt;

use crate::ServerLimits;

/// Which of the [`ServerLimits`] kept a connection out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AdmissionLimit {
    /// [`ServerLimits::max_connections`].
    MaxConnections,
    /// [`ServerLimits::max_per_ip`].
    MaxPerIp,
    /// [`ServerLimits::max_pending`].
    MaxPending,
    /// [`ServerLimits::max_memory`].
    MaxMemory,
}

impl AdmissionLimit {
    /// The name of the field.
    pub fn name(self) -> &'static str {
        match self {
            Self::MaxConnections => "max_connections",
            Self::MaxPerIp => "max_per_ip",
            Self::MaxPending => "max_pending",
            Self::MaxMemory => "max_memory",
        }
    }

    /// What a log says of it.
    pub(crate) fn explain(self, limits: &ServerLimits) -> String {
        let name = self.name();
        let (most, more) = match self {
            Self::MaxConnections => (limits.max_connections, "so many are connected in all"),
            Self::MaxPerIp => (
                limits.max_per_ip,
                "so many are connected from its address; behind a proxy that trust_proxies does \
                 not name every client has the address of the proxy",
            ),
            Self::MaxPending => (
                limits.max_pending,
                "so many have not sent their request yet, or wait for their gate",
            ),
            Self::MaxMemory => {
                return format!("clients make the server hold {name}; see ServerLimits::{name}");
            }
        };
        format!("{name} is {most}: {more}; see ServerLimits::{name}")
    }
}

impl fmt::Display for AdmissionLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
