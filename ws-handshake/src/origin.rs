//! Which web pages may connect (RFC 6455 §10.2).
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use std::{borrow::Cow, fmt};

use crate::{Authority, authority};

/// Decides by `Origin` whether a browser's page may connect.
///
/// A browser sends cookies along whichever page asks, so without this check any page on the web can
/// act in the name of a visitor. It protects users of browsers and nothing else: other programs
/// write what they like into `Origin`, so it is no authentication.
///
/// The default is [`same_origin`](Self::same_origin). Origins are compared as scheme, host and port,
/// whole, never as text that begins or ends somehow; `null` is refused by all but
/// [`any`](Self::any).
///
/// ```
/// use ws_handshake::OriginPolicy;
///
/// let policy = OriginPolicy::allow(["https://app.example", "https://beta.example:8443"])?;
/// # Ok::<(), ws_handshake::OriginError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPolicy {
    rule: Rule,
    missing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Same { scheme: Option<&'static str> },
    Listed(Vec<Origin<'static>>),
    Any,
}

impl Default for OriginPolicy {
    fn default() -> Self {
        Self::same_origin()
    }
}

impl OriginPolicy {
    /// Host and port of `Origin` have to be those of the request; requests without `Origin` pass.
    ///
    /// The scheme is not compared, because a server behind a TLS proxy does not know its own, see
    /// [`tls`](Self::tls). A `Host` without a port stands for the default port of the scheme
    /// in `Origin`.
    pub fn same_origin() -> Self {
        Self { rule: Rule::Same { scheme: None }, missing: true }
    }

    /// `Origin` has to be one of `origins`, written as a browser does: `https://a.example:8443`.
    ///
    /// Requests without `Origin` are refused, see [`allow_missing`](Self::allow_missing).
    ///
    /// # Errors
    /// [`OriginError`] for what is no origin: without a scheme, with a path, or with an asterisk.
    pub fn allow<S: AsRef<str>>(origins: impl IntoIterator<Item = S>) -> Result<Self, OriginError> {
        let origins: Option<_> = origins
            .into_iter()
            .map(|origin| {
                // An asterisk would stand for itself and match nothing that there is.
                Origin::parse(origin.as_ref().as_bytes())
                    .filter(|origin| !origin.host.contains('*'))
                    .map(Origin::into_owned)
            })
            .collect();
        Ok(Self { rule: Rule::Listed(origins.ok_or(OriginError)?), missing: false })
    }

    /// Every page of the web may connect, `null` too.
    ///
    /// For services that know their users by something other than cookies and the network that
    /// they are in.
    pub fn any() -> Self {
        Self { rule: Rule::Any, missing: true }
    }

    /// The server knows how pages reach it, with TLS or without: `Origin` has to be `https` or `http`
    /// accordingly.
    ///
    /// Changes nothing in a policy other than [`same_origin`](Self::same_origin).
    #[must_use]
    pub fn tls(mut self, tls: bool) -> Self {
        if let Rule::Same { scheme } = &mut self.rule {
            *scheme = Some(if tls { "https" } else { "http" });
        }
        self
    }

    /// Whether a request without `Origin`, from a program that is no browser, may pass.
    #[must_use]
    pub fn allow_missing(mut self, allow: bool) -> Self {
        self.missing = allow;
        self
    }

    /// Whether `origin`, the value of a request to `own`, may pass.
    ///
    /// # Errors
    /// [`OriginRefusal`], for which a server answers 403.
    pub fn check(&self, origin: Option<&[u8]>, own: &Authority) -> Result<(), OriginRefusal> {
        // RFC 6455 §4.2.1: "A connection attempt lacking this header field SHOULD NOT be
        // interpreted as coming from a browser client."
        let Some(origin) = origin else {
            return if self.missing { Ok(()) } else { Err(OriginRefusal::Missing) };
        };
        if self.rule == Rule::Any {
            return Ok(());
        }
        if origin == b"null" {
            return Err(OriginRefusal::Null);
        }
        let origin = Origin::parse(origin).ok_or(OriginRefusal::Malformed)?;
        match &self.rule {
            Rule::Any => Ok(()),
            Rule::Listed(allowed) if allowed.contains(&origin) => Ok(()),
            Rule::Listed(_) => Err(OriginRefusal::NotListed),
            Rule::Same { scheme } => {
                if origin.is_same(*scheme, own) {
                    Ok(())
                } else {
                    Err(OriginRefusal::CrossSite)
                }
            }
        }
    }
}

/// The tuple of RFC 6454 §4, the port filled in where the scheme has a default.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin<'o> {
    scheme: Cow<'o, str>,
    host: Cow<'o, str>,
    port: Option<u16>,
}

impl<'o> Origin<'o> {
    // RFC 6454 §7.1: "serialized-origin = scheme "://" host [ ":" port ]"
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
        let (host, port) = authority::parse(rest.get(3..)?)?;
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
        scheme.is_none_or(|scheme| *self.scheme == *scheme)
            && *self.host == *own.host()
            && self.port == Some(own.port().unwrap_or(default))
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Why a page may not connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OriginRefusal {
    /// The request has no `Origin`, and the policy wants one.
    Missing,
    /// The origin is `null`: a page from a file or a sandbox.
    Null,
    /// It is not scheme, host and port.
    Malformed,
    /// It is not on the list.
    NotListed,
    /// Its host or port, or its scheme where that is known, is not the server's own.
    CrossSite,
}

impl fmt::Display for OriginRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the request has no Origin",
            Self::Null => "Origin is null",
            Self::Malformed => "Origin is malformed",
            Self::NotListed => "Origin is not on the list",
            Self::CrossSite => "Origin is another site",
        })
    }
}

impl std::error::Error for OriginRefusal {}

/// What was to be allowed is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginError;

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an origin is written scheme://host or scheme://host:port, with no slash at its end and no asterisk",
        )
    }
}

impl std::error::Error for OriginError {}
