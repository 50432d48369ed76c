//! A request head as it arrives, in pieces and without end.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::BytesMut;
use proptest::prelude::*;
use support::{REQUEST, serve, with};
use ws_core::UNLIMITED;
use ws_handshake::{Cause, HeadError, Limits, RequestReader, RequestView, Upgrade};

/// A head of exactly `len` octets.
fn head_of(len: usize) -> Vec<u8> {
    let line = "X-Padding: ";
    let padding = len - REQUEST.len() - line.len() - 2;
    let head = with(&format!("{line}{}", "a".repeat(padding)));
    assert_eq!(head.len(), len);
    head
}

/// Feeds `octets` in pieces; the outcome, and octets given.
fn feed(octets: &[u8], piece: usize) -> (Result<bool, Cause>, usize) {
    let mut reader = RequestReader::default();
    let mut input = BytesMut::new();
    let mut given = 0;
    for piece in octets.chunks(piece) {
        given += piece.len();
        input.extend_from_slice(piece);
        match reader.read(&mut input) {
            Ok(None) => {}
            Ok(Some(_)) => return (Ok(true), given),
            Err(rejection) => return (Err(rejection.cause()), given),
        }
    }
    (Ok(false), given)
}

// RT-01, RT-02, R6585-5-a, R6455-10.7-h
#[test]
fn rt_01_head_over_16_kib_is_answered_with_431() {
    assert_eq!(serve(&head_of(16 * 1024)).status, 101);
    serve(&head_of(16 * 1024 + 1)).assert_rejected(431);
    serve(&head_of(17 * 1024)).assert_rejected(431);
}

// RT-02
#[test]
fn rt_02_endless_heads_are_refused_at_the_limit() {
    let line =
        [REQUEST.strip_suffix("\r\n").unwrap().as_bytes(), b"X: ", &[b'a'; 1 << 20]].concat();
    let name = [REQUEST.strip_suffix("\r\n").unwrap().as_bytes(), &[b'a'; 1 << 20]].concat();
    let lines =
        [REQUEST.strip_suffix("\r\n").unwrap().as_bytes(), &b"X: y\r\n".repeat(1 << 16)].concat();
    let method = [b'a'; 1 << 20];
    let target = [b"GET /", &[b'a'; 1 << 20][..]].concat();
    for (octets, error, limit) in [
        (&line[..], HeadError::TooLarge, 16 * 1024),
        (&name, HeadError::TooLarge, 16 * 1024),
        (&lines, HeadError::TooManyHeaders, 16 * 1024),
        (&method, HeadError::TooLarge, 16 * 1024),
        (&target, HeadError::TargetTooLong, 8 * 1024 + 4),
    ] {
        let (outcome, given) = feed(octets, 1024);
        assert_eq!(outcome, Err(Cause::Head(error)));
        assert!(given <= limit + 1024, "{given}");
    }
}

// RT-02
#[test]
fn rt_02_lifted_limits_let_a_large_head_through() {
    let limits = Limits::default().max_head(UNLIMITED);
    let mut input = BytesMut::from(&head_of(1 << 20)[..]);
    assert!(RequestReader::new(limits).read(&mut input).unwrap().is_some());
}

// RT-03
#[test]
fn rt_03_lifted_limits_let_no_more_headers_through_than_a_map_takes() {
    let limits = Limits::default().max_head(UNLIMITED).max_headers(UNLIMITED);
    for (lines, fits) in [(20_000, true), (30_000, false), (100_000, false)] {
        let head: String = (0..lines).map(|i| format!("X-{i}: y\r\n")).collect();
        let head = REQUEST.replacen("\r\n", &format!("\r\n{head}"), 1);
        let mut input = BytesMut::from(head.as_str());
        let outcome = RequestReader::new(limits.clone()).read(&mut input);
        let error = outcome.err().map(|rejection| rejection.cause());
        let expected = (!fits).then_some(Cause::Head(HeadError::TooManyHeaders));
        assert_eq!(error, expected, "{lines}");
    }
}

