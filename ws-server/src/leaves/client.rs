//! One client, as far as limits are concerned.

use std::net::{IpAddr, Ipv4Addr};

use crate::Peer;

/// One client, as far as limits are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Client {
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address: one customer usually has the rest.
    V6(u64),
}

impl Client {
    /// `None` where there is no address.
    pub(crate) fn of(peer: Peer) -> Option<Self> {
        // An IPv4 client of an IPv6 socket (`::ffff:192.0.2.1`) counts as one of IPv4.
        Some(match peer.address()?.ip().to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        })
    }
}
