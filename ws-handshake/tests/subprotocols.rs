//! Subprotocols (RFC 6455 §1.9, §4.2.2, §4.3).
#![allow(clippy::unwrap_used)]

mod support;

use support::{REQUEST, RESPONSE, inspect, serve, serve_with, with, with_octets};
use ws_handshake::{
    AcceptError, AcceptOptions, Cause, SubprotocolError, SubprotocolHeaderError, Subprotocols,
    Upgrade,
};

fn offered(lines: &str) -> Vec<String> {
    let upgrade = inspect(&with(lines)).unwrap();
    upgrade.subprotocols().iter().map(Into::into).collect()
}

// R6455-4.3-b
#[test]
fn names_have_to_be_tokens() {
    for value in [
        "chat room",
        "ch@t",
        "\"chat\"",
        "a/b",
        "{x}",
        "a;b",
        "a=b",
        "a?b",
        "[a]",
        "a\\b",
        "(a)",
        "<a>",
        "a:b",
        "chat\tx",
    ] {
        let line = format!("Sec-WebSocket-Protocol: {value}");
        serve(&with(&line)).assert_rejected(400);
    }
    for octets in [&b"\x80"[..], b"a\xff", b"ch\xc3\xa4t", b"\xc2\x85"] {
        let line = [b"Sec-WebSocket-Protocol: ", octets].concat();
        serve(&with_octets(&line)).assert_rejected(400);
    }
    assert_eq!(offered("Sec-WebSocket-Protocol: !#$%&'*+-.^_`|~aZ09"), ["!#$%&'*+-.^_`|~aZ09"]);
}

// R6455-4.3-c, D-17
#[test]
fn names_have_to_be_unique() {
    serve(&with("Sec-WebSocket-Protocol: chat, chat")).assert_rejected(400);
    serve(&with("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat"))
        .assert_rejected(400);
    assert_eq!(offered("Sec-WebSocket-Protocol: chat, Chat"), ["chat", "Chat"]);
}

// R6455-4.3-d, D-17
#[test]
fn empty_elements_are_skipped_and_an_empty_list_is_malformed() {
    assert_eq!(offered("Sec-WebSocket-Protocol: chat,,superchat"), ["chat", "superchat"]);
    assert_eq!(offered("Sec-WebSocket-Protocol:\r\nSec-WebSocket-Protocol: a"), ["a"]);
    for value in ["", ",", " , ,", "\r\nSec-WebSocket-Protocol:"] {
        let rejection = inspect(&with(&format!("Sec-WebSocket-Protocol:{value}"))).unwrap_err();
        assert_eq!(
            rejection.cause(),
            Cause::Subprotocols(SubprotocolHeaderError::Empty),
            "{value}"
        );
    }
}

// T-B9
#[test]
fn more_than_32_names_are_refused() {
    let names = |count: usize| {
        let names: Vec<_> = (0..count).map(|i| i.to_string()).collect();
        serve(&with(&format!("Sec-WebSocket-Protocol: {}", names.join(",")))).status
    };
    assert_eq!((names(32), names(33), names(2000)), (101, 400, 400));
}

// R6455-11.3.4-a
#[test]
fn several_lines_are_one_list() {
    let lines = "Sec-WebSocket-Protocol: soap\r\nSec-WebSocket-Protocol: wamp,x";
    assert_eq!(offered(lines), offered("Sec-WebSocket-Protocol: soap, wamp, x"));
    assert_eq!(offered(lines), ["soap", "wamp", "x"]);
}

// R6455-4.2.2-g, MDN-13
#[test]
fn first_name_of_the_client_that_the_server_speaks_is_taken() {
    let spoken = Subprotocols::new(["c", "a", "b"]).unwrap();
    let options = AcceptOptions::default().subprotocols(spoken);
    for (offered, taken) in [("a, b", "a"), ("b, a", "b"), ("x, b", "b"), ("A, a", "a")] {
        let line = format!("Sec-WebSocket-Protocol: {offered}");
        let reply = serve_with(&with(&line), &options);
        assert_eq!(reply.values("Sec-WebSocket-Protocol"), [taken]);
    }
}

// R6455-4.2.2-h
#[test]
fn without_agreement_there_is_no_header() {
    let spoken = Subprotocols::new(["b"]).unwrap();
    let options = AcceptOptions::default().subprotocols(spoken);
    for request in [with("Sec-WebSocket-Protocol: a, B, bb"), REQUEST.into()] {
        assert_eq!(serve_with(&request, &options).text(), RESPONSE);
    }
    assert_eq!(serve(&with("Sec-WebSocket-Protocol: a")).text(), RESPONSE);
}

// R6455-4.2.2-h
#[test]
fn server_may_insist_on_a_subprotocol() {
    let spoken = Subprotocols::new(["b"]).unwrap();
    let options = AcceptOptions::default().require_subprotocol(spoken);
    for request in [with("Sec-WebSocket-Protocol: a"), REQUEST.into()] {
        serve_with(&request, &options).assert_rejected(400);
    }
    let reply = serve_with(&with("Sec-WebSocket-Protocol: a, b"), &options);
    assert_eq!(reply.values("Sec-WebSocket-Protocol"), ["b"]);
}

// R6455-4.2.2-g
#[test]
fn callback_chooses_with_the_request_before_it() {
    let select = |upgrade: &Upgrade| {
        let last = upgrade.subprotocols().iter().last()?;
        (upgrade.path() == "/chat").then(|| last.to_owned())
    };
    let options = AcceptOptions::default().select_subprotocol(select);
    let reply = serve_with(&with("Sec-WebSocket-Protocol: a, b"), &options);
    assert_eq!(reply.values("Sec-WebSocket-Protocol"), ["b"]);
    assert_eq!(serve_with(REQUEST.as_bytes(), &options).text(), RESPONSE);
}

// R6455-4.2.2-g, R6455-4.2.2-i, RT-10
#[test]
fn rt_10_choice_that_was_not_offered_is_an_error_of_the_application() {
    for chosen in ["c", "", "A", "a, b", "a\r\nX: y"] {
        let select = move |_: &Upgrade| Some(chosen.to_owned());
        let options = AcceptOptions::default().select_subprotocol(select);
        let upgrade = inspect(&with("Sec-WebSocket-Protocol: a, b")).unwrap();
        let error = upgrade.accept(&options).unwrap_err();
        assert!(matches!(&error, AcceptError::SubprotocolNotOffered(name) if **name == *chosen));
        assert_eq!(error.into_rejection().status().as_u16(), 500);
    }
}

// R6455-4.2.2-i, RT-10
#[test]
fn rt_10_server_cannot_be_configured_with_what_is_no_token() {
    for name in ["", "a b", "a,b", "a\r\n", "a\0", "\u{85}", "\u{e4}", "a\u{b}", "a\u{c}"] {
        let error = Subprotocols::new(["a", name]).unwrap_err();
        assert_eq!(error, SubprotocolError::NotAToken { name: name.into() });
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
    let error = Subprotocols::new(["a", "b", "a"]).unwrap_err();
    assert_eq!(error, SubprotocolError::Duplicate { name: "a".into() });
}
