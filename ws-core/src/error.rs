//! What a caller can do wrong.

use alloc::{borrow::Cow, boxed::Box};
use core::fmt;

use crate::CloseCode;

/// A command that was refused. Nothing of it was queued and the connection is as it was, but for
/// [`SendError::Extension`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// Our Close was queued already, or the connection has ended (RFC 6455 §5.5.1).
    Closed,
    /// A message is being sent in pieces: finish it first (§5.4).
    MessageInProgress,
    /// There is no message in progress that could be continued.
    NoMessageInProgress,
    /// The payload of a control frame is more than 125 bytes (§5.5).
    ControlTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A close code that may not be sent by this role (§7.4).
    InvalidCloseCode(CloseCode),
    /// Pieces of a text message that are not UTF-8 (§5.6).
    InvalidUtf8,
    /// An extension failed to encode the message; the connection fails.
    Extension {
        /// Its name.
        name: Box<str>,
        /// What it says.
        reason: Cow<'static, str>,
    },
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => {
                f.write_str("the connection is closing or closed: nothing follows a Close frame")
            }
            Self::MessageInProgress => {
                f.write_str("a message is being sent in pieces: finish it first")
            }
            Self::NoMessageInProgress => {
                f.write_str("no message is being sent in pieces: start one first")
            }
            Self::ControlTooLong { len } => {
                write!(f, "control frames carry at most 125 bytes, not {len}")
            }
            Self::InvalidCloseCode(code) => write!(
                f,
                "close code {code} may not be sent: use 1000-1003, 1007-1014 (1010 as a client only) or 3000-4999"
            ),
            Self::InvalidUtf8 => f.write_str("a text message has to be valid UTF-8"),
            Self::Extension { name, reason } => write!(f, "extension {name}: {reason}"),
        }
    }
}

impl core::error::Error for SendError {}
