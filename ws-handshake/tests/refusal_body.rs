//! The body of an answer that is no 101 (RFC 9112 §6.3, §7.1).
#![allow(clippy::unwrap_used)]

use bytes::BytesMut;
use proptest::prelude::*;
use ws_handshake::{BodyReader, Limits, ResponseReader};

/// What a client has of an answer that comes in such pieces and then ends; and how much of it was
/// read before the end of the stream.
fn read_in(text: &[u8], max: usize, piece: usize) -> (Vec<u8>, bool, bool) {
    let limits = Limits::default().max_refusal_body(max);
    let (mut head, mut body, mut done) = (ResponseReader::default(), None, false);
    let mut input = BytesMut::new();
    for piece in text.chunks(piece) {
        input.extend_from_slice(piece);
        if body.is_none() {
            body = head.read(&mut input).unwrap().map(|answer| BodyReader::new(&answer, &limits));
        }
        if let Some(body) = &mut body {
            done = body.read(&mut input);
        }
    }
    let mut body = body.unwrap();
    if !done {
        body.input_ended();
        assert!(body.read(&mut input));
    }
    let (octets, whole) = body.into_body();
    assert!(octets.len() <= max);
    (octets.to_vec(), whole, done)
}

fn read(text: &str) -> (String, bool, bool) {
    let whole = read_in(text.as_bytes(), 1000, usize::MAX);
    for piece in [1, 2, 3, 7] {
        assert_eq!(read_in(text.as_bytes(), 1000, piece), whole, "{text:?} in pieces of {piece}");
    }
    (String::from_utf8(whole.0).unwrap(), whole.1, whole.2)
}

fn answer(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 503 Service Unavailable\r\n{headers}\r\n{body}")
}

// R6455C-4.1-w
#[test]
fn body_ends_where_its_head_says() {
    for (headers, body, expected) in [
        ("Content-Length: 4\r\n", "busy", "busy"),
        ("Content-Length: 4\r\n", "busy, and another answer", "busy"),
        ("Content-Length: 0\r\n", "", ""),
        ("Transfer-Encoding: chunked\r\n", "4\r\nbusy\r\n0\r\n\r\n", "busy"),
        (
            "Transfer-Encoding: Chunked\r\n",
            "2\r\nbu\r\n02 ; a=\"b\"\r\nsy\r\n000\r\nX: y\r\n",
            "busy",
        ),
        ("Transfer-Encoding: chunked\r\n", "A\r\n0123456789\r\n0\r\n", "0123456789"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", "4\r\nbusy\r\n0\r\n", "busy"),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", ""),
    ] {
        assert_eq!(read(&answer(headers, body)), (expected.to_owned(), true, true), "{body:?}");
    }
    // To the end of the stream.
    assert_eq!(read(&answer("", "busy")), ("busy".to_owned(), true, false));
    assert_eq!(read(&answer("", "")), (String::new(), true, false));
    for status in ["204 No Content", "304 Not Modified"] {
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\nbusy");
        assert_eq!(read(&text), (String::new(), true, true));
    }
}

#[test]
fn body_that_cannot_be_read_to_its_end_is_told_from_a_whole_one() {
    for (headers, body, expected) in [
        ("Content-Length: 5\r\n", "busy", "busy"),
        ("Content-Length: -4\r\n", "busy", ""),
        ("Content-Length: +4\r\n", "busy", ""),
        ("Content-Length: 4\r\nContent-Length: 5\r\n", "busy", ""),
        ("Content-Length: 99999999999999999999\r\n", "busy", ""),
        ("Content-Length: 18446744073709551615\r\n", "busy", "busy"),
        ("Transfer-Encoding: gzip, chunked\r\n", "4\r\nbusy\r\n0\r\n", ""),
        ("Transfer-Encoding: gzip\r\n", "busy", ""),
        ("Transfer-Encoding:\r\n", "busy", ""),
        ("Transfer-Encoding: chunked\r\n", "4\r\nbusy\r\n", "busy"),
        ("Transfer-Encoding: chunked\r\n", "4\r\nbusy0\r\n", "busy"),
        ("Transfer-Encoding: chunked\r\n", "4\r\nbu", "bu"),
        ("Transfer-Encoding: chunked\r\n", "4\nbusy\n0\n", ""),
        ("Transfer-Encoding: chunked\r\n", "+4\r\nbusy\r\n0\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "0x4\r\nbusy\r\n0\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "10000000000000000\r\nbusy\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "ffffffffffffffff\r\nbusy\r\n", "busy\r\n"),
        ("Transfer-Encoding: chunked\r\n", "\r\n", ""),
    ] {
        let (got, whole, _) = read(&answer(headers, body));
        assert_eq!((&*got, whole), (expected, false), "{headers:?} {body:?}");
    }
    // A line that never ends is not waited for.
    let endless = answer("Transfer-Encoding: chunked\r\n", &format!("4;{}", "a".repeat(300)));
    assert_eq!(read(&endless), (String::new(), false, true));
}

// R6455C-4.1-w, RT-02
#[test]
fn rt_02_body_is_cut_at_the_limit() {
    let chunked = format!("4\r\nbusy\r\n{}", "1\r\nx\r\n".repeat(10_000));
    for (headers, body) in [
        ("", "x".repeat(10_000)),
        ("Content-Length: 10000\r\n", "x".repeat(10_000)),
        ("Transfer-Encoding: chunked\r\n", chunked),
    ] {
        for max in [0, 1, 7, 1000] {
            let text = answer(headers, &body);
            for piece in [1, 100, usize::MAX] {
                let (octets, whole, done) = read_in(text.as_bytes(), max, piece);
                assert_eq!((octets.len(), whole, done), (max, false, true), "{headers}");
            }
        }
    }
    // As much as may be is whole.
    let exact = answer("Content-Length: 1000\r\n", &"x".repeat(1000));
    assert!(read_in(exact.as_bytes(), 1000, usize::MAX).1);
}

proptest! {
    #[test]
    fn arbitrary_octets_never_panic_and_pieces_never_matter(
        headers in prop_oneof![
            Just(""), Just("Content-Length: 30\r\n"), Just("Transfer-Encoding: chunked\r\n")
        ],
        body in proptest::collection::vec(
            prop_oneof![any::<u8>(), (0..8_usize).prop_map(|i| b"\r\n01f;a "[i])], 0..60
        ),
        piece in 1..20_usize,
    ) {
        let text = [answer(headers, "").as_bytes(), &body].concat();
        prop_assert_eq!(read_in(&text, 20, piece), read_in(&text, 20, usize::MAX));
    }
}
