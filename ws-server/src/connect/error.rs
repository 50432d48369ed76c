//! Errors of connecting.

use std::{io, time::Duration};

use ws_handshake::{InvalidHeader, Refusal, RequestError, ResponseError, UriError};

use crate::ConfigError;

/// Why a client did not connect. The attempt leaves no connection open. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not a WebSocket URL.
    #[error(transparent)]
    Url(UriError),
    /// The URL begins with `wss://`, and this crate was built without the feature `tls`.
    #[cfg(not(feature = "tls"))]
    #[error(
        "wss:// needs TLS: build ws-server with its feature \"tls\", or give a stream with TLS to `over`"
    )]
    NoTls,
    /// TLS cannot be configured.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    TlsConfig(crate::TlsError),
    /// There is no TLS with the server: its certificate does not verify, or it speaks none.
    #[cfg(feature = "tls")]
    #[error("no TLS with {host}: {error}")]
    Tls {
        /// The host of the URL.
        host: Box<str>,
        /// What rustls or the operating system says.
        #[source]
        error: io::Error,
    },
    /// Limits, extensions or subprotocols that cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A header that cannot be sent.
    #[error("header {name}: {error}")]
    Header {
        /// The header's name.
        name: Box<str>,
        /// What is wrong with it.
        #[source]
        error: InvalidHeader,
    },
    /// The configuration does not make a valid request.
    #[error(transparent)]
    Request(RequestError),
    /// The operating system gave no random octets.
    #[error("the operating system gave no random octets: {_0}")]
    Random(#[source] getrandom::Error),
    /// No TCP connection: the name is unknown, or none of its addresses accepts.
    #[error("cannot connect to {address}: {error}{}", remedy(error))]
    Tcp {
        /// The host and port of the URL.
        address: Box<str>,
        /// The operating system's error for the last address.
        #[source]
        error: io::Error,
    },
    /// The stream ended before the answer was complete.
    #[error("{}", lost(_0))]
    Io(#[source] io::Error),
    /// The server gave a valid answer other than a 101: credentials are missing, the path is wrong,
    /// or it redirects, which is not followed. The [`Refusal`] has the status, the headers and up
    /// to 16 KiB of the body, as far as it came within 2 s.
    #[error("{_0}")]
    Refused(Box<Refusal>),
    /// The answer does not open a WebSocket.
    #[error(transparent)]
    Response(ResponseError),
    /// The server did not accept an extension that was [required](crate::Connect::require). It was
    /// sent a Close with 1010.
    #[error(
        "the server did not accept these required extensions: {}; enable them there, or do not require them",
        names.join(", ")
    )]
    MissingExtensions {
        /// The names of these extensions.
        names: Vec<Box<str>>,
    },
    /// The connection was not open in time.
    #[error(
        "the connection was not open after {limit:?}; check the address, or raise ClientLimits::connect_timeout"
    )]
    Timeout {
        /// [`ClientLimits::connect_timeout`](crate::ClientLimits::connect_timeout).
        limit: Duration,
    },
}

/// A hint for a refused TCP connection.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "; check that the server runs and listens on this port",
        _ => "",
    }
}

fn lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "the server closed the connection before its answer was complete".to_owned()
        }
        _ => format!("the connection was lost before the answer was complete: {error}"),
    }
}

impl From<ResponseError> for ConnectError {
    fn from(error: ResponseError) -> Self {
        match error {
            ResponseError::Refused(refusal) => Self::Refused(refusal),
            error => Self::Response(error),
        }
    }
}
