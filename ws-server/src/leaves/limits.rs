//! What an end takes from its peers, and how long it waits for them.

#[cfg(feature = "client")]
mod client;
mod server;
mod style;

use std::time::Duration;

#[cfg(feature = "client")]
pub use self::client::ClientLimits;
pub use self::server::ServerLimits;
use ws_core::Receive;

use self::style::limits;
use crate::ConfigError;

limits! {
    /// Limits of one connection, for a server's end and a client's alike. Those of a server as a whole
    /// are [`ServerLimits`], those on connecting `ClientLimits`.
    ///
    /// None is unlimited by default. [`UNLIMITED`](crate::UNLIMITED) lifts a size, a count or a rate,
    /// [`Duration::MAX`] a time. Zero is an error when the server starts or the client connects,
    /// because a limit of zero lets nothing through.
    ///
    /// ```
    /// use ws_server::Limits;
    ///
    /// let limits = Limits::default().max_message(64 * 1024).send_buffer(1 << 20);
    /// assert_eq!(limits.max_message, 64 * 1024);
    /// ```
    Limits {
        /// Whether messages are received in pieces, as they come, by
        /// [`recv_streaming`](crate::WebSocket::recv_streaming): for messages larger than memory. Default
        /// `false`.
        ///
        /// Then `max_frame`, `max_fragments`, `message_timeout` and `min_rate` do not apply, and
        /// `max_message` only to [`recv`](crate::WebSocket::recv), which gathers the pieces: who receives
        /// pieces counts them. [`receive_ahead`](Self#structfield.receive_ahead) bounds those that wait,
        /// and [`progress_timeout`](Self#structfield.progress_timeout) how long the next may take.
        streaming: bool = false,

        /// Bytes of one received message, after the extensions. Default 1 MiB. Beyond it the connection
        /// fails with 1009.
        max_message: usize = 1024 * 1024,

        /// Bytes of payload in one received data frame, as on the wire. Default `None`: what
        /// [`max_message`](Self#structfield.max_message) allows, and a 64th of it and 64 bytes more,
        /// since compression makes incompressible data a little longer. Beyond it 1009.
        max_frame: Option<usize> as impl Into<Option<usize>> = None,

        /// Frames of one received message. Default 4096. Beyond it 1008.
        max_fragments: usize = 4096,

        /// Empty frames of one message in a row. Default 64. Beyond it 1008.
        max_empty_fragments: usize = 64,

        /// Time for a whole message from its first octet, besides what
        /// [`min_rate`](Self#structfield.min_rate) grants for its size. Default 60 s. Beyond it 1008.
        message_timeout: Duration = Duration::from_secs(60),

        /// Bytes per second at which a message has to arrive, on average and after
        /// [`message_timeout`](Self#structfield.message_timeout). Default 8 KiB/s. Below it 1008.
        min_rate: usize = 8 * 1024,

        /// Time without a new octet inside of a message or frame. Default 30 s. Beyond it 1008.
        progress_timeout: Duration = Duration::from_secs(30),

        /// Ping, Pong and Close frames per second from the peer, on average. Default 100. Beyond it
        /// 1008.
        control_rate: usize = 100,

        /// Control frames that may come at once. Default 200. Beyond it 1008.
        control_burst: usize = 200,

        /// Bytes of messages that are received ahead of the handler. Default 64 KiB; one message, or piece
        /// of a message, is always taken. At this mark reading pauses, and with it the deadlines for the peer's
        /// messages: a client whose handler is slow is not dead. It is still sent Pings; each time no
        /// Pong is heard, up to 8 KiB more are received, enough to find one, to tell a client that is
        /// gone or has sent a Close from one that waits. A socket that the client closed or reset
        /// is noticed at once on Unix-like systems.
        receive_ahead: usize = 64 * 1024,

        /// Messages that are received ahead of the handler. Default 256. At this mark reading pauses as
        /// at [`receive_ahead`](Self#structfield.receive_ahead).
        receive_ahead_messages: usize = 256,

        /// Bytes waiting to be sent at which [`send`](crate::WebSocket::send) waits and
        /// [`try_send`](crate::WebSocket::try_send) refuses. Default 256 KiB; an empty queue always
        /// takes one message. If a message to many meets a connection at this mark whose socket is
        /// full, [`SlowConsumer`](crate::SlowConsumer) decides: by default that connection is closed
        /// with 1013. A connection whose socket takes more is not slow, and has until
        /// [`max_send_buffer`](Self#structfield.max_send_buffer).
        send_buffer: usize = 256 * 1024,

        /// Bytes that may wait to be sent in all, after the first message. Default 1 MiB. A message
        /// that would exceed it waits or is refused, as above; a message to many meets the policy,
        /// however fast the client is.
        max_send_buffer: usize = 1024 * 1024,

        /// Topics that one connection subscribes to at a time. Default 256. Beyond it
        /// [`SubscribeError::TooMany`](crate::SubscribeError::TooMany). Each takes some hundred bytes
        /// and its name. A client's end does not use it.
        max_subscriptions: usize = 256,

        /// Bytes of the name of a topic that is subscribed to. Default 256. Beyond it
        /// [`SubscribeError::TopicTooLong`](crate::SubscribeError::TopicTooLong). A client's end does
        /// not use it.
        max_topic: usize = 256,

        /// Time in which the peer takes nothing of what is to be written. Default 20 s. Beyond it the
        /// connection is aborted (1006), since a Close could not be written either.
        ///
        /// Operating systems take and give in pieces of 64 KiB and more, so that over TCP a client
        /// that reads less than about 6 KB/s may seem to take nothing for that long: raise this for
        /// such clients.
        write_timeout: Duration = Duration::from_secs(20),

        /// Bytes per second that the peer has to take, over a minute in which something waits to be
        /// written. Default 1 KiB/s. Below it the connection is aborted (1006).
        ///
        /// A client that is sent more than it reads first reads what the operating systems hold for
        /// it; a Ping or a Close that is written now reaches it later. So
        /// [`pong_timeout`](Self#structfield.pong_timeout),
        /// [`close_timeout`](Self#structfield.close_timeout) and
        /// [`linger_timeout`](Self#structfield.linger_timeout) are extended by the time that this rate
        /// takes for what the client may have yet to read: what was sent since the last Pong that
        /// proves it read, 256 KiB at most. By default that is at most 256 s for a client that was
        /// just sent that much, and next to nothing for one that is sent little. A higher rate finds
        /// dead clients sooner.
        min_write_rate: usize = 1024,

        /// Time without an octet from the peer after which it is sent a Ping. Default 20 s.
        ping_interval: Duration = Duration::from_secs(20),

        /// Time in which a peer that was sent a Ping has to send anything, besides what
        /// [`min_write_rate`](Self#structfield.min_write_rate) grants. Default 20 s. Beyond it 1011.
        pong_timeout: Duration = Duration::from_secs(20),

        /// Time without a message in either direction after which the extensions of a connection give
        /// back memory that they can do without. Default 10 s; [`Duration::MAX`] never asks them to.
        ///
        /// How much is up to the extension: `Deflate` keeps 256 bytes of the last 4 KiB that were
        /// sent, and compresses the next message a little less. They are asked once for each pause,
        /// never in the middle of a message; Pings and Pongs do not end a pause. The connection's own
        /// buffers are given back as soon as there is nothing to do.
        park_after: Duration = Duration::from_secs(10),

        /// Time for the handler to answer what came before a peer's Close. Default 1 s. If the Close,
        /// or the end of a client that is gone, comes after more than is
        /// [received ahead](Self#structfield.receive_ahead), each message that the handler receives
        /// restarts this time; what it has not received by then is discarded, except what was received
        /// ahead.
        close_turn: Duration = Duration::from_secs(1),

        /// Time for the peer to answer our Close once it is written, besides what
        /// [`min_write_rate`](Self#structfield.min_write_rate) grants. Default 10 s. Beyond it TCP is
        /// closed (1006).
        close_timeout: Duration = Duration::from_secs(10),

        /// Time in which what a peer still sends is read and discarded after the last octet for it was
        /// written, so that no reset destroys that octet, besides what
        /// [`min_write_rate`](Self#structfield.min_write_rate) grants. Default 2 s. A socket on which
        /// both have sent a Close is closed at once if nothing of the peer is left in it.
        linger_timeout: Duration = Duration::from_secs(2),

        /// Bytes that are discarded in that time. Default 4 MiB: a client that is sending may have
        /// filled its own socket and ours before it sees our Close, and a reset at 64 KiB would
        /// destroy the Close.
        linger_bytes: usize = 4 * 1024 * 1024,

        /// Time for a handler to return after the end of its connection. Default 30 s. Then its future
        /// is dropped, with a warning in the log. A client's end does not use it.
        ///
        /// Until then it keeps the permit of its connection, in
        /// [`max_connections`](ServerLimits#structfield.max_connections) and
        /// [`max_per_ip`](ServerLimits#structfield.max_per_ip). If one of them is reached, a new
        /// connection takes the permit of the handler that has been without a client for the longest
        /// time, which is dropped at once: a handler that waits for something other than its client, a
        /// quiet channel for example, keeps nobody out. A server that shuts down waits no longer than
        /// [`shutdown_timeout`](ServerLimits#structfield.shutdown_timeout).
        handler_grace: Duration = Duration::from_secs(30),
    }
}

