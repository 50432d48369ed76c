//! What a client takes for an answer (RFC 6455 §4.1).
#![allow(clippy::unwrap_used)]

mod support;

use bytes::BytesMut;
use proptest::prelude::*;
use support::{
    NONCE, RESPONSE,
    client::{options, verify, with},
    extensions::{plain, set},
};
use ws_core::extension::Rsv;
use ws_handshake::{HeadError, ResponseError as Error, ResponseReader, Subprotocols};

const UPGRADE: &str = "Upgrade: websocket";
const CONNECTION: &str = "Connection: Upgrade";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn replacing(old: &str, new: &str) -> String {
    let new = if new.is_empty() { String::new() } else { format!("{new}\r\n") };
    let response = RESPONSE.replacen(&format!("{old}\r\n"), &new, 1);
    assert_ne!(response, RESPONSE);
    response
}

// R6455C-4.1-w
#[test]
fn other_status_is_an_answer_and_never_a_websocket() {
    for status in
        ["200 OK", "100 Continue", "400 Bad", "401 Unauthorized", "302 Found", "503 x", "999 x"]
    {
        let response = RESPONSE.replacen("101 Switching Protocols", status, 1);
        let mut input = BytesMut::from(response.as_str());
        let head = ResponseReader::default().read(&mut input).unwrap();
        if status == "100 Continue" {
            assert!(head.is_none());
            continue;
        }
        let error = options().handshake(NONCE).unwrap().verify(&head.unwrap()).unwrap_err();
        let Error::Refused(refusal) = error else { panic!("{status}: {error}") };
        assert_eq!(refusal.status.as_str(), &status[..3]);
        assert_eq!(refusal.headers["upgrade"], "websocket");
    }
}

// R6455C-4.1-w
#[test]
fn body_of_another_status_is_left_to_the_caller() {
    let text = "HTTP/1.1 302 Found\r\nLocation: wss://b.example/\r\nContent-Length: 4\r\n\r\nbody";
    let mut input = BytesMut::from(text);
    let response = ResponseReader::default().read(&mut input).unwrap().unwrap();
    assert_eq!(&input[..], b"body");
    let error = options().handshake(NONCE).unwrap().verify(&response).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server answered 302 Found instead of 101: connect to its Location if you trust it"
    );
}

// R6455C-4.1-x
#[test]
fn upgrade_has_to_be_websocket() {
    for line in ["Upgrade: WebSocket", "upgrade: WEBSOCKET", "Upgrade:\twebsocket "] {
        assert!(verify(&options(), replacing(UPGRADE, line)).is_ok(), "{line}");
    }
    for line in [
        "",
        "Upgrade:",
        "Upgrade: h2c",
        "Upgrade: websocketx",
        "Upgrade: websocket, h2c",
        "Upgrade: websocket/13",
        "Upgrade: websocket\r\nUpgrade: websocket",
    ] {
        let error = verify(&options(), replacing(UPGRADE, line)).unwrap_err();
        assert!(matches!(error, Error::Upgrade), "{line}: {error}");
    }
}

// R6455C-4.1-y
#[test]
fn connection_has_to_list_upgrade() {
    for line in [
        "Connection: upgrade",
        "Connection: keep-alive, UPGRADE",
        "Connection: x\r\nConnection: Upgrade",
    ] {
        assert!(verify(&options(), replacing(CONNECTION, line)).is_ok(), "{line}");
    }
    for line in ["", "Connection: keep-alive", "Connection: upgraded", "Connection: \"upgrade\""] {
        let error = verify(&options(), replacing(CONNECTION, line)).unwrap_err();
        assert!(matches!(error, Error::Connection), "{line}: {error}");
    }
}

// R6455C-4.1-z
#[test]
fn accept_has_to_answer_the_key() {
    for space in ["", " ", " \t "] {
        let line = format!("Sec-WebSocket-Accept:{space}s3pPLMBiTxaQ9kYGzzhZRbK+xOo={space}");
        assert!(verify(&options(), replacing(ACCEPT, &line)).is_ok());
    }
    for line in [
        "",
        "Sec-WebSocket-Accept:",
        "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo==",
        "Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=",
        "Sec-WebSocket-Accept: \"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\"",
    ] {
        let error = verify(&options(), replacing(ACCEPT, line)).unwrap_err();
        assert!(matches!(error, Error::Accept), "{line}: {error}");
    }
    assert!(matches!(verify(&options(), with(ACCEPT)), Err(Error::Accept)));
}

