//! Limits the connections of one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tracing::{debug, warn};
use ws_server::{Networks, Peer};

/// Counts connections by address, as [`ws_server::ServerLimits::max_per_ip`] does.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) limit: usize,
    /// Their connections are those of many clients.
    pub(super) proxies: Networks,
    counts: Mutex<HashMap<IpAddr, usize>>,
    /// Whether the log has the warning.
    told: AtomicBool,
}

impl Default for Addresses {
    fn default() -> Self {
        let limit = ws_server::ServerLimits::default().max_per_ip;
        let (proxies, counts, told) = Default::default();
        Self { limit, proxies, counts, told }
    }
}

impl Addresses {
    /// Counts a connection until its place is dropped; `None` if its address has too many.
    pub(super) fn enter(self: &Arc<Self>, peer: Peer) -> Option<Place> {
        let address = peer.address().map(|address| address.ip());
        let counted = address.filter(|address| !self.proxies.contains(*address)).map(client);
        if let Some(address) = counted {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(address).or_default();
            if *count >= self.limit {
                drop(counts);
                self.tell(peer);
                return None;
            }
            *count += 1;
        }
        Some(Place { address: counted, addresses: Arc::clone(self) })
    }

    fn tell(&self, peer: Peer) {
        let limit = self.limit;
        if self.told.swap(true, Ordering::Relaxed) {
            debug!(%peer, limit, "not admitted: so many are connected from its address");
        } else {
            warn!(
                %peer,
                limit,
                "not admitted: so many are connected from its address, which is said once; behind a \
                 proxy every client has the address of the proxy: name it by Serve::trust_proxies"
            );
        }
    }
}

/// One client: of IPv6 the first 64 bits, since one customer usually has the rest.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// The place of one connection, which is free again once this is dropped.
pub(super) struct Place {
    address: Option<IpAddr>,
    addresses: Arc<Addresses>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut counts = self.addresses.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::Tcp((text.parse::<IpAddr>().unwrap(), 7).into())
    }

    #[test]
    fn each_address_has_its_own_places_and_proxies_have_no_limit() {
        let proxies = Networks::new(["10.0.0.0/8"]).unwrap();
        let addresses = Arc::new(Addresses { limit: 2, proxies, ..Addresses::default() });
        let enter = |text: &str| addresses.enter(peer(text));
        let one = enter("192.0.2.1").unwrap();
        let _mapped = enter("::ffff:192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_none());
        let _other = enter("192.0.2.2").unwrap();
        drop(one);
        let _again = enter("192.0.2.1").unwrap();
        let _v6 = ["2001:db8::1", "2001:db8::2"].map(|text| enter(text).unwrap());
        assert!(enter("2001:db8::3").is_none(), "of the same /64");
        let _neighbour = enter("2001:db8:0:1::3").unwrap();
        let many: Vec<_> = (0..10).map(|_| enter("10.1.2.3").unwrap()).collect();
        let _none: Vec<_> = (0..10).map(|_| addresses.enter(Peer::Unix).unwrap()).collect();
        drop(many);
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let addresses = Arc::new(Addresses::default());
        drop([1, 2, 1].map(|n| addresses.enter(peer(&format!("192.0.2.{n}")))));
        assert!(addresses.counts.lock().unwrap().is_empty());
    }
}
