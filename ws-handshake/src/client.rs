//! The client asks for a WebSocket (RFC 6455 §4.1).

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, Request, Uri, header};

use crate::{
    ExtensionElement, ExtensionSet, InvalidHeader, Subprotocols, WebSocketUri,
    accept_key::{accept_key, encode_nonce},
    extension_set::are_tokens,
    extra_headers::{self, IN_REQUEST, checked_value},
    head_writer::write_request_head,
};

/// What a client asks for. Makes a [`ClientHandshake`] for every connection.
///
/// ```
/// use ws_handshake::{ClientOptions, Subprotocols};
///
/// let options = ClientOptions::new("ws://a.example/chat".parse()?)
///     .subprotocols(Subprotocols::new(["chat.v2", "chat.v1"])?)
///     .header("Authorization", "Bearer 123")?;
/// # let fresh_random_octets = [7; 16];
/// let handshake = options.handshake(fresh_random_octets)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClientOptions {
    uri: WebSocketUri,
    subprotocols: Subprotocols,
    extensions: ExtensionSet,
    required: Vec<Box<str>>,
    headers: HeaderMap,
}

impl ClientOptions {
    /// A plain WebSocket, without subprotocols or extensions.
    pub fn new(uri: WebSocketUri) -> Self {
        Self {
            uri,
            subprotocols: Subprotocols::default(),
            extensions: ExtensionSet::new(),
            required: Vec::new(),
            headers: HeaderMap::new(),
        }
    }

    /// Where to connect.
    pub fn uri(&self) -> &WebSocketUri {
        &self.uri
    }

    /// Offers subprotocols, in order of preference.
    #[must_use]
    pub fn subprotocols(mut self, offered: Subprotocols) -> Self {
        self.subprotocols = offered;
        self
    }

    /// Offers extensions, in the order of the set.
    #[must_use]
    pub fn extensions(mut self, set: ExtensionSet) -> Self {
        self.extensions = set;
        self
    }

    /// Requires the extension of this name, which must be among the [`extensions`](Self::extensions).
    ///
    /// A server that declines it still completes the handshake; the result lists what is
    /// [missing](crate::Connected::missing).
    #[must_use]
    pub fn require(mut self, name: &str) -> Self {
        if !self.required.iter().any(|own| **own == *name) {
            self.required.push(name.into());
        }
        self
    }

    /// Sends `Origin`, which is mandatory for browsers and optional for others.
    ///
    /// # Errors
    /// [`InvalidHeader::Value`].
    pub fn origin(mut self, origin: &str) -> Result<Self, InvalidHeader> {
        self.headers.insert(header::ORIGIN, checked_value(origin)?);
        Ok(self)
    }

    /// Adds a header line, such as `Cookie` or `Authorization`.
    ///
    /// # Errors
    /// [`InvalidHeader`] for a value that would break out of its line, and for the headers that the
    /// handshake writes itself.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidHeader> {
        extra_headers::append(&mut self.headers, name, value, &IN_REQUEST)?;
        Ok(self)
    }

    /// The handshake of one connection, from 16 random octets, fresh for each.
    ///
    /// # Errors
    /// [`RequestError`] for extensions that cannot be offered.
    pub fn handshake(&self, nonce: [u8; 16]) -> Result<ClientHandshake, RequestError> {
        let offers = self.offers()?;
        // RFC 6455 §4.1: "The value of this header field MUST be a nonce consisting of a randomly
        // selected 16-byte value that has been base64-encoded"
        let key = encode_nonce(nonce);
        let mut request = Request::new(());
        // RFC 6455 §4.1: "The method of the request MUST be GET, and the HTTP version MUST be at
        // least 1.1." Both are the defaults.
        *request.uri_mut() = Uri::try_from(self.uri.resource()).map_err(|_| RequestError::Uri)?;
        let headers = request.headers_mut();
        let mut insert = |name: HeaderName, value: &str| {
            headers.insert(name, checked_value(value).map_err(RequestError::Header)?);
            Ok::<_, RequestError>(())
        };
        insert(header::HOST, &self.uri.host_header())?;
        insert(header::UPGRADE, "websocket")?;
        insert(header::CONNECTION, "Upgrade")?;
        insert(header::SEC_WEBSOCKET_KEY, &key)?;
        insert(header::SEC_WEBSOCKET_VERSION, "13")?;
        if !self.subprotocols.is_empty() {
            insert(header::SEC_WEBSOCKET_PROTOCOL, &self.subprotocols.to_string())?;
        }
        if !offers.is_empty() {
            let offers: Vec<String> = offers.iter().map(ToString::to_string).collect();
            insert(header::SEC_WEBSOCKET_EXTENSIONS, &offers.join(", "))?;
        }
        headers.extend(self.headers.clone());
        Ok(ClientHandshake {
            request,
            accept: accept_key(key.as_bytes()),
            subprotocols: self.subprotocols.clone(),
            extensions: self.extensions.clone(),
            offers,
            required: self.required.clone(),
        })
    }

    fn offers(&self) -> Result<Vec<ExtensionElement>, RequestError> {
        let mut offers = Vec::new();
        for factory in self.extensions.iter() {
            for params in factory.offers() {
                if !are_tokens(&params) {
                    return Err(RequestError::Offer { name: factory.name().into() });
                }
                offers.push(ExtensionElement::new(factory.name(), params));
            }
        }
        let is_offered = |name: &str| offers.iter().any(|offer| offer.name() == name);
        match self.required.iter().find(|name| !is_offered(name)) {
            Some(name) => Err(RequestError::RequiredNotOffered { name: name.clone() }),
            None => Ok(offers),
        }
    }
}

/// The client side of one handshake: its request, and the answer that it expects.
///
/// Send the request and nothing else, read the answer, then [`verify`](Self::verify) it: only then are
/// there [`Extensions`](ws_core::Extensions) to open a connection with.
#[derive(Debug)]
#[must_use = "its request is still to be sent"]
pub struct ClientHandshake {
    request: Request<()>,
    pub(crate) accept: String,
    pub(crate) subprotocols: Subprotocols,
    pub(crate) extensions: ExtensionSet,
    pub(crate) offers: Vec<ExtensionElement>,
    pub(crate) required: Vec<Box<str>>,
}

impl ClientHandshake {
    /// The request. Its target is the resource name, the host is in `Host`.
    pub fn request(&self) -> &Request<()> {
        &self.request
    }

    /// Writes the request as HTTP/1.1.
    pub fn write_request(&self, out: &mut BytesMut) {
        write_request_head(&self.request, out);
    }
}

/// Why there is no request to send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The resource name is longer than `http::Uri` takes, 65,534 octets.
    #[error("the path and query are too long")]
    Uri,
    /// A value cannot be sent in a header.
    #[error(transparent)]
    Header(InvalidHeader),
    /// An extension offers a parameter whose name or value is not a token.
    #[error(
        "extension {name} offers a parameter that is not a token: names and values must be tokens"
    )]
    Offer {
        /// The extension.
        name: Box<str>,
    },
    /// A required extension is not in the set, or offers nothing.
    #[error("extension {name} is required and not offered: add it to the extensions")]
    RequiredNotOffered {
        /// The extension.
        name: Box<str>,
    },
}
