//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1), in one pass without backtracking.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use std::fmt;

use ws_core::extension::Params;

use crate::{
    Limits,
    list::{Cursor, is_token_octet},
    visits::Visits,
};

/// One element of `Sec-WebSocket-Extensions`: an offer of a client, or the answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionElement {
    name: Box<str>,
    params: Params,
}

impl ExtensionElement {
    pub(crate) fn new(name: &str, params: Params) -> Self {
        Self { name: name.into(), params }
    }

    /// The extension token.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parameters in order, with duplicates, values unquoted.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

/// As in the header: `name; a; b=10`.
impl fmt::Display for ExtensionElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.params)
    }
}

/// Why a `Sec-WebSocket-Extensions` header cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ExtensionHeaderError {
    /// The header is present and names no extension.
    #[error("Sec-WebSocket-Extensions names no extension")]
    Empty,
    /// An extension does not begin with its name, a token.
    #[error("an extension in Sec-WebSocket-Extensions has no name")]
    Name,
    /// A semicolon is not followed by the name of a parameter, a token.
    #[error("a parameter in Sec-WebSocket-Extensions has no name")]
    ParameterName,
    /// An equals sign is not followed by a token, quoted or not.
    #[error("a parameter in Sec-WebSocket-Extensions has no value after its =")]
    Value,
    /// A quoted value is not a token once it is unescaped.
    #[error("a quoted value in Sec-WebSocket-Extensions is not a token")]
    QuotedValue,
    /// A quoted string does not end in its line.
    #[error("a quoted value in Sec-WebSocket-Extensions does not end")]
    Unclosed,
    /// A complete element is followed by something other than a comma or a semicolon.
    #[error("a comma or semicolon is missing in Sec-WebSocket-Extensions")]
    Separator,
    /// More extensions than [`Limits::max_offers`].
    #[error("too many extensions in Sec-WebSocket-Extensions")]
    TooManyOffers,
    /// More parameters than [`Limits::max_parameters`].
    #[error("too many parameters in Sec-WebSocket-Extensions")]
    TooManyParameters,
    /// More empty elements than [`Limits::max_empty_elements`].
    #[error("too many empty elements in Sec-WebSocket-Extensions")]
    TooManyEmpty,
}

/// Reads all lines of `Sec-WebSocket-Extensions` as one list, in order.
///
/// Without any line the list is empty; a header that is present must name an extension
/// ([RFC 6455 §9.1](https://www.rfc-editor.org/rfc/rfc6455#section-9.1)).
///
/// ```
/// use ws_handshake::{Limits, parse_extensions};
///
/// let lines = ["foo; n=\"1\\0\"", "bar"].map(str::as_bytes);
/// let offers = parse_extensions(lines, &Limits::default())?;
/// assert_eq!(offers[0].to_string(), "foo; n=10");
/// assert_eq!(offers[1].name(), "bar");
/// # Ok::<(), ws_handshake::ExtensionHeaderError>(())
/// ```
///
/// # Errors
/// [`ExtensionHeaderError`]; its last three variants are about [`Limits`].
pub fn parse_extensions<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    limits: &Limits,
) -> Result<Vec<ExtensionElement>, ExtensionHeaderError> {
    parse_counting(lines, limits).0
}

/// [`parse_extensions`], and counts its visits.
pub(crate) fn parse_counting<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    limits: &Limits,
) -> (Result<Vec<ExtensionElement>, ExtensionHeaderError>, Visits) {
    let mut parser = Parser { limits, offers: Vec::new(), empty: 0, visits: Visits::default() };
    let mut any = false;
    for line in lines {
        any = true;
        let mut cursor = Cursor::new(line);
        let outcome = parser.line(&mut cursor);
        parser.visits.add_all(cursor.visits());
        if let Err(error) = outcome {
            return (Err(error), parser.visits);
        }
    }
    let outcome = if any && parser.offers.is_empty() {
        Err(ExtensionHeaderError::Empty)
    } else {
        Ok(parser.offers)
    };
    (outcome, parser.visits)
}

struct Parser<'l> {
    limits: &'l Limits,
    offers: Vec<ExtensionElement>,
    empty: usize,
    visits: Visits,
}

impl Parser<'_> {
    // RFC 6455 §9.1: "extension-list = 1#extension"
    fn line(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ExtensionHeaderError> {
        loop {
            cursor.skip_ows();
            match cursor.peek() {
                None | Some(b',') => {
                    self.empty = self.empty.saturating_add(1);
                    if self.empty > self.limits.max_empty_elements {
                        return Err(ExtensionHeaderError::TooManyEmpty);
                    }
                }
                Some(_) => self.extension(cursor)?,
            }
            match cursor.peek() {
                None => return Ok(()),
                Some(b',') => cursor.advance(),
                Some(_) => return Err(ExtensionHeaderError::Separator),
            }
        }
    }

    // RFC 6455 §9.1: "extension = extension-token *( ";" extension-param )"
    fn extension(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ExtensionHeaderError> {
        let name = cursor.token().ok_or(ExtensionHeaderError::Name)?;
        if self.offers.len() >= self.limits.max_offers {
            return Err(ExtensionHeaderError::TooManyOffers);
        }
        let mut params = Params::new();
        cursor.skip_ows();
        while cursor.peek() == Some(b';') {
            cursor.advance();
            cursor.skip_ows();
            if params.len() >= self.limits.max_parameters {
                return Err(ExtensionHeaderError::TooManyParameters);
            }
            parameter(cursor, &mut params)?;
            cursor.skip_ows();
        }
        self.offers.push(ExtensionElement::new(name, params));
        Ok(())
    }
}

// RFC 6455 §9.1: "extension-param = token [ "=" (token | quoted-string) ]"
fn parameter(cursor: &mut Cursor<'_>, params: &mut Params) -> Result<(), ExtensionHeaderError> {
    let name = cursor.token().ok_or(ExtensionHeaderError::ParameterName)?;
    cursor.skip_ows();
    if cursor.peek() != Some(b'=') {
        params.push(name, None);
        return Ok(());
    }
    cursor.advance();
    cursor.skip_ows();
    if cursor.peek() == Some(b'"') {
        cursor.advance();
        params.push(name, Some(&quoted(cursor)?));
    } else {
        let value = cursor.token().ok_or(ExtensionHeaderError::Value)?;
        params.push(name, Some(value));
    }
    Ok(())
}

// RFC 6455 §9.1: "When using the quoted-string syntax variant, the value after quoted-string
// unescaping MUST conform to the 'token' ABNF."
fn quoted(cursor: &mut Cursor<'_>) -> Result<String, ExtensionHeaderError> {
    let mut value = String::new();
    loop {
        let octet = match cursor.peek() {
            None => return Err(ExtensionHeaderError::Unclosed),
            Some(b'"') => {
                cursor.advance();
                break;
            }
            Some(b'\\') => {
                cursor.advance();
                cursor.peek().ok_or(ExtensionHeaderError::Unclosed)?
            }
            Some(octet) => octet,
        };
        if !is_token_octet(octet) {
            return Err(ExtensionHeaderError::QuotedValue);
        }
        value.push(char::from(octet));
        cursor.advance();
    }
    if value.is_empty() {
        return Err(ExtensionHeaderError::QuotedValue);
    }
    Ok(value)
}
