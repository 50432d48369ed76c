//! Which web pages may connect (RFC 6455 §10.2).
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use std::borrow::Cow;

use crate::{Authority, authority};

/// Decides by `Origin` whether a browser's page may connect.
///
/// A browser sends its cookies whichever page connects, so without this check any page on the web can
/// act on behalf of a visitor. It protects users of browsers and nothing else: other programs can put
/// anything into `Origin`, so it does not authenticate.
///
/// The default is [`same_origin`](Self::same_origin). Origins are compared as scheme, host and port,
/// never by prefix or suffix; a trailing slash is ignored.
///
/// Native clients send the URL that they connect to: `ws://host:port` counts as `http` and `wss://`
/// as `https`, with default ports 80 and 443. No page in a browser has such an origin.
///
/// ```
/// use ws_handshake::OriginPolicy;
///
/// let policy = OriginPolicy::allow(["https://app.example", "https://beta.example:8443"])?;
/// // The site itself, and an app whose pages are on the device.
/// let policy = OriginPolicy::same_origin().and_allow(["capacitor://localhost"])?;
/// # Ok::<(), ws_handshake::OriginError>(())
/// ```
///
/// # Apps
/// Pages of an app have origins of their own, which [`allow`](Self::allow) and
/// [`and_allow`](Self::and_allow) list one by one: `capacitor://localhost`, `ionic://localhost`,
/// `tauri://localhost`, `chrome-extension://<id>`, `file://`.
///
/// Listing `file://` or `null` admits more than one app: `file://` is any file that a user opens, and
/// `null` is also every frame with the `sandbox` attribute, which any page on the web can create. Do
/// it only if users are authenticated by something other than cookies.
///
/// # DNS rebinding
/// With [`same_origin`](Self::same_origin) an origin passes if it equals the request's own `Host`. A
/// page of `evil.example`, whose name its owner has made resolve to your address (`127.0.0.1`, for
/// example), sends the same name in both. It has none of your site's cookies, but it is inside your
/// network: if that is what protects a server, list its names in [`Hosts`](crate::Hosts).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPolicy {
    rule: Rule,
    listed: Vec<Origin<'static>>,
    null: bool,
    missing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Same { scheme: Option<&'static str> },
    Listed,
    Any,
}

impl Default for OriginPolicy {
    fn default() -> Self {
        Self::same_origin()
    }
}

impl OriginPolicy {
    /// `Origin` must have the host and port of the request; requests without `Origin` pass.
    ///
    /// The scheme is not compared, because a server behind a TLS proxy does not know its own: see
    /// [`tls`](Self::tls). A `Host` without a port means the default port of the scheme in `Origin`.
    pub fn same_origin() -> Self {
        Self::of(Rule::Same { scheme: None }, true)
    }

    /// `Origin` must be one of `origins`, written as a browser does: `https://a.example:8443`, or
    /// `null`, [with care](Self#apps). `https://` includes `wss://`, which native clients send, and
    /// `http://` includes `ws://`; not the other way round.
    ///
    /// Requests without `Origin` are refused, see [`allow_missing`](Self::allow_missing).
    ///
    /// # Errors
    /// [`OriginError`] names an entry that is not an origin: without a scheme, with a path, or with an
    /// asterisk.
    pub fn allow<S: AsRef<str>>(origins: impl IntoIterator<Item = S>) -> Result<Self, OriginError> {
        Self::of(Rule::Listed, false).and_allow(origins)
    }

    /// Also lets `origins` connect, written as for [`allow`](Self::allow).
    ///
    /// # Errors
    /// As [`allow`](Self::allow).
    pub fn and_allow<S: AsRef<str>>(
        mut self,
        origins: impl IntoIterator<Item = S>,
    ) -> Result<Self, OriginError> {
        for origin in origins {
            let text = origin.as_ref();
            if text.as_bytes() == NULL {
                self.null = true;
                continue;
            }
            // An asterisk would be taken literally and match no origin.
            let origin = Origin::parse(text.as_bytes()).filter(|origin| !origin.host.contains('*'));
            let origin = origin.ok_or_else(|| OriginError { origin: text.into() })?;
            self.listed.push(origin.into_owned());
        }
        Ok(self)
    }

    /// Every page on the web may connect, including `null`.
    ///
    /// For services that authenticate users by something other than cookies or their network.
    pub fn any() -> Self {
        Self::of(Rule::Any, true)
    }

    fn of(rule: Rule, missing: bool) -> Self {
        Self { rule, listed: Vec::new(), null: false, missing }
    }

    /// Says whether pages reach the server over TLS: `Origin` must be `https` or `http` accordingly.
    ///
    /// Affects only [`same_origin`](Self::same_origin).
    #[must_use]
    pub fn tls(mut self, tls: bool) -> Self {
        if let Rule::Same { scheme } = &mut self.rule {
            *scheme = Some(scheme_over(tls));
        }
        self
    }

    /// Whether a request without `Origin`, which no browser sends, may pass.
    #[must_use]
    pub fn allow_missing(mut self, allow: bool) -> Self {
        self.missing = allow;
        self
    }