#[test]
fn what_no_head_can_have_is_refused_before_its_end() {
    for (begin, error) in [
        (&b"GET /\0"[..], HeadError::Control),
        (b"GET / HTTP/1.1\r\nX: \x7f", HeadError::Control),
        (b"\x16", HeadError::Control),
        (b"GET / HTTP/1.1\r\n ", HeadError::Folded),
        (b"GET / HTTP/1.1\r\nX: y\r\n\t", HeadError::Folded),
        (b"\t", HeadError::Folded),
        (b"GET /\n", HeadError::BareLf),
        (b"GET /\r ", HeadError::BareCr),
        (b"\r\r", HeadError::BareCr),
    ] {
        let mut input = BytesMut::from(begin);
        let rejection = RequestReader::default().read(&mut input).unwrap_err();
        assert_eq!(rejection.cause(), Cause::Head(error), "{begin:?}");
    }
}

#[test]
fn failed_reader_stays_failed() {
    let mut reader = RequestReader::default();
    let mut input = BytesMut::from("GET /\n");
    let first = reader.read(&mut input).unwrap_err();
    assert_eq!(first.cause(), Cause::Head(HeadError::BareLf));
    let mut input = BytesMut::from(REQUEST);
    assert_eq!(reader.read(&mut input).unwrap_err().cause(), first.cause());
}

#[test]
fn reader_reads_one_head() {
    let mut reader = RequestReader::default();
    let mut input = BytesMut::from(REQUEST);
    assert!(reader.read(&mut input).unwrap().is_some());
    let mut second = BytesMut::from(REQUEST);
    let error = reader.read(&mut second).unwrap_err();
    assert_eq!(error.cause(), Cause::Head(HeadError::Done));
    assert_eq!(second, REQUEST);
}

// R6455-x-early, RT-09
#[test]
fn rt_09_second_request_or_frame_behind_the_head_is_refused() {
    for behind in [&b"\x81\x80\0\0\0\0"[..], b"\r\n", b"\0", REQUEST.as_bytes()] {
        let octets = [REQUEST.as_bytes(), behind].concat();
        serve(&octets).assert_rejected(400);
    }
}

// R6455-x-early
#[test]
fn octets_that_come_while_the_server_thinks_are_refused() {
    let mut reader = RequestReader::default();
    let mut input = BytesMut::from(REQUEST);
    assert!(reader.read(&mut input).unwrap().is_some());
    assert!(reader.check_early_data(&input).is_ok());
    input.extend_from_slice(b"\x81");
    let rejection = reader.check_early_data(&input).unwrap_err();
    assert_eq!((rejection.status().as_u16(), rejection.cause()), (400, Cause::EarlyData));
}

// R6455-x-early
#[test]
fn allowed_early_data_stays_in_the_buffer_for_the_frame_parser() {
    let frame = b"\x81\x80\0\0\0\0";
    let mut input = BytesMut::from(&[REQUEST.as_bytes(), frame].concat()[..]);
    let mut reader = RequestReader::default().allow_early_data(true);
    assert!(reader.read(&mut input).unwrap().is_some());
    assert_eq!(&input[..], frame);
    assert!(reader.check_early_data(&input).is_ok());
}

