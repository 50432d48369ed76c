//! The server answers a request with 101 (RFC 6455 §4.2.2).

use std::{fmt, sync::Arc};

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use ws_core::Extensions;

use crate::{
    Cause, ExtensionSet, Hosts, InvalidHeader, OriginPolicy, Rejection, Report, ResponseHeaders,
    Subprotocols, Upgrade,
    extra_headers::{self, IN_101, checked_value},
    head_writer,
    server::Opening,
};

/// What a server agrees to: made once, for all its handshakes.
///
/// By default: no extension, no subprotocol, [`OriginPolicy::same_origin`], and any host.
#[derive(Clone, Default)]
pub struct AcceptOptions {
    extensions: ExtensionSet,
    origin: OriginPolicy,
    hosts: Option<Hosts>,
    subprotocol: Choice,
}

type Select = dyn Fn(&Upgrade) -> Option<String> + Send + Sync;

#[derive(Clone, Default)]
enum Choice {
    #[default]
    None,
    Spoken {
        all: Subprotocols,
        required: bool,
    },
    Select(Arc<Select>),
}

impl AcceptOptions {
    /// The extensions to negotiate.
    #[must_use]
    pub fn extensions(mut self, set: ExtensionSet) -> Self {
        self.extensions = set;
        self
    }

    /// Which pages may connect. Others get 403.
    #[must_use]
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.origin = policy;
        self
    }

    /// The hosts that the server answers for. Others get 421.
    #[must_use]
    pub fn hosts(mut self, hosts: Hosts) -> Self {
        self.hosts = Some(hosts);
        self
    }

    /// The subprotocols that the server speaks. It chooses the first of them in the client's order.
    ///
    /// Without a common one the connection opens without a subprotocol, and the client decides.
    #[must_use]
    pub fn subprotocols(mut self, spoken: Subprotocols) -> Self {
        self.subprotocol = Choice::Spoken { all: spoken, required: false };
        self
    }

    /// As [`subprotocols`](Self::subprotocols), but answers 400 without a common one.
    #[must_use]
    pub fn require_subprotocol(mut self, spoken: Subprotocols) -> Self {
        self.subprotocol = Choice::Spoken { all: spoken, required: true };
        self
    }

    /// Lets `select` choose one of the offered subprotocols, or none.
    ///
    /// It replaces [`subprotocols`](Self::subprotocols): the last call counts.
    #[must_use]
    pub fn select_subprotocol(
        mut self,
        select: impl Fn(&Upgrade) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.subprotocol = Choice::Select(Arc::new(select));
        self
    }
}

impl fmt::Debug for AcceptOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptOptions")
            .field("extensions", &self.extensions)
            .field("origin", &self.origin)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// An accepted handshake: send the response, and the connection is open.
#[derive(Debug)]
#[must_use = "the client waits for the response"]
#[non_exhaustive]
pub struct Accepted {
    /// The negotiated extensions, for `ws_core`.
    pub extensions: Extensions,
    /// The negotiated subprotocol.
    pub subprotocol: Option<Box<str>>,
    /// The fate of each extension that the client offered.
    pub report: Report,
    opening: Opening,
    /// The values of `Sec-WebSocket-Extensions` and `Sec-WebSocket-Protocol`.
    agreed: Agreed,
    /// Those that the application adds.
    headers: HeaderMap,
}

#[derive(Debug)]
struct Agreed {
    extensions: Option<HeaderValue>,
    subprotocol: Option<HeaderValue>,
}

impl Agreed {
    // RFC 6455 §11.3.4: "the |Sec-WebSocket-Protocol| header field MUST NOT appear more than once
    // in an HTTP response." §11.3.2: "However, the |Sec-WebSocket-Extensions| header field MUST NOT
    // appear more than once in an HTTP response."
    fn headers(&self) -> impl Iterator<Item = (HeaderName, &HeaderValue)> {
        let subprotocol =
            self.subprotocol.iter().map(|name| (header::SEC_WEBSOCKET_PROTOCOL, name));
        let extensions = self.extensions.iter();
        subprotocol.chain(extensions.map(|value| (header::SEC_WEBSOCKET_EXTENSIONS, value)))
    }
}

impl Accepted {
    /// Adds a header line to the 101, such as `Set-Cookie`.
    ///
    /// # Errors
    /// [`InvalidHeader`] for a value that would break out of its line, and for the headers that the
    /// handshake writes itself.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidHeader> {
        extra_headers::append(&mut self.headers, name, value, &IN_101)?;
        Ok(self)
    }

    /// Adds `headers` to the 101, after those that were added before.
    pub fn headers(mut self, headers: ResponseHeaders) -> Self {
        if !headers.0.is_empty() {
            self.headers.extend(headers.0);
        }
        self
    }

    /// The 101 for an HTTP implementation; for an extended CONNECT a 200.
    pub fn response(&self) -> Response<()> {
        let mut response = Response::new(());
        // RFC 8441 §5.1 has ":status = 200" in place of the 101, which HTTP/2 does not have.
        if let Opening::Switch(accept) = &self.opening {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            if let Ok(accept) = HeaderValue::from_bytes(accept) {
                headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
            }
        }
        let headers = response.headers_mut();
        for (name, value) in self.agreed.headers() {
            headers.insert(name, value.clone());
        }
        headers.extend(self.headers.clone());
        response
    }

    /// Writes the 101 for a raw byte stream, as [`write_response_head`](crate::write_response_head)
    /// does with [`response`](Self::response).
    pub fn write(&self, out: &mut BytesMut) {
        let Opening::Switch(accept) = &self.opening else {
            return head_writer::write_response_head(&self.response(), out);
        };
        let length =
            |value: &Option<HeaderValue>| value.as_ref().map_or(0, |value| value.len() + 30);
        out.reserve(ROOM + length(&self.agreed.extensions) + length(&self.agreed.subprotocol));
        out.put_slice(BEGIN);
        out.put_slice(accept);
        out.put_slice(b"\r\n");
        for (name, value) in self.agreed.headers() {
            head_writer::write_line(&name, value.as_bytes(), out);
        }
        head_writer::write_headers(&self.headers, out);
    }

    /// The value of `Sec-WebSocket-Extensions`, if any extension is in use.
    pub fn extensions_header(&self) -> Option<&str> {
        self.agreed.extensions.as_ref()?.to_str().ok()
    }
}

