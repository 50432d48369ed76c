//! What HTTP asks of the head behind an upgrade (RFC 9110, RFC 9112, RFC 6585).
#![allow(clippy::unwrap_used)]

mod support;

use bytes::BytesMut;
use support::{REQUEST, UPGRADE, VERSION, replacing, serve, with, with_octets};
use ws_handshake::{Cause, HeadError, RequestReader, RequestView, Upgrade};

fn parse(request: &[u8]) -> Result<http::Request<()>, ws_handshake::Rejection> {
    let mut input = BytesMut::from(request);
    Ok(RequestReader::default().read(&mut input)?.unwrap())
}

// R9110-7.8-a, RT-06
#[test]
fn rt_06_plain_request_is_read_and_told_apart() {
    let plain = parse(b"GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(!plain.asks_for_upgrade());
    let rejection = Upgrade::inspect(&plain).unwrap_err();
    assert_eq!((rejection.status().as_u16(), rejection.cause()), (426, Cause::Upgrade));

    let other = parse(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: notwebsocket\r\n\r\n").unwrap();
    assert!(!other.asks_for_upgrade());
    let asked = parse(b"POST / HTTP/1.1\r\nUpgrade: h2c, WebSocket\r\n\r\n").unwrap();
    assert!(asked.asks_for_upgrade());
}

// R9110-7.8-d, R9110-7.8-e
#[test]
fn every_426_says_what_to_upgrade_to() {
    for request in [replacing(UPGRADE, ""), replacing(VERSION, "Sec-WebSocket-Version: 8")] {
        let reply = serve(&request);
        reply.assert_rejected(426);
        assert_eq!(reply.values("Upgrade"), ["websocket"]);
        assert_eq!(reply.values("Connection"), ["Upgrade, close"]);
        assert_eq!(reply.values("Sec-WebSocket-Version"), ["13"]);
    }
}

// R9110-7.8-f
#[test]
fn http_1_0_is_never_upgraded() {
    serve(&replacing("GET /chat HTTP/1.1", "GET /chat HTTP/1.0")).assert_rejected(400);
}

// R9110-7.8-g
#[test]
fn expectation_is_refused_with_417() {
    serve(&with("Expect: 100-continue")).assert_rejected(417);
    serve(&with("Expect:")).assert_rejected(417);
}

// R9110-7.8-h, R9110-9.3.1-a, R9112-6.3-a, RT-08
#[test]
fn rt_08_request_with_a_body_is_refused() {
    for lines in [
        "Content-Length: 5",
        "Content-Length: 00005",
        "Content-Length: +5",
        "Content-Length: +0",
        "Content-Length: -0",
        "Content-Length: 0x0",
        "Content-Length: 0x5",
        "Content-Length: ",
        "Content-Length: 0, 0",
        "Content-Length: 0 0",
        "Content-Length: 18446744073709551616",
        "Content-Length: 0\r\nContent-Length: 0",
        "Content-Length: 0\r\nContent-Length: 5",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: ",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        serve(&with(lines)).assert_rejected(400);
    }
    assert_eq!(serve(&with("Content-Length: 0")).status, 101);
}

// RT-08, R6455-x-early
#[test]
fn rt_08_body_is_never_left_for_the_frame_parser() {
    let request = [&with("Content-Length: 5")[..], b"\x81\x80\0\0\0"].concat();
    let mut input = BytesMut::from(&request[..]);
    let rejection = RequestReader::default().read(&mut input).unwrap_err();
    assert_eq!(rejection.cause(), Cause::EarlyData);

    let mut input = BytesMut::from(&request[..]);
    let mut reader = RequestReader::default().allow_early_data(true);
    let request = reader.read(&mut input).unwrap().unwrap();
    assert_eq!(Upgrade::inspect(&request).unwrap_err().cause(), Cause::Body);
}

// R9112-2.2-b, D-12
#[test]
fn lines_that_end_in_lf_alone_are_refused() {
    for request in [
        REQUEST.replace("\r\n", "\n"),
        REQUEST.replacen("\r\n", "\n", 1),
        REQUEST.replace("\r\n\r\n", "\r\n\n"),
        REQUEST.replace("\r\n\r\n", "\n\r\n"),
        format!("\n{REQUEST}"),
        format!("\r\n\n{REQUEST}"),
    ] {
        serve(request.as_bytes()).assert_rejected(400);
    }
}

// R9112-2.2-c
#[test]
fn cr_without_lf_is_refused() {
    for lines in ["A: b\rc", "A: b\r\rc", "A\r: b", "\rA: b", "A: b\r"] {
        serve(&with(lines)).assert_rejected(400);
    }
    serve(format!("\r{REQUEST}").as_bytes()).assert_rejected(400);
    serve(REQUEST.replace("/chat", "/ch\rat").as_bytes()).assert_rejected(400);
}

// R9112-2.2-d
#[test]
fn empty_lines_in_front_are_skipped_up_to_a_limit() {
    for (lines, status) in [(1, 101), (8, 101), (9, 400), (1000, 400), (100_000, 400)] {
        let request = format!("{}{REQUEST}", "\r\n".repeat(lines));
        assert_eq!(serve(request.as_bytes()).status, status, "{lines}");
    }
}

// R9112-2.2-e
#[test]
fn white_space_in_front_of_the_first_header_is_refused() {
    for line in [" X: y", "\tX: y", " "] {
        let request = REQUEST.replacen("\r\n", &format!("\r\n{line}\r\n"), 1);
        serve(request.as_bytes()).assert_rejected(400);
    }
    serve(format!(" {REQUEST}").as_bytes()).assert_rejected(400);
}

// R9112-3-a
#[test]
fn target_over_8_kib_is_answered_with_414() {
    let target = |len: usize| {
        let line = format!("GET /{} HTTP/1.1", "a".repeat(len - 1));
        serve(&replacing("GET /chat HTTP/1.1", &line))
    };
    assert_eq!(target(8192).status, 101);
    target(8193).assert_rejected(414);
    target(9 * 1024).assert_rejected(414);
    target(1 << 20).assert_rejected(414);
}

// R9112-3-a
#[test]
fn target_over_the_limit_is_refused_from_another_http_implementation_too() {
    let mut request = http::Request::new(());
    *request.uri_mut() = format!("/{}", "a".repeat(8192)).parse().unwrap();
    let rejection = Upgrade::inspect(&request).unwrap_err();
    assert_eq!(rejection.cause(), Cause::Head(HeadError::TargetTooLong));
}

// R9112-3-b
#[test]
fn malformed_request_line_is_refused_and_not_corrected() {
    for line in [
        "GET  /chat HTTP/1.1",
        "GET /chat  HTTP/1.1",
        "GET\t/chat HTTP/1.1",
        "GET /chat\tHTTP/1.1",
        "GET /chat HTTP/1.1 ",
        "GET /chat",
        "GET /chat ",
        "GET HTTP/1.1",
        "GET",
        "/chat HTTP/1.1",
        " GET /chat HTTP/1.1",
        "GET /ch at HTTP/1.1",
        "GET /chat#top HTTP/1.1",
        "GET # HTTP/1.1",
        "G@T /chat HTTP/1.1",
        "GET /ch\u{e4}t HTTP/1.1",
        "GET /chat HTTP/1.1x",
        "GET /chat XTTP/1.1",
    ] {
        serve(&replacing("GET /chat HTTP/1.1", line)).assert_rejected(400);
    }
}

// R9112-5.1-a
#[test]
fn white_space_between_name_and_colon_is_refused() {
    for line in ["Host : a", "X\t: a", "X : a", ": a", "X", "X y: a", "X(y): a", "X\u{e4}: a"] {
        serve(&with(line)).assert_rejected(400);
    }
}

// R9112-5.2-a
#[test]
fn folded_line_is_refused() {
    for lines in ["X: a\r\n b", "X: a\r\n\tb: c", "X: a\r\n \r\nY: c"] {
        serve(&with(lines)).assert_rejected(400);
    }
}

// R9110-5.5-a, RT-10
#[test]
fn rt_10_control_characters_in_a_head_are_refused() {
    for octet in (0..=8).chain(11..=12).chain(14..=31).chain([10, 13, 127]) {
        let line = [b"X: a", &[octet][..], b"b"].concat();
        serve(&with_octets(&line)).assert_rejected(400);
        let line = [b"X", &[octet][..], b"b: a"].concat();
        serve(&with_octets(&line)).assert_rejected(400);
        let line = [b"Sec-WebSocket-Protocol: a", &[octet][..], b"b"].concat();
        serve(&with_octets(&line)).assert_rejected(400);
        let request = REQUEST.replacen("/chat", &format!("/ch{}at", char::from(octet)), 1);
        serve(request.as_bytes()).assert_rejected(400);
    }
    assert_eq!(serve(&with("X: a\tb")).status, 101);
}

// R9110-5.6.1-a
#[test]
fn some_empty_list_elements_are_ignored() {
    for name in ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"] {
        for (empty, status) in [(1, 101), (8, 101), (9, 400), (4000, 400)] {
            let line = format!("{name}: a{} b", ",".repeat(empty + 1));
            assert_eq!(serve(&with(&line)).status, status, "{name} {empty}");
        }
    }
    let many = format!("Connection: Upgrade{}", ",".repeat(4000));
    assert_eq!(serve(&replacing(support::CONNECTION, &many)).status, 101);
}

// R6585-5-a, RT-03
#[test]
fn rt_03_too_many_headers_are_431_even_if_a_required_one_is_among_them() {
    let padding = |count: usize| (0..count).map(|i| format!("X-{i}: y\r\n")).collect::<String>();
    // Five headers are required, so that 59 more make 64.
    let request = |count| REQUEST.replacen("\r\n", &format!("\r\n{}", padding(count)), 1);
    assert_eq!(serve(request(59).as_bytes()).status, 101);
    serve(request(60).as_bytes()).assert_rejected(431);
    serve(request(101).as_bytes()).assert_rejected(431);
    // 101 headers, and the key behind the hundredth.
    let head = REQUEST.replacen(&format!("{}\r\n", support::KEY), "", 1);
    let head = head.replacen("\r\n", &format!("\r\n{}", padding(96)), 1);
    let head = head.replacen("\r\n\r\n", &format!("\r\n{}\r\n\r\n", support::KEY), 1);
    serve(head.as_bytes()).assert_rejected(431);
}

// RT-03
#[test]
fn rt_03_many_headers_from_another_http_implementation_are_found_all() {
    let mut request = parse(REQUEST.as_bytes()).unwrap();
    for i in 0..1000 {
        let name: http::HeaderName = format!("x-{i}").parse().unwrap();
        request.headers_mut().append(name, "y".parse().unwrap());
    }
    assert!(Upgrade::inspect(&request).is_ok());
    request.headers_mut().remove("sec-websocket-key");
    assert_eq!(Upgrade::inspect(&request).unwrap_err().cause(), Cause::Key);
}
