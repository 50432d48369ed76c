//! The names that a server goes by.
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
/// Against DNS rebinding: a page of `evil.example` whose name is made to stand for the address of a
/// server, `127.0.0.1` say, connects to that server with `evil.example` as its `Origin` and as its
/// `Host`, which [`OriginPolicy::same_origin`](crate::OriginPolicy::same_origin) takes for the
/// server's own page. A server that knows its names refuses it.
///
/// An entry without a port stands for its host on every port; one with a port for that port alone,
/// where a `Host` without a port stands for 80 and 443. Letters are compared in lower case, IPv6
/// addresses as addresses. Nothing is added: a server that is also reached as `localhost`,
/// `127.0.0.1` or `[::1]`, or by its address from a load balancer, lists that as well.
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
    /// All of `hosts`, each written as in `Host`: `a.example`, `a.example:8443`, `[::1]`.
    ///
    /// # Errors
    /// [`HostsError`] for what is no host, and for a list without any.
    pub fn new<S: AsRef<str>>(hosts: impl IntoIterator<Item = S>) -> Result<Self, HostsError> {
        let mut all = Vec::new();
        for host in hosts {
            let host = host.as_ref();
            // An asterisk would stand for itself and match nothing that there is.
            let entry = Authority::parse(host.as_bytes()).filter(|_| !host.contains('*'));
            all.push(entry.ok_or_else(|| HostsError::Host(host.into()))?);
        }
        if all.is_empty() { Err(HostsError::Empty) } else { Ok(Self(all)) }
    }

    /// Whether `host` is one of them.
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
    #[error("the list of hosts is empty: nobody could connect")]
    Empty,
}
