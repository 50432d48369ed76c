//! Why there is no connection.

use std::{fmt, io, time::Duration};

use ws_handshake::{InvalidHeader, Refusal, RequestError, ResponseError, UriError};

use crate::ConfigError;

/// Why a client did not connect. Nothing is left behind.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is none of a WebSocket.
    Url(UriError),
    /// The URL begins with `wss://`, and there is no TLS here yet: bring a stream that has it to
    /// [`over`](crate::Connect::over).
    NoTls,
    /// Limits, extensions or subprotocols that cannot work.
    Config(ConfigError),
    /// A header that cannot be sent.
    Header {
        /// Its name.
        name: Box<str>,
        /// Why.
        error: InvalidHeader,
    },
    /// No request can be made of what was asked for.
    Request(RequestError),
    /// The operating system has no random octets.
    Random(getrandom::Error),
    /// There is no TCP connection: the name is unknown, or no address of it takes one.
    Tcp {
        /// The host and port of the URL.
        address: Box<str>,
        /// What the operating system says, of the last address.
        error: io::Error,
    },
    /// The stream was lost before the answer was whole.
    Io(io::Error),
    /// The server answered in good order, and not with a WebSocket: credentials are missing, the
    /// path is another one, there is a redirect, which is not followed. The [`Refusal`] has status,
    /// headers and the first 16 KiB of the body, as far as it came within 2 s.
    Refused(Box<Refusal>),
    /// The answer is none that opens a WebSocket.
    Response(ResponseError),
    /// The server does without an extension that was [required](crate::Connect::require). It is told
    /// by a Close with 1010.
    MissingExtensions {
        /// Their names.
        names: Vec<Box<str>>,
    },
    /// The connection was not open in time.
    Timeout {
        /// [`ClientLimits::connect_timeout`](crate::ClientLimits::connect_timeout).
        limit: Duration,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::NoTls => f.write_str(
                "wss:// needs TLS, which is not built in yet: give a stream with TLS to `over`, or use ws://",
            ),
            Self::Config(error) => error.fmt(f),
            Self::Header { name, error } => write!(f, "header {name}: {error}"),
            Self::Request(error) => error.fmt(f),
            Self::Random(error) => write!(f, "no random octets: {error}"),
            Self::Tcp { address, error } => {
                write!(f, "cannot connect to {address}: {error}")?;
                match error.kind() {
                    io::ErrorKind::ConnectionRefused => {
                        f.write_str("; see whether the server runs, and on this port")
                    }
                    _ => Ok(()),
                }
            }
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the server closed the connection before its answer was whole")
            }
            Self::Io(error) => {
                write!(f, "the connection was lost before the answer was whole: {error}")
            }
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Response(error) => error.fmt(f),
            Self::MissingExtensions { names } => write!(
                f,
                "the server did not take what is required: {}; see whether it has it, or do not require it",
                names.join(", ")
            ),
            Self::Timeout { limit } => write!(
                f,
                "the connection was not open after {limit:?}; see whether the address is right, or raise ClientLimits::connect_timeout"
            ),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Url(error) => Some(error),
            Self::Config(error) => Some(error),
            Self::Header { error, .. } => Some(error),
            Self::Request(error) => Some(error),
            Self::Random(error) => Some(error),
            Self::Tcp { error, .. } | Self::Io(error) => Some(error),
            Self::Response(error) => Some(error),
            Self::NoTls
            | Self::Refused(_)
            | Self::MissingExtensions { .. }
            | Self::Timeout { .. } => None,
        }
    }
}

impl From<ConfigError> for ConnectError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
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
