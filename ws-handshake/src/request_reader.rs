//! Reads a request head from a raw byte stream.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use bytes::{Buf, BytesMut};
use http::Request;

use crate::{
    Cause, HeadError, Limits, Rejection, RequestHead,
    head::{Extent, HeadScanner},
    looks::Looks,
};

/// Reads one request head out of a buffer that the caller fills.
///
/// Give the same buffer to [`read`](Self::read) whenever it has grown, and take nothing off its
/// front in between. What comes behind the head stays in the buffer. One reader reads one head.
///
/// ```
/// use bytes::BytesMut;
/// use ws_handshake::RequestReader;
///
/// let mut reader = RequestReader::default();
/// let mut input = BytesMut::from("GET /chat HTTP/1.1\r\nHost: a.exa");
/// assert!(reader.read(&mut input)?.is_none());
/// input.extend_from_slice(b"mple\r\n\r\n");
/// let request = reader.read(&mut input)?.expect("a whole head");
/// assert_eq!(request.uri().path(), "/chat");
/// # Ok::<(), ws_handshake::Rejection>(())
/// ```
///
/// It is stricter than HTTP/1.1 has to be: every line ends in CRLF, and eight empty lines in front
/// are all that is skipped.
#[derive(Debug)]
pub struct RequestReader {
    limits: Limits,
    allow_early_data: bool,
    scanner: HeadScanner,
    parsed: Looks,
    failed: Option<HeadError>,
}

impl Default for RequestReader {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl RequestReader {
    /// A reader within `limits`.
    pub fn new(limits: Limits) -> Self {
        Self {
            scanner: HeadScanner::request(&limits),
            limits,
            allow_early_data: false,
            parsed: Looks::default(),
            failed: None,
        }
    }

    /// Whether a client may send before it has our 101. Default `false`: the answer is 400.
    ///
    /// No conforming client does. With `true` the octets stay in the buffer, for the frame parser.
    #[must_use]
    pub fn allow_early_data(mut self, allow: bool) -> Self {
        self.allow_early_data = allow;
        self
    }

    /// Looks at what `input` has gained; `None` asks for more.
    ///
    /// A whole head is taken off the front of `input`. The request is HTTP; whether it is a
    /// WebSocket handshake is for [`Upgrade::inspect`](crate::Upgrade::inspect) to say.
    ///
    /// # Errors
    /// 400, 414, 431 or 505 for a head that cannot be read; 400 where a request for an upgrade has
    /// octets behind it, see [`allow_early_data`](Self::allow_early_data). Write the
    /// [response](Rejection::into_response) and close. Failed stays failed: later calls fail too.
    pub fn read(&mut self, input: &mut BytesMut) -> Result<Option<Request<()>>, Rejection> {
        let Some(head) = self.read_head(input)? else {
            return Ok(None);
        };
        let request = head.to_request().inspect_err(|error| self.failed = Some(*error))?;
        Ok(Some(request))
    }

    /// As [`read`](Self::read), without an [`http::Request`], which takes longer to make than the
    /// head takes to parse.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_head(&mut self, input: &mut BytesMut) -> Result<Option<RequestHead>, Rejection> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        let outcome = match self.scanner.scan(input, &self.limits) {
            Ok(None) => return Ok(None),
            Ok(Some(extent)) => self.parse(input, extent),
            Err(error) => Err(error),
        };
        self.failed = Some(outcome.as_ref().err().copied().unwrap_or(HeadError::Done));
        let head = outcome?;
        if head.asks_for_upgrade() {
            self.check_early_data(input)?;
        }
        Ok(Some(head))
    }

    /// Whether the client has sent something in front of our 101.
    ///
    /// [`read`](Self::read) has asked already; a server that takes its time over the answer, and
    /// reads meanwhile, asks again.
    ///
    /// # Errors
    /// 400 if there is something in `input` and [`allow_early_data`](Self::allow_early_data) was
    /// not called.
    pub fn check_early_data(&self, input: &BytesMut) -> Result<(), Rejection> {
        // RFC 6455 §4.1: "Once the client's opening handshake has been sent, the client MUST wait
        // for a response from the server before sending any further data."
        if input.is_empty() || self.allow_early_data {
            Ok(())
        } else {
            Err(Cause::EarlyData.into())
        }
    }

    /// Once to find the end of the head, once to parse it.
    #[cfg(test)]
    pub(crate) fn looks(&self) -> Looks {
        let mut looks = self.scanner.looks();
        looks.add_all(self.parsed);
        looks
    }

    fn parse(&mut self, input: &mut BytesMut, extent: Extent) -> Result<RequestHead, HeadError> {
        let head = input.get(extent.start..extent.end).unwrap_or_default();
        // One copy, so that the request does not pin the caller's buffer.
        let head = BytesMut::from(head);
        input.advance(extent.end.min(input.len()));
        self.parsed.add(head.len());
        RequestHead::parse(head, extent.headers)
    }
}
