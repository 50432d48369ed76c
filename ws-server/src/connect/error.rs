//! Why there is no connection.

use std::{io, time::Duration};

use ws_handshake::{InvalidHeader, Refusal, RequestError, ResponseError, UriError};

use crate::ConfigError;

/// Why a client did not connect. Nothing is left behind. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not a WebSocket URL.
    #[error(transparent)]
    Url(UriError),
    /// The URL begins with `wss://`, and there is no TLS here yet: bring a stream that has it to
    /// [`over`](crate::Connect::over).
    #[error(
        "wss:// needs TLS, which is not built in yet: give a stream with TLS to `over`, or use ws://"
    )]
    NoTls,
    /// Limits, extensions or subprotocols that cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A header that cannot be sent.
    #[error("header {name}: {error}")]
    Header {
        /// Its name.
        name: Box<str>,
        /// Why.
        #[source]
        error: InvalidHeader,
    },
    /// No request can be made of what was asked for.
    #[error(transparent)]
    Request(RequestError),
    /// The operating system has no random octets.
    #[error("no random octets: {_0}")]
    Random(#[source] getrandom::Error),
    /// There is no TCP connection: the name is unknown, or no address of it takes one.
    #[error("cannot connect to {address}: {error}{}", remedy(error))]
    Tcp {
        /// The host and port of the URL.
        address: Box<str>,
        /// What the operating system says, of the last address.
        #[source]
        error: io::Error,
    },
    /// The stream was lost before the answer was whole.
    #[error("{}", lost(_0))]
    Io(#[source] io::Error),
    /// The server answered in good order, and not with a WebSocket: credentials are missing, the
    /// path is another one, there is a redirect, which is not followed. The [`Refusal`] has status,
    /// headers and the first 16 KiB of the body, as far as it came within 2 s.
    #[error("{_0}")]
    Refused(Box<Refusal>),
    /// The answer does not open a WebSocket.
    #[error(transparent)]
    Response(ResponseError),
    /// The server does without an extension that was [required](crate::Connect::require). It is told
    /// by a Close with 1010.
    #[error(
        "the server did not take what is required: {}; see whether it has it, or do not require it",
        names.join(", ")
    )]
    MissingExtensions {
        /// Their names.
        names: Vec<Box<str>>,
    },
    /// The connection was not open in time.
    #[error(
        "the connection was not open after {limit:?}; see whether the address is right, or raise ClientLimits::connect_timeout"
    )]
    Timeout {
        /// [`ClientLimits::connect_timeout`](crate::ClientLimits::connect_timeout).
        limit: Duration,
    },
}

/// What to do if nobody takes a TCP connection.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "; see whether the server runs, and on this port",
        _ => "",
    }
}

fn lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "the server closed the connection before its answer was whole".to_owned()
        }
        _ => format!("the connection was lost before the answer was whole: {error}"),
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
