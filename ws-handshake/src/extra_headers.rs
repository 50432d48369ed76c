//! Headers that an application adds to a handshake.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Why a header cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHeader {
    /// The name is not a token.
    #[error("a header name must be a token")]
    Name,
    /// The value has a character other than visible ASCII, space and tab.
    ///
    /// With CR and LF, the author of the value could inject headers.
    #[error(
        "a header value must be visible ASCII, spaces and tabs: encode the rest, and let no CR or LF through"
    )]
    Value,
    /// The handshake writes this header itself.
    #[error("the handshake writes this header itself")]
    Reserved,
    /// There are 1,024 headers already.
    #[error("there are too many headers")]
    TooMany,
}

/// Headers that an application adds to the 101, such as `Set-Cookie`, checked one by one:
/// [`Accepted::headers`](crate::Accepted::headers) takes them.
#[derive(Clone, Debug, Default)]
pub struct ResponseHeaders(pub(crate) HeaderMap);

impl ResponseHeaders {
    /// Adds a line. Lines of one name remain in their order.
    ///
    /// # Errors
    /// [`InvalidHeader`] for a value that would break out of its line, and for the headers that the
    /// handshake writes itself.
    pub fn append(&mut self, name: &str, value: &str) -> Result<(), InvalidHeader> {
        append(&mut self.0, name, value, &IN_101)
    }
}

/// Checks a line and adds it to `headers`.
pub(crate) fn append(
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
    reserved: &[HeaderName],
) -> Result<(), InvalidHeader> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| InvalidHeader::Name)?;
    if reserved.contains(&name) {
        return Err(InvalidHeader::Reserved);
    }
    // Far below the size at which a header map panics.
    if headers.len() >= 1024 {
        return Err(InvalidHeader::TooMany);
    }
    let mut value = checked_value(value)?;
    value.set_sensitive(is_secret(&name));
    headers.append(name, value);
    Ok(())
}

/// Checks that `value` is visible ASCII, spaces and tabs.
pub(crate) fn checked_value(value: &str) -> Result<HeaderValue, InvalidHeader> {
    // HeaderValue::from_str refuses NUL, CR, LF and the other ASCII controls, but takes non-ASCII,
    // such as NEL.
    if !value.is_ascii() {
        return Err(InvalidHeader::Value);
    }
    HeaderValue::from_str(value).map_err(|_| InvalidHeader::Value)
}

/// Whether values of this header are kept out of `Debug`, which ends up in logs.
pub(crate) fn is_secret(name: &HeaderName) -> bool {
    [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, header::SET_COOKIE]
        .contains(name)
}

/// Headers that frame a message or belong to one connection, which no application writes.
pub(crate) const FRAMING: [HeaderName; 5] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::SEC_WEBSOCKET_ACCEPT,
];

/// [`FRAMING`], and the headers of the 101.
pub(crate) const IN_101: [HeaderName; 10] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::SEC_WEBSOCKET_ACCEPT,
    header::UPGRADE,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
];

/// [`IN_101`], and the headers of the client's request.
pub(crate) const IN_REQUEST: [HeaderName; 13] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::SEC_WEBSOCKET_ACCEPT,
    header::UPGRADE,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::HOST,
    header::ORIGIN,
    header::EXPECT,
];
