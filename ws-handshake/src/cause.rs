//! Why a request gets no 101.

use std::fmt;

use http::StatusCode;

use crate::{ExtensionHeaderError, HeadError, OriginRefusal, SubprotocolError};

/// Why a request is rejected: a status, and one line that says what was wrong.
///
/// The line never repeats what the peer sent. Good as a label for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The application said so.
    Application,
    /// The head cannot be read: 400, 414, 431 or 505.
    Head(HeadError),
    /// The head did not come in time: 408.
    Timeout,
    /// There are octets behind the head: 400.
    EarlyData,
    /// The method is not GET: 405.
    Method,
    /// HTTP/1.0, where there is no upgrade: 400.
    HttpTooOld,
    /// HTTP/2 or later, where there is no upgrade of this kind: 505.
    HttpTooNew,
    /// The request-target is neither a path nor an http or https URI: 400.
    Target,
    /// `Host` is missing, stands twice, or is no host and port: 400.
    Host,
    /// `Host` is none of the [`Hosts`](crate::Hosts) that the server answers for: 421.
    OtherHost,
    /// `Upgrade` or `Connection` has octets outside of ASCII: 400.
    NotAscii,
    /// `Upgrade` does not ask for `websocket`: 426.
    Upgrade,
    /// `Connection` does not list `Upgrade`: 400.
    Connection,
    /// The request has a body, or says so in a way that cannot be read: 400.
    Body,
    /// `Expect` asks for a 100 that is not given here: 417.
    Expect,
    /// `Sec-WebSocket-Version` is missing, stands twice, or is no number from 0 to 255: 400.
    Version,
    /// `Sec-WebSocket-Version` is not 13: 426.
    UnsupportedVersion,
    /// `Sec-WebSocket-Key` is missing, stands twice, or is not 16 octets in base64: 400.
    Key,
    /// `Sec-WebSocket-Protocol` is malformed: 400.
    Subprotocols(SubprotocolError),
    /// None of the subprotocols offered is spoken here, and one is needed: 400.
    NoSubprotocol,
    /// `Sec-WebSocket-Extensions` is malformed: 400.
    Extensions(ExtensionHeaderError),
    /// `Origin` stands twice or has octets outside of ASCII: 400.
    OriginHeader,
    /// The page may not connect: 403.
    Origin(OriginRefusal),
}

impl Cause {
    /// The status to answer with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Head(HeadError::TargetTooLong) => StatusCode::URI_TOO_LONG,
            Self::Head(HeadError::TooLarge | HeadError::TooManyHeaders) => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::Head(HeadError::Version) | Self::HttpTooNew => {
                StatusCode::HTTP_VERSION_NOT_SUPPORTED
            }
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            // RFC 9110 §15.5.20: "the request was directed at a server that is unable or unwilling
            // to produce an authoritative response for the target URI."
            Self::OtherHost => StatusCode::MISDIRECTED_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Upgrade | Self::UnsupportedVersion => StatusCode::UPGRADE_REQUIRED,
            Self::Expect => StatusCode::EXPECTATION_FAILED,
            Self::Origin(_) => StatusCode::FORBIDDEN,
            Self::Application
            | Self::Head(_)
            | Self::EarlyData
            | Self::HttpTooOld
            | Self::Target
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

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head(error) => return error.fmt(f),
            Self::Subprotocols(error) => return error.fmt(f),
            Self::Extensions(error) => return error.fmt(f),
            // Which origins are welcome is not for the page to know.
            Self::Origin(_) => "this origin may not connect",
            Self::Application => "the request was refused",
            Self::Timeout => "the request did not come in time",
            Self::EarlyData => "there is data behind the request, before it was answered",
            Self::Method => "a WebSocket handshake is a GET",
            Self::HttpTooOld => "a WebSocket handshake needs HTTP/1.1",
            Self::HttpTooNew => "this version of HTTP is not spoken here",
            Self::Target => "the request-target has to be a path or an http URI",
            Self::Host => "Host has to stand once and be a host and port",
            // Which hosts it answers for is not for the page to know.
            Self::OtherHost => "this server does not answer for this host",
            Self::NotAscii => "Upgrade and Connection have to be ASCII",
            Self::Upgrade => "Upgrade has to ask for websocket",
            Self::Connection => "Connection has to list Upgrade",
            Self::Body => "a WebSocket handshake has no body",
            Self::Expect => "expectations are not met here",
            Self::Version => "Sec-WebSocket-Version has to stand once and be a number",
            Self::UnsupportedVersion => "Sec-WebSocket-Version 13 is spoken here",
            Self::Key => "Sec-WebSocket-Key has to stand once and be 16 octets in base64",
            Self::NoSubprotocol => "none of the subprotocols offered is spoken here",
            Self::OriginHeader => "Origin has to stand once and be ASCII",
        })
    }
}

impl From<HeadError> for Cause {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

impl From<OriginRefusal> for Cause {
    fn from(refusal: OriginRefusal) -> Self {
        Self::Origin(refusal)
    }
}

impl From<SubprotocolError> for Cause {
    fn from(error: SubprotocolError) -> Self {
        Self::Subprotocols(error)
    }
}

impl From<ExtensionHeaderError> for Cause {
    fn from(error: ExtensionHeaderError) -> Self {
        Self::Extensions(error)
    }
}
