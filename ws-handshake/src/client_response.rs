//! The client verifies the server's answer (RFC 6455 §4.1).
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use bytes::Bytes;
use http::{
    HeaderMap, Response, StatusCode, Version,
    header::{
        CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
    },
};
use ws_core::{CloseCode, ExtensionFactory, Extensions, extension::Params};

use crate::{
    ClientHandshake, ExtensionElement, Limits, Refusal, Report, ReportEntry, ResponseError,
    Verdict,
    extension_header::parse_extensions,
    header_lines::{self, only},
    list,
};

/// A verified answer: the connection is open.
#[derive(Debug)]
#[must_use = "the connection is open"]
#[non_exhaustive]
pub struct Connected {
    /// The negotiated extensions, for `ws_core`.
    pub extensions: Extensions,
    /// The negotiated subprotocol.
    pub subprotocol: Option<Box<str>>,
    /// The elements of the server's `Sec-WebSocket-Extensions`, in order.
    pub responses: Vec<ExtensionElement>,
    /// Extensions that were [required](crate::ClientOptions::require) and are not in use.
    ///
    /// If there are any, close the connection at once: see [`close_if_missing`](Self::close_if_missing).
    pub missing: Vec<Box<str>>,
    /// The fate of each offered extension, as far as the answer tells.
    pub report: Report,
}

impl Connected {
    /// The code and reason of the Close to send if a required extension is missing: 1010 and its name.
    ///
    /// The reason names as many extensions as fit into a Close
    /// ([RFC 6455 §7.4.1](https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1)).
    pub fn close_if_missing(&self) -> Option<(CloseCode, String)> {
        // RFC 6455 §7.4.1: "The list of extensions that are needed SHOULD appear in the /reason/
        // part of the Close frame."
        let (first, others) = self.missing.split_first()?;
        let mut reason = first.to_string();
        // Names are ASCII, so any cut is valid UTF-8.
        reason.truncate(MAX_REASON);
        for name in others {
            let longer = format!("{reason}, {name}");
            if longer.len() <= MAX_REASON {
                reason = longer;
            }
        }
        Some((CloseCode::MANDATORY_EXTENSION, reason))
    }
}

// RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less", of which the
// code takes two.
const MAX_REASON: usize = 123;

impl ClientHandshake {
    /// Verifies the server's answer to this request, within the default [`Limits`].
    ///
    /// # Errors
    /// [`ResponseError`]. There is no WebSocket then: close the connection.
    /// [`ResponseError::Refused`] is a well-formed answer, such as a redirect or a 401, whose body a
    /// [`BodyReader`](crate::BodyReader) reads.
    pub fn verify<T>(&self, response: &Response<T>) -> Result<Connected, ResponseError> {
        self.verify_within(response, &Limits::default())
    }

