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
    visits::Visits,
};

/// Reads one request head out of a buffer that the caller fills.
///
/// Pass the same buffer to [`read`](Self::read) whenever it has grown, and remove nothing from its
/// front in between. What follows the head stays in the buffer. One reader reads one head.
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
/// It is stricter than HTTP/1.1 requires: every line must end in CRLF, and it skips at most eight
/// empty lines before the head.
#[derive(Debug)]
pub struct RequestReader {
    limits: Limits,
    allow_early_data: bool,
    scanner: HeadScanner,
    parsed: Visits,
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
            parsed: Visits::default(),
            failed: None,
        }
    }

    /// Whether a client may send data before our 101. Default `false`: the answer is 400.
    ///
    /// No conforming client does so. With `true` the data stays in the buffer, for the frame parser.
    #[must_use]
    pub fn allow_early_data(mut self, allow: bool) -> Self {
        self.allow_early_data = allow;
        self
    }

    /// Parses what `input` has gained; `None` asks for more.
    ///
    /// A complete head is removed from the front of `input`. The request is valid HTTP;
    /// [`Upgrade::inspect`](crate::Upgrade::inspect) says whether it is a WebSocket handshake.
    ///
    /// # Errors
    /// 400, 414, 431 or 505 for a head that cannot be read; 400 if data follows a request for an
    /// upgrade, see [`allow_early_data`](Self::allow_early_data). Write the
    /// [response](Rejection::into_response) and close. After an error all later calls fail too.
    pub fn read(&mut self, input: &mut BytesMut) -> Result<Option<Request<()>>, Rejection> {
        let Some(head) = self.read_head(input)? else {
            return Ok(None);
        };
        let request = head.to_request().inspect_err(|error| self.failed = Some(*error))?;
        Ok(Some(request))
    }

    /// As [`read`](Self::read), without building an [`http::Request`], which takes longer than parsing
    /// the head.
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

    /// Checks that the client has sent nothing before our 101.
    ///
    /// [`read`](Self::read) checks it once; a server that keeps reading while it prepares its answer
    /// checks again.
    ///
    /// # Errors
    /// 400 if `input` is not empty, unless [`allow_early_data`](Self::allow_early_data) permits it.
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
    pub(crate) fn visits(&self) -> Visits {
        let mut visits = self.scanner.visits();
        visits.add_all(self.parsed);
        visits
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
