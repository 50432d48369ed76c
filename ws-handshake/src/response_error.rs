//! Why a server's answer opens no WebSocket.

use bytes::Bytes;
use http::{
    HeaderMap, StatusCode,
    header::{LOCATION, SEC_WEBSOCKET_VERSION},
};
use ws_core::extension::{NegotiationError, StackError};

use crate::{ExtensionHeaderError, HeadError, list::Elements, server::parse_version};

/// Why a server's answer opens no WebSocket. The text says what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The head of the answer cannot be read.
    #[error("{}", unreadable(*_0))]
    Head(#[from] HeadError),
    /// The answer is well-formed and not a 101.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The 101 is not HTTP/1.1.
    #[error("the server's 101 is not HTTP/1.1: update the server or its proxy")]
    HttpVersion,
    /// `Upgrade` is not exactly one `websocket`.
    #[error(
        "the server's 101 does not say Upgrade: websocket: check whether a proxy drops the header"
    )]
    Upgrade,
    /// `Connection` does not list `Upgrade`.
    #[error(
        "the server's 101 does not say Connection: Upgrade: check whether a proxy drops the header"
    )]
    Connection,
    /// `Sec-WebSocket-Accept` is not exactly one answer to our key.
    #[error(
        "Sec-WebSocket-Accept does not answer our key: this is not a WebSocket server, or a proxy answers in its place"
    )]
    Accept,
    /// `Sec-WebSocket-Protocol` is not exactly one of the subprotocols offered.
    #[error("the server chose a subprotocol that was not offered: offer one that it speaks")]
    Subprotocol,
    /// `Sec-WebSocket-Extensions` is malformed.
    #[error("{_0}: report it to the server's operator, or offer no extension")]
    ExtensionHeader(#[source] ExtensionHeaderError),
    /// The server uses an extension that was not offered.
    #[error(
        "the server uses extension {name}, which was not offered: report it to the server's operator"
    )]
    UnsolicitedExtension {
        /// The extension.
        name: Box<str>,
    },
    /// The server uses an extension twice.
    #[error(
        "the server uses extension {name} twice: report it to the server's operator, or do not offer it"
    )]
    DuplicateExtension {
        /// The extension.
        name: Box<str>,
    },
    /// The server's parameters for an extension answer none of our offers.
    #[error(
        "the server's parameters for extension {name} do not answer our offer ({reason}): report it to the server's operator, or do not offer it"
    )]
    ExtensionParameters {
        /// The extension.
        name: Box<str>,
        /// What is wrong with them.
        #[source]
        reason: NegotiationError,
    },
    /// The extensions that the server uses cannot be combined, in its order.
    #[error("{_0}: report it to the server's operator, or do not offer both")]
    Stack(#[source] StackError),
}

fn unreadable(error: HeadError) -> String {
    match error {
        HeadError::TooLarge => {
            "the head of the server's answer is larger than Limits::max_head: raise it if you trust the server".into()
        }
        HeadError::TooManyHeaders => {
            "the server's answer has more header lines than Limits::max_response_headers: raise it if you trust the server".into()
        }
        HeadError::Header | HeadError::Folded | HeadError::BareLf | HeadError::BareCr => {
            format!("the server's answer is malformed ({error}): report it to the server's operator")
        }
        error => format!(
            "the server's answer cannot be read ({error}): check that it is an HTTP/1.1 server, and whether it wants TLS (wss) or not (ws)"
        ),
    }
}

/// A well-formed answer that is not a 101: the server wants something else, or nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the server answered {status} instead of 101: {}", self.advice())]
#[non_exhaustive]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// The headers, such as `Location`, `WWW-Authenticate` and `Retry-After`.
    pub headers: HeaderMap,
    /// The body as it was sent, without chunk framing: untrusted text.
    ///
    /// `ClientHandshake::verify` leaves it empty, since it sees the head alone. A
    /// [`BodyReader`](crate::BodyReader) reads it, up to
    /// [`Limits::max_refusal_body`](crate::Limits::max_refusal_body).
    pub body: Bytes,
    /// Whether `body` is the whole body, and not only its beginning.
    pub body_is_whole: bool,
}

impl Refusal {
    /// The protocol versions that the server says it speaks. This crate speaks 13.
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
    /// What to do about it.
    fn advice(&self) -> String {
        let versions = self.supported_versions();
        if !versions.is_empty() && !versions.contains(&13) {
            return format!(
                "it speaks versions {versions:?} of the protocol, this client speaks 13"
            );
        }
        let advice = match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                "send credentials in a header"
            }
            StatusCode::FORBIDDEN => "check whether it wants another Origin, or other credentials",
            StatusCode::NOT_FOUND => "check the path",
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "try again later",
            status if status.is_redirection() && self.headers.contains_key(LOCATION) => {
                "connect to its Location if you trust it"
            }
            status if status.is_success() => "check whether the path is that of a WebSocket",
            _ => "see its headers and body",
        };
        advice.into()
    }
}
