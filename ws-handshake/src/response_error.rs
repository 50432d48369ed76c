//! Why a server's answer opens no WebSocket.

use std::fmt;

use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{LOCATION, SEC_WEBSOCKET_VERSION},
};
use ws_core::extension::{NegotiationError, StackError};

use crate::{ExtensionHeaderError, HeadError, list::Elements, server::parse_version};

/// Why a server's answer opens no WebSocket; each says what to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ResponseError {
    /// The head of the answer cannot be read.
    Head(HeadError),
    /// The answer is in good order and not a 101.
    Refused(Box<Refusal>),
    /// The 101 is not HTTP/1.1.
    HttpVersion,
    /// `Upgrade` is not `websocket`, once.
    Upgrade,
    /// `Connection` does not list `Upgrade`.
    Connection,
    /// `Sec-WebSocket-Accept` is not the answer to our key, once.
    Accept,
    /// `Sec-WebSocket-Protocol` is not one subprotocol that was offered.
    Subprotocol,
    /// `Sec-WebSocket-Extensions` is malformed.
    ExtensionHeader(ExtensionHeaderError),
    /// The server uses an extension that was not offered.
    UnsolicitedExtension {
        /// The extension.
        name: Box<str>,
    },
    /// The server uses an extension twice.
    DuplicateExtension {
        /// The extension.
        name: Box<str>,
    },
    /// The server uses an extension with parameters that answer none of our offers.
    ExtensionParameters {
        /// The extension.
        name: Box<str>,
        /// What is wrong with them.
        reason: NegotiationError,
    },
    /// The extensions that the server uses cannot stand together, in its order.
    Stack(StackError),
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(HeadError::TooLarge) => f.write_str(
                "the head of the server's answer is larger than Limits::max_head: raise it if the server is to be trusted",
            ),
            Self::Head(HeadError::TooManyHeaders) => f.write_str(
                "the server's answer has more header lines than Limits::max_response_headers: raise it if the server is to be trusted",
            ),
            Self::Head(
                error @ (HeadError::Header
                | HeadError::Folded
                | HeadError::BareLf
                | HeadError::BareCr),
            ) => write!(f, "the server's answer is malformed ({error}): report it to the server"),
            Self::Head(error) => write!(
                f,
                "the server's answer cannot be read ({error}): see whether it is an HTTP/1.1 server, and whether TLS is wanted (wss) or not (ws)"
            ),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::HttpVersion => {
                f.write_str("the server's 101 is not HTTP/1.1: update the server or its proxy")
            }
            Self::Upgrade => f.write_str(
                "the server's 101 does not say Upgrade: websocket: see whether a proxy drops the header",
            ),
            Self::Connection => f.write_str(
                "the server's 101 does not say Connection: Upgrade: see whether a proxy drops the header",
            ),
            Self::Accept => f.write_str(
                "Sec-WebSocket-Accept does not answer our key: the server is no WebSocket server, or a proxy answers in its place",
            ),
            Self::Subprotocol => f.write_str(
                "the server chose a subprotocol that was not offered: offer one that it speaks",
            ),
            Self::ExtensionHeader(error) => {
                write!(f, "{error}: report it to the server, or offer no extension")
            }
            Self::UnsolicitedExtension { name } => write!(
                f,
                "the server uses extension {name}, which was not offered: report it to the server"
            ),
            Self::DuplicateExtension { name } => write!(
                f,
                "the server uses extension {name} twice: report it to the server, or do not offer it"
            ),
            Self::ExtensionParameters { name, reason } => write!(
                f,
                "the server's answer for extension {name} is no answer to our offer ({reason}): report it to the server, or do not offer it"
            ),
            Self::Stack(error) => {
                write!(f, "{error}: report it to the server, or do not offer both")
            }
        }
    }
}

impl std::error::Error for ResponseError {}

impl From<HeadError> for ResponseError {
    fn from(error: HeadError) -> Self {
        Self::Head(error)
    }
}

/// An answer in good order that is not a 101: the server wants something else, or nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// The headers: `Location`, `WWW-Authenticate`, `Retry-After` and so on.
    pub headers: HeaderMap,
    /// The body, without the framing of chunks and otherwise as it was sent: a stranger's text.
    ///
    /// `ClientHandshake::verify` leaves it empty, since it sees the head alone. A
    /// [`BodyReader`](crate::BodyReader) reads it, at most
    /// [`Limits::max_refusal_body`](crate::Limits::max_refusal_body).
    pub body: Bytes,
    /// Whether that is all of the body, and not its begin.
    pub body_is_whole: bool,
}

impl Refusal {
    /// The versions of the protocol that the server says it speaks. This crate speaks 13.
    pub fn supported_versions(&self) -> Vec<u8> {
        // RFC 6455 §4.4: "a |Sec-WebSocket-Version| header field (or multiple
        // |Sec-WebSocket-Version| header fields) containing all versions it is willing to use"
        self.headers
            .get_all(SEC_WEBSOCKET_VERSION)
            .iter()
            .flat_map(|line| Elements::new(line.as_bytes()))
            .filter_map(parse_version)
            .collect()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {} instead of 101: ", self.status)?;
        let versions = self.supported_versions();
        if !versions.is_empty() && !versions.contains(&13) {
            return write!(f, "it speaks versions {versions:?} of the protocol, and we speak 13");
        }
        f.write_str(match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                "send credentials in a header"
            }
            StatusCode::FORBIDDEN => "see whether it wants another Origin, or other credentials",
            StatusCode::NOT_FOUND => "see whether the path is right",
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "try again later",
            status if status.is_redirection() && self.headers.contains_key(LOCATION) => {
                "connect to its Location, if that is to be trusted"
            }
            status if status.is_success() => "see whether the path is that of a WebSocket",
            _ => "see what its headers and body say",
        })
    }
}
