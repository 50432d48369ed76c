//! The server reads a request (RFC 6455 §4.2.1).
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use http::{HeaderValue, Method, Uri, Version, header};

use crate::{
    Authority, Cause, ExtensionElement, Hosts, Limits, OriginPolicy, Rejection, RequestView,
    Subprotocols,
    accept_key::{ACCEPT, accept_octets, is_valid_key},
    extension_header::parse_extensions,
    fields::{Fields, Single},
    head_writer, list,
};

/// A valid opening handshake, to be [accepted](Self::accept) or rejected.
///
/// It owns what it needs, so the request itself is free for `hyper::upgrade::on` and the like. Headers
/// that are not part of the handshake remain in the request.
#[derive(Clone, Debug)]
pub struct Upgrade {
    uri: Uri,
    authority: Authority,
    /// Whether it came over TLS, where a proxy says so.
    is_secure: Option<bool>,
    origin: Option<HeaderValue>,
    subprotocols: Subprotocols,
    pub(crate) offers: Vec<ExtensionElement>,
    pub(crate) opening: Opening,
}

/// How HTTP opens the stream of frames.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opening {
    /// HTTP/1.1 switches protocols, with this value of `Sec-WebSocket-Accept`.
    Switch([u8; ACCEPT]),
    /// HTTP/2 and later connect a stream (RFC 8441).
    Connect,
}

impl Upgrade {
    /// Reads a request, within the default [`Limits`].
    ///
    /// # Errors
    /// The answer to a request that is not a valid opening handshake: what
    /// [RFC 6455 §4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1) and HTTP/1.1 ask for
    /// must be present, once and well-formed.
    pub fn inspect(request: &impl RequestView) -> Result<Self, Rejection> {
        Self::inspect_within(request, &Limits::default())
    }

    /// Reads a request, within `limits`.
    ///
    /// # Errors
    /// As [`inspect`](Self::inspect).
    pub fn inspect_within(request: &impl RequestView, limits: &Limits) -> Result<Self, Rejection> {
        let asked = Inspection {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            connect_protocol: request.connect_protocol(),
            fields: Fields::of(request.header_lines()),
        };
        asked.inspect(limits)
    }

    /// The path of the request-target, as sent.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The query of the request-target, as sent, without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    /// Path and query together: the resource name of RFC 6455 §3.
    pub fn resource(&self) -> &str {
        head_writer::resource(&self.uri)
    }

    /// The host and port that the request is for: from an absolute request-target, otherwise from
    /// `Host`.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Takes `authority` for the host and port that the request is for, where a proxy changed `Host` and
    /// says in another header what it was. Only a proxy that is trusted may: the origin is compared
    /// with it.
    #[must_use]
    pub fn for_authority(mut self, authority: Authority) -> Self {
        self.authority = authority;
        self
    }

    /// Takes it that the request came over TLS, or did not, where a proxy that ended TLS says so. Only a
    /// proxy that is trusted may: [`OriginPolicy::same_origin`] compares the scheme with it, unless
    /// [`OriginPolicy::tls`] says which it is.
    #[must_use]
    pub fn over_tls(mut self, is_secure: bool) -> Self {
        self.is_secure = Some(is_secure);
        self
    }

    /// The value of `Origin`, if present: ASCII.
    pub fn origin(&self) -> Option<&HeaderValue> {
        self.origin.as_ref()
    }

    /// The subprotocols that the client offers, in its order of preference.
    pub fn subprotocols(&self) -> &Subprotocols {
        &self.subprotocols
    }

    /// The extensions that the client offers, in its order of preference.
    pub fn offers(&self) -> &[ExtensionElement] {
        &self.offers
    }

    /// Checks that the request is for one of `hosts`, as [`accept`](Self::accept) does.
    ///
    /// # Errors
    /// 421.
    pub fn check_host(&self, hosts: &Hosts) -> Result<(), Rejection> {
        if hosts.contains(&self.authority) { Ok(()) } else { Err(Cause::OtherHost.into()) }
    }

    /// Checks the origin by `policy`, as [`accept`](Self::accept) does.
    ///
    /// # Errors
    /// 403.
    pub fn check_origin(&self, policy: &OriginPolicy) -> Result<(), Rejection> {
        let origin = self.origin.as_ref().map(HeaderValue::as_bytes);
        Ok(policy.check_within(origin, &self.authority, self.is_secure)?)
    }
}

/// The inspection of a request from any parser.
struct Inspection<'r> {
    method: &'r Method,
    uri: &'r Uri,
    version: Version,
    connect_protocol: Option<&'r str>,
    fields: Fields<'r>,
}

