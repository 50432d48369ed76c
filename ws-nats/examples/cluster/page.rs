//! The page.

use http::{HeaderValue, Request, Response, StatusCode, header};
use ws_server::Bytes;

pub(crate) fn answer(request: &Request<()>, addresses: &[String]) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    if request.uri().path() == "/" {
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        let servers = serde_json::to_string(addresses).unwrap_or_default();
        *response.body_mut() = include_str!("page.html").replace("SERVERS", &servers).into();
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
