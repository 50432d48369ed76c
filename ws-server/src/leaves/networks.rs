//! Networks by their CIDR notation.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::ConfigError;

/// A list of networks: `10.0.0.0/8`, `2001:db8::/32`, or single addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// All of these.
    ///
    /// # Errors
    /// [`ConfigError::Network`] names an entry that is none.
    pub fn new<S: AsRef<str>>(networks: impl IntoIterator<Item = S>) -> Result<Self, ConfigError> {
        let parse = |text: &str| -> Option<IpNet> {
            if let Ok(address) = text.parse::<IpAddr>() {
                return Some(address.to_canonical().into());
            }
            let network = text.parse().ok()?;
            // `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
            let IpNet::V6(mapped) = network else { return Some(network) };
            match (mapped.addr().to_ipv4_mapped(), mapped.prefix_len().checked_sub(96)) {
                (Some(address), Some(prefix)) => Some(Ipv4Net::new(address, prefix).ok()?.into()),
                _ => Some(network),
            }
        };
        let networks = networks.into_iter().map(|text| {
            let text = text.as_ref();
            parse(text).ok_or_else(|| ConfigError::Network { network: text.into() })
        });
        Ok(Self(networks.collect::<Result<_, _>>()?))
    }

    /// Whether an address is in one of them. An IPv4 address that an IPv6 socket shows
    /// (`::ffff:192.0.2.1`) is that of IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_ipv4_are_found_in_either_notation() {
        let networks =
            ["10.0.0.0/8", "::ffff:192.0.2.0/120", "::ffff:198.51.100.7", "2001:db8::/32"];
        let networks = Networks::new(networks).unwrap();
        for within in ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.9", "198.51.100.7", "2001:db8::1"] {
            assert!(networks.contains(within.parse().unwrap()), "{within}");
        }
        for outside in ["11.0.0.1", "192.0.3.1", "198.51.100.8", "2001:db9::1", "::1"] {
            assert!(!networks.contains(outside.parse().unwrap()), "{outside}");
        }
        for none in ["", "10.0.0.0/33", "10.0.0", "a.example", "10.0.0.0/8 "] {
            assert!(Networks::new([none]).is_err(), "{none}");
        }
    }
}
