//! What waits for extensions to encode it: its order, and who may overtake it (RFC 6455 §5.4 and
//! §5.5).
#![allow(clippy::unwrap_used)]

mod support;

use bytes::{Buf, BytesMut};
use support::{
    KEY, closed,
    extensions::{RSV1, Stutter, add_one, server_of},
    feed, frames, masked, written,
};
use ws_core::{CloseCode, Connection, Event, MessageKind, SendError, extension::Scope};

/// A server that has a megabyte to encode, and one frame of it to write.
fn backlogged() -> Connection {
    let mut ws = server_of(vec![Stutter::boxed(RSV1, 1000)]);
    ws.send(vec![b'a'; 1000]).unwrap();
    assert!(ws.has_more_to_encode());
    while ws.encoded() < 64 * 1024 {
        let _ = ws.poll_output_bounded();
    }
    assert!(ws.encoded() >= 64 * 1024 && ws.encoded() < 200 * 1024);
    ws
}

/// First octets of all frames that are left.
fn kinds(ws: &mut Connection) -> Vec<u8> {
    frames(&written(ws)).iter().map(|frame| frame.first).collect()
}

// R6455-5.5.2-b
#[test]
fn pong_does_not_wait_for_a_message_that_is_being_encoded() {
    let mut ws = backlogged();
    feed(&mut ws, &mut BytesMut::new(), &masked(0x89, KEY, b"now"));
    let kinds = kinds(&mut ws);
    let at = kinds.iter().position(|kind| *kind == 0x8a).unwrap();
    assert!(kinds.len() > 10 && at <= 2, "{kinds:x?}");
}

// R6455-5.5.3-b
#[test]
fn one_pong_at_most_is_owed_behind_extensions() {
    let mut ws = backlogged();
    let mut input = BytesMut::new();
    let encoded = ws.encoded();
    for i in 0..1000_u32 {
        feed(&mut ws, &mut input, &masked(0x89, KEY, &i.to_be_bytes()));
        assert_eq!(ws.is_pong_owed(), i > 0);
        assert_eq!(ws.encoded(), encoded + 6, "one Pong waits, one is owed");
        let _ = ws.poll_output_bounded();
        assert!(ws.encoded() < 200 * 1024);
    }
    let sent = frames(&written(&mut ws));
    let pongs: Vec<_> = sent.iter().filter(|frame| frame.first == 0x8a).collect();
    assert_eq!(pongs.len(), 2);
    assert_eq!(pongs[0].payload, 0_u32.to_be_bytes());
    assert_eq!(pongs[1].payload, 999_u32.to_be_bytes());
}

// R6455-5.5.1-d, R6455-5.5.1-f
#[test]
fn close_waits_for_what_is_being_encoded() {
    let mut ws = backlogged();
    ws.send("b").unwrap();
    ws.close(CloseCode::GOING_AWAY, "").unwrap();
    assert_eq!(ws.send("late"), Err(SendError::Closed));
    let kinds = kinds(&mut ws);
    assert_eq!(kinds[0], 0x42);
    assert_eq!(kinds[kinds.len() - 3..], [0x80, 0xc1, 0x88]);
    assert_eq!(kinds.iter().filter(|kind| **kind == 0x88).count(), 1);
}

// R6455-5.5.1-f
#[test]
fn answer_to_a_close_waits_for_the_replies_that_are_being_encoded() {
    let mut ws = backlogged();
    let mut input = BytesMut::new();
    let events = feed(&mut ws, &mut input, &masked(0x88, KEY, b"\x03\xe8"));
    assert!(matches!(events[..], [Event::Closing, Event::Closed(_)]));
    assert!(closed(&events).clean);
    let kinds = kinds(&mut ws);
    assert_eq!(kinds[kinds.len() - 2..], [0x80, 0x88]);
}

// R6455-5.4-b
#[test]
fn ping_waits_for_the_messages_before_it() {
    let mut ws = backlogged();
    ws.ping(b"?").unwrap();
    ws.unsolicited_pong(b"beat").unwrap();
    ws.send("b").unwrap();
    let kinds = kinds(&mut ws);
    assert_eq!(kinds[kinds.len() - 4..], [0x80, 0x89, 0x8a, 0xc1]);
}

// R6455-5.4-b
#[test]
fn ping_goes_between_the_pieces_of_a_message_that_is_encoded() {
    let mut ws = server_of(vec![add_one(RSV1, Scope::Message).boxed()]);
    ws.start_message(MessageKind::Text).unwrap();
    ws.send_chunk(b"a").unwrap();
    ws.ping(b"?").unwrap();
    ws.send_chunk(b"b").unwrap();
    ws.finish_message(b"").unwrap();
    assert_eq!(written(&mut ws), b"\x41\x01b\x89\x01?\x00\x01c\x80\x00");
    // With more than is encoded ahead, too.
    ws.start_message(MessageKind::Binary).unwrap();
    ws.send_chunk(vec![1; 100_000]).unwrap();
    ws.ping(b"?").unwrap();
    ws.finish_message(b"c").unwrap();
    let kinds = kinds(&mut ws);
    assert_eq!(kinds[0], 0x42);
    assert_eq!(kinds[kinds.len() - 2..], [0x89, 0x80]);
}

// R6455-5.5.1-g, R6455-6.1-d
#[test]
fn message_that_is_given_up_ends_between_frames() {
    let mut ws = server_of(vec![add_one(RSV1, Scope::Message).boxed()]);
    ws.start_message(MessageKind::Binary).unwrap();
    ws.send_chunk(vec![1; 100_000]).unwrap();
    ws.fail(CloseCode::INTERNAL_ERROR, "").unwrap();
    let kinds = kinds(&mut ws);
    assert_eq!(kinds.last(), Some(&0x88));
    assert!(kinds[..kinds.len() - 1].iter().all(|kind| kind & 0x80 == 0));
}

// R6455-6.1-b
#[test]
fn encoding_runs_no_further_ahead_than_64_kib_of_the_writer() {
    let mut ws = backlogged();
    let mut len = 0;
    while let Some(output) = ws.poll_output() {
        assert!(output.len() <= 64 * 1024 + 64 * 1024 + 20);
        let n = output.len().min(10_000);
        output.advance(n);
        len += n;
    }
    assert!(!ws.has_more_to_encode());
    assert!(len > 1_000_001 && len < 1_001_000);
}
