//! The `:protocol` of an extended CONNECT.

/// The `:protocol` of an extended CONNECT
/// ([RFC 8441 §4](https://www.rfc-editor.org/rfc/rfc8441#section-4)), by which a WebSocket is opened over
/// HTTP/2 and later.
///
/// The types of the [`http`] crate have no place for it: who reads HTTP/2 puts it into the
/// [extensions](http::Extensions) of the request, where [`RequestView`](crate::RequestView) finds it.
///
/// ```
/// use http::{Method, Request, Version};
/// use ws_handshake::{AcceptOptions, ConnectProtocol, Upgrade};
///
/// let request = Request::builder()
///     .method(Method::CONNECT)
///     .uri("https://server.example.com/chat")
///     .version(Version::HTTP_2)
///     .header("sec-websocket-version", "13")
///     .extension(ConnectProtocol::new("websocket"))
///     .body(())?;
/// let accepted = Upgrade::inspect(&request)?.accept(&AcceptOptions::default())?;
/// assert_eq!(accepted.response().status(), 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectProtocol(Box<str>);

impl ConnectProtocol {
    /// The one that an HTTP/2 implementation has read.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
