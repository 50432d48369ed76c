//! How much of a peer's handshake is looked at.

/// Bounds on what a peer may send in its half of the handshake.
///
/// Every bound has a finite default; `usize::MAX` lifts one. Fields may be added, so start from the
/// default:
///
/// ```
/// let mut limits = ws_handshake::Limits::default();
/// limits.max_head = 8 * 1024;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Octets of a request or response head, its last empty line included. Default 16 KiB.
    ///
    /// Beyond it a server answers 431, a client fails with [`HeadError::TooLarge`](crate::HeadError).
    /// Kept by the readers; with another HTTP implementation it is that one's to set.
    pub max_head: usize,
    /// Header lines in the head of a request. Default 64. A header map ends at some 24,000 of them
    /// whatever stands here.
    ///
    /// Beyond it a server answers 431.
    pub max_headers: usize,
    /// Header lines in the head of a response. Default 256: proxies and content networks add many, and
    /// a client has one head to read, of a server that it chose.
    ///
    /// Beyond it a client fails with [`HeadError::TooManyHeaders`](crate::HeadError).
    pub max_response_headers: usize,
    /// Octets that a client keeps of the body of an answer that is no 101. Default 16 KiB; with 0 it
    /// reads none.
    ///
    /// Beyond it the body is cut. Kept by [`BodyReader`](crate::BodyReader).
    pub max_refusal_body: usize,
    /// Octets of the request-target. Default 8 KiB. Beyond it a server answers 414.
    ///
    /// `http::Uri` ends at 65,534 octets, so that more than that is 414 whatever stands here.
    pub max_target: usize,
    /// Extensions in all `Sec-WebSocket-Extensions` lines together. Default 16.
    ///
    /// Beyond it a server answers 400, a client fails.
    pub max_offers: usize,
    /// Parameters of one extension. Default 16. Beyond it a server answers 400, a client fails.
    pub max_parameters: usize,
    /// Elements in all `Sec-WebSocket-Protocol` lines together. Default 32.
    ///
    /// Beyond it a server answers 400. Each element is compared with all before it, so that a large
    /// value costs time.
    pub max_subprotocols: usize,
    /// Empty elements (`a,,b`) that one list of extensions or subprotocols may hold. Default 8.
    ///
    /// Beyond it a server answers 400, a client fails.
    // RFC 9110 §5.6.1.2: "A recipient MUST parse and ignore a reasonable number of empty list
    // elements"
    pub max_empty_elements: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_head: 16 * 1024,
            max_headers: 64,
            max_response_headers: 256,
            max_refusal_body: 16 * 1024,
            max_target: 8 * 1024,
            max_offers: 16,
            max_parameters: 16,
            max_subprotocols: 32,
            max_empty_elements: 8,
        }
    }
}
