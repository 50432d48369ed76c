//! The 101 (RFC 6455 §4.2.2), octet by octet.
#![allow(clippy::unwrap_used)]

mod support;

use support::{KEY, REQUEST, RESPONSE, extensions::plain, replacing, serve, serve_with, with};
use ws_core::extension::Rsv;
use ws_handshake::{
    AcceptOptions, Accepted, ClientHandshake, ClientOptions, Connected, ExtensionSet,
    InvalidHeader, Rejection, RequestReader, ResponseReader, Subprotocols, Upgrade, accept_key,
};

// R6455-4.2.2-k, R6455-4.2.2-l, R6455-4.2.2-m, R9110-7.8-c, R9110-7.8-e, R9112-6.1-a, MDN-1
#[test]
fn the_101_is_what_the_rfc_shows_and_nothing_more() {
    let reply = serve(REQUEST.as_bytes());
    assert_eq!(reply.text(), RESPONSE);
    assert_eq!(reply.values("Upgrade"), ["websocket"]);
    assert_eq!(reply.values("Connection"), ["Upgrade"]);
    assert!(!reply.has("Content-Length") && !reply.has("Transfer-Encoding"));
    // The client's other wishes in Upgrade are not answered.
    let reply = serve(&replacing(support::UPGRADE, "Upgrade: h2c, WEBSOCKET, x/1"));
    assert_eq!(reply.text(), RESPONSE);
}

// R6455-4.2.2-n, D-5, MDN-3
#[test]
fn accept_is_the_hash_of_the_key_as_it_was_sent() {
    for (key, accept) in [
        ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("AQIDBAUGBwgJCgsMDQ4PEA==", "C/0nmHhBztSRGR1CwL6Tf4ZjwpY="),
        ("AQIDBAUGBwgJCgsMDQ4PEC==", "OfS0wDaT5NoxF2gqm7Zj2YtetzM="),
        ("x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="),
    ] {
        assert_eq!(accept_key(key.as_bytes()), accept);
        for space in ["", "  ", "\t"] {
            let line = format!("Sec-WebSocket-Key:{space}{key}{space}");
            let reply = serve(&replacing(KEY, &line));
            assert_eq!(reply.values("Sec-WebSocket-Accept"), [accept]);
        }
    }
}

// R6455-4.2.2-o, R6455-4.2.2-p
#[test]
fn subprotocol_and_extensions_stand_in_one_line_each() {
    let spoken = Subprotocols::new(["a", "b"]).unwrap();
    let set = ExtensionSet::new()
        .with(plain("x-one", Rsv::RSV2))
        .and_then(|set| set.with(plain("x-two", Rsv::RSV3)))
        .unwrap();
    let options = AcceptOptions::default().subprotocols(spoken).extensions(set);
    let request = with(
        "Sec-WebSocket-Protocol: c\r\nSec-WebSocket-Protocol: b, a\r\n\
         Sec-WebSocket-Extensions: x-two; n=1\r\nSec-WebSocket-Extensions: x-one",
    );
    assert_eq!(
        serve_with(&request, &options).text(),
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Protocol: b\r\n\
         Sec-WebSocket-Extensions: x-one, x-two; n=1\r\n\
         \r\n"
    );
}

fn accepted() -> Accepted {
    support::accept_with(REQUEST.as_bytes(), &AcceptOptions::default()).unwrap()
}

#[test]
fn application_adds_headers_to_the_101() {
    let accepted = accepted()
        .header("Set-Cookie", "a=b; HttpOnly")
        .and_then(|accepted| accepted.header("Set-Cookie", "c=d"))
        .and_then(|accepted| accepted.header("X-Node", "7"))
        .unwrap();
    let reply = support::answer(Ok(accepted));
    assert_eq!(reply.status, 101);
    assert_eq!(reply.values("Set-Cookie"), ["a=b; HttpOnly", "c=d"]);
    assert_eq!(reply.values("X-Node"), ["7"]);
}

// RT-10
#[test]
fn rt_10_application_cannot_break_out_of_a_header_line() {
    for octet in (0..=8_u8).chain(10..=31).chain([127]) {
        let value = format!("a{}b", char::from(octet));
        let error = accepted().header("X-A", &value).unwrap_err();
        assert_eq!(error, InvalidHeader::Value, "{octet:#04x}");
        let name = format!("X{}A", char::from(octet));
        let error = accepted().header(&name, "a").unwrap_err();
        assert_eq!(error, InvalidHeader::Name, "{octet:#04x}");
    }
    for value in ["a\u{85}b", "a\u{2028}b", "a\r\nX-B: b"] {
        let error = accepted().header("X-A", value).unwrap_err();
        assert_eq!(error, InvalidHeader::Value);
    }
    assert_eq!(accepted().header("", "a").unwrap_err(), InvalidHeader::Name);
}

// R6455-4.2.2-o, R6455-4.2.2-p, R9112-6.1-a
#[test]
fn application_cannot_write_the_headers_of_the_handshake() {
    for name in [
        "Upgrade",
        "connection",
        "Sec-WebSocket-Accept",
        "sec-websocket-protocol",
        "SEC-WEBSOCKET-EXTENSIONS",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Key",
        "Content-Length",
        "Transfer-Encoding",
        "Trailer",
    ] {
        let error = accepted().header(name, "x").unwrap_err();
        assert_eq!(error, InvalidHeader::Reserved, "{name}");
    }
}

#[test]
fn everything_may_be_held_across_an_await_of_a_threaded_runtime() {
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    is_send::<(RequestReader, Upgrade, AcceptOptions, Accepted, Rejection)>();
    is_send::<(ClientOptions, ClientHandshake, ResponseReader, Connected)>();
    is_sync::<(Upgrade, AcceptOptions, ClientOptions, ClientHandshake, ExtensionSet)>();
}
