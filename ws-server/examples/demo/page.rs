//! The page at `/`, and the answers to other plain requests.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, Request, Response, StatusCode, header};
use sha2::{Digest, Sha256};
use ws_server::{Bytes, Clients};

use crate::metrics;

const PAGE: &str = include_str!("page.html");

/// Answers a plain request.
pub(crate) fn answer(
    request: &Request<()>,
    clients: &Clients,
    policy: &HeaderValue,
) -> Response<Bytes> {
    let (status, kind, body) = match request.uri().path() {
        "/" => (StatusCode::OK, "text/html; charset=utf-8", PAGE.into()),
        "/metrics" => metrics::page(clients),
        "/echo" | "/chat" | "/broadcast" | "/whoami" | "/frames" => (
            StatusCode::UPGRADE_REQUIRED,
            "text/plain; charset=utf-8",
            "this is a WebSocket: use a WebSocket client, or open / in a browser\n".into(),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            "text/plain; charset=utf-8",
            "not found: the page is at /\n".into(),
        ),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    if status == StatusCode::UPGRADE_REQUIRED {
        // RFC 9110 §15.5.22: "MUST send an Upgrade header field in a 426 response"
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert("Sec-WebSocket-Version", HeaderValue::from_static("13"));
    }
    response
}

/// The page may only run its own script and style, and connect to this server.
pub(crate) fn policy() -> HeaderValue {
    let hash = |tag: &str| {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let inner = PAGE.split(&open).nth(1).and_then(|rest| rest.split(&close).next());
        BASE64_STANDARD.encode(Sha256::digest(inner.unwrap_or_default()))
    };
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style")
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}
