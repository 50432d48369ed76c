//! Why a request is rejected.

use http::StatusCode;

use crate::{ExtensionHeaderError, HeadError, OriginRefusal, SubprotocolHeaderError};

/// Why a request is rejected: a status, and one line that says what was wrong.
///
/// The line never repeats what the peer sent, so it is safe in a log; [`name`](Self::name) is the label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The application refused it.
    #[error("the request was refused")]
    Application,
    /// The server has no route for this path: 404.
    #[error("there is nothing at this path")]
    NoRoute,
    /// The server has no room for it now: 503.
    #[error("there is no room for the request now: try again later")]
    NoRoom,
    /// The head cannot be read: 400, 414, 431 or 505.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The head did not arrive in time: 408.
    #[error("the request did not arrive in time")]
    Timeout,
    /// Octets follow the head: 400.
    #[error("data follows the request before it was answered")]
    EarlyData,
    /// The method is not GET, or over HTTP/2 and later not CONNECT: 405.
    #[error(
        "a WebSocket handshake is a GET request over HTTP/1.1, and an extended CONNECT over HTTP/2"
    )]
    Method,
    /// A CONNECT whose `:protocol` is not `websocket`, or that has none: 501.
    #[error("a CONNECT must have the :protocol websocket")]
    ConnectProtocol,
    /// `Connection`, `Upgrade` or `Transfer-Encoding` over HTTP/2 or later: 400.
    #[error("Connection, Upgrade and Transfer-Encoding do not exist in HTTP/2")]
    ConnectionSpecific,
    /// HTTP/1.0, which has no upgrade: 400.
    #[error("a WebSocket handshake needs HTTP/1.1")]
    HttpTooOld,
    /// The request-target is neither a path nor an http or https URI: 400.
    #[error("the request-target must be a path or an http URI")]
    Target,
    /// A parameter of the route's pattern is not UTF-8 once its escapes are decoded: 400.
    #[error("a parameter in the path is not UTF-8: escape text as UTF-8")]
    PathParameter,
    /// `Host` is missing, repeated, or not a host and port: 400.
    #[error("Host must appear exactly once, as host[:port]")]
    Host,
    /// `Host` is not among the [`Hosts`](crate::Hosts) that the server answers for: 421.
    // The page may not learn which hosts those are.
    #[error(
        "this server does not answer for this host: if it should, add the host to .hosts([..])"
    )]
    OtherHost,
    /// `Upgrade` or `Connection` has octets outside ASCII: 400.
    #[error("Upgrade and Connection must be ASCII")]
    NotAscii,
    /// `Upgrade` does not list `websocket`: 426.
    #[error("Upgrade must list websocket")]
    Upgrade,
    /// `Connection` does not list `Upgrade`: 400.
    #[error("Connection must list Upgrade")]
    Connection,
    /// The request has a body, or frames one in a way that cannot be read: 400.
    #[error("a WebSocket handshake has no body")]
    Body,
    /// `Expect` asks for a 100, which this crate does not send: 417.
    #[error("Expect is not supported")]
    Expect,
    /// `Sec-WebSocket-Version` is missing, repeated, or not a number from 0 to 255: 400.
    #[error("Sec-WebSocket-Version must appear exactly once, as a number from 0 to 255")]
    Version,
    /// `Sec-WebSocket-Version` is not 13: 426.
    #[error("only Sec-WebSocket-Version 13 is supported")]
    UnsupportedVersion,
    /// `Sec-WebSocket-Key` is missing, repeated, or not 16 octets in base64: 400.
    #[error("Sec-WebSocket-Key must appear exactly once, as 16 octets in base64")]
    Key,
    /// `Sec-WebSocket-Protocol` is malformed: 400.
    #[error(transparent)]
    Subprotocols(#[from] SubprotocolHeaderError),
    /// The server requires a subprotocol and speaks none of those offered: 400.
    #[error("the server speaks none of the offered subprotocols")]
    NoSubprotocol,
    /// `Sec-WebSocket-Extensions` is malformed: 400.
    #[error(transparent)]
    Extensions(#[from] ExtensionHeaderError),
    /// `Origin` is repeated or has octets outside ASCII: 400.
    #[error("Origin must appear at most once, in ASCII")]
    OriginHeader,
    /// The page may not connect: 403.
    // The page may not learn which origins may.
    #[error("this origin may not connect")]
    Origin(#[from] OriginRefusal),
}

impl Cause {
    /// A name from a fixed set, in snake case: the value of a metric's label.
    ///
    /// What is malformed in one header has one name. In the head, the limits and the version have
    /// names of their own, and everything else is `malformed_head`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::NoRoute => "no_route",
            Self::NoRoom => "no_room",
            Self::Head(HeadError::TooLarge) => "head_too_large",
            Self::Head(HeadError::TooManyHeaders) => "too_many_headers",
            Self::Head(HeadError::TargetTooLong) => "target_too_long",
            Self::Head(HeadError::Version) => "http_version",
            Self::Head(_) => "malformed_head",
            Self::Timeout => "timeout",
            Self::EarlyData => "early_data",
            Self::Method => "method",
            Self::HttpTooOld => "http_too_old",
            Self::ConnectProtocol => "connect_protocol",
            Self::ConnectionSpecific => "connection_specific",
            Self::Target => "target",
            Self::PathParameter => "path_parameter",
            Self::Host => "host",
            Self::OtherHost => "other_host",
            Self::NotAscii => "not_ascii",
            Self::Upgrade => "upgrade",
            Self::Connection => "connection",
            Self::Body => "body",
            Self::Expect => "expect",
            Self::Version => "version",
            Self::UnsupportedVersion => "unsupported_version",
            Self::Key => "key",
            Self::Subprotocols(_) => "subprotocols",
            Self::NoSubprotocol => "no_subprotocol",
            Self::Extensions(_) => "extensions",
            Self::OriginHeader => "origin_header",
            Self::Origin(_) => "origin",
        }
    }

    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Head(HeadError::TargetTooLong) => StatusCode::URI_TOO_LONG,
            Self::Head(HeadError::TooLarge | HeadError::TooManyHeaders) => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::Head(HeadError::Version) => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            // RFC 9110 §15.5.20: "the request was directed at a server that is unable or unwilling
            // to produce an authoritative response for the target URI."
            Self::OtherHost => StatusCode::MISDIRECTED_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::ConnectProtocol => StatusCode::NOT_IMPLEMENTED,
            Self::Upgrade | Self::UnsupportedVersion => StatusCode::UPGRADE_REQUIRED,
            Self::Expect => StatusCode::EXPECTATION_FAILED,
            Self::Origin(_) => StatusCode::FORBIDDEN,
            Self::Application
            | Self::Head(_)
            | Self::EarlyData
            | Self::HttpTooOld
            | Self::ConnectionSpecific
            | Self::Target
            | Self::PathParameter
            | Self::Host
            | Self::NotAscii
            | Self::Connection
            | Self::Body
            | Self::Version
            | Self::Key
            | Self::Subprotocols(_)
            | Self::NoSubprotocol
            | Self::Extensions(_)
            | Self::OriginHeader => StatusCode::BAD_REQUEST,
        }
    }
}
