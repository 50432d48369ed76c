//! What a client sends (RFC 6455 §4.1).
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashSet;

use bytes::BytesMut;
use support::{
    NONCE, REQUEST, RESPONSE,
    extensions::{Plain, plain},
    serve, serve_with,
};
use ws_core::extension::{Params, Rsv};
use ws_handshake::{
    AcceptOptions, ClientOptions, ExtensionSet, InvalidHeader, RequestError, RequestReader,
    SubprotocolError, Subprotocols, Upgrade,
};

fn options(uri: &str) -> ClientOptions {
    ClientOptions::new(uri.parse().unwrap())
}

fn bytes(options: &ClientOptions) -> String {
    let mut out = BytesMut::new();
    options.handshake(NONCE).unwrap().write_request(&mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

fn line(text: &str, name: &str) -> Option<String> {
    let mut lines =
        text.split("\r\n").filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let value = lines.next().map(ToOwned::to_owned);
    assert_eq!(lines.next(), None, "{name} stands once");
    value
}

// R6455C-4.1-i, R6455C-4.1-j, R6455C-4.1-m, R6455C-4.1-n, R6455C-4.1-r
#[test]
fn request_is_that_of_the_rfc() {
    assert_eq!(bytes(&options("ws://server.example.com/chat")), REQUEST);
}

// R6455C-4.1-i
#[test]
fn request_is_taken_by_httparse_and_by_our_server() {
    let text = bytes(&options("wss://a.example:8443/x?y"));
    let mut headers = [httparse::EMPTY_HEADER; 8];
    let mut request = httparse::Request::new(&mut headers);
    assert_eq!(request.parse(text.as_bytes()), Ok(httparse::Status::Complete(text.len())));
    assert_eq!(
        (request.method, request.path, request.version),
        (Some("GET"), Some("/x?y"), Some(1))
    );
    assert_eq!(serve(text.as_bytes()).text(), RESPONSE);
}

// R6455C-4.1-k
#[test]
fn target_is_the_resource_name() {
    for (uri, first) in [
        ("ws://h", "GET / HTTP/1.1\r\n"),
        ("ws://h?q", "GET /?q HTTP/1.1\r\n"),
        ("ws://h/a?b", "GET /a?b HTTP/1.1\r\n"),
        ("ws://h//a/%2F", "GET //a/%2F HTTP/1.1\r\n"),
    ] {
        assert!(bytes(&options(uri)).starts_with(first), "{uri}");
    }
}

// R6455C-4.1-l
#[test]
fn host_has_the_port_unless_it_is_the_default() {
    for (uri, host) in [
        ("ws://h/", "h"),
        ("ws://h:80/", "h"),
        ("wss://h:443/", "h"),
        ("ws://h:443/", "h:443"),
        ("wss://h:80/", "h:80"),
        ("ws://h:8080/", "h:8080"),
        ("ws://[::1]/", "[::1]"),
        ("ws://[::1]:8080/", "[::1]:8080"),
    ] {
        assert_eq!(line(&bytes(&options(uri)), "Host").as_deref(), Some(host), "{uri}");
    }
}

// R6455C-4.1-o
#[test]
fn key_is_the_nonce_in_base64() {
    for (nonce, key) in [
        (*b"the sample nonce", "dGhlIHNhbXBsZSBub25jZQ=="),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], "AQIDBAUGBwgJCgsMDQ4PEA=="),
        ([0; 16], "AAAAAAAAAAAAAAAAAAAAAA=="),
        ([255; 16], "/////////////////////w=="),
    ] {
        let handshake = options("ws://h").handshake(nonce).unwrap();
        assert_eq!(handshake.request().headers()["sec-websocket-key"], key);
    }
}

// R6455C-4.1-p
#[test]
fn every_nonce_makes_another_key() {
    let options = options("ws://h");
    let keys: HashSet<_> = (0..1000_u128)
        .map(|n| options.handshake((n * 7919).to_be_bytes()).unwrap())
        .map(|handshake| handshake.request().headers()["sec-websocket-key"].clone())
        .collect();
    assert_eq!(keys.len(), 1000);
}

// R6455C-4.1-q
#[test]
fn origin_is_sent_when_it_is_set() {
    assert_eq!(line(&bytes(&options("ws://h")), "Origin"), None);
    let with_origin = options("ws://h").origin("https://a.example").unwrap();
    assert_eq!(line(&bytes(&with_origin), "Origin").as_deref(), Some("https://a.example"));
    let error = options("ws://h").origin("https://a\r\nX: y").unwrap_err();
    assert_eq!(error, InvalidHeader::Value);
}

