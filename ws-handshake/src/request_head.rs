//! A parsed request head.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use std::{fmt, mem::MaybeUninit, ops::Range};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Uri, Version};

use crate::{
    HeadError,
    head::{from_httparse, header_map, slice_ref},
    list,
};

/// The longest that `http::Uri` takes.
const MAX_URI: usize = 65_534;

/// Header lines that are parsed without an allocation.
const FEW: usize = 64;

/// A request head, from [`RequestReader::read_head`](crate::RequestReader::read_head). Its header
/// lines are slices of the head; [`to_request`](Self::to_request) makes a map of them.
#[derive(Clone)]
pub struct RequestHead {
    method: Method,
    uri: Uri,
    version: Version,
    head: Bytes,
    lines: Vec<Line>,
    asks_for_upgrade: bool,
}

/// The positions of name and value in the head.
#[derive(Clone)]
struct Line {
    name: Range<usize>,
    value: Range<usize>,
}

impl RequestHead {
    /// Parses a complete head with `headers` header lines.
    pub(crate) fn parse(mut head: BytesMut, headers: usize) -> Result<Self, HeadError> {
        let mut few = [const { MaybeUninit::uninit() }; FEW];
        let mut many = Vec::new();
        let room = match few.get_mut(..headers) {
            Some(room) => room,
            None => {
                many.resize(headers, MaybeUninit::uninit());
                &mut many
            }
        };
        let mut parsed = httparse::Request::new(&mut []);
        let status = parsed
            .parse_with_uninit_headers(&head, room)
            .map_err(|error| from_httparse(error, &head))?;
        if status != httparse::Status::Complete(head.len()) {
            return Err(HeadError::StartLine);
        }
        let method = parsed.method.and_then(|m| Method::from_bytes(m.as_bytes()).ok());
        let method = method.ok_or(HeadError::StartLine)?;
        let target = parsed.path.unwrap_or_default();
        // No form of a request-target has a fragment.
        if !target.bytes().all(|octet| matches!(octet, b'!'..=b'~' if octet != b'#')) {
            return Err(target_error(target.as_bytes()));
        }
        let version = match parsed.version {
            Some(1) => Version::HTTP_11,
            _ => Version::HTTP_10,
        };
        let upgrades =
            parsed.headers.iter().filter(|line| line.name.eq_ignore_ascii_case("upgrade"));
        let asks_for_upgrade = list::contains(upgrades.map(|line| line.value), b"websocket");
        let begin = head.as_ptr().addr();
        let place = |part: &[u8]| {
            let start = part.as_ptr().addr().saturating_sub(begin);
            start..start.saturating_add(part.len())
        };
        let line = |line: &httparse::Header<'_>| Line {
            name: place(line.name.as_bytes()),
            value: place(line.value),
        };
        let lines: Vec<Line> = parsed.headers.iter().map(line).collect();
        let target = place(target.as_bytes());
        for line in &lines {
            make_lower_case(head.get_mut(line.name.clone()).unwrap_or_default());
        }
        let head = head.freeze();
        let target = head.get(target).unwrap_or_default();
        let uri = Uri::from_maybe_shared(slice_ref(&head, target)).map_err(|_| {
            if target.len() > MAX_URI { HeadError::TargetTooLong } else { target_error(target) }
        })?;
        Ok(Self { method, uri, version, lines, asks_for_upgrade, head })
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The request-target.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// HTTP/1.0 or HTTP/1.1.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The header lines in order: the name in lower case, and the value without surrounding white
    /// space.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| {
            let part = |range: &Range<usize>| self.head.get(range.clone()).unwrap_or_default();
            (part(&line.name), part(&line.value))
        })
    }

    /// Whether it asks for a WebSocket, valid or not, as
    /// [`RequestView::asks_for_upgrade`](crate::RequestView::asks_for_upgrade).
    pub fn asks_for_upgrade(&self) -> bool {
        self.asks_for_upgrade
    }

    /// Converts it to the types of the [`http`] crate.
    ///
    /// # Errors
    /// [`HeadError::TooManyHeaders`] for more than a header map holds, about 24,000.
    pub fn to_request(&self) -> Result<Request<()>, HeadError> {
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = header_map(&self.head, self.headers())?;
        Ok(request)
    }
}

/// What is wrong with a malformed request-target.
// RFC 9112 §3.2: "Recipients of an invalid request-line SHOULD respond with either a 400 (Bad Request)
// error or a 301 (Moved Permanently) redirect with the request-target properly encoded. A recipient
// SHOULD NOT attempt to autocorrect and then process the request without a redirect".
fn target_error(target: &[u8]) -> HeadError {
    if !target.is_ascii() {
        return HeadError::TargetNotAscii;
    }
    // As `http::Uri` defines them: beyond RFC 3986, it takes what browsers do not escape.
    let mut parts = target.splitn(2, |&octet| octet == b'?');
    let mut first_of = |octets: &[u8]| {
        let part = parts.next().unwrap_or_default();
        part.iter().copied().find(|octet| octets.contains(octet))
    };
    let (in_path, in_query) = (first_of(b"#<>`"), first_of(b"#<>\""));
    in_path.or(in_query).map_or(HeadError::StartLine, HeadError::TargetOctet)
}

/// Eight at a time, which a processor does in one step.
fn make_lower_case(name: &mut [u8]) {
    let (words, _) = name.as_chunks_mut::<8>();
    for word in words {
        word.make_ascii_lowercase();
    }
    if let Some(last) = name.last_chunk_mut::<8>() {
        // Some of them are in lower case already.
        last.make_ascii_lowercase();
    } else {
        name.make_ascii_lowercase();
    }
}

/// Without the headers, which may hold secrets.
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("uri", &self.uri)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
