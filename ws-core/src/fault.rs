//! A peer's faults, and the close codes that answer them.

use alloc::{borrow::Cow, boxed::Box};
use core::fmt;

use crate::{CloseCode, extension::Rsv};

/// A rule that the peer broke, with its [close code](Self::close_code).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// RSV bits that no negotiated extension defines (RFC 6455 §5.2).
    ReservedBits(Rsv),
    /// RSV bits of a negotiated extension, set or missing contrary to its claim (§5.2).
    MisplacedBits {
        /// The bits.
        bits: Rsv,
        /// The extension that claims them.
        extension: Box<str>,
        /// What is wrong with them.
        how: Misplaced,
    },
    /// An opcode from 0x3 to 0x7 or 0xB to 0xF (§5.2).
    ReservedOpcode(u8),
    /// A control frame without FIN (§5.5).
    FragmentedControl,
    /// A control frame of more than 125 bytes (§5.5).
    ControlTooLong,
    /// An unmasked frame from a client (§5.1).
    Unmasked,
    /// A masked frame from a server (§5.1).
    Masked,
    /// A length that is not encoded in its shortest form (§5.2).
    LengthNotMinimal,
    /// A 64-bit length with its top bit set (§5.2).
    LengthTopBit,
    /// A continuation frame when no message is in progress (§5.4).
    UnexpectedContinuation,
    /// A new message before the previous one is complete (§5.4).
    UnfinishedMessage,
    /// Text that is not UTF-8 (§8.1).
    InvalidUtf8,
    /// A Close body of one byte (§5.5.1).
    CloseBodyTooShort,
    /// A close code that must not be sent (§7.4).
    InvalidCloseCode(CloseCode),
    /// A Close reason that is not UTF-8 (§5.5.1).
    InvalidCloseReason,
    /// A frame longer than [`Config::max_frame`](crate::Config::max_frame).
    FrameTooBig {
        /// The limit in bytes.
        limit: usize,
    },
    /// A message longer than [`Config::max_message`](crate::Config::max_message).
    MessageTooBig {
        /// The limit in bytes.
        limit: usize,
    },
    /// More frames in a message than [`Config::max_fragments`](crate::Config::max_fragments).
    TooManyFragments {
        /// The limit.
        limit: usize,
    },
    /// More empty frames in a row than
    /// [`Config::max_empty_fragments`](crate::Config::max_empty_fragments).
    TooManyEmptyFragments {
        /// The limit.
        limit: usize,
    },
    /// An extension could not decode the message, or broke its contract.
    Extension {
        /// The extension's name.
        name: Box<str>,
        /// The extension's close code.
        code: CloseCode,
        /// The extension's reason.
        reason: Cow<'static, str>,
    },
}

/// What is wrong with RSV bits of a negotiated extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misplaced {
    /// On a control frame, which no extension sees.
    OnControlFrame,
    /// On a continuation frame, although only the first frame of a message may carry them.
    OnContinuation,
    /// Missing from a continuation frame, although all frames of a message must carry them.
    MissingFromContinuation,
    /// Set without the other bits of the same claim.
    Incomplete,
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnControlFrame => "on a control frame",
            Self::OnContinuation => "on a continuation frame",
            Self::MissingFromContinuation => "missing from a continuation frame",
            Self::Incomplete => "without the other bits that it claims",
        })
    }
}

impl Fault {
    /// The code that the connection fails with.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::ReservedBits(_)
            | Self::MisplacedBits { .. }
            | Self::ReservedOpcode(_)
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::Unmasked
            | Self::Masked
            | Self::LengthNotMinimal
            | Self::LengthTopBit
            | Self::UnexpectedContinuation
            | Self::UnfinishedMessage
            | Self::CloseBodyTooShort
            | Self::InvalidCloseCode(_) => CloseCode::PROTOCOL_ERROR,
            Self::InvalidUtf8 | Self::InvalidCloseReason => CloseCode::INVALID_PAYLOAD,
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::TooManyFragments { .. } | Self::TooManyEmptyFragments { .. } => {
                CloseCode::POLICY_VIOLATION
            }
            Self::Extension { code, .. } => *code,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits(bits) => {
                write!(f, "{bits} set without an extension that defines it")
            }
            Self::MisplacedBits { bits, extension, how } => {
                write!(f, "{bits} of {extension} {how}")
            }
            Self::ReservedOpcode(opcode) => write!(f, "reserved opcode {opcode:#x}"),
            Self::FragmentedControl => f.write_str("fragmented control frame"),
            Self::ControlTooLong => f.write_str("control frame of more than 125 bytes"),
            Self::Unmasked => f.write_str("a client's frame has to be masked"),
            Self::Masked => f.write_str("a server's frame must not be masked"),
            Self::LengthNotMinimal => f.write_str("payload length not in its shortest form"),
            Self::LengthTopBit => f.write_str("payload length with its top bit set"),
            Self::UnexpectedContinuation => {
                f.write_str("continuation without a message in progress")
            }
            Self::UnfinishedMessage => f.write_str("new message before the last one was finished"),
            Self::InvalidUtf8 => f.write_str("text is not valid UTF-8"),
            Self::CloseBodyTooShort => f.write_str("Close body of one byte"),
            Self::InvalidCloseCode(code) => write!(f, "close code {code} may not be sent"),
            Self::InvalidCloseReason => f.write_str("Close reason is not valid UTF-8"),
            Self::FrameTooBig { limit } => write!(f, "frame of more than {limit} bytes"),
            Self::MessageTooBig { limit } => write!(f, "message of more than {limit} bytes"),
            Self::TooManyFragments { limit } => write!(f, "message of more than {limit} frames"),
            Self::TooManyEmptyFragments { limit } => {
                write!(f, "more than {limit} empty frames in a row")
            }
            Self::Extension { name, reason, .. } => write!(f, "extension {name}: {reason}"),
        }
    }
}

impl core::error::Error for Fault {}
