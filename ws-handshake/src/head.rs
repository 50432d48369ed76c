//! Finds the end of an HTTP/1.1 head, looking at each octet once, and makes its header map.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{Limits, extra_headers::is_secret, visits::Visits};

/// Empty lines that are skipped before a start-line; one more is an error.
const MAX_EMPTY_LINES: usize = 8;

/// Why a request or response head cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// The head does not end within [`Limits::max_head`].
    #[error("the head is too large")]
    TooLarge,
    /// More header lines than [`Limits::max_headers`], in a response
    /// [`Limits::max_response_headers`].
    #[error("there are too many header lines")]
    TooManyHeaders,
    /// A request-target longer than [`Limits::max_target`].
    #[error("the request-target is too long")]
    TargetTooLong,
    /// An ASCII character in a request-target that must be percent-encoded and is not.
    #[error("the request-target contains a raw '{}': write it as %{_0:02X}", char::from(*_0))]
    TargetOctet(u8),
    /// Octets outside ASCII in a request-target.
    #[error("the request-target contains octets outside ASCII: percent-encode them")]
    TargetNotAscii,
    /// A line that ends in LF alone.
    #[error("a line of the head does not end in CRLF")]
    BareLf,
    /// A CR without its LF.
    #[error("the head contains a CR without LF")]
    BareCr,
    /// A control character, such as NUL.
    #[error("the head contains a control character")]
    Control,
    /// A line that begins with white space.
    #[error("a line of the head begins with white space")]
    Folded,
    /// Too many empty lines before the start-line.
    #[error("too many empty lines precede the head")]
    EmptyLines,
    /// A malformed request-line or status-line.
    #[error("the first line is not HTTP")]
    StartLine,
    /// A version of HTTP other than 1.0 and 1.1.
    #[error("this version of HTTP is not supported")]
    Version,
    /// A malformed header line.
    #[error("a header line is malformed")]
    Header,
    /// The reader has read its head: what follows is not HTTP.
    #[error("another head follows the first")]
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the start-line.
    Front,
    /// After the CR of an empty line there.
    FrontCr,
    /// In a line.
    Line,
    /// After the CR of a line.
    LineCr,
    /// Before a header line, or the final empty line.
    Start,
    /// After the CR of the final empty line.
    StartCr,
}

/// The position of the head in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Where the start-line begins, after empty lines.
    pub(crate) start: usize,
    /// Where the head ends.
    pub(crate) end: usize,
    /// The number of header lines.
    pub(crate) headers: usize,
}

/// Scans the input as it grows and stops at the end of the head.
#[derive(Debug)]
pub(crate) struct HeadScanner {
    state: State,
    position: usize,
    visits: Visits,
    start: usize,
    empty_lines: usize,
    lines: usize,
    spaces: usize,
    target: usize,
    max_target: usize,
    max_headers: usize,
}

impl HeadScanner {
    /// For a request, whose target has a limit.
    pub(crate) fn request(limits: &Limits) -> Self {
        Self::new(limits.max_target, limits.max_headers)
    }

    /// For a response.
    pub(crate) fn response(limits: &Limits) -> Self {
        Self::new(usize::MAX, limits.max_response_headers)
    }

    fn new(max_target: usize, max_headers: usize) -> Self {
        Self {
            state: State::Front,
            position: 0,
            visits: Visits::default(),
            start: 0,
            empty_lines: 0,
            lines: 0,
            spaces: 0,
            target: 0,
            max_target,
            max_headers,
        }
    }

    /// Counted apart from the position, so that looking twice would show.
    #[cfg(test)]
    pub(crate) fn visits(&self) -> Visits {
        self.visits
    }

