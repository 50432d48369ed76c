//! Networks by their CIDR notation.

use std::net::IpAddr;

use ipnet::IpNet;

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
            match text.parse::<IpAddr>() {
                Ok(address) => Some(address.into()),
                Err(_) => text.parse().ok(),
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