// R6455C-4.1-ab
#[test]
fn subprotocol_that_was_not_offered_fails() {
    let offering = options().subprotocols(Subprotocols::new(["a", "b"]).unwrap());
    for (value, taken) in [("a", "a"), ("b", "b"), (" b\t", "b")] {
        let line = format!("Sec-WebSocket-Protocol: {value}");
        let connected = verify(&offering, with(&line)).unwrap();
        assert_eq!(connected.subprotocol.as_deref(), Some(taken));
    }
    assert_eq!(verify(&offering, RESPONSE).unwrap().subprotocol, None);
    for value in ["c", "A", "a, b", "a,", "", "\"a\"", "aa", "a\r\nSec-WebSocket-Protocol: a"] {
        let line = format!("Sec-WebSocket-Protocol: {value}");
        let error = verify(&offering, with(&line)).unwrap_err();
        assert!(matches!(error, Error::Subprotocol), "{value}: {error}");
    }
    let octets = with("Sec-WebSocket-Protocol: a?").into_bytes();
    let octets: Vec<_> =
        octets.iter().map(|&octet| if octet == b'?' { 0xff } else { octet }).collect();
    assert!(matches!(verify(&offering, octets), Err(Error::Subprotocol)));
    let error = verify(&options(), with("Sec-WebSocket-Protocol: a")).unwrap_err();
    assert!(matches!(error, Error::Subprotocol));
}

// R6455C-4.1-ac
#[test]
fn any_other_breach_fails() {
    for response in [
        RESPONSE.replacen("HTTP/1.1", "HTTP/1.0", 1),
        RESPONSE.replacen("HTTP/1.1", "HTTP/2.0", 1),
        RESPONSE.replacen("HTTP/1.1", "HTTP/1.2", 1),
        RESPONSE.replacen("HTTP/1.1 101", "101", 1),
        RESPONSE.replacen("101", "1x1", 1),
        RESPONSE.replacen("101 ", "1010 ", 1),
        RESPONSE.replace("\r\n", "\n"),
        RESPONSE.replacen("\r\n", "\n", 2),
        with("X: a\rb"),
        with("X: a\0b"),
        with("X: a\r\n b"),
        with("X : a"),
        with(" X: a"),
        with("X"),
        format!(" {RESPONSE}"),
    ] {
        assert!(verify(&options(), &response).is_err(), "{response}");
    }
    // Headers that are not ours do no harm.
    for lines in ["Server: \u{e4}", "Set-Cookie: a=b", "Sec-WebSocket-Version: 13"] {
        assert!(verify(&options(), with(lines)).is_ok(), "{lines}");
    }
}

// R6455C-4.1-ae: a 101 ends at its empty line, whatever it says (RFC 9112 §6.3).
#[test]
fn what_frames_a_body_means_nothing_in_a_101() {
    for lines in [
        "Content-Length: 0",
        "Content-Length: 5",
        "Content-Length: x",
        "Content-Length: 0\r\nContent-Length: 1",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        let mut input = BytesMut::from(with(lines).as_str());
        input.extend_from_slice(b"\x81\x05Hello");
        let response = ResponseReader::default().read(&mut input).unwrap().unwrap();
        assert!(options().handshake(NONCE).unwrap().verify(&response).is_ok(), "{lines}");
        assert_eq!(&input[..], b"\x81\x05Hello", "{lines}");
    }
}

// R6455C-4.1-ac
#[test]
fn answer_with_many_headers_is_taken_and_with_too_many_named_as_such() {
    let answer = |lines: usize| with(&vec!["X: y"; lines].join("\r\n"));
    for lines in [62, 100, 253] {
        assert!(verify(&options(), answer(lines)).is_ok(), "{lines}");
    }
    let many = verify(&options(), answer(254)).unwrap_err();
    let large = verify(&options(), with(&format!("X: {}", "y".repeat(1 << 15)))).unwrap_err();
    let bent = verify(&options(), with("X")).unwrap_err();
    for (error, says) in
        [(many, "Limits::max_response_headers"), (large, "Limits::max_head"), (bent, "malformed")]
    {
        let error = error.to_string();
        assert!(error.contains(says) && !error.contains("TLS"), "{error}");
    }
    // What is no HTTP may be TLS.
    let alert = verify(&options(), b"\x15\x03\x01\x00\x02\x02\x46").unwrap_err().to_string();
    assert!(alert.contains("wss"), "{alert}");
}