// R6455C-4.1-s, RT-10
#[test]
fn rt_10_subprotocols_have_to_be_unique_tokens() {
    let offered = Subprotocols::new(["b", "a"]).unwrap();
    let text = bytes(&options("ws://h").subprotocols(offered));
    assert_eq!(line(&text, "Sec-WebSocket-Protocol").as_deref(), Some("b, a"));
    for name in ["", "a b", "a,b", "a\r\nX: y", "a\0"] {
        assert_eq!(
            Subprotocols::new([name]),
            Err(SubprotocolError::NotAToken { name: name.into() })
        );
    }
    assert_eq!(
        Subprotocols::new(["a", "b", "a"]),
        Err(SubprotocolError::Duplicate { name: "a".into() })
    );
}

// R6455C-4.1-t
#[test]
fn extensions_are_offered_as_our_parser_reads_them() {
    let offers = vec![Params::new().with_flag("x").with("y", "10"), Params::new()];
    let set = ExtensionSet::new()
        .with(Plain { offers, ..plain("a", Rsv::RSV1) })
        .and_then(|set| set.with(plain("b", Rsv::RSV2)))
        .unwrap();
    let text = bytes(&options("ws://h").extensions(set.clone()));
    assert_eq!(line(&text, "Sec-WebSocket-Extensions").as_deref(), Some("a; x; y=10, a, b"));
    let reply = serve_with(text.as_bytes(), &AcceptOptions::default().extensions(set));
    assert_eq!(reply.values("Sec-WebSocket-Extensions"), ["a; x; y=10, b"]);
}

// R6455C-4.1-t, RT-10
#[test]
fn rt_10_offer_that_is_no_token_is_an_error() {
    for (name, value) in [("x", "a b"), ("x", ""), ("x", "1\r\nX: y"), ("", "1"), ("x;y", "1")] {
        let offers = vec![Params::new().with(name, value)];
        let set = ExtensionSet::new().with(Plain { offers, ..plain("a", Rsv::RSV1) }).unwrap();
        let error = options("ws://h").extensions(set).handshake(NONCE).unwrap_err();
        assert_eq!(error, RequestError::Offer { name: "a".into() });
    }
}

#[test]
fn required_extension_has_to_be_offered() {
    let silent = Plain { offers: Vec::new(), ..plain("a", Rsv::RSV1) };
    for set in [ExtensionSet::new(), ExtensionSet::new().with(silent).unwrap()] {
        let error = options("ws://h").extensions(set).require("a").handshake(NONCE).unwrap_err();
        assert_eq!(error, RequestError::RequiredNotOffered { name: "a".into() });
    }
}

// R6455C-4.1-u, RT-10
#[test]
fn rt_10_other_headers_may_be_added_and_cannot_break_out() {
    let added = options("ws://h")
        .header("Cookie", "a=b")
        .and_then(|options| options.header("Authorization", "Basic eA=="))
        .unwrap();
    let text = bytes(&added);
    assert_eq!(line(&text, "Cookie").as_deref(), Some("a=b"));
    assert_eq!(line(&text, "Authorization").as_deref(), Some("Basic eA=="));
    for octet in (0..=8_u8).chain(10..=31).chain(127..=255) {
        let value = format!("a{}b", char::from(octet));
        let error = options("ws://h").header("X-A", &value).unwrap_err();
        assert_eq!(error, InvalidHeader::Value, "{octet:#04x}");
    }
    for name in ["", "a b", "a:", "a\r\nb", "\u{e4}"] {
        assert_eq!(options("ws://h").header(name, "x").unwrap_err(), InvalidHeader::Name);
    }
    for name in [
        "Host",
        "upgrade",
        "Connection",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Accept",
        "Origin",
        "Content-Length",
        "Transfer-Encoding",
        "Expect",
    ] {
        let error = options("ws://h").header(name, "x").unwrap_err();
        assert_eq!(error, InvalidHeader::Reserved, "{name}");
    }
}

// R6455C-4.1-v
#[test]
fn nothing_is_sent_behind_the_head() {
    let set = ExtensionSet::new().with(plain("a", Rsv::RSV1)).unwrap();
    let text = bytes(&options("ws://h").extensions(set).header("Cookie", "a=b").unwrap());
    assert_eq!(text.find("\r\n\r\n"), Some(text.len() - 4));
    // Our server, which refuses anything behind the head, takes it.
    let mut input = BytesMut::from(text.as_bytes());
    let request = RequestReader::default().read(&mut input).unwrap().unwrap();
    assert!(Upgrade::inspect(&request).is_ok() && input.is_empty());
}
