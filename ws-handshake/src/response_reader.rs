//! Reads a response head from a raw byte stream.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use bytes::{Buf, Bytes, BytesMut};
use http::{Response, StatusCode, Version};

use crate::{
    HeadError, Limits,
    head::{Extent, HeadScanner, from_httparse, header_map},
    visits::Visits,
};

/// Reads the head of the server's answer out of a buffer that the caller fills.
///
/// Pass the same buffer to [`read`](Self::read) whenever it has grown, and remove nothing from its
/// front in between. What follows the head stays in the buffer: the first frames of an open
/// connection, or the beginning of a body, which [`BodyReader`](crate::BodyReader) reads.
///
/// Informational answers (100, 103) are skipped, within one [`Limits::max_head`] for all heads.
#[derive(Debug)]
pub struct ResponseReader {
    limits: Limits,
    scanner: HeadScanner,
    /// What was parsed, and the scanners of earlier heads.
    visits: Visits,
    failed: Option<HeadError>,
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl ResponseReader {
    /// A reader within `limits`.
    pub fn new(limits: Limits) -> Self {
        Self {
            scanner: HeadScanner::response(&limits),
            limits,
            visits: Visits::default(),
            failed: None,
        }
    }

    /// Parses what `input` has gained; `None` asks for more.
    ///
    /// A complete head is removed from the front of `input`.
    ///
    /// # Errors
    /// [`HeadError`] for what is not the head of an HTTP/1 response, or exceeds the limits. Close the
    /// connection. After an error all later calls fail too.
    pub fn read(&mut self, input: &mut BytesMut) -> Result<Option<Response<()>>, HeadError> {
        loop {
            if let Some(error) = self.failed {
                return Err(error);
            }
            let outcome = match self.scanner.scan(input, &self.limits) {
                Ok(None) => return Ok(None),
                Ok(Some(extent)) => self.parse(input, extent),
                Err(error) => Err(error),
            };
            match outcome {
                // RFC 9110 §15.2: "A client MUST be able to parse one or more 1xx responses
                // received prior to a final response"
                Ok(response)
                    if response.status().is_informational()
                        && response.status() != StatusCode::SWITCHING_PROTOCOLS => {}
                Ok(response) => {
                    self.failed = Some(HeadError::Done);
                    return Ok(Some(response));
                }
                Err(error) => {
                    self.failed = Some(error);
                    return Err(error);
                }
            }
        }
    }

    /// Once to find the end of a head, once to parse it.
    #[cfg(test)]
    pub(crate) fn visits(&self) -> Visits {
        let mut visits = self.scanner.visits();
        visits.add_all(self.visits);
        visits
    }

    fn parse(&mut self, input: &mut BytesMut, extent: Extent) -> Result<Response<()>, HeadError> {
        let head = input.get(extent.start..extent.end).unwrap_or_default();
        let head = Bytes::copy_from_slice(head);
        input.advance(extent.end.min(input.len()));
        #[cfg(test)]
        self.visits.add_all(self.scanner.visits());
        self.visits.add(head.len());
        self.scanner = HeadScanner::response(&self.limits);
        self.limits.max_head = self.limits.max_head.saturating_sub(extent.end);

        let mut lines = vec![httparse::EMPTY_HEADER; extent.headers];
        let mut parsed = httparse::Response::new(&mut lines);
        let status = parsed.parse(&head).map_err(|error| from_httparse(error, &head))?;
        if status != httparse::Status::Complete(head.len()) {
            return Err(HeadError::StartLine);
        }
        let code = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
        let mut response = Response::new(());
        *response.status_mut() = code.ok_or(HeadError::StartLine)?;
        *response.version_mut() = match parsed.version {
            Some(1) => Version::HTTP_11,
            _ => Version::HTTP_10,
        };
        let lines = parsed.headers.iter().map(|line| (line.name.as_bytes(), line.value));
        *response.headers_mut() = header_map(&head, lines)?;
        Ok(response)
    }
}