impl Inspection<'_> {
    fn inspect(&self, limits: &Limits) -> Result<Upgrade, Rejection> {
        // RFC 6455 §4.2.1: "If the server, while reading the handshake, finds that the client did
        // not send a handshake that matches the description below […] the server MUST stop
        // processing the client's handshake and return an HTTP response with an appropriate error
        // code"
        read(self, limits).map_err(|cause| {
            let mut rejection = Rejection::from(cause);
            if cause == Cause::Method && self.version > Version::HTTP_11 {
                rejection.insert(header::ALLOW, "CONNECT");
            }
            if self.method == Method::HEAD { rejection.body("") } else { rejection }
        })
    }
}

fn read(asked: &Inspection<'_>, limits: &Limits) -> Result<Upgrade, Cause> {
    let Inspection { uri, fields, .. } = asked;
    let is_connect = is_connect(asked)?;
    if head_writer::resource(uri).len() > limits.max_target {
        return Err(Cause::Head(crate::HeadError::TargetTooLong));
    }
    let authority = if is_connect {
        connect_authority(uri, fields.host)?
    } else {
        authority(uri, fields.host)?
    };
    if is_connect {
        check_connect(fields)?;
    } else {
        check_upgrade(fields)?;
    }
    // RFC 9110 §7.8: "If a server receives both an Upgrade and an Expect header field with the
    // "100-continue" expectation […], the server MUST send a 100 (Continue) response before
    // sending a 101": we send neither.
    if fields.has_expect {
        return Err(Cause::Expect);
    }
    if has_body(fields) {
        return Err(Cause::Body);
    }
    check_version(fields.version)?;
    let opening = if is_connect { Opening::Connect } else { Opening::Switch(accept(fields.key)?) };
    let origin = match fields.origin {
        Single::Missing => None,
        Single::Once(value) if value.is_ascii() => {
            Some(HeaderValue::from_bytes(value).map_err(|_| Cause::OriginHeader)?)
        }
        Single::Once(_) | Single::Repeated => return Err(Cause::OriginHeader),
    };
    Ok(Upgrade {
        subprotocols: Subprotocols::parse(fields.subprotocols.iter(), limits).0?,
        offers: parse_extensions(fields.extensions.iter(), limits)?,
        opening,
        uri: (*uri).clone(),
        origin,
        authority,
        is_secure: None,
    })
}

/// Whether the request is an extended CONNECT, and not the GET of HTTP/1.1.
fn is_connect(asked: &Inspection<'_>) -> Result<bool, Cause> {
    let Inspection { method, version, connect_protocol, .. } = asked;
    if *version > Version::HTTP_11 {
        // RFC 8441 §5: "The :protocol pseudo-header field MUST be included in the CONNECT request, and
        // it MUST have a value of "websocket" to initiate a WebSocket connection on an HTTP/2 stream."
        // RFC 9220 §3: "If a server receives an extended CONNECT request with a :protocol pseudo-header
        // field value that is unknown or is not supported, the server SHOULD respond to the request
        // with a 501 (Not Implemented) status code".
        if *method != Method::CONNECT {
            return Err(Cause::Method);
        }
        return if *connect_protocol == Some("websocket") {
            Ok(true)
        } else {
            Err(Cause::ConnectProtocol)
        };
    }
    // RFC 6455 §4.2.1: "An HTTP/1.1 or higher GET request"
    if *method != Method::GET {
        return Err(Cause::Method);
    }
    // RFC 9110 §7.8: "A server MUST ignore an Upgrade header field that is received in an
    // HTTP/1.0 request"
    if *version == Version::HTTP_11 { Ok(false) } else { Err(Cause::HttpTooOld) }
}

/// Checks what asks HTTP/1.1 to switch protocols.
fn check_upgrade(fields: &Fields<'_>) -> Result<(), Cause> {
    // RFC 6455 §8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds that the
    // byte stream is not, in fact, a valid UTF-8 stream, that endpoint MUST _Fail the WebSocket
    // Connection_." The headers below are even ASCII; others are not interpreted.
    if !fields.upgrade.are_ascii() || !fields.connection.are_ascii() {
        return Err(Cause::NotAscii);
    }
    // RFC 6455 §4.2.1: "An |Upgrade| header field containing the value "websocket", treated as an
    // ASCII case-insensitive value."
    if !list::contains(fields.upgrade.iter(), b"websocket") {
        return Err(Cause::Upgrade);
    }
    // RFC 6455 §4.2.1: "A |Connection| header field that includes the token "Upgrade", treated as
    // an ASCII case-insensitive value."
    if !list::contains(fields.connection.iter(), b"upgrade") {
        return Err(Cause::Connection);
    }
    Ok(())
}

