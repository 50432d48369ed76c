//! The names of a server.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use crate::Authority;

/// The hosts that a server answers for. Others get 421.
///
/// This prevents DNS rebinding: the owner of `evil.example` makes that name resolve to the address of a
/// server, such as `127.0.0.1`. Its page then connects with `evil.example` as both `Origin` and `Host`,
/// which [`OriginPolicy::same_origin`](crate::OriginPolicy::same_origin) takes for the server's own
/// page. A server that knows its names refuses it.
///
/// An entry without a port matches its host on every port; one with a port matches that port alone,
/// and a `Host` without a port means 80 and 443. Case is ignored, and IPv6 addresses are compared as
/// addresses. Nothing is implied: a server that is also reached as `localhost`, `127.0.0.1` or
/// `[::1]`, or by its address from a load balancer, must list that as well.
///
/// ```
/// use ws_handshake::{Authority, Hosts};
///
/// let hosts = Hosts::new(["chat.example", "localhost:9001", "[::1]:9001"])?;
/// assert!(hosts.contains(&Authority::parse(b"Chat.Example:8443").unwrap()));
/// assert!(!hosts.contains(&Authority::parse(b"evil.example").unwrap()));
/// # Ok::<(), ws_handshake::HostsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts(Vec<Authority>);

impl Hosts {
    /// A list of `hosts`, each written as in `Host`: `a.example`, `a.example:8443`, `[::1]`.
    ///
    /// # Errors
    /// [`HostsError`] names an entry that is not a host; an empty list is an error too.
    pub fn new<S: AsRef<str>>(hosts: impl IntoIterator<Item = S>) -> Result<Self, HostsError> {
        let mut all = Vec::new();
        for host in hosts {
            let host = host.as_ref();
            // An asterisk would be taken literally and match no host.
            let entry = Authority::parse(host.as_bytes()).filter(|_| !host.contains('*'));
            all.push(entry.ok_or_else(|| HostsError::Host(host.into()))?);
        }
        if all.is_empty() { Err(HostsError::Empty) } else { Ok(Self(all)) }
    }

    /// Whether `host` is one of these hosts.
    pub fn contains(&self, host: &Authority) -> bool {
        self.0.iter().any(|own| {
            own.host() == host.host()
                && match (own.port(), host.port()) {
                    (None, _) => true,
                    (Some(own), None) => matches!(own, 80 | 443),
                    (own, port) => own == port,
                }
        })
    }
}

/// Why a list of hosts cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostsError {
    /// This entry is not a host, or has a scheme, a path or an asterisk.
    #[error(
        "{_0:?} is not a host: write a.example, a.example:8443 or [::1], without scheme, path or asterisk"
    )]
    Host(Box<str>),
    /// The list is empty.
    #[error("the list of hosts is empty: no client could connect")]
    Empty,
}
