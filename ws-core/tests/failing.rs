//! `Connection::fail` ends a connection, however far that has come.

mod support;

use bytes::BytesMut;
use support::{
    KEY, client, closed,
    extensions::{RSV1, Stutter, server_of},
    feed, frames, masked, server, stays_closed, unmasked, written,
};
use ws_core::{CloseCode, ClosedBy, Connection, Event, MessageKind, SendError};

const SIDES: [(fn() -> Connection, bool); 2] = [(server, true), (client, false)];

/// A frame that the peer of this end sends.
fn incoming(is_server: bool, first: u8, payload: &[u8]) -> Vec<u8> {
    if is_server { masked(first, KEY, payload) } else { unmasked(first, payload) }
}

fn fail(ws: &mut Connection) -> Result<(), SendError> {
    ws.fail(CloseCode::POLICY_VIOLATION, "too many")
}

/// It says that we failed it, and nothing else.
fn tells_the_failure(ws: &mut Connection, input: &mut BytesMut) {
    let events = feed(ws, input, b"");
    assert_eq!(events.len(), 1, "{events:?}");
    let closed = closed(&events);
    assert_eq!((closed.by, closed.code.get()), (ClosedBy::Local, 1008));
    assert_eq!((closed.reason.as_str(), closed.clean), ("too many", false));
}

// R6455-7.1.7-a, R6455-7.1.7-c
#[test]
fn fail_behind_our_close_ends_it_at_once() {
    for (new, is_server) in SIDES {
        let mut ws = new();
        ws.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(fail(&mut ws), Ok(()));
        assert!(ws.is_ending());
        let mut input = BytesMut::from(&incoming(is_server, 0x89, b"").repeat(1000)[..]);
        tells_the_failure(&mut ws, &mut input);
        assert!(input.is_empty() && !ws.is_ending());
        let sent = frames(&written(&mut ws));
        assert_eq!(sent.len(), 1, "one Close is all");
        assert_eq!((sent[0].first, &sent[0].payload[..]), (0x88, &b"\x03\xe8"[..]));
        assert_eq!(fail(&mut ws), Err(SendError::Closed));
        ws.input_ended();
        stays_closed(&mut ws, &mut input);
    }
}

// T-B3
#[test]
fn flood_behind_our_close_is_not_read_any_more_once_failed() {
    for (new, is_server) in SIDES {
        for flood in [
            incoming(is_server, 0x89, b"ping"),
            incoming(is_server, 0x8a, b""),
            incoming(is_server, 0x82, b""),
        ] {
            let mut ws = new();
            ws.close(CloseCode::GOING_AWAY, "").unwrap();
            let mut input = BytesMut::from(&flood.repeat(10_000)[..]);
            let mut events = 0;
            while let Some(event) = ws.poll_event(&mut input) {
                events += 1;
                // A limit of the caller's.
                if events == 100 {
                    fail(&mut ws).unwrap();
                }
                assert!(events <= 101 && (events == 101) == matches!(event, Event::Closed(_)));
            }
            assert_eq!((events, input.len()), (101, 0));
        }
    }
}

#[test]
fn fail_inside_of_what_the_peer_sends_behind_our_close_ends_it() {
    let mut ws = server();
    let mut input = BytesMut::new();
    ws.close(CloseCode::NORMAL, "").unwrap();
    // In the middle of a frame, of a message and of a header.
    for cut in [1, 5, 8, 40] {
        let mut ws = server();
        ws.close(CloseCode::NORMAL, "").unwrap();
        let mut input = BytesMut::new();
        feed(&mut ws, &mut input, &masked(0x02, KEY, &[7; 30])[..cut.min(36)]);
        fail(&mut ws).unwrap();
        tells_the_failure(&mut ws, &mut input);
        assert_eq!((ws.unfinished(), written(&mut ws)), (None, b"\x88\x02\x03\xe8".to_vec()));
    }
    feed(&mut ws, &mut input, &masked(0x88, KEY, b"\x03\xe8"));
    assert_eq!(fail(&mut ws), Err(SendError::Closed));
}

