//! Plain HTTP requests, answered by the application's fallback.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderValue, Method, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING, UPGRADE},
};
use tracing::{debug, error};
use ws_handshake::{
    Authority, Cause, Hosts, Rejection, RequestHead, write_response, write_response_head,
};

use crate::{ClientId, leaves::request::Source, open::shared::Fallback};

/// Lets the fallback answer. Returns an error if the request violates what HTTP/1.1 requires of
/// every request.
pub(super) fn answer(
    head: &RequestHead,
    fallback: &Fallback,
    hosts: Option<&Hosts>,
    id: ClientId,
    source: &Source,
) -> Result<BytesMut, Cause> {
    let request = plain_request(head, hosts, source.host.as_ref())?;
    let peer = source.peer;
    // A panic ends only this request.
    let answer = catch_unwind(AssertUnwindSafe(|| fallback(&request, peer)));
    let answer = answer.unwrap_or_else(|_| {
        error!(%id, %peer, "the fallback panicked");
        Rejection::new(StatusCode::INTERNAL_SERVER_ERROR).into_response()
    });
    debug!(status = answer.status().as_u16(), "answered a plain request");
    Ok(write(answer, request.method()))
}

/// Makes the request for a fallback, if it meets the requirements of HTTP/1.1.
fn plain_request(
    head: &RequestHead,
    own: Option<&Hosts>,
    forwarded: Option<&Authority>,
) -> Result<http::Request<()>, Cause> {
    let request = head.to_request()?;
    // RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1
    // request message that lacks a Host header field and to any request message that contains more
    // than one Host header field line or a Host header field with an invalid field value."
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_10 => None,
        (Some(host), None) if host.is_empty() => None,
        (Some(host), None) => {
            Some(Authority::parse(host.as_bytes().trim_ascii()).ok_or(Cause::Host)?)
        }
        (None | Some(_), _) => return Err(Cause::Host),
    };
    // RFC 9112 §3.2.2: a host in the request-target replaces the header.
    let target = request.uri().authority();
    let host = match target.map(|target| Authority::parse(target.as_str().as_bytes())) {
        Some(target) => Some(target.ok_or(Cause::Target)?),
        None => host,
    };
    // What a trusted proxy names counts in place of both.
    let host = forwarded.or(host.as_ref());
    match own {
        Some(own) if !host.is_some_and(|host| own.contains(host)) => Err(Cause::OtherHost),
        _ => Ok(request),
    }
}

/// Encodes the answer of a fallback. The connection closes after it, whatever it says.
fn write(mut answer: Response<Bytes>, method: &Method) -> BytesMut {
    if answer.status().is_informational() {
        error!(status = answer.status().as_u16(), "the fallback returned an interim status");
        answer = Rejection::new(StatusCode::INTERNAL_SERVER_ERROR).into_response();
    }
    let without_body = matches!(answer.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let len = answer.body().len();
    let headers = answer.headers_mut();
    headers.remove(TRANSFER_ENCODING);
    headers.remove(TRAILER);
    // RFC 9110 §7.8: "A sender of Upgrade MUST also send an "Upgrade" connection option"
    let connection = if headers.contains_key(UPGRADE) { "Upgrade, close" } else { "close" };
    headers.insert(CONNECTION, HeaderValue::from_static(connection));
    if without_body {
        headers.remove(CONTENT_LENGTH);
    } else {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    }
    let mut out = BytesMut::new();
    if without_body || method == Method::HEAD {
        write_response_head(&answer, &mut out);
    } else {
        write_response(&answer, &mut out);
    }
    out
}