    /// Verifies the server's answer to this request, within `limits`.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_within<T>(
        &self,
        response: &Response<T>,
        limits: &Limits,
    ) -> Result<Connected, ResponseError> {
        let headers = response.headers();
        // RFC 6455 §4.1: "If the status code received from the server is not 101, the client
        // handles the response per HTTP [RFC2616] procedures."
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(ResponseError::Refused(Box::new(Refusal {
                status: response.status(),
                headers: headers.clone(),
                body: Bytes::new(),
                body_is_whole: false,
            })));
        }
        if response.version() != Version::HTTP_11 {
            return Err(ResponseError::HttpVersion);
        }
        // RFC 6455 §4.1: "If the response lacks an |Upgrade| header field or the |Upgrade| header
        // field contains a value that is not an ASCII case-insensitive match for the value
        // "websocket", the client MUST _Fail the WebSocket Connection_."
        if !only(headers, &UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case(b"websocket")) {
            return Err(ResponseError::Upgrade);
        }
        // RFC 6455 §4.1: "If the response lacks a |Connection| header field or the |Connection|
        // header field doesn't contain a token that is an ASCII case-insensitive match for the
        // value "Upgrade""
        if !list::contains(header_lines::all(headers, &CONNECTION), b"upgrade") {
            return Err(ResponseError::Connection);
        }
        // RFC 6455 §4.1: "but ignoring any leading and trailing whitespace"
        match only(headers, &SEC_WEBSOCKET_ACCEPT) {
            Some(value) if value == self.accept.as_bytes() => {}
            _ => return Err(ResponseError::Accept),
        }
        // RFC 9112 §6.3: "any response with a 1xx (Informational) […] status code is always terminated
        // by the first empty line after the header fields, regardless of the header fields present in
        // the message": Transfer-Encoding and Content-Length mean nothing here.
        let subprotocol = self.verify_subprotocol(headers)?;
        let responses =
            parse_extensions(header_lines::all(headers, &SEC_WEBSOCKET_EXTENSIONS), limits)
                .map_err(ResponseError::ExtensionHeader)?;
        let extensions = self.verify_extensions(&responses)?;
        let is_there = |name: &str| responses.iter().any(|response| response.name() == name);
        Ok(Connected {
            missing: self.required.iter().filter(|name| !is_there(name)).cloned().collect(),
            report: self.report(&responses),
            extensions,
            subprotocol,
            responses,
        })
    }

    fn verify_subprotocol(&self, headers: &HeaderMap) -> Result<Option<Box<str>>, ResponseError> {
        if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
            return Ok(None);
        }
        // RFC 6455 §4.1: "If the response includes a |Sec-WebSocket-Protocol| header field and this
        // header field indicates the use of a subprotocol that was not present in the client's
        // handshake […], the client MUST _Fail the WebSocket Connection_."
        let offered = only(headers, &SEC_WEBSOCKET_PROTOCOL)
            .and_then(|value| self.subprotocols.iter().find(|name| name.as_bytes() == value));
        match offered {
            Some(name) => Ok(Some(name.into())),
            None => Err(ResponseError::Subprotocol),
        }
    }

    fn verify_extensions(
        &self,
        responses: &[ExtensionElement],
    ) -> Result<Extensions, ResponseError> {
        let mut extensions = Extensions::none();
        for response in responses {
            let name = response.name();
            // RFC 6455 §4.1: "If the response includes a |Sec-WebSocket-Extensions| header field and
            // this header field indicates the use of an extension that was not present in the
            // client's handshake […], the client MUST _Fail the WebSocket Connection_."
            let offers = self.offers.iter().filter(|offer| offer.name() == name);
            let offers: Vec<Params> = offers.map(|offer| offer.params().clone()).collect();
            let factory = self
                .extensions
                .get(name)
                .filter(|_| !offers.is_empty())
                .ok_or_else(|| ResponseError::UnsolicitedExtension { name: name.into() })?;
            if extensions.names().any(|other| other == name) {
                return Err(ResponseError::DuplicateExtension { name: name.into() });
            }
            let extension = factory.confirm(response.params(), &offers).map_err(|reason| {
                ResponseError::ExtensionParameters { name: name.into(), reason }
            })?;
            // RFC 6455 §9.1: "the order of extensions is significant. Any interactions between
            // multiple extensions MAY be defined in the documents defining the extensions."
            extensions.push(factory, extension).map_err(ResponseError::Stack)?;
        }
        Ok(extensions)
    }

    /// The fate of each offer, as far as `responses` tell.
    fn report(&self, responses: &[ExtensionElement]) -> Report {
        let count = |name: &str| self.offers.iter().filter(|offer| offer.name() == name).count();
        let verdict = |name: &str| {
            let response = responses.iter().find(|response| response.name() == name);
            match response.map(|response| response.params().clone()) {
                None => Verdict::NotTaken,
                Some(response) if count(name) == 1 => Verdict::Taken { response },
                // A response that equals one offer may still answer another: a server may add
                // server_no_context_takeover to any offer of permessage-deflate.
                Some(response) => Verdict::OneOf { response },
            }
        };
        let entry = |offer: &ExtensionElement| ReportEntry {
            offer: offer.clone(),
            verdict: verdict(offer.name()),
        };
        let names = self.extensions.iter().map(ExtensionFactory::name);
        Report {
            entries: self.offers.iter().map(entry).collect(),
            not_offered: names.filter(|name| count(name) == 0).map(Into::into).collect(),
        }
    }
}