    /// Scans what `input` has gained since the last call; it may only have grown.
    pub(crate) fn scan(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<Extent>, HeadError> {
        let within = input.len().min(limits.max_head);
        while self.position < within {
            if self.state == State::Line {
                let rest = input.get(self.position..within).unwrap_or_default();
                let (octets, rest) = rest.split_at_checked(ordinary(rest)).unwrap_or_default();
                self.line(octets)?;
                if rest.starts_with(b"\r\n") {
                    // Most lines end so.
                    self.pass(2);
                    self.end_line();
                    continue;
                }
            }
            let Some(&octet) = input.get(self.position).filter(|_| self.position < within) else {
                break;
            };
            self.pass(1);
            if self.octet(octet)? {
                return Ok(Some(Extent {
                    start: self.start,
                    end: self.position,
                    headers: self.lines.saturating_sub(1),
                }));
            }
        }
        if within < input.len() { Err(HeadError::TooLarge) } else { Ok(None) }
    }

    /// Passes over octets of a line.
    fn line(&mut self, octets: &[u8]) -> Result<(), HeadError> {
        if self.lines > 0 {
            self.pass(octets.len());
            return Ok(());
        }
        for &octet in octets {
            self.pass(1);
            self.count_target(octet)?;
        }
        Ok(())
    }

    /// A line is complete.
    fn end_line(&mut self) {
        self.lines = self.lines.saturating_add(1);
        self.state = State::Start;
    }

    /// Passes over `octets` octets.
    fn pass(&mut self, octets: usize) {
        self.position = self.position.saturating_add(octets);
        self.visits.add(octets);
    }

    /// Whether the head ends with `octet`.
    fn octet(&mut self, octet: u8) -> Result<bool, HeadError> {
        self.state = match (self.state, octet) {
            (State::Front, b'\r') => State::FrontCr,
            (State::Line, b'\r') => State::LineCr,
            (State::Start, b'\r') => State::StartCr,
            (State::StartCr, b'\n') => return Ok(true),
            (State::LineCr, b'\n') => {
                self.end_line();
                State::Start
            }
            // RFC 9112 §2.2: "a server that is expecting to receive and parse a request-line
            // SHOULD ignore at least one empty line (CRLF) received prior to the request-line."
            (State::FrontCr, b'\n') => {
                self.empty_lines = self.empty_lines.saturating_add(1);
                if self.empty_lines > MAX_EMPTY_LINES {
                    return Err(HeadError::EmptyLines);
                }
                self.start = self.position;
                State::Front
            }
            // RFC 9112 §2.2: "A recipient of such a bare CR MUST consider that element to be
            // invalid"
            (State::FrontCr | State::LineCr | State::StartCr, _) => return Err(HeadError::BareCr),
            // RFC 9112 §2.2 permits taking it, but intermediaries differ.
            (_, b'\n') => return Err(HeadError::BareLf),
            // RFC 9112 §5.2: "A server that receives an obs-fold in a request message […] MUST
            // either reject the message by sending a 400 (Bad Request) […]"
            (State::Front | State::Start, b' ' | b'\t') => return Err(HeadError::Folded),
            // RFC 9110 §5.5: "Field values containing CR, LF, or NUL characters are invalid and
            // dangerous"
            (_, 0..=8 | 11..=31 | 127) => return Err(HeadError::Control),
            (State::Start, _) => {
                if self.lines > self.max_headers {
                    return Err(HeadError::TooManyHeaders);
                }
                State::Line
            }
            (State::Front | State::Line, _) => {
                if self.lines == 0 {
                    self.count_target(octet)?;
                }
                State::Line
            }
        };
        Ok(false)
    }

    /// The request-target is between the first two spaces of the first line.
    fn count_target(&mut self, octet: u8) -> Result<(), HeadError> {
        if octet == b' ' {
            self.spaces = self.spaces.saturating_add(1);
        } else if self.spaces == 1 {
            self.target = self.target.saturating_add(1);
            if self.target > self.max_target {
                return Err(HeadError::TargetTooLong);
            }
        }
        Ok(())
    }
}

/// The number of octets at the front that are ordinary in a line: not control characters.
fn ordinary(line: &[u8]) -> usize {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = EACH << 7;
    let (words, rest) = line.as_chunks::<8>();
    let mut passed: usize = 0;
    for word in words {
        // Eight at a time, each by its lower seven bits: the additions set the high bit of octets equal
        // to 127 in `delete` and of those from 32 on in `visible`, and never carry into the next octet.
        let word = u64::from_le_bytes(*word);
        let low = word & !HIGH;
        let delete = low.wrapping_add(EACH);
        let visible = low.wrapping_add(EACH * 96);
        let found = (delete | !visible) & !word & HIGH;
        if found != 0 {
            return passed.saturating_add((found.trailing_zeros() / 8) as usize);
        }
        passed = passed.saturating_add(8);
    }
    let in_rest = rest.iter().take_while(|&&octet| octet >= 32 && octet != 127).count();
    passed.saturating_add(in_rest)
}

/// The header lines of `head`, as slices of it.
pub(crate) fn header_map<'h>(
    head: &Bytes,
    lines: impl ExactSizeIterator<Item = (&'h [u8], &'h [u8])>,
) -> Result<HeaderMap, HeadError> {
    // A map holds up to 32,768 headers; only its `try_` methods do not panic beyond.
    let mut headers =
        HeaderMap::try_with_capacity(lines.len()).map_err(|_| HeadError::TooManyHeaders)?;
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name).map_err(|_| HeadError::Header)?;
        let mut value = HeaderValue::from_maybe_shared(slice_ref(head, value))
            .map_err(|_| HeadError::Header)?;
        value.set_sensitive(is_secret(&name));
        headers.try_append(name, value).map_err(|_| HeadError::TooManyHeaders)?;
    }
    Ok(headers)
}

