//! A borrowed view of a request, whoever parsed it.

use http::{
    HeaderName, HeaderValue, Method, Request, Uri, Version, header::UPGRADE, request::Parts,
};

use crate::{ConnectProtocol, RequestHead, list};

/// What an opening handshake reads of a request: method, target, version and header lines, borrowed.
///
/// Implemented for the types of the [`http`] crate and for [`RequestHead`], whose header lines need
/// no header map. A type of your own is a request too:
///
/// ```
/// use http::{Method, Uri, Version};
/// use ws_handshake::{Cause, RequestView, Upgrade};
///
/// struct Recorded(Uri, Vec<(String, String)>);
///
/// impl RequestView for Recorded {
///     fn method(&self) -> &Method {
///         &Method::GET
///     }
///     fn uri(&self) -> &Uri {
///         &self.0
///     }
///     fn version(&self) -> Version {
///         Version::HTTP_11
///     }
///     fn header_lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
///         self.1.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
///     }
/// }
///
/// let recorded = Recorded(Uri::from_static("/chat"), vec![("host".into(), "a.example".into())]);
/// assert_eq!(Upgrade::inspect(&recorded).unwrap_err().cause(), Cause::Upgrade);
/// ```
pub trait RequestView {
    /// The method.
    fn method(&self) -> &Method;

    /// The request-target.
    fn uri(&self) -> &Uri;

    /// The version of HTTP.
    fn version(&self) -> Version;

    /// The header lines in order: names in lower case, and values.
    fn header_lines(&self) -> impl Iterator<Item = (&[u8], &[u8])>;

    /// The `:protocol` of an extended CONNECT, over HTTP/2 and later. Default `None`.
    fn connect_protocol(&self) -> Option<&str> {
        None
    }

    /// Whether the request asks for a WebSocket, valid or not: `Upgrade` lists `websocket`, or it is an
    /// extended CONNECT.
    ///
    /// For a server that answers other requests too.
    fn asks_for_upgrade(&self) -> bool {
        if self.connect_protocol().is_some() {
            return true;
        }
        let upgrade = UPGRADE.as_str().as_bytes();
        let lines = self.header_lines().filter(|(name, _)| *name == upgrade);
        list::contains(lines.map(|(_, value)| value), b"websocket")
    }
}

fn line<'h>((name, value): (&'h HeaderName, &'h HeaderValue)) -> (&'h [u8], &'h [u8]) {
    (name.as_str().as_bytes(), value.as_bytes())
}

impl<T> RequestView for Request<T> {
    fn method(&self) -> &Method {
        self.method()
    }

    fn uri(&self) -> &Uri {
        self.uri()
    }

    fn version(&self) -> Version {
        self.version()
    }

    fn header_lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers().iter().map(line)
    }

    fn connect_protocol(&self) -> Option<&str> {
        Some(self.extensions().get::<ConnectProtocol>()?.as_str())
    }
}

impl RequestView for Parts {
    fn method(&self) -> &Method {
        &self.method
    }

    fn uri(&self) -> &Uri {
        &self.uri
    }

    fn version(&self) -> Version {
        self.version
    }

    fn header_lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers.iter().map(line)
    }

    fn connect_protocol(&self) -> Option<&str> {
        Some(self.extensions.get::<ConnectProtocol>()?.as_str())
    }
}

impl RequestView for RequestHead {
    fn method(&self) -> &Method {
        self.method()
    }

    fn uri(&self) -> &Uri {
        self.uri()
    }

    fn version(&self) -> Version {
        self.version()
    }

    fn header_lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers()
    }

    fn asks_for_upgrade(&self) -> bool {
        self.asks_for_upgrade()
    }
}
