//! Host and port, as in `Host`, in `Origin` and in a URI.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use std::{borrow::Cow, fmt, net::Ipv6Addr};

use crate::octet_set::OctetSet;

/// A host and, where one was given, a port.
///
/// The host is in lower case, an IPv6 address in canonical form, so that equal hosts compare equal.
/// Nothing else is normalised: `a.example.` is not `a.example`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    host: Box<str>,
    port: Option<u16>,
}

impl Authority {
    /// Parses `host[:port]` (RFC 3986 §3.2 without userinfo); `None` if it is malformed.
    ///
    /// ```
    /// use ws_handshake::Authority;
    ///
    /// let authority = Authority::parse(b"[0:0::1]:8080").unwrap();
    /// assert_eq!((authority.host(), authority.port()), ("::1", Some(8080)));
    /// assert_eq!(Authority::parse(b"user@a.example"), None);
    /// ```
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (host, port) = parse(text)?;
        Some(Self { host: host.into(), port })
    }

    /// The host; an IPv6 address has no brackets here.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    pub(crate) fn without_port(mut self) -> Self {
        self.port = None;
        self
    }
}

/// As in `Host`: `a.example:8080`, `[::1]`.
impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// [`Authority::parse`], without a copy if the host is in canonical form.
pub(crate) fn parse(text: &[u8]) -> Option<(Cow<'_, str>, Option<u16>)> {
    let text = std::str::from_utf8(text).ok()?;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            (Cow::Owned(address.to_string()), port)
        }
        None => {
            let end = text.bytes().position(|octet| octet == b':').unwrap_or(text.len());
            let (host, port) = text.split_at_checked(end)?;
            if !is_reg_name(host.as_bytes()) {
                return None;
            }
            (lower_case(host), port)
        }
    };
    Some((host, parse_port(port)?))
}

pub(crate) fn lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|octet| octet.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Parses nothing, or a colon and digits, which may be absent.
fn parse_port(text: &str) -> Option<Option<u16>> {
    let Some(digits) = text.strip_prefix(':') else {
        return text.is_empty().then_some(None);
    };
    if digits.is_empty() {
        return Some(None);
    }
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    match digits.parse() {
        Ok(0) | Err(_) => None,
        Ok(port) => Some(Some(port)),
    }
}

// RFC 3986 §3.2.2: "reg-name = *( unreserved / pct-encoded / sub-delims )"
fn is_reg_name(host: &[u8]) -> bool {
    let plain = || host.iter().all(|&octet| is_unreserved_or_sub_delim(octet));
    !host.is_empty() && (plain() || is_escaped(host, is_unreserved_or_sub_delim))
}

/// Whether each octet is `allowed` or part of a percent escape.
fn is_escaped(text: &[u8], allowed: impl Fn(u8) -> bool) -> bool {
    after_escaped(text, allowed).is_empty()
}

/// The rest after the octets that are `allowed` or part of a percent escape.
pub(crate) fn after_escaped(mut text: &[u8], allowed: impl Fn(u8) -> bool) -> &[u8] {
    loop {
        text = match text {
            [b'%', a, b, rest @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => rest,
            [octet, rest @ ..] if allowed(*octet) => rest,
            rest => return rest,
        }
    }
}

// RFC 3986 §2.2 and §2.3: "sub-delims" and "unreserved".
static UNRESERVED_OR_SUB_DELIM: OctetSet = OctetSet::alphanumeric_and(b"-._~!$&'()*+,;=");

pub(crate) fn is_unreserved_or_sub_delim(octet: u8) -> bool {
    UNRESERVED_OR_SUB_DELIM.has(octet)
}
