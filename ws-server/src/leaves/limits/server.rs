//! Limits of a server as a whole.

use std::time::Duration;

#[cfg(unix)]
use tracing::warn;

use super::style::{check_head, limits};
use crate::ConfigError;

limits! {
    /// Limits of a server as a whole: how many connections, and how they begin and end. Those of each
    /// connection are [`Limits`](crate::Limits), and the same rules hold for zero and for "no limit".
    ///
    /// ```
    /// use ws_server::{Server, ServerLimits};
    ///
    /// let server = Server::new().server_limits(ServerLimits::default().max_per_ip(16));
    /// ```
    ServerLimits {
        /// Connections in all, those in their opening handshake included. Default 10,000. More get 503
        /// as soon as they are accepted.
        ///
        /// Each takes a file descriptor. If [`Server`](crate::Server) listens on a Unix-like system,
        /// this is lowered, with a warning in the log, to 64 less than the process may have when it is
        /// bound, or to half of them if that is more: raise `ulimit -n` then. So a connection too many
        /// is told 503 and closed, and does not wait until another one ends.
        max_connections: usize = 10_000,

        /// Connections from one IP address, or from one /64 of IPv6. Default 256. More get 503 as soon
        /// as they are accepted. Sockets without an IP address are not counted here.
        ///
        /// Behind a reverse proxy (nginx, HAProxy, a load balancer of layer 7) every client has the
        /// address of the proxy, so the 257th gets 503, until the server
        /// [trusts](crate::Server::trust_proxies) the proxy or reads its
        /// [PROXY protocol](crate::ProxyProtocol): then the clients' own addresses count. The log says
        /// when this limit is met.
        max_per_ip: usize = 256,

        /// Connections whose request has not come whole, or whose [`Gate`](crate::Gate) has not decided, at
        /// a time. Default 512. Beyond it the address with the most of them gives way, with 503: its newest one, or the new one if that is from
        /// there. If each has one, the oldest gives way if it is 2 s old, and the new one if not. So
        /// slow ones cannot keep others out, and more clients at a time do not mean fewer served, as
        /// long as they need less than 2 s for their request. A socket without an IP address counts as
        /// an address of its own.
        ///
        /// As many more may be answered with something other than a WebSocket at a time, and linger,
        /// under the same rule.
        max_pending: usize = 512,

        /// Bytes that all clients together make the server hold: messages that are unfinished, received
        /// ahead of the handler, or waiting to be sent (a message to many once), compression contexts and
        /// what else extensions keep, heads of requests. Default `None`: a quarter of what this process may
        /// use, by its control group or, if that allows no less, the machine; 1 GiB on systems other than
        /// Linux. The log states the number when the server starts.
        /// [`UNLIMITED`](crate::UNLIMITED) lifts it.
        ///
        /// From three quarters of it on, at most 32 KiB/s are read where most is held, and extensions give
        /// memory back. At it connections are closed with 1013, those first that have held most, until an
        /// eighth of it is free: not how much a client holds at the moment counts, but how much it has
        /// held and for how long, in half a minute or so, all connections of its address (of IPv6, its
        /// /64) together. An upload that goes on weighs little beside a small message that never ends.
        /// What a closed connection held is free in its next turn, whether its client reads or not.
        /// Meanwhile new connections get 503.
        ///
        /// Not in it: what every open connection takes (about 2 KiB, its task, its handler), what handlers
        /// keep, and buffers of the operating system. [`Metrics::held`](crate::Metrics::held) shows the
        /// rest by kind.
        // T-B26
        max_memory: Option<usize> as impl Into<Option<usize>> = None,

        /// Time for the whole head of a request, from the accept. Default 10 s. Beyond it 408.
        head_timeout: Duration = Duration::from_secs(10),

        /// Time for a [`Gate`](crate::Gate) to decide. Default 10 s. Beyond it 503.
        gate_timeout: Duration = Duration::from_secs(10),

        /// Sizes and counts in the head of a request. Default 16 KiB in all, 64 headers, a target of
        /// 8 KiB. Beyond them 431, 414 or 400.
        head: ws_handshake::Limits = ws_handshake::Limits::default(),

        /// Time over which the Closes of a shutdown are spread, in random order, so that clients do not
        /// come back all at once. Default 2 s; fewer than 2,000 connections take less, 1 ms for each.
        /// `None` closes all at once. At most half of
        /// [`shutdown_timeout`](Self#structfield.shutdown_timeout).
        // T-B21
        shutdown_spread: Option<Duration> as impl Into<Option<Duration>> = Some(Duration::from_secs(2)),

        /// Time for all connections to close when the server shuts down. Default 10 s. Beyond it those
        /// that are left are aborted, and handlers that have not returned.
        shutdown_timeout: Duration = Duration::from_secs(10),
    }
}

impl ServerLimits {
    /// Names the first field that lets nothing through.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.check_zero()?;
        check_head(&self.head)
    }

    /// Leaves file descriptors for the rest of the process.
    #[cfg(unix)]
    pub(crate) fn fit_file_descriptors(&mut self) {
        /// What is left.
        const OTHERS: u64 = 64;

        let Ok((limit, _)) = rlimit::Resource::NOFILE.get() else {
            return;
        };
        let most = limit.saturating_sub(OTHERS).max(limit / 2).max(1);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if self.max_connections > most {
            warn!(
                "max_connections is {most} instead of {}: this process may have {limit} file \
                 descriptors; raise it with ulimit -n",
                self.max_connections
            );
            self.max_connections = most;
        }
    }
}