impl Limits {
    /// The engine's part of them.
    pub(crate) fn core(&self) -> ws_core::Config {
        let mut config = ws_core::Config::default();
        config.max_message = self.max_message;
        config.max_frame = self.max_frame;
        config.max_fragments = self.max_fragments;
        config.max_empty_fragments = self.max_empty_fragments;
        if self.streaming {
            config.receive = Receive::Streaming;
        }
        config
    }

    /// Time that a peer may take to read what was just written to it.
    pub(crate) fn time_to_read(&self, bytes: u64) -> Duration {
        /// What may lie between our writing and the peer's reading, and counts: what this system holds
        /// unsent and has under way, and what the peer's system holds for it.
        const HELD: u64 = 256 * 1024;
        /// However low the least rate is, a dead peer is given up.
        const LONGEST: Duration = Duration::from_secs(256);

        let millis = bytes.min(HELD) * 1000 / self.min_write_rate.max(1) as u64;
        Duration::from_millis(millis).min(LONGEST)
    }

    /// Names the first field that lets nothing through.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.check_zero()?;
        if self.max_send_buffer < self.send_buffer {
            return Err(ConfigError::SendBuffers);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_of_a_message_are_those_of_the_engine() {
        assert_eq!(Limits::default().core(), ws_core::Config::default());
    }
}
