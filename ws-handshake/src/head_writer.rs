//! Writes heads as HTTP/1.1.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, Request, Response, Uri};

/// Writes `HTTP/1.1 101 Switching Protocols`, the headers and the final empty line.
///
/// Names are spelled as in the RFC (`Sec-WebSocket-Accept`), for peers that compare case although
/// they must not.
pub fn write_response_head<T>(response: &Response<T>, out: &mut BytesMut) {
    let status = response.status();
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
    write_headers(response.headers(), out);
}

/// Writes a response with its body, such as that of a [`Rejection`](crate::Rejection).
pub fn write_response<T: AsRef<[u8]>>(response: &Response<T>, out: &mut BytesMut) {
    write_response_head(response, out);
    out.put_slice(response.body().as_ref());
}

/// Writes `GET /target HTTP/1.1`, the headers and the final empty line.
pub(crate) fn write_request_head<T>(request: &Request<T>, out: &mut BytesMut) {
    out.put_slice(request.method().as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(resource(request.uri()).as_bytes());
    out.put_slice(b" HTTP/1.1\r\n");
    write_headers(request.headers(), out);
}

/// The path and query of `uri`.
pub(crate) fn resource(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |target| target.as_str())
}

/// Writes headers and the final empty line.
pub(crate) fn write_headers(headers: &HeaderMap, out: &mut BytesMut) {
    for (name, value) in headers {
        write_line(name, value.as_bytes(), out);
    }
    out.put_slice(b"\r\n");
}

/// Writes a header line.
pub(crate) fn write_line(name: &HeaderName, value: &[u8], out: &mut BytesMut) {
    write_name(name, out);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

fn write_name(name: &HeaderName, out: &mut BytesMut) {
    let at = out.len();
    out.put_slice(name.as_str().as_bytes());
    let written = out.get_mut(at..).unwrap_or_default();
    for part in written.split_mut(|octet| *octet == b'-') {
        if part == b"websocket" {
            part.copy_from_slice(b"WebSocket");
        } else if let Some(first) = part.first_mut() {
            first.make_ascii_uppercase();
        }
    }
}