/// The beginning of every 101, in the order of [`Accepted::response`].
// RFC 6455 §4.2.2: "An |Upgrade| header field with value "websocket" as per RFC 2616 [RFC2616]." and
// "A |Connection| header field with value "Upgrade"."
const BEGIN: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: ";

/// The size of the smallest 101.
const ROOM: usize = 160;

impl Upgrade {
    /// Checks everything that [`accept`](Self::accept) may reject: host, origin, and a required
    /// subprotocol. For a server that wants to refuse before it does costly work.
    ///
    /// # Errors
    /// 421, 403, 400.
    pub fn check(&self, options: &AcceptOptions) -> Result<(), Rejection> {
        if let Some(hosts) = &options.hosts {
            self.check_host(hosts)?;
        }
        self.check_origin(&options.origin)?;
        match &options.subprotocol {
            Choice::Spoken { all, required: true } if self.spoken(all).is_none() => {
                Err(Cause::NoSubprotocol.into())
            }
            _ => Ok(()),
        }
    }

    /// The first subprotocol in the client's order that is one of `all`.
    fn spoken(&self, all: &Subprotocols) -> Option<&str> {
        self.subprotocols().iter().find(|name| all.contains(name))
    }

    /// Accepts the handshake.
    ///
    /// ```
    /// use ws_handshake::{AcceptOptions, Subprotocols, Upgrade};
    ///
    /// # fn answer(request: &http::Request<()>) -> Result<(), Box<dyn std::error::Error>> {
    /// let spoken = Subprotocols::new(["chat.v2", "chat.v1"])?;
    /// let upgrade = Upgrade::inspect(request)?;
    /// let options = AcceptOptions::default().subprotocols(spoken);
    /// let accepted = upgrade.accept(&options)?.header("Set-Cookie", "seen=1")?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`AcceptError::Rejected`] with 421 for a host that is not the server's, 403 for an origin that
    /// may not connect, and 400 for a missing subprotocol; the other variants if
    /// [`select_subprotocol`](AcceptOptions::select_subprotocol) chose one that was not offered.
    /// [`AcceptError::into_rejection`] gives the answer for the client.
    pub fn accept(self, options: &AcceptOptions) -> Result<Accepted, AcceptError> {
        self.check(options)?;
        let subprotocol = self.choose(&options.subprotocol)?;
        let negotiated = options.extensions.negotiate(self.offers);

        let value = |text: Option<&str>| text.map(checked_value).transpose();
        Ok(Accepted {
            opening: self.opening,
            agreed: Agreed {
                extensions: value(negotiated.header().as_deref())?,
                subprotocol: value(subprotocol.as_deref())?,
            },
            headers: HeaderMap::new(),
            extensions: negotiated.extensions,
            subprotocol,
            report: negotiated.report,
        })
    }

    fn choose(&self, choice: &Choice) -> Result<Option<Box<str>>, AcceptError> {
        match choice {
            Choice::None => Ok(None),
            Choice::Spoken { all, .. } => Ok(self.spoken(all).map(Into::into)),
            Choice::Select(select) => match select(self) {
                None => Ok(None),
                // RFC 6455 §4.2.2: "The value chosen MUST be derived from the client's handshake,
                // specifically by selecting one of the values from the |Sec-WebSocket-Protocol|
                // field"
                Some(name) if self.subprotocols().contains(&name) => Ok(Some(name.into())),
                Some(name) => Err(AcceptError::SubprotocolNotOffered(name.into())),
            },
        }
    }
}

/// Why a handshake was not accepted.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The request is at fault.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The application is at fault: it chose a subprotocol that the client did not offer.
    #[error(
        "the application chose subprotocol {_0:?}, which the client did not offer: choose one of Upgrade::subprotocols, or none"
    )]
    SubprotocolNotOffered(Box<str>),
    /// A header cannot be added.
    #[error(transparent)]
    Header(#[from] InvalidHeader),
}

impl AcceptError {
    /// The answer for the client: the rejection, or 500 if the application is at fault.
    pub fn into_rejection(self) -> Rejection {
        match self {
            Self::Rejected(rejection) => rejection,
            error @ (Self::SubprotocolNotOffered(_) | Self::Header(_)) => {
                Rejection::internal(error)
            }
        }
    }
}

impl From<AcceptError> for Rejection {
    fn from(error: AcceptError) -> Self {
        error.into_rejection()
    }
}
