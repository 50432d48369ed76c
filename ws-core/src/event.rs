//! The events that [`Connection::poll_event`](crate::Connection::poll_event) returns.

use alloc::boxed::Box;
use core::fmt;

use crate::{CloseCode, Message, MessageKind, Payload, Text, fault::Fault};

/// An event on the connection, in stream order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A complete message.
    Message(Message),
    /// A message begins ([`Receive::Streaming`](crate::Receive::Streaming)).
    Start(MessageKind),
    /// Some bytes of the message, at most 64 KiB, cut anywhere. Those of a text are valid UTF-8 so
    /// far; a code point may continue in the next chunk. [Detach](Payload::detach) one that is kept. If
    /// the message turns out to be faulty, the number of bytes before [`Event::Closing`] depends on how
    /// the input was read.
    Chunk(Payload),
    /// The message is complete.
    End,
    /// A Ping. The Pong is already queued, or [owed](crate::Connection::is_pong_owed); after our
    /// own Close there is none.
    Ping(Payload),
    /// A Pong.
    Pong(Payload),
    /// The peer's Close, or a fault of the peer, was read; nothing after it will be.
    ///
    /// Messages sent now still go out before our Close. The next call queues the Close and returns
    /// [`Event::Closed`]; a caller with replies in preparation delays that call.
    Closing,
    /// The end: no event follows. Write the queued output, then close the transport; see
    /// [`Connection::is_closed`](crate::Connection::is_closed).
    Closed(Closed),
    /// The work allowed for one call is used up and there is more to do: call again, after other
    /// tasks have had their turn.
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
    /// connection, the code of the failure: it was sent, unless another Close of ours was before.
    pub code: CloseCode,
    /// The reason that belongs to the code. If this end closed and the peer only answered, or did
    /// not, it is this end's reason.
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

/// For logs. The peer's text is escaped.
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

/// Which end closed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