    /// Checks `origin`, the header value of a request to `own`.
    ///
    /// # Errors
    /// [`OriginRefusal`], which a server answers with 403.
    pub fn check(&self, origin: Option<&[u8]>, own: &Authority) -> Result<(), OriginRefusal> {
        self.check_within(origin, own, None)
    }

    /// As [`check`](Self::check), for a request of which it may be known whether it came over TLS.
    pub(crate) fn check_within(
        &self,
        origin: Option<&[u8]>,
        own: &Authority,
        is_secure: Option<bool>,
    ) -> Result<(), OriginRefusal> {
        // RFC 6455 §4.2.1: "A connection attempt lacking this header field SHOULD NOT be
        // interpreted as coming from a browser client."
        let Some(origin) = origin else {
            return if self.missing { Ok(()) } else { Err(OriginRefusal::Missing) };
        };
        if self.rule == Rule::Any {
            return Ok(());
        }
        if origin == NULL {
            return if self.null { Ok(()) } else { Err(OriginRefusal::Null) };
        }
        let origin = Origin::parse(origin).ok_or(OriginRefusal::Malformed)?;
        if self.listed.iter().any(|listed| listed.covers(&origin)) {
            return Ok(());
        }
        match self.rule {
            Rule::Any => Ok(()),
            Rule::Listed => Err(OriginRefusal::NotListed),
            Rule::Same { scheme } => {
                let scheme = scheme.or_else(|| is_secure.map(scheme_over));
                if origin.is_same(scheme, own) { Ok(()) } else { Err(OriginRefusal::CrossSite) }
            }
        }
    }
}

/// The origin of a page without one: from a file or a sandbox.
// RFC 6454 §7.1: "origin-list-or-null = %x6E %x75 %x6C %x6C / origin-list"
const NULL: &[u8] = b"null";

/// The tuple of RFC 6454 §4, with the port filled in if the scheme has a default.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin<'o> {
    scheme: Cow<'o, str>,
    host: Cow<'o, str>,
    port: Option<u16>,
}

impl<'o> Origin<'o> {
    // RFC 6454 §7.1: "serialized-origin = scheme "://" host [ ":" port ]". A slash may
    // follow, since clients cut their origin out of a URL. The schemes of apps have empty hosts.
    fn parse(text: &'o [u8]) -> Option<Self> {
        let end = text.windows(3).position(|octets| octets == b"://")?;
        let (scheme, rest) = text.split_at_checked(end)?;
        let mut letters = scheme.iter();
        if !letters.next()?.is_ascii_alphabetic()
            || !letters.all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(octet))
        {
            return None;
        }
        let scheme = authority::lower_case(std::str::from_utf8(scheme).ok()?);
        let rest = rest.get(3..)?;
        let (host, port) = match rest.strip_suffix(b"/").unwrap_or(rest) {
            [] if default_port(&scheme).is_none() => (Cow::Borrowed(""), None),
            authority => authority::parse(authority)?,
        };
        Some(Self { port: port.or(default_port(&scheme)), scheme, host })
    }

    fn into_owned(self) -> Origin<'static> {
        let Self { scheme, host, port } = self;
        Origin { scheme: scheme.into_owned().into(), host: host.into_owned().into(), port }
    }

    fn is_same(&self, scheme: Option<&str>, own: &Authority) -> bool {
        let Some(default) = default_port(&self.scheme) else {
            return false;
        };
        scheme.is_none_or(|scheme| self.scheme_of_page() == scheme)
            && *self.host == *own.host()
            && self.port == Some(own.port().unwrap_or(default))
    }

    /// Whether `other` may connect if this one is listed.
    fn covers(&self, other: &Origin<'_>) -> bool {
        (self.scheme == other.scheme || *self.scheme == *other.scheme_of_page())
            && self.host == other.host
            && self.port == other.port
    }

    /// The scheme of a page on the server that clients reach by this scheme.
    fn scheme_of_page(&self) -> &str {
        match &*self.scheme {
            "ws" => "http",
            "wss" => "https",
            scheme => scheme,
        }
    }
}

/// The scheme of pages that come over TLS, or without.
fn scheme_over(tls: bool) -> &'static str {
    if tls { "https" } else { "http" }
}

// RFC 6455 §3: "the default for "ws" is port 80, while the default for "wss" is port 443."
fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Why a page may not connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum OriginRefusal {
    /// The request has no `Origin`, and the policy requires one.
    #[error("the request has no Origin")]
    Missing,
    /// The origin is `null`: a page from a file or a sandbox.
    #[error("Origin is null")]
    Null,
    /// It is not a scheme, host and port.
    #[error("Origin is malformed")]
    Malformed,
    /// It is not on the list.
    #[error("Origin is not on the list")]
    NotListed,
    /// Its host or port, or its scheme where that is known, is not the server's own.
    #[error("Origin is another site")]
    CrossSite,
}

/// An entry of a list of allowed origins is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{origin:?} is not an origin: write scheme://host or scheme://host:port, without path or asterisk, or null"
)]
#[non_exhaustive]
pub struct OriginError {
    /// The entry.
    pub origin: Box<str>,
}
