//! Close codes (RFC 6455 §7.4 and the IANA registry).

use core::fmt;

use crate::MAX_CONTROL_PAYLOAD;

/// The status code of a Close frame.
///
/// It can be any number, since a peer may send any; [`is_sendable`](Self::is_sendable) and the
/// engine keep codes that must not be sent off the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection was fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the endpoint goes away: a server shuts down, a page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: a rule of the protocol was broken.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of data that the endpoint cannot take.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: there was no code in the Close frame. Never sent.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: there was no Close frame. Never sent.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: data inside a message does not fit its type, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a policy was broken, such as a limit on rate or count.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message is too big.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: a client misses an extension. A server never sends it.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: the server met an unexpected condition.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts (IANA registry).
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: try again later (IANA registry).
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got a bad answer (IANA registry).
    pub const BAD_GATEWAY: Self = Self(1014);
    /// 1015: the TLS handshake failed. Never sent.
    pub const TLS_HANDSHAKE: Self = Self(1015);

    /// Any number.
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether the code may appear in a Close frame: 1000–1003, 1007–1014 and 3000–4999.
    ///
    /// The same set is accepted from a peer; any other code fails the connection with 1002.
    pub const fn is_sendable(self) -> bool {
        // RFC 6455 §7.4.1: "1005 is a reserved value and MUST NOT be set as a status code in a
        // Close control frame by an endpoint." The RFC says the same of 1006 and 1015; 1004 is
        // reserved; 1012 to 1014 are registered with IANA.
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// As much of a text as a Close frame has room for beside its code: 123 bytes of whole characters.
///
/// [`Connection::close`](crate::Connection::close) cuts a reason so.
pub fn fitting_reason(text: &str) -> &str {
    // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less"
    let most = MAX_CONTROL_PAYLOAD.saturating_sub(2).min(text.len());
    let end = (0..=most).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}