// R6455C-4.1-ac, RT-02
#[test]
fn rt_02_client_refuses_endless_heads_at_the_limit() {
    let head = RESPONSE.strip_suffix("\r\n").unwrap();
    for (octets, error) in [
        (format!("{head}X: {}", "a".repeat(1 << 20)), HeadError::TooLarge),
        (format!("{head}{}", "X: y\r\n".repeat(1 << 16)), HeadError::TooManyHeaders),
        ("HTTP/1.1 101 ".to_owned() + &"a".repeat(1 << 20), HeadError::TooLarge),
        ("HTTP/1.1 100 Continue\r\n\r\n".repeat(1 << 12), HeadError::TooLarge),
        ("\r\n".repeat(1 << 10), HeadError::EmptyLines),
    ] {
        let mut reader = ResponseReader::default();
        let mut input = BytesMut::new();
        let mut given = 0;
        let failed = octets.as_bytes().chunks(1024).find_map(|piece| {
            given += piece.len();
            input.extend_from_slice(piece);
            reader.read(&mut input).err()
        });
        assert_eq!(failed, Some(error));
        assert!(given <= 17 * 1024, "{given}");
        assert_eq!(reader.read(&mut input).unwrap_err(), error, "failed stays failed");
    }
}

// R6455C-4.1-ad
#[test]
fn header_names_are_compared_in_any_case() {
    let head = RESPONSE.replace("Upgrade: ", "uPGRADE: ").replace("Connection", "CONNECTION");
    assert!(
        verify(&options(), head.replace("Sec-WebSocket-Accept", "sec-websocket-accept")).is_ok()
    );
}

// R6455C-4.1-ae
#[test]
fn octets_behind_the_head_are_the_first_frames() {
    let frame = b"\x81\x05Hello";
    let mut input = BytesMut::from(&[RESPONSE.as_bytes(), frame].concat()[..]);
    let mut reader = ResponseReader::default();
    let response = reader.read(&mut input).unwrap().unwrap();
    assert!(options().handshake(NONCE).unwrap().verify(&response).is_ok());
    assert_eq!(&input[..], frame);
    // They are no HTTP.
    assert_eq!(reader.read(&mut input).unwrap_err(), HeadError::Done);
    assert_eq!(&input[..], frame);
}

// R6455C-4.4-a
#[test]
fn versions_of_a_server_that_does_not_speak_13_are_listed() {
    let text = "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8, 7\r\nSec-WebSocket-Version: 25, x, 300\r\n\r\n";
    let error = verify(&options(), text).unwrap_err();
    let Error::Refused(refusal) = &error else { panic!("{error}") };
    assert_eq!(refusal.supported_versions(), [8, 7, 25]);
    assert_eq!(
        error.to_string(),
        "the server answered 426 Upgrade Required instead of 101: it speaks versions [8, 7, 25] of the protocol, this client speaks 13"
    );
}

#[test]
fn informational_answers_are_passed_over() {
    let text = format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{RESPONSE}"
    );
    assert!(verify(&options(), &text).is_ok());
}

#[test]
fn errors_do_not_repeat_what_the_server_sent() {
    for response in [
        replacing(UPGRADE, "Upgrade: secret"),
        replacing(CONNECTION, "Connection: secret"),
        replacing(ACCEPT, "Sec-WebSocket-Accept: secret"),
        with("Sec-WebSocket-Protocol: secret"),
        RESPONSE.replacen("101 Switching Protocols", "500 secret", 1),
    ] {
        let error = verify(&options(), &response).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn head_split_anywhere_gives_the_same_response() {
    let text = with("Sec-WebSocket-Extensions: a\r\nSet-Cookie: x=y\r\nSet-Cookie: z");
    let text = format!("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n{text}");
    let whole =
        ResponseReader::default().read(&mut BytesMut::from(text.as_str())).unwrap().unwrap();
    for at in 0..text.len() {
        let mut reader = ResponseReader::default();
        let mut input = BytesMut::from(&text[..at]);
        assert!(reader.read(&mut input).unwrap().is_none(), "{at}");
        input.extend_from_slice(&text.as_bytes()[at..]);
        let split = reader.read(&mut input).unwrap().unwrap();
        assert_eq!(split.headers(), whole.headers(), "{at}");
    }
}

proptest! {
    // R6455C-4.1-ac
    #[test]
    fn response_with_octets_overwritten_never_panics(
        at in 0..RESPONSE.len(),
        octets in proptest::collection::vec(any::<u8>(), 1..6),
        piece in 1_usize..40,
    ) {
        let mut response = with("Sec-WebSocket-Extensions: a; b=\"c\"").into_bytes();
        for (i, octet) in octets.into_iter().enumerate() {
            response[at + i] = octet;
        }
        let handshake = options().extensions(set([plain("a", Rsv::RSV1)])).handshake(NONCE).unwrap();
        let outcome = |piece: usize| {
            let mut reader = ResponseReader::default();
            let mut input = BytesMut::new();
            for piece in response.chunks(piece) {
                input.extend_from_slice(piece);
                match reader.read(&mut input) {
                    Ok(None) => {}
                    Ok(Some(response)) => return format!("{:?}", handshake.verify(&response)),
                    Err(error) => return format!("{error:?}"),
                }
            }
            "more".to_owned()
        };
        prop_assert_eq!(outcome(piece), outcome(response.len()));
    }
}
