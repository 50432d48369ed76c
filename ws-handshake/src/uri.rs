//! WebSocket URIs (RFC 6455 §3).
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use std::{fmt, str::FromStr};

use crate::{
    Authority,
    authority::{after_escaped, is_unreserved_or_sub_delim},
};

/// A `ws://` or `wss://` URI: where to connect, and what to request.
///
/// ```
/// use ws_handshake::WebSocketUri;
///
/// let uri: WebSocketUri = "wss://a.example/chat?room=1".parse()?;
/// assert!(uri.is_secure());
/// assert_eq!((uri.host(), uri.port()), ("a.example", 443));
/// assert_eq!(uri.resource(), "/chat?room=1");
/// # Ok::<(), ws_handshake::UriError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WebSocketUri {
    secure: bool,
    authority: Authority,
    resource: Box<str>,
}

impl WebSocketUri {
    /// Whether the scheme is `wss`, which runs over TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host to connect to and, for `wss`, the name to expect in its certificate. An IPv6 address
    /// has no brackets here.
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        // RFC 6455 §3: "The port component is OPTIONAL; the default for "ws" is port 80, while the
        // default for "wss" is port 443."
        self.authority.port().unwrap_or(self.default_port())
    }

    /// The request-target: path and query.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The value of `Host`: with the port unless it is the default.
    pub(crate) fn host_header(&self) -> String {
        // RFC 6455 §4.1: "a |Host| header field whose value contains /host/ plus optionally ":"
        // followed by /port/ (when not using the default port)."
        if self.port() == self.default_port() {
            self.authority.clone().without_port().to_string()
        } else {
            self.authority.to_string()
        }
    }

    fn default_port(&self) -> u16 {
        if self.secure { 443 } else { 80 }
    }
}

impl FromStr for WebSocketUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once(':').ok_or(UriError::Scheme)?;
        // RFC 6455 §3: "The URI is called "secure" (and it is said that "the secure flag is set")
        // if the scheme component matches "wss" case-insensitively."
        let secure = match scheme {
            _ if scheme.eq_ignore_ascii_case("ws") => false,
            _ if scheme.eq_ignore_ascii_case("wss") => true,
            _ => return Err(UriError::Scheme),
        };
        let rest = rest.strip_prefix("//").ok_or(UriError::Scheme)?;
        // RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs and
        // MUST NOT be used on these URIs."
        if rest.contains('#') {
            return Err(UriError::Fragment);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).ok_or(UriError::Host)?;
        if authority.contains('@') {
            return Err(UriError::UserInfo);
        }
        let authority = Authority::parse(authority.as_bytes()).ok_or(UriError::Host)?;
        Ok(Self { secure, authority, resource: resource(target)? })
    }
}

// RFC 6455 §3: "concatenating the following: […] "/" if the path component is empty […] the path
// component […] "?" if the query component is non-empty […] the query component"
fn resource(target: &str) -> Result<Box<str>, UriError> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = if path.is_empty() { "/" } else { path };
    let is_pchar = |octet| is_unreserved_or_sub_delim(octet) || b":@/".contains(&octet);
    if let Some(character) = first_unescaped(path, is_pchar) {
        return Err(UriError::Path(character));
    }
    if let Some(character) = first_unescaped(query, |octet| is_pchar(octet) || octet == b'?') {
        return Err(UriError::Query(character));
    }
    if query.is_empty() { Ok(path.into()) } else { Ok(format!("{path}?{query}").into()) }
}

fn first_unescaped(text: &str, allowed: impl Fn(u8) -> bool) -> Option<char> {
    let rest = after_escaped(text.as_bytes(), allowed);
    text.get(text.len().saturating_sub(rest.len())..)?.chars().next()
}

/// `wss://a.example:8443/chat`, with the port unless it is the default.
impl fmt::Display for WebSocketUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.host_header(), self.resource)
    }
}

/// Why a text is not a WebSocket URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It does not begin with `ws://` or `wss://`.
    #[error("a WebSocket URI begins with ws:// or wss://")]
    Scheme,
    /// It has a fragment.
    #[error("a WebSocket URI has no fragment: write # as %23")]
    Fragment,
    /// It has a user name.
    #[error("a WebSocket URI takes no user name here: send an Authorization header instead")]
    UserInfo,
    /// The host is missing or malformed, or the port is not from 1 to 65535.
    #[error("a WebSocket URI needs a host, and a port from 1 to 65535 or none")]
    Host,
    /// The path has this character, which must be escaped.
    #[error("the path of the URI contains a raw {_0:?}: write it as {}", escaped(*_0))]
    Path(char),
    /// The query has this character, which must be escaped.
    #[error("the query of the URI contains a raw {_0:?}: write it as {}", escaped(*_0))]
    Query(char),
}

fn escaped(character: char) -> String {
    let mut octets = [0; 4];
    let octets = character.encode_utf8(&mut octets).bytes();
    octets.map(|octet| format!("%{octet:02X}")).collect()
}