#[test]
fn plain_request_may_have_something_behind_it() {
    let mut input = BytesMut::from("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    let request = RequestReader::default().read(&mut input).unwrap().unwrap();
    assert!(!request.asks_for_upgrade());
    assert_eq!(&input[..], b"hi");
}

const RICH: &str = "\r\nGET http://a.example:81/chat?x=%20 HTTP/1.1\r\n\
    Host: b.example\r\n\
    Upgrade: h2c\r\n\
    Upgrade: WebSocket\r\n\
    Connection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ==  \r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: b, a\r\n\
    Sec-WebSocket-Extensions: x; y=\"1\\0\"\r\n\
    X-Empty:\r\n\
    \r\n";

#[test]
fn head_split_anywhere_gives_the_same_request() {
    let whole = RequestReader::default().read(&mut BytesMut::from(RICH)).unwrap().unwrap();
    assert_eq!(whole.uri(), "http://a.example:81/chat?x=%20");
    assert_eq!(whole.headers()["x-empty"], "");
    for at in 0..RICH.len() {
        let mut reader = RequestReader::default();
        let mut input = BytesMut::from(&RICH[..at]);
        assert!(reader.read(&mut input).unwrap().is_none(), "{at}");
        input.extend_from_slice(&RICH.as_bytes()[at..]);
        let split = reader.read(&mut input).unwrap().unwrap();
        assert_eq!(split.uri(), whole.uri(), "{at}");
        assert_eq!(split.headers(), whole.headers(), "{at}");
        assert!(input.is_empty(), "{at}");
    }
}

fn outcome(octets: &[u8], piece: usize) -> String {
    let mut reader = RequestReader::default().allow_early_data(true);
    let mut input = BytesMut::new();
    for piece in octets.chunks(piece.max(1)) {
        input.extend_from_slice(piece);
        match reader.read(&mut input) {
            Ok(None) => {}
            Ok(Some(request)) => {
                let upgrade = Upgrade::inspect(&request).map_err(|rejection| rejection.cause());
                return format!("{request:?} {upgrade:?}");
            }
            Err(rejection) => return format!("{:?}", rejection.cause()),
        }
    }
    "more".into()
}

/// Octets that look like a head often enough to get far.
fn headlike() -> impl Strategy<Value = Vec<u8>> {
    let fragment = proptest::sample::select(vec![
        &b"\r\n"[..],
        b"GET /chat HTTP/1.1\r\n",
        b"Host: a\r\n",
        b"Upgrade: websocket\r\n",
        b"Connection: Upgrade\r\n",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        b"Sec-WebSocket-Version: 13\r\n",
        b"Sec-WebSocket-Extensions: a; b=\"\\",
        b"Sec-WebSocket-Protocol: ,,",
        b"Origin: http://",
        b"\n",
        b"\r",
        b": ",
        b"\x80\xff",
    ]);
    let noise = proptest::collection::vec(any::<u8>(), 0..4);
    let part = prop_oneof![8 => fragment.prop_map(<[u8]>::to_vec), 1 => noise];
    proptest::collection::vec(part, 0..14).prop_map(|parts| parts.concat())
}

proptest! {
    // R6455-4.2.1-a, RT-04
    #[test]
    fn arbitrary_octets_never_panic_and_pieces_never_matter(octets in headlike(), piece in 1_usize..40) {
        prop_assert_eq!(outcome(&octets, piece), outcome(&octets, octets.len()));
    }

    // RT-04
    #[test]
    fn request_with_octets_overwritten_never_panics(at in 0..REQUEST.len(), octets in proptest::collection::vec(any::<u8>(), 1..4)) {
        let mut request = REQUEST.as_bytes().to_vec();
        for (i, octet) in octets.into_iter().enumerate() {
            if let Some(place) = request.get_mut(at + i) {
                *place = octet;
            }
        }
        prop_assert_eq!(outcome(&request, 1), outcome(&request, request.len()));
    }
}

#[test]
fn head_shows_its_lines_in_their_order_with_names_in_lower_case() {
    let octets =
        b"GET /a?b HTTP/1.1\r\nHOST: a\r\nX-Two:  1 \r\nUpgrade: h2c\r\nx-tWO:2\xff\r\n\r\n";
    let head = RequestReader::default().read_head(&mut BytesMut::from(&octets[..]));
    let head = head.unwrap().unwrap();
    let lines: Vec<_> = head.headers().collect();
    let expected: [(&[u8], &[u8]); 4] =
        [(b"host", b"a"), (b"x-two", b"1"), (b"upgrade", b"h2c"), (b"x-two", b"2\xff")];
    assert_eq!(lines, expected);
    assert_eq!((head.method().as_str(), head.uri().to_string().as_str()), ("GET", "/a?b"));
    assert!(!head.asks_for_upgrade());
    let request = head.to_request().unwrap();
    assert_eq!(request.uri(), head.uri());
    assert_eq!(request.headers().get_all("x-two").iter().count(), 2);
}
