//! What a server takes from its clients, and how long it waits for them.

use std::time::Duration;

#[cfg(unix)]
use tracing::warn;

use crate::ConfigError;

/// Limits of a server and of each connection. None is unlimited by default; a time is lifted by
/// [`Duration::MAX`], a size or count by [`UNLIMITED`](crate::UNLIMITED). Zero is an error when the
/// server starts, because a limit of zero lets nothing through.
///
/// ```
/// let mut limits = ws_server::Limits::default();
/// limits.max_message = 64 * 1024;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections in all, those in their opening handshake included. Default 10,000. More get 503 as
    /// soon as they are accepted.
    ///
    /// Each takes a file descriptor. Where [`Server`](crate::Server) listens on a Unix-like system,
    /// this is lowered to 64 less than the process may have when it begins to serve, or to half of
    /// them where that is more, and a warning is logged: raise `ulimit -n` then. A connection too
    /// many is so told 503 and closed, not left to wait until another one ends.
    pub max_connections: usize,
    /// Connections from one IP address, or from one /64 of IPv6. Default 256. More get 503 as soon as
    /// they are accepted. Sockets without an IP address are not counted here.
    ///
    /// Behind a reverse proxy (nginx, HAProxy, a load balancer of layer 7) every client has the address
    /// of the proxy, so the 257th gets 503: set this to what all clients may have together, as
    /// [`UNLIMITED`](crate::UNLIMITED) does, and let the proxy limit the connections of one address
    /// (`limit_conn` of nginx). The log says so where this limit is met.
    pub max_per_ip: usize,
    /// Connections whose request has not come whole, at a time. Default 512. Beyond it the address
    /// with the most of them gives way, with 503: its newest one, or the new one if that is from
    /// there. Where each has one, the oldest gives way if it is 2 s old, and the new one if not. So
    /// slow ones cannot keep others out, and more clients at a time do not mean fewer served, as long
    /// as they need less than 2 s for their request. Sockets without an IP address count as of an
    /// address each.
    ///
    /// As many more may be answered with something else than a WebSocket at a time, and linger, under
    /// the same rule.
    pub max_pending: usize,
    /// Time for the whole head of a request, from the accept. Default 10 s. Then 408.
    pub head_timeout: Duration,
    /// Sizes and counts in the head of a request: 16 KiB in all, 64 headers, a target of 8 KiB.
    /// Then 431, 414 or 400. For a client's end, those of a response: 16 KiB, 256 headers, 16 KiB of
    /// the body of a refusal.
    pub head: ws_handshake::Limits,

    /// Time for a client to be connected: name, TCP, request and answer. Default 20 s. Then
    /// `ConnectError::Timeout`. Servers do not use it.
    pub connect_timeout: Duration,

    /// Bytes of one received message, after the extensions. Default 1 MiB. Then 1009.
    pub max_message: usize,
    /// Bytes of payload in one received data frame, as on the wire. Default `None`: what
    /// [`max_message`](Self::max_message) allows, and a 64th of it and 64 bytes more, since
    /// compression makes what cannot be compressed a little longer. Then 1009.
    pub max_frame: Option<usize>,
    /// Frames of one received message. Default 4096. Then 1008.
    pub max_fragments: usize,
    /// Empty frames of one message in a row. Default 64. Then 1008.
    pub max_empty_fragments: usize,
    /// Time for a whole message, from its first octet, besides what [`min_rate`](Self::min_rate)
    /// gives for its size. Default 60 s. Then 1008.
    pub message_timeout: Duration,
    /// Bytes per second at which a message has to arrive, on the average and beyond
    /// [`message_timeout`](Self::message_timeout). Default 8 KiB/s.
    pub min_rate: usize,
    /// Time without a new octet inside of a message or frame. Default 30 s. Then 1008.
    pub progress_timeout: Duration,
    /// Ping, Pong and Close frames per second from one client, on the average. Default 100. Then
    /// 1008.
    pub control_rate: usize,
    /// Control frames that may come at once. Default 200. Then 1008.
    pub control_burst: usize,

    /// Bytes of messages that are received ahead of the handler. Default 64 KiB; one message is
    /// always taken. At this mark reading pauses, and with it the deadlines for the client's messages:
    /// a client behind a slow handler is not dead. It is still sent Pings; where no Pong is heard, the
    /// worth of one is received beyond the mark each time, 8 KiB at the most, to tell a client that is
    /// gone, or has sent a Close, from one that waits. A socket that the client closed or reset is
    /// noticed at once on Unix-like systems.
    pub receive_ahead: usize,
    /// Messages that are received ahead of the handler. Default 256. Then as above.
    pub receive_ahead_messages: usize,

    /// Bytes waiting to be sent at which [`send`](crate::WebSocket::send) waits and
    /// [`try_send`](crate::WebSocket::try_send) refuses. Default 256 KiB; one message is always
    /// taken by an empty queue. Where a message to many meets a connection at this mark whose socket
    /// is full, [`SlowConsumer`](crate::SlowConsumer) says what happens: by default that connection
    /// is closed with 1013. One whose socket takes more is not slow, and has until
    /// `max_send_buffer`.
    pub send_buffer: usize,
    /// Bytes that may wait to be sent in all, behind the first message. Default 1 MiB. A message
    /// that would go beyond waits, or is refused, as above; a message to many meets the policy, fast
    /// as the client may be.
    pub max_send_buffer: usize,
    /// Topics that one connection subscribes to at a time. Default 256. Then
    /// [`SubscribeError::TooMany`](crate::SubscribeError::TooMany). Each takes some hundred bytes and
    /// its name.
    pub max_subscriptions: usize,
    /// Bytes of the name of a topic that is subscribed to. Default 256. Then
    /// [`SubscribeError::TopicTooLong`](crate::SubscribeError::TopicTooLong).
    pub max_topic: usize,
    /// Time in which the client takes none of what is to be written. Default 20 s. Then the
    /// connection is aborted (1006), since a Close could not be written either.
    ///
    /// Operating systems take and give in pieces of 64 KiB and more. So over TCP a client that reads
    /// less than about 6 KB/s may seem to take nothing for so long: for those let this be longer.
    pub write_timeout: Duration,
    /// Bytes per second that the client has to take, over a minute in which something waits to be
    /// written. Default 1 KiB/s. Then the connection is aborted (1006).
    ///
    /// A client that is sent more than it reads has what the operating systems hold before it, and
    /// what is written now, a Ping or a Close, it reads later. So [`pong_timeout`](Self::pong_timeout),
    /// [`close_timeout`](Self::close_timeout) and [`linger_timeout`](Self::linger_timeout) are longer
    /// by the time that what it may have yet to read takes at this rate: what was sent since, and not
    /// known by a Pong to be read, 256 KiB of it at the most. By default that is 256 s at the most
    /// for a client that was just sent that much, and next to nothing for one that is sent little.
    /// A higher rate finds clients that are dead sooner.
    pub min_write_rate: usize,

    /// Time without an octet from the client after which it is sent a Ping. Default 20 s.
    pub ping_interval: Duration,
    /// Time in which a client that was sent a Ping has to send anything, besides what
    /// [`min_write_rate`](Self::min_write_rate) gives. Default 20 s. Then 1011.
    pub pong_timeout: Duration,

    /// Time without a message in either direction, after which the extensions of a connection are
    /// told that it rests, so that they give back what they can do without. Default 10 s;
    /// [`Duration::MAX`] never tells them.
    ///
    /// What that is, is up to the extension: `Deflate` keeps 256 bytes of the last 4 KiB that were
    /// sent, and the next message compresses a little less. Never in the middle of a message, and
    /// once for each rest: Pings and Pongs do not end it. Buffers of the connection itself are given
    /// back as soon as there is nothing to do.
    pub park_after: Duration,

    /// Time for the handler to answer what came before a client's Close. Default 1 s. Where the Close,
    /// or the end of a client that is gone, comes behind more than is
    /// [received ahead](Self::receive_ahead), each message that the handler receives gives it that time
    /// again; what it has not received then is thrown away, but for what was received ahead.
    pub close_turn: Duration,
    /// Time for the client to answer our Close once it is written, besides what
    /// [`min_write_rate`](Self::min_write_rate) gives. Default 10 s. Then TCP is closed (1006).
    pub close_timeout: Duration,
    /// Time in which what a client still sends is read and thrown away after the last octet for it
    /// was written, so that no reset destroys it, besides what
    /// [`min_write_rate`](Self::min_write_rate) gives. Default 2 s. A socket on which both have said Close
    /// is closed at once, where nothing of the client is left in it.
    pub linger_timeout: Duration,
    /// Bytes that are thrown away so. Default 4 MiB: a client that is sending may have filled its own
    /// socket and ours before it sees our Close, and a reset at 64 KiB would destroy it.
    pub linger_bytes: usize,
    /// Time for a handler to return after the end of its connection. Default 30 s. Then its future
    /// is dropped, with a warning in the log.
    ///
    /// Until then it keeps the place of its connection, in [`max_connections`](Self::max_connections)
    /// and in [`max_per_ip`](Self::max_per_ip). Where one of them is full, a new connection takes the
    /// place of the handler that has been without a client for the longest time, which is dropped at
    /// once: a handler that waits for something else than its client, a quiet channel say, keeps
    /// nobody out. A server that shuts down waits no longer than
    /// [`shutdown_timeout`](Self::shutdown_timeout).
    pub handler_grace: Duration,
    /// Time for all connections to close when the server shuts down. Default 10 s. Then those left
    /// are aborted, and handlers that have not returned.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let core = ws_core::Config::default();
        Self {
            max_connections: 10_000,
            max_per_ip: 256,
            max_pending: 512,
            head_timeout: Duration::from_secs(10),
            head: ws_handshake::Limits::default(),
            connect_timeout: Duration::from_secs(20),
            max_message: core.max_message,
            max_frame: core.max_frame,
            max_fragments: core.max_fragments,
            max_empty_fragments: core.max_empty_fragments,
            message_timeout: Duration::from_secs(60),
            min_rate: 8 * 1024,
            progress_timeout: Duration::from_secs(30),
            control_rate: 100,
            control_burst: 200,
            receive_ahead: 64 * 1024,
            receive_ahead_messages: 256,
            send_buffer: 256 * 1024,
            max_send_buffer: 1024 * 1024,
            max_subscriptions: 256,
            max_topic: 256,
            write_timeout: Duration::from_secs(20),
            min_write_rate: 1024,
            ping_interval: Duration::from_secs(20),
            pong_timeout: Duration::from_secs(20),
            park_after: Duration::from_secs(10),
            close_turn: Duration::from_secs(1),
            close_timeout: Duration::from_secs(10),
            linger_timeout: Duration::from_secs(2),
            linger_bytes: 4 * 1024 * 1024,
            handler_grace: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The engine's part of them.
    pub(crate) fn core(&self) -> ws_core::Config {
        let mut config = ws_core::Config::default();
        config.max_message = self.max_message;
        config.max_frame = self.max_frame;
        config.max_fragments = self.max_fragments;
        config.max_empty_fragments = self.max_empty_fragments;
        config
    }

    /// Time that a client may take to read what was just written to it.
    pub(crate) fn time_to_read(&self, bytes: u64) -> Duration {
        /// What lies between our writing and the client's reading at most, and counts: what this
        /// system holds unsent and has under way, and what the client's system holds for it.
        const HELD: u64 = 256 * 1024;
        /// However low the least rate is, a client that is dead goes.
        const LONGEST: Duration = Duration::from_secs(256);

        let millis = bytes.min(HELD) * 1000 / self.min_write_rate.max(1) as u64;
        Duration::from_millis(millis).min(LONGEST)
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

    /// Names the first field that lets nothing through.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("max_connections", self.max_connections),
            ("max_per_ip", self.max_per_ip),
            ("max_pending", self.max_pending),
            ("head.max_head", self.head.max_head),
            ("head.max_headers", self.head.max_headers),
            ("head.max_response_headers", self.head.max_response_headers),
            ("head.max_target", self.head.max_target),
            ("max_message", self.max_message),
            ("max_frame", self.max_frame.unwrap_or(usize::MAX)),
            ("max_fragments", self.max_fragments),
            ("max_empty_fragments", self.max_empty_fragments),
            ("min_rate", self.min_rate),
            ("control_rate", self.control_rate),
            ("control_burst", self.control_burst),
            ("receive_ahead", self.receive_ahead),
            ("receive_ahead_messages", self.receive_ahead_messages),
            ("send_buffer", self.send_buffer),
            ("max_send_buffer", self.max_send_buffer),
            ("max_subscriptions", self.max_subscriptions),
            ("max_topic", self.max_topic),
            ("min_write_rate", self.min_write_rate),
            ("linger_bytes", self.linger_bytes),
        ];
        let times = [
            ("head_timeout", self.head_timeout),
            ("connect_timeout", self.connect_timeout),
            ("message_timeout", self.message_timeout),
            ("progress_timeout", self.progress_timeout),
            ("write_timeout", self.write_timeout),
            ("ping_interval", self.ping_interval),
            ("pong_timeout", self.pong_timeout),
            ("park_after", self.park_after),
            ("close_turn", self.close_turn),
            ("close_timeout", self.close_timeout),
            ("linger_timeout", self.linger_timeout),
            ("handler_grace", self.handler_grace),
            ("shutdown_timeout", self.shutdown_timeout),
        ];
        let empty_size = sizes.iter().find(|(_, size)| *size == 0).map(|(field, _)| *field);
        let empty_time = times.iter().find(|(_, time)| time.is_zero()).map(|(field, _)| *field);
        match empty_size.or(empty_time) {
            Some(field) => Err(ConfigError::ZeroLimit { field }),
            None if self.max_send_buffer < self.send_buffer => Err(ConfigError::SendBuffers),
            None => Ok(()),
        }
    }
}
