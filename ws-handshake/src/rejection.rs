//! The answer to a rejected request.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::{
    Cause, HeadError, InvalidHeader, OriginRefusal,
    extra_headers::{self, FRAMING},
};

/// An HTTP response in place of the 101, after which the connection closes.
///
/// A [`Cause`] becomes one, with the headers that its status requires and a line of plain text; an
/// application makes its own with [`new`](Self::new):
///
/// ```
/// use http::StatusCode;
/// use ws_handshake::Rejection;
///
/// let elsewhere = Rejection::new(StatusCode::TEMPORARY_REDIRECT)
///     .header("Location", "https://b.example/chat")?;
/// let busy = Rejection::new(StatusCode::SERVICE_UNAVAILABLE)
///     .header("Retry-After", "30")?
///     .body("try again in half a minute\n");
/// # Ok::<(), ws_handshake::InvalidHeader>(())
/// ```
///
/// After writing it, close in stages (write everything, shut down the sending half, read and discard
/// for a while, close), or a reset may reach the peer before the answer does
/// ([RFC 9112 §9.6](https://www.rfc-editor.org/rfc/rfc9112#section-9.6)).
#[derive(Clone, Debug)]
#[must_use = "the client waits for the response"]
pub struct Rejection {
    cause: Cause,
    status: StatusCode,
    headers: Box<HeaderMap>,
    body: Bytes,
    /// For the log alone.
    error: Option<Arc<dyn Error + Send + Sync>>,
}

impl Rejection {
    /// An answer of the application, with an empty body.
    ///
    /// A 1xx, which is not a final answer, becomes 500. 405 and 426 include the headers that they
    /// require.
    pub fn new(status: StatusCode) -> Self {
        let status =
            if status.is_informational() { StatusCode::INTERNAL_SERVER_ERROR } else { status };
        let mut rejection = Self {
            cause: Cause::Application,
            status,
            headers: Box::default(),
            body: Bytes::new(),
            error: None,
        };
        match status {
            // RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405
            // response"
            StatusCode::METHOD_NOT_ALLOWED => rejection.insert(header::ALLOW, "GET"),
            StatusCode::UPGRADE_REQUIRED => {
                // RFC 9110 §15.5.22: "The server MUST send an Upgrade header field in a 426
                // response to indicate the required protocol(s)"
                rejection.insert(header::UPGRADE, "websocket");
                // RFC 6455 §4.4: "it MUST respond with a |Sec-WebSocket-Version| header field (or
                // multiple |Sec-WebSocket-Version| header fields) containing all versions it is
                // willing to use."
                rejection.insert(header::SEC_WEBSOCKET_VERSION, "13");
            }
            _ => {}
        }
        rejection
    }

    /// 401: the client has not said who it is, or not truly. `challenge` is the value of
    /// `WWW-Authenticate`, which says how it may: `Bearer`, or `Basic realm="chat"`. A browser's
    /// WebSocket shows no dialog for it. A challenge that cannot be sent makes it a 500.
    // RFC 9110 §15.5.2: "The server generating a 401 response MUST send a WWW-Authenticate header
    // field […] containing at least one challenge applicable to the target resource."
    pub fn unauthorized(challenge: &str) -> Self {
        let rejection = Self::new(StatusCode::UNAUTHORIZED).body("authentication is required\n");
        rejection.header("WWW-Authenticate", challenge).unwrap_or_else(Self::from)
    }

    /// 403: the client may not, whoever it is.
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN).body("access is denied\n")
    }

    /// 429: the client asks too often, and may ask again after `retry_after`, which is rounded up to
    /// seconds.
    pub fn too_many_requests(retry_after: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS).retry_after(retry_after)
    }

    /// 503: the server has no room, or cannot decide now. The client may ask again after
    /// `retry_after`, which is rounded up to seconds.
    pub fn unavailable(retry_after: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE).retry_after(retry_after)
    }

    fn retry_after(mut self, time: Duration) -> Self {
        let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
        self.headers.insert(header::RETRY_AFTER, seconds.into());
        self.body(format!("try again in {seconds} s\n"))
    }

    /// 307: the client is to ask `location`. A browser's WebSocket follows no redirect and fails;
    /// other clients may ([RFC 6455 §4.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.1)). A
    /// location that cannot be sent makes it a 500.
    pub fn redirect(location: &str) -> Self {
        let rejection = Self::new(StatusCode::TEMPORARY_REDIRECT);
        rejection.header("Location", location).unwrap_or_else(Self::from)
    }

    /// 500: the server could not decide, because of `error`, which the log shows and the client does
    /// not see. For `?`: `sessions.find(id).await.map_err(Rejection::internal)?`.
    pub fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut rejection = Self::new(StatusCode::INTERNAL_SERVER_ERROR);
        rejection.error = Some(error.into().into());
        rejection
    }

    pub(crate) fn insert(&mut self, name: header::HeaderName, value: &'static str) {
        self.headers.insert(name, HeaderValue::from_static(value));
    }

    /// Adds a header line.
    ///
    /// # Errors
    /// [`InvalidHeader`] for a value that would break out of its line, and for headers that frame
    /// the response.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidHeader> {
        extra_headers::append(&mut self.headers, name, value, &FRAMING)?;
        Ok(self)
    }

    /// Replaces the body. Its type is `text/plain` unless [`header`](Self::header) sets another.
    ///
    /// Statuses that have no body (204, 205, 304) are sent without one.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Why the request is rejected.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The error that kept the server from deciding, if [`internal`](Self::internal) was given one.
    pub fn error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.error.as_deref()
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Converts it to a response, with `Connection: close` and `Content-Length`.
    pub fn into_response(mut self) -> Response<Bytes> {
        let without_body = matches!(
            self.status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        );
        if without_body {
            self.body = Bytes::new();
        }
        // RFC 9112 §9.6: "A server that sends a "close" connection option MUST initiate closure of
        // the connection" and RFC 9110 §7.8: "A sender of Upgrade MUST also send an "Upgrade"
        // connection option"
        let connection =
            if self.headers.contains_key(header::UPGRADE) { "Upgrade, close" } else { "close" };
        self.insert(header::CONNECTION, connection);
        if !without_body {
            self.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        if !self.body.is_empty() && !self.headers.contains_key(header::CONTENT_TYPE) {
            self.insert(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        }
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = *self.headers;
        response
    }
}

impl From<Cause> for Rejection {
    fn from(cause: Cause) -> Self {
        let mut rejection = Self::new(cause.status()).body(format!("{cause}\n"));
        rejection.cause = cause;
        match cause {
            Cause::Version => rejection.insert(header::SEC_WEBSOCKET_VERSION, "13"),
            Cause::NoRoom => rejection.insert(header::RETRY_AFTER, "10"),
            _ => {}
        }
        rejection
    }
}

/// A header that cannot be sent is the application's mistake: 500.
impl From<InvalidHeader> for Rejection {
    fn from(error: InvalidHeader) -> Self {
        Self::internal(error)
    }
}

impl From<HeadError> for Rejection {
    fn from(error: HeadError) -> Self {
        Cause::from(error).into()
    }
}

impl From<OriginRefusal> for Rejection {
    fn from(refusal: OriginRefusal) -> Self {
        Cause::from(refusal).into()
    }
}

/// The status and the cause, for a log. About an [`OriginRefusal`] it says more than the body.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.status.as_u16())?;
        match self.cause {
            Cause::Origin(refusal) => refusal.fmt(f),
            cause => cause.fmt(f),
        }
    }
}

// Its text includes that of its cause, so there is no source to print after it.
impl std::error::Error for Rejection {}