/// Checks that an extended CONNECT has nothing that belongs to a connection of HTTP/1.1.
fn check_connect(fields: &Fields<'_>) -> Result<(), Cause> {
    // RFC 9113 §8.2.2: "Any message containing connection-specific header fields MUST be treated as
    // malformed". RFC 8441 §5: "[RFC6455] requires the use of Connection and Upgrade header fields
    // that are not part of HTTP/2. They MUST NOT be included in the CONNECT request defined here."
    let of_connection = fields.upgrade.iter().chain(fields.connection.iter()).next();
    if of_connection.is_some() || fields.has_transfer_encoding {
        return Err(Cause::ConnectionSpecific);
    }
    Ok(())
}

/// The value of `Sec-WebSocket-Accept`. An extended CONNECT has none: RFC 8441 §5: "Implementations
/// using this extended CONNECT to bootstrap WebSockets do not do the processing of the
/// Sec-WebSocket-Key and Sec-WebSocket-Accept header fields".
fn accept(key: Single<'_>) -> Result<[u8; ACCEPT], Cause> {
    // RFC 6455 §11.3.1: "The |Sec-WebSocket-Key| header field MUST NOT appear more than once in an
    // HTTP request."
    let key = key.once().ok_or(Cause::Key)?;
    if is_valid_key(key) { Ok(accept_octets(key)) } else { Err(Cause::Key) }
}

/// RFC 8441 §4: "On requests that contain the :protocol pseudo-header field, the :scheme and :path
/// pseudo-header fields of the target URI (see Section 5) MUST also be included", and "the server MUST
/// NOT create a tunnel to the host indicated by the :authority".
fn connect_authority(uri: &Uri, host: Single<'_>) -> Result<Authority, Cause> {
    match (uri.scheme_str(), uri.authority()) {
        // RFC 8441 §5: "The scheme of the target URI […] MUST be "https" for "wss"-schemed WebSockets
        // and "http" for "ws"-schemed WebSockets."
        (Some("http" | "https"), Some(authority)) if uri.path().starts_with('/') => {
            let authority = Authority::parse(authority.as_str().as_bytes()).ok_or(Cause::Target)?;
            // RFC 9113 §8.3.1: "A server SHOULD treat a request as malformed if it contains a Host
            // header field that identifies an entity that differs from the entity in the ":authority"
            // pseudo-header field."
            match host {
                Single::Missing => Ok(authority),
                Single::Once(host) if Authority::parse(host).as_ref() == Some(&authority) => {
                    Ok(authority)
                }
                Single::Once(_) | Single::Repeated => Err(Cause::Host),
            }
        }
        _ => Err(Cause::Target),
    }
}

fn authority(uri: &Uri, host: Single<'_>) -> Result<Authority, Cause> {
    // RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1
    // request message that lacks a Host header field and to any request message that contains more
    // than one Host header field line or a Host header field with an invalid field value."
    let host = host.once().and_then(Authority::parse).ok_or(Cause::Host)?;
    match (uri.scheme_str(), uri.authority()) {
        (None, None) if uri.path().starts_with('/') => Ok(host),
        // RFC 9112 §3.2.2: "the origin server MUST ignore the received Host header field (if any)
        // and instead use the host information of the request-target."
        (Some("http" | "https"), Some(target)) => {
            Authority::parse(target.as_str().as_bytes()).ok_or(Cause::Target)
        }
        _ => Err(Cause::Target),
    }
}

/// Whether the head announces a body that is not empty.
fn has_body(fields: &Fields<'_>) -> bool {
    if fields.has_transfer_encoding {
        return true;
    }
    match fields.content_length {
        Single::Missing => false,
        Single::Once(length) => length.is_empty() || length.iter().any(|&digit| digit != b'0'),
        // RFC 9112 §6.3: "If a message is received without Transfer-Encoding and with an invalid
        // Content-Length header field, then the message framing is invalid"
        Single::Repeated => true,
    }
}

fn check_version(version: Single<'_>) -> Result<(), Cause> {
    // RFC 6455 §11.3.5: "The |Sec-WebSocket-Version| header field MUST NOT appear more than once
    // in an HTTP request."
    let version = version.once().ok_or(Cause::Version)?;
    if version == b"13" {
        return Ok(());
    }
    if parse_version(version).is_some() {
        // RFC 6455 §4.2.2: "If this version does not match a version understood by the server, the
        // server MUST abort the WebSocket handshake"
        Err(Cause::UnsupportedVersion)
    } else {
        Err(Cause::Version)
    }
}

// RFC 6455 §4.3: "version = DIGIT | (NZDIGIT DIGIT) | ("1" DIGIT DIGIT) | ("2" DIGIT DIGIT)
// ; Limited to 0-255 range, with no leading zeros"
pub(crate) fn parse_version(text: &[u8]) -> Option<u8> {
    let canonical = match text {
        [digit] => digit.is_ascii_digit(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
