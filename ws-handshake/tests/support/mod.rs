//! A handshake as literal octets, and what a server makes of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod client;
pub mod extensions;

use bytes::BytesMut;
use ws_handshake::{
    AcceptOptions, Accepted, Cause, Rejection, RequestReader, Upgrade, write_response,
    write_response_head,
};

/// The request of RFC 6455 §1.3, without what is optional.
pub const REQUEST: &str = "GET /chat HTTP/1.1\r\n\
    Host: server.example.com\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\
    \r\n";

/// Its answer.
pub const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    \r\n";

/// The nonce of that request.
pub const NONCE: [u8; 16] = *b"the sample nonce";

/// `REQUEST` with header lines added.
pub fn with(lines: &str) -> Vec<u8> {
    with_octets(lines.as_bytes())
}

/// `REQUEST` with octets in front of its empty line, and CRLF behind them.
pub fn with_octets(lines: &[u8]) -> Vec<u8> {
    let mut request = REQUEST.strip_suffix("\r\n").unwrap().as_bytes().to_vec();
    request.extend_from_slice(lines);
    request.extend_from_slice(b"\r\n\r\n");
    request
}

/// `REQUEST` with one line in place of another; without it, if that is empty.
pub fn replacing(old: &str, new: &str) -> Vec<u8> {
    let old = format!("{old}\r\n");
    assert!(REQUEST.contains(&old), "{old:?}");
    let new = if new.is_empty() { String::new() } else { format!("{new}\r\n") };
    REQUEST.replacen(&old, &new, 1).into_bytes()
}

pub const HOST: &str = "Host: server.example.com";
pub const UPGRADE: &str = "Upgrade: websocket";
pub const CONNECTION: &str = "Connection: Upgrade";
pub const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
pub const VERSION: &str = "Sec-WebSocket-Version: 13";

/// What a server wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub bytes: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    pub fn head(&self) -> &str {
        self.text().split_once("\r\n\r\n").unwrap().0
    }

    pub fn body(&self) -> &str {
        self.text().split_once("\r\n\r\n").unwrap().1
    }

    /// All values of a header, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.head()
            .split("\r\n")
            .skip(1)
            .map(|line| line.split_once(": ").unwrap())
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    #[track_caller]
    pub fn assert_rejected(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text());
        assert!(!self.has("Sec-WebSocket-Accept"), "{}", self.text());
        let closes = self.values("Connection").iter().any(|value| value.ends_with("close"));
        assert!(closes, "{}", self.text());
        assert_eq!(self.values("Content-Length"), [self.body().len().to_string()]);
    }
}

/// Reads, inspects and accepts `request` with the defaults.
pub fn serve(request: &[u8]) -> Reply {
    serve_with(request, &AcceptOptions::default())
}

pub fn serve_with(request: &[u8], options: &AcceptOptions) -> Reply {
    answer(accept_with(request, options))
}

/// What goes out for `outcome`.
pub fn answer(outcome: Result<Accepted, Rejection>) -> Reply {
    let mut out = BytesMut::new();
    match outcome {
        Ok(accepted) => {
            write_response_head(&accepted.response(), &mut out);
            let mut written = BytesMut::new();
            accepted.write(&mut written);
            assert_eq!(written, out);
        }
        Err(rejection) => write_response(&rejection.into_response(), &mut out),
    }
    let status = std::str::from_utf8(&out[9..12]).unwrap().parse().unwrap();
    Reply { status, bytes: out.to_vec() }
}

pub fn accept_with(request: &[u8], options: &AcceptOptions) -> Result<Accepted, Rejection> {
    inspect(request)?.accept(options).map_err(ws_handshake::AcceptError::into_rejection)
}

pub fn inspect(request: &[u8]) -> Result<Upgrade, Rejection> {
    let head = RequestReader::default().read_head(&mut BytesMut::from(request))?;
    let head = head.ok_or(Cause::Timeout)?;
    let of_head = Upgrade::inspect(&head);
    // By the types of `http` it is the same.
    let request = head.to_request()?;
    let of_request = Upgrade::inspect(&request);
    assert_eq!(format!("{of_head:?}"), format!("{of_request:?}"));
    let of_parts = Upgrade::inspect(&request.into_parts().0);
    assert_eq!(format!("{of_head:?}"), format!("{of_parts:?}"));
    of_head
}
