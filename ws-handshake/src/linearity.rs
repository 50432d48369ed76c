//! Tests that every parser goes through its input once.

use bytes::BytesMut;
use ws_core::UNLIMITED;

use crate::{
    HeadError, Limits, RequestReader, ResponseReader, Subprotocols,
    extension_header::parse_counting, list::Elements,
};

fn unlimited() -> Limits {
    Limits::default()
        .max_offers(UNLIMITED)
        .max_parameters(UNLIMITED)
        .max_subprotocols(UNLIMITED)
        .max_empty_elements(UNLIMITED)
}

/// The visits for one line of `Sec-WebSocket-Extensions`, and whether it is valid.
fn extensions(line: &[u8]) -> (usize, bool) {
    let (outcome, visits) = parse_counting([line], &unlimited());
    (visits.count(), outcome.is_ok())
}

/// The visits for one line of `Sec-WebSocket-Protocol`, and whether it is valid.
fn subprotocols(line: &[u8]) -> (usize, bool) {
    let (outcome, visits) = Subprotocols::parse([line], &unlimited());
    (visits.count(), outcome.is_ok())
}

/// The visits for one line of `Connection` or `Upgrade`.
fn elements(line: &[u8]) -> usize {
    let mut elements = Elements::new(line);
    elements.by_ref().for_each(drop);
    elements.visits().count()
}

/// Texts of about `n` octets that take a slow parser n * n steps.
fn hostile(n: usize) -> Vec<Vec<u8>> {
    vec![
        ",".repeat(n).into(),
        " ".repeat(n).into(),
        "\t".repeat(n).into(),
        format!("a{}", " ".repeat(n)).into(),
        format!("a{}b", " ".repeat(n)).into(),
        format!("a;b=\"{}", "\\a".repeat(n)).into(),
        format!("a;b=\"{}", "\\\\a".repeat(n)).into(),
        format!("a{}", ";b=\"\\\"".repeat(n)).into(),
        "\"\\a".repeat(n).into(),
        ";".repeat(n).into(),
        format!("a{}", ";b".repeat(n)).into(),
        format!("a{}", ";b=\"c\"".repeat(n)).into(),
        format!("a{}", ";b=c".repeat(n)).into(),
        "a,".repeat(n).into(),
        "a , ".repeat(n).into(),
        "a".repeat(n).into(),
        vec![0xff; n],
    ]
}

// RT-05
#[test]
fn rt_05_lists_take_linear_time() {
    const N: usize = 4096;
    let pairs = hostile(N).into_iter().zip(hostile(2 * N));
    for (once, twice) in pairs {
        let of_extensions: fn(&[u8]) -> usize = |line| extensions(line).0;
        let of_subprotocols: fn(&[u8]) -> usize = |line| subprotocols(line).0;
        for count in [of_extensions, of_subprotocols, elements] {
            let (one, two) = (count(&once), count(&twice));
            let shown = String::from_utf8_lossy(&once[..8]).into_owned();
            assert!(one >= 1 && two * 10 <= one * 22 + 100, "{shown:?}: {one}, {two}");
            assert!(two <= 4 * twice.len() + 10, "{shown:?}: {two} for {}", twice.len());
        }
    }
}

// RT-05
#[test]
fn rt_05_the_count_of_visits_is_that_of_the_whole_text() {
    // Shows that the bound above can fail: reading to the end visits each octet at least once.
    let line = format!("a{}", ";b=\"\\c\"".repeat(1000));
    let (count, valid) = extensions(line.as_bytes());
    assert!(valid && count >= line.len());
    let line = "x ".repeat(1000);
    assert!(elements(line.as_bytes()) >= line.len());
    let names: Vec<_> = (0..100).map(|i| i.to_string()).collect();
    let (count, valid) = subprotocols(names.join(",").as_bytes());
    assert!(valid && count >= names.join(",").len());
}

/// A request head of exactly `len` octets.
fn head_of(len: usize) -> Vec<u8> {
    let begin = b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Padding: ";
    let padding = vec![b'a'; len - begin.len() - 4];
    [&begin[..], &padding, b"\r\n\r\n"].concat()
}

/// Reads `octets` in pieces. Returns the outcome, the octets given and the visits.
fn read(octets: &[u8], piece: usize) -> (Option<bool>, usize, usize) {
    let mut reader = RequestReader::default();
    let mut input = BytesMut::new();
    let mut given = 0;
    for piece in octets.chunks(piece) {
        given += piece.len();
        input.extend_from_slice(piece);
        match reader.read(&mut input) {
            Ok(None) => assert!(reader.visits().count() <= given),
            Ok(Some(_)) => return (Some(true), given, reader.visits().count()),
            Err(_) => return (Some(false), given, reader.visits().count()),
        }
    }
    (None, given, reader.visits().count())
}

// RT-01
#[test]
fn rt_01_head_octets_are_examined_once_to_find_the_end_and_once_to_parse() {
    let head = head_of(16 * 1024);
    for piece in [1, 2, 7, 1460, 16 * 1024] {
        assert_eq!(read(&head, piece), (Some(true), head.len(), 2 * head.len()), "{piece}");
    }
    for piece in [1, 2, 7, 1460] {
        let (outcome, given, visits) = read(&head_of(16 * 1024 + 1), piece);
        assert_eq!(outcome, Some(false), "{piece}");
        assert!(given <= 16 * 1024 + piece, "{piece}: {given}");
        assert!(visits <= 2 * given, "{piece}: {visits}");
    }
}

// RT-02
#[test]
fn rt_02_endless_heads_are_looked_at_up_to_the_limit() {
    let begin = b"GET / HTTP/1.1\r\nHost: a.example\r\n";
    let line = [&begin[..], b"X: ", &[b'a'; 1 << 20]].concat();
    let lines = [&begin[..], &b"X: y\r\n".repeat(1 << 16)].concat();
    let target = [b"GET /", &[b'a'; 1 << 20][..]].concat();
    for (octets, limit) in [
        (&line[..], 16 * 1024),
        (&lines, 16 * 1024),
        (&[b'a'; 1 << 20], 16 * 1024),
        (&target, 8 * 1024 + 4),
    ] {
        let (outcome, given, visits) = read(octets, 1024);
        assert_eq!(outcome, Some(false));
        assert!(given <= limit + 1024, "{given}");
        assert!(visits <= limit + 1, "{visits}");
    }
}

// R6455C-4.1-ac, RT-02
#[test]
fn rt_02_client_visits_each_octet_twice_at_most() {
    let head = "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\
        Upgrade: websocket\r\nSet-Cookie: x=y\r\n\r\n";
    for at in 0..head.len() {
        let mut reader = ResponseReader::default();
        let mut input = BytesMut::from(&head[..at]);
        assert!(reader.read(&mut input).unwrap().is_none(), "{at}");
        input.extend_from_slice(&head.as_bytes()[at..]);
        assert!(reader.read(&mut input).unwrap().is_some(), "{at}");
        assert_eq!(reader.visits().count(), 2 * head.len(), "{at}");
    }
    let mut reader = ResponseReader::default();
    let mut input = BytesMut::from("HTTP/1.1 100 Continue\r\n\r\n".repeat(1 << 12).as_str());
    let given = input.len();
    assert_eq!(reader.read(&mut input).unwrap_err(), HeadError::TooLarge);
    assert!(reader.visits().count() <= 2 * given);
}