#[test]
fn fail_behind_the_peers_close_or_fault_keeps_how_it_ended() {
    let mut input = BytesMut::new();
    let mut ws = server();
    assert_eq!(feed_once(&mut ws, &mut input, &masked(0x88, KEY, b"\x0f\xa0bye")), Event::Closing);
    fail(&mut ws).unwrap();
    let events = feed(&mut ws, &mut input, b"");
    assert_eq!((closed(&events).by, closed(&events).code.get()), (ClosedBy::Peer, 4000));
    assert_eq!(written(&mut ws), b"\x88\x0a\x03\xf0too many");
    let mut ws = server();
    assert_eq!(feed_once(&mut ws, &mut input, b"\x83"), Event::Closing);
    fail(&mut ws).unwrap();
    let events = feed(&mut ws, &mut input, b"");
    assert_eq!((closed(&events).by, closed(&events).code.get()), (ClosedBy::Local, 1008));
    assert!(closed(&events).fault.is_some());
}

fn feed_once(ws: &mut Connection, input: &mut BytesMut, bytes: &[u8]) -> Event {
    input.extend_from_slice(bytes);
    ws.poll_event(input).unwrap()
}

#[test]
fn second_failure_and_close_behind_a_failure_are_refused() {
    let mut ws = server();
    fail(&mut ws).unwrap();
    assert_eq!(ws.fail(CloseCode::INTERNAL_ERROR, ""), Err(SendError::Closed));
    assert_eq!(ws.close(CloseCode::NORMAL, ""), Err(SendError::Closed));
    tells_the_failure(&mut ws, &mut BytesMut::new());
    assert_eq!(fail(&mut ws), Err(SendError::Closed));
    assert_eq!(written(&mut ws), b"\x88\x0a\x03\xf0too many");
}

// R6455-5.5.1-c
#[test]
fn nothing_about_code_or_reason_keeps_a_connection_from_failing() {
    for code in [0, 1004, 1005, 1006, 1010, 1015, 2999, 5000] {
        let mut ws = server();
        assert_eq!(ws.fail(CloseCode::new(code), "why"), Ok(()));
        assert_eq!(written(&mut ws), b"\x88\x05\x03\xf3why", "{code}");
    }
    let mut ws = server();
    let long = "é".repeat(100);
    assert_eq!(ws.fail(CloseCode::POLICY_VIOLATION, &long), Ok(()));
    let sent = written(&mut ws);
    assert_eq!((sent[1], &sent[4..]), (124, &long.as_bytes()[..122]));
    assert_eq!(closed(&feed(&mut ws, &mut BytesMut::new(), b"")).reason, long[..122]);
}

#[test]
fn fail_ends_it_while_our_close_waits_behind_what_is_to_be_encoded() {
    let mut ws = server_of(vec![Stutter::boxed(RSV1, 1000)]);
    ws.send(vec![b'a'; 1000]).unwrap();
    ws.close(CloseCode::NORMAL, "").unwrap();
    assert!(ws.has_more_to_encode());
    fail(&mut ws).unwrap();
    tells_the_failure(&mut ws, &mut BytesMut::new());
    let sent = frames(&written(&mut ws));
    assert_eq!(sent.last().map(|frame| frame.first), Some(0x88));
    assert_eq!(sent.iter().filter(|frame| frame.first == 0x88).count(), 1);
    assert_eq!(ws.unwritten(), 0);
}

#[test]
fn fail_ends_a_message_in_pieces() {
    for mut ws in [server(), server_of(vec![Stutter::boxed(RSV1, 10)])] {
        ws.start_message(MessageKind::Binary).unwrap();
        ws.send_chunk(b"part").unwrap();
        fail(&mut ws).unwrap();
        tells_the_failure(&mut ws, &mut BytesMut::new());
        assert!(written(&mut ws).ends_with(b"\x88\x0a\x03\xf0too many"));
        assert_eq!(ws.unwritten(), 0);
    }
}
