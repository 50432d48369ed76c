//! The demo behind a proxy, which says who its clients are.

use clap::{Args, ValueEnum};
use ws_server::{Forwarding, Server};

#[derive(Args)]
pub(crate) struct BehindOptions {
    /// How a proxy in front says who its clients are; /whoami tells what the server knows of a client
    #[arg(long, value_enum, value_name = "HOW")]
    behind: Option<Behind>,

    /// The networks from which the proxy connects, such as 10.0.0.0/8 [default: 127.0.0.1 and ::1]
    #[arg(long, value_name = "NETWORK", num_args = 1.., requires = "behind")]
    proxies: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Behind {
    /// By the header Forwarded
    Forwarded,
    /// By X-Forwarded-For and X-Forwarded-Proto
    XForwardedFor,
    /// By the PROXY protocol, version 1 or 2
    ProxyProtocol,
}

impl BehindOptions {
    /// Trusts the headers of the proxy, if it sends them.
    pub(crate) fn trust(&self, server: Server) -> Server {
        let forwarding = match self.behind {
            Some(Behind::Forwarded) => Forwarding::Forwarded,
            Some(Behind::XForwardedFor) => Forwarding::XForwardedFor,
            Some(Behind::ProxyProtocol) | None => return server,
        };
        server.trust_proxies(self.proxies(), forwarding).trust_forwarded_proto()
    }

    /// The proxies that speak the PROXY protocol, if they do.
    pub(crate) fn proxy_protocol(&self) -> Option<Vec<&str>> {
        (self.behind == Some(Behind::ProxyProtocol)).then(|| self.proxies())
    }

    fn proxies(&self) -> Vec<&str> {
        match &self.proxies[..] {
            [] => vec!["127.0.0.1", "::1"],
            proxies => proxies.iter().map(String::as_str).collect(),
        }
    }
}
