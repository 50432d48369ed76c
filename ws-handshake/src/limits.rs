//! How much of a peer's handshake is read.

/// Bounds on what a peer may send in its half of the handshake.
///
/// Every bound is finite by default, [`UNLIMITED`](ws_core::UNLIMITED) lifts one. Each field has a
/// setter of its name:
///
/// ```
/// let limits = ws_handshake::Limits::default().max_head(8 * 1024).max_headers(32);
/// assert_eq!(limits.max_head, 8192);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Octets in the head of a request or response, including its final empty line. Default 16 KiB.
    ///
    /// Beyond it a server answers 431 and a client fails with
    /// [`HeadError::TooLarge`](crate::HeadError). The readers enforce it; another HTTP implementation
    /// has a setting of its own.
    pub max_head: usize,
    /// Header lines in the head of a request. Default 64. A header map holds about 24,000 of them,
    /// whatever this limit is.
    ///
    /// Beyond it a server answers 431.
    pub max_headers: usize,
    /// Header lines in the head of a response. Default 256: proxies and content networks add many, and
    /// a client reads one head, from a server that it chose.
    ///
    /// Beyond it a client fails with [`HeadError::TooManyHeaders`](crate::HeadError).
    pub max_response_headers: usize,
    /// Octets that a client keeps of the body of an answer other than 101. Default 16 KiB; with 0 it
    /// reads none.
    ///
    /// Beyond it the body is cut. [`BodyReader`](crate::BodyReader) enforces it.
    pub max_refusal_body: usize,
    /// Octets in the request-target. Default 8 KiB. Beyond it a server answers 414.
    ///
    /// `http::Uri` takes 65,534 octets at most: a longer target is answered with 414, whatever this
    /// limit is.
    pub max_target: usize,
    /// Extensions in all `Sec-WebSocket-Extensions` lines together. Default 16.
    ///
    /// Beyond it a server answers 400 and a client fails.
    pub max_offers: usize,
    /// Parameters of one extension. Default 16. Beyond it a server answers 400 and a client fails.
    pub max_parameters: usize,
    /// Elements in all `Sec-WebSocket-Protocol` lines together. Default 32.
    ///
    /// Beyond it a server answers 400. Each element is compared with all before it, so a large value
    /// costs time.
    pub max_subprotocols: usize,
    /// Empty elements (`a,,b`) in one list of extensions or subprotocols. Default 8.
    ///
    /// Beyond it a server answers 400 and a client fails.
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

macro_rules! setters {
    ($($field:ident)*) => {
        impl Limits {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
                #[must_use]
                pub fn $field(mut self, $field: usize) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}

setters! {
    max_head max_headers max_response_headers max_refusal_body max_target max_offers max_parameters
    max_subprotocols max_empty_elements
}
