//! What [`Connection::poll_event`](crate::Connection::poll_event) returns.

use alloc::boxed::Box;
use core::fmt;

use bytes::Bytes;

use crate::{CloseCode, Message, MessageKind, Payload, Text, fault::Fault};

/// Something that happened on the connection, in stream order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A whole message.
    Message(Message),
    /// A message begins ([`Receive::Streaming`](crate::Receive::Streaming)).
    Start(MessageKind),
    /// Some bytes of the message, at most 64 KiB, cut anywhere. Those of a text are valid UTF-8 as
    /// far as they go; a code point may continue in the next chunk. Of a message that turns out to
    /// be faulty, how much comes before [`Event::Closing`] depends on how the bytes were read.
    Chunk(Bytes),
    /// The message is complete.
    End,
    /// A Ping came. The Pong is already queued, or [owed](crate::Connection::is_pong_owed); behind our
    /// own Close there is none.
    Ping(Payload),
    /// A Pong came.
    Pong(Payload),
    /// The peer's Close, or a fault of the peer, was read; nothing behind it will be.
    ///
    /// What is sent now still goes out before our Close. The next call queues the Close and returns
    /// [`Event::Closed`]; a caller with replies in preparation delays that call.
    Closing,
    /// The end: no event follows. Write out what is queued, then close the transport; see
    /// [`Connection::is_closed`](crate::Connection::is_closed).
    Closed(Closed),
    /// The work allowed for one call is done and there is more to do: call again, after giving
    /// others their turn.
    Yield,
}

/// How a connection ended (RFC 6455 §7.1.4 to §7.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Who began: the peer that closed or went away, or we, who closed or failed the connection.
    pub by: ClosedBy,
    /// The code of the peer's Close; [1005](CloseCode::NO_STATUS) if it had none;
    /// [1006](CloseCode::ABNORMAL) if the transport ended without one. Where we failed the
    /// connection, the code that we sent.
    pub code: CloseCode,
    /// The reason that belongs to the code. Where we closed and the peer only answered, or did not, it
    /// is the one that we gave.
    ///
    /// Not for end users: RFC 6455 §5.5.1, "not guaranteed to be human readable, clients MUST NOT
    /// show it to end users".
    // R6455C-5.5.1-a
    pub reason: Text,
    /// Whether both sides sent a Close.
    pub clean: bool,
    /// The rule that the peer broke, if it was that.
    pub fault: Option<Box<Fault>>,
}

/// For logs. What the peer wrote is escaped.
impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "closed by {} with {}", self.by, self.code)?;
        if !self.reason.is_empty() {
            write!(f, ": {:?}", self.reason)?;
        }
        if !self.clean {
            f.write_str(", without a closing handshake")?;
        }
        Ok(())
    }
}

/// Who began to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClosedBy {
    /// This end.
    Local,
    /// The other end.
    Peer,
}

impl fmt::Display for ClosedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "this end",
            Self::Peer => "the peer",
        })
    }
}
