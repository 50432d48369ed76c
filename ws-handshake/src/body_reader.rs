//! Reads the body of an answer other than 101.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};

use crate::{
    Limits, header_lines,
    list::{Elements, trim_ows},
};

/// The longest line that announces a chunk. Extensions after the length are ignored.
const MAX_CHUNK_LINE: usize = 256;

/// Reads the body that follows a [`ResponseReader`](crate::ResponseReader)'s head, up to
/// [`Limits::max_refusal_body`], out of the same buffer.
///
/// A server that refuses explains itself there. The text is untrusted.
///
/// ```
/// use bytes::BytesMut;
/// use ws_handshake::{BodyReader, Limits, ResponseReader};
///
/// let mut input = BytesMut::from(
///     "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n",
/// );
/// let response = ResponseReader::default().read(&mut input)?.expect("a whole head");
/// let mut reader = BodyReader::new(&response, &Limits::default());
/// assert!(reader.read(&mut input), "the whole body");
/// assert_eq!(reader.into_body(), ("busy".into(), true));
/// # Ok::<(), ws_handshake::HeadError>(())
/// ```
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    body: BytesMut,
    max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In data, with this much to come.
    Data(u64),
    /// In data that lasts until the stream ends.
    UntilEnd,
    /// Before the line that announces a chunk, which is complete with its LF.
    ChunkLine,
    /// In a chunk, with this much to come.
    Chunk(u64),
    /// Before the line end after a chunk.
    ChunkEnd,
    /// The body is complete.
    Whole,
    /// The rest is missing, beyond the limit, or unreadable.
    Cut,
}

impl BodyReader {
    /// For the body after the head of `response`, the answer to a GET.
    pub fn new<T>(response: &Response<T>, limits: &Limits) -> Self {
        let max = limits.max_refusal_body;
        let state = match framing(response.status(), response.headers()) {
            State::Whole | State::Data(0) => State::Whole,
            _ if max == 0 => State::Cut,
            state => state,
        };
        Self { state, body: BytesMut::new(), max }
    }

    /// Consumes `input`. Returns whether there is nothing more to read.
    pub fn read(&mut self, input: &mut BytesMut) -> bool {
        loop {
            let before = (self.state, input.len());
            self.step(input);
            if before == (self.state, input.len()) {
                return matches!(self.state, State::Whole | State::Cut);
            }
        }
    }

    /// The stream has ended.
    pub fn input_ended(&mut self) {
        self.state = match self.state {
            // RFC 9112 §6.3: "Otherwise, this is a response message without a declared message body
            // length, so the message body length is determined by the number of octets received
            // prior to the server closing the connection."
            State::UntilEnd | State::Whole => State::Whole,
            _ => State::Cut,
        };
    }

    /// The body as sent, without chunk framing, and whether it is complete.
    pub fn into_body(self) -> (Bytes, bool) {
        (self.body.freeze(), self.state == State::Whole)
    }

    fn step(&mut self, input: &mut BytesMut) {
        self.state = match self.state {
            State::Data(0) => State::Whole,
            State::Data(left) => match self.keep(input, left) {
                Some(left) => State::Data(left),
                None => State::Cut,
            },
            State::UntilEnd => match self.keep(input, u64::MAX) {
                Some(_) => State::UntilEnd,
                None => State::Cut,
            },
            State::ChunkLine => match input.iter().position(|&octet| octet == b'\n') {
                Some(end) if end < MAX_CHUNK_LINE => {
                    let line = input.split_to(end);
                    input.advance(1);
                    match chunk_size(&line) {
                        // Trailers are not part of the body.
                        Some(0) => State::Whole,
                        Some(size) => State::Chunk(size),
                        None => State::Cut,
                    }
                }
                None if input.len() < MAX_CHUNK_LINE => State::ChunkLine,
                _ => State::Cut,
            },
            State::Chunk(0) => State::ChunkEnd,
            State::Chunk(left) => match self.keep(input, left) {
                Some(left) => State::Chunk(left),
                None => State::Cut,
            },
            State::ChunkEnd => match input.get(..2) {
                Some(b"\r\n") => {
                    input.advance(2);
                    State::ChunkLine
                }
                Some(_) => State::Cut,
                None => State::ChunkEnd,
            },
            end @ (State::Whole | State::Cut) => end,
        };
    }

    /// Keeps at most `left` octets and returns how many are left then, or `None` at the limit.
    fn keep(&mut self, input: &mut BytesMut, left: u64) -> Option<u64> {
        let here = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let room = self.max.saturating_sub(self.body.len());
        let kept = input.split_to(here.min(room));
        self.body.extend_from_slice(&kept);
        (here <= room).then(|| left.saturating_sub(here as u64))
    }
}

/// The initial state.
fn framing(status: StatusCode, headers: &HeaderMap) -> State {
    // RFC 9112 §6.3: "any response with a 1xx (Informational), 204 (No Content), or 304 (Not Modified)
    // status code is always terminated by the first empty line after the header fields"
    if status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    {
        return State::Whole;
    }
    // RFC 9112 §6.3: "If a message is received with both a Transfer-Encoding and a Content-Length
    // header field, the Transfer-Encoding overrides the Content-Length." The request
    // asked for no coding other than chunked.
    if headers.contains_key(TRANSFER_ENCODING) {
        let mut codings = header_lines::all(headers, &TRANSFER_ENCODING).flat_map(Elements::new);
        return match (codings.next(), codings.next()) {
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => State::ChunkLine,
            _ => State::Cut,
        };
    }
    if !headers.contains_key(CONTENT_LENGTH) {
        return State::UntilEnd;
    }
    match header_lines::only(headers, &CONTENT_LENGTH).and_then(|length| number(length, 10)) {
        Some(length) => State::Data(length),
        None => State::Cut,
    }
}

// RFC 9112 §7.1: "chunk-size = 1*HEXDIG", which extensions may follow.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\r")?;
    let size = line.split(|&octet| octet == b';').next()?;
    number(trim_ows(size), 16)
}

fn number(text: &[u8], radix: u32) -> Option<u64> {
    // from_str_radix would take a sign.
    let text = std::str::from_utf8(text).ok().filter(|text| !text.starts_with('+'))?;
    u64::from_str_radix(text, radix).ok()
}