/// As `Bytes::slice_ref`, which would panic on a slice of another buffer.
pub(crate) fn slice_ref(head: &Bytes, part: &[u8]) -> Bytes {
    let (base, start) = (head.as_ptr().addr(), part.as_ptr().addr());
    match start.checked_sub(base) {
        Some(at) if at.checked_add(part.len()).is_some_and(|end| end <= head.len()) => {
            head.slice(at..at.saturating_add(part.len()))
        }
        _ => Bytes::copy_from_slice(part),
    }
}

/// Translates an error of httparse.
pub(crate) fn from_httparse(error: httparse::Error, head: &[u8]) -> HeadError {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => HeadError::TooManyHeaders,
        Error::HeaderName | Error::HeaderValue => HeadError::Header,
        Error::Version if has_version(head) => HeadError::Version,
        // RFC 9112 §3.2: "No whitespace is allowed in the request-target."
        Error::Version if has_spaces_in_target(head) => HeadError::TargetOctet(b' '),
        Error::Version | Error::Token | Error::NewLine | Error::Status => HeadError::StartLine,
    }
}

/// Whether only the version of the first line is wrong: the third word of three in a request, the
/// first in a response.
fn has_version(head: &[u8]) -> bool {
    let mut words = words_of_first_line(head);
    let (first, _, third) = (words.next(), words.next(), words.next());
    first.is_some_and(is_version) || (third.is_some_and(is_version) && words.next().is_none())
}

/// Whether the first line is a request-line with spaces in its target.
fn has_spaces_in_target(head: &[u8]) -> bool {
    let mut words = words_of_first_line(head);
    let (target, last) = (words.nth(1), words.last());
    target.is_some_and(|target| target.starts_with(b"/")) && last.is_some_and(is_version)
}

fn words_of_first_line(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let line = head.split(|&octet| octet == b'\r').next().unwrap_or_default();
    line.split(|&octet| octet == b' ')
}

fn is_version(text: &[u8]) -> bool {
    matches!(text, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::ordinary;

    #[test]
    fn control_characters_end_what_is_ordinary_wherever_they_appear() {
        for octet in 0..=255_u8 {
            for at in 0..20 {
                for around in [b'a', b' ', 0x7e, 0x80, 0xff] {
                    let mut line = [around; 20];
                    line[at] = octet;
                    let expected = if octet < 32 || octet == 127 { at } else { line.len() };
                    assert_eq!(ordinary(&line), expected, "{octet} at {at} among {around}");
                }
            }
        }
        assert_eq!(ordinary(b"aaaaaaaaa\r\n"), 9);
        assert_eq!(ordinary(b""), 0);
    }
}
