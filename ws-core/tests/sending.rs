//! Sending (RFC 6455 §6.1), whole messages and pieces, and what a caller can do wrong.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::{Bytes, BytesMut};
use support::{
    KEY, client, closed, config,
    extensions::{RSV1, add_one, server_of},
    feed, frames, masked, receive, server, server_with, unmasked, written,
};
use ws_core::{
    Broadcast, CloseCode, ClosedBy, Connection, Event, Message, MessageKind, Payload, SendError,
    Text, extension::Scope,
};

fn start(ws: &mut Connection, kind: MessageKind) {
    ws.start_message(kind).unwrap();
}

// R6455-6.1-a
#[test]
fn data_is_sent_in_open_only_and_before_our_close() {
    let try_all = |ws: &mut Connection| {
        [
            ws.send("text").is_ok(),
            ws.start_message(MessageKind::Binary).is_ok(),
            ws.send_chunk(b"a").is_ok(),
            ws.finish_message(b"b").is_ok(),
            ws.ping(b"").is_ok(),
        ]
    };
    // Open.
    let mut ws = server();
    assert_eq!(try_all(&mut ws), [true; 5]);
    // The peer's Close was read, ours is not queued yet.
    let mut input = BytesMut::from(&masked(0x88, KEY, b"\x03\xe8")[..]);
    assert_eq!(ws.poll_event(&mut input), Some(Event::Closing));
    assert_eq!(try_all(&mut ws), [true; 5]);
    // Closed.
    assert!(matches!(ws.poll_event(&mut input), Some(Event::Closed(_))));
    written(&mut ws);
    assert_eq!(try_all(&mut ws), [false; 5]);
    // Our Close is queued.
    let mut ws = server();
    ws.close(CloseCode::NORMAL, "").unwrap();
    written(&mut ws);
    assert_eq!(try_all(&mut ws), [false; 5]);
    // We failed it.
    let mut ws = server();
    ws.fail(CloseCode::INTERNAL_ERROR, "").unwrap();
    written(&mut ws);
    assert_eq!(try_all(&mut ws), [false; 5]);
    assert_eq!(written(&mut ws), b"");
    // The transport ended.
    let mut ws = server();
    ws.input_ended();
    feed(&mut ws, &mut BytesMut::new(), b"");
    assert_eq!(try_all(&mut ws), [false; 5]);
    assert_eq!(written(&mut ws), b"");
}

// R6455-6.1-a, R6455-6.1-d
#[test]
fn streamed_message_stops_where_the_connection_fails() {
    let mut ws = server();
    start(&mut ws, MessageKind::Text);
    ws.send_chunk(b"half").unwrap();
    feed(&mut ws, &mut BytesMut::new(), b"\x83");
    assert_eq!(ws.send_chunk(b"more"), Err(SendError::Closed));
    assert_eq!(ws.finish_message(b""), Err(SendError::Closed));
    let sent = frames(&written(&mut ws));
    assert_eq!((sent[0].first, sent[1].first, sent.len()), (0x01, 0x88, 2));
}

// R6455-6.1-b
#[test]
fn message_leaves_as_one_frame_or_as_a_series_that_reads_back() {
    let data: Vec<u8> = (0..1000).map(|i| i as u8).collect();
    for size in [1, 7, 125, 126, 999, 1000, 1001] {
        let mut ws = server_with(config(|config| config.max_sent_frame = size));
        ws.send(data.clone()).unwrap();
        let sent = written(&mut ws);
        let frames = frames(&sent);
        assert_eq!(frames.len(), data.len().div_ceil(size));
        for (i, frame) in frames.iter().enumerate() {
            let opcode = if i == 0 { 0x02 } else { 0x00 };
            let fin = if i + 1 == frames.len() { 0x80 } else { 0 };
            assert_eq!(frame.first, fin | opcode);
            assert!(frame.payload.len() <= size);
        }
        assert_eq!(receive(client, &sent).messages(), [Message::binary(data.clone())]);
    }
}

// R6455-6.1-c
#[test]
fn first_frame_has_the_opcode_of_the_type_and_text_is_utf8_by_type() {
    let mut ws = server();
    ws.send("text").unwrap();
    ws.send(String::from("text")).unwrap();
    ws.send(vec![0xff]).unwrap();
    ws.send(Bytes::from_static(b"text")).unwrap();
    let kinds: Vec<u8> = frames(&written(&mut ws)).iter().map(|f| f.first).collect();
    assert_eq!(kinds, [0x81, 0x81, 0x82, 0x82]);
    assert!(Text::try_from(Bytes::from_static(b"\xff")).is_err());
    assert!(Text::try_from(Payload::from(b"\xe2\x82")).is_err());
}

// R6455-6.1-c
#[test]
fn streamed_text_has_to_be_utf8_over_its_pieces() {
    let mut ws = server();
    start(&mut ws, MessageKind::Text);
    ws.send_chunk(b"\xe2").unwrap();
    ws.send_chunk(b"\x82").unwrap();
    assert_eq!(ws.send_chunk(b"a"), Err(SendError::InvalidUtf8));
    assert_eq!(ws.finish_message(b""), Err(SendError::InvalidUtf8));
    // What was refused left no trace.
    ws.finish_message(b"\xac").unwrap();
    assert_eq!(written(&mut ws), b"\x01\x01\xe2\x00\x01\x82\x80\x01\xac");
    start(&mut ws, MessageKind::Binary);
    ws.finish_message(b"\xff").unwrap();
    assert_eq!(written(&mut ws), b"\x82\x01\xff");
}

// R6455-6.1-d
#[test]
fn unfinished_message_cannot_be_left_behind_silently() {
    let mut ws = server();
    start(&mut ws, MessageKind::Binary);
    ws.send_chunk(b"half").unwrap();
    assert_eq!(ws.send("next"), Err(SendError::MessageInProgress));
    assert_eq!(ws.start_message(MessageKind::Text), Err(SendError::MessageInProgress));
    assert_eq!(ws.close(CloseCode::NORMAL, ""), Err(SendError::MessageInProgress));
    assert!(ws.is_open());
    ws.fail(CloseCode::INTERNAL_ERROR, "").unwrap();
    assert_eq!(written(&mut ws), b"\x02\x04half\x88\x02\x03\xf3");
    let events = feed(&mut ws, &mut BytesMut::new(), b"");
    assert_eq!(closed(&events).by, ClosedBy::Local);
    assert_eq!(closed(&events).code, CloseCode::INTERNAL_ERROR);
}

// R6455-6.1-d, R6455-5.5.1-d
#[test]
fn close_cuts_a_streamed_message() {
    let mut ws = server();
    start(&mut ws, MessageKind::Binary);
    ws.send_chunk(b"half").unwrap();
    ws.send_broadcast(&Broadcast::new("waits")).unwrap();
    let invalid = CloseCode::from(1005);
    assert_eq!(ws.close_within_message(invalid, ""), Err(SendError::InvalidCloseCode(invalid)));
    ws.close_within_message(CloseCode::GOING_AWAY, "").unwrap();
    assert_eq!(written(&mut ws), b"\x02\x04half\x88\x02\x03\xe9");
    assert_eq!(ws.send_chunk(b"late"), Err(SendError::Closed));
    assert_eq!(ws.finish_message(b""), Err(SendError::Closed));
    assert_eq!(ws.close_within_message(CloseCode::NORMAL, ""), Err(SendError::Closed));
    // The closing handshake goes on as after any Close.
    let mut input = BytesMut::new();
    let events = feed(&mut ws, &mut input, &masked(0x81, KEY, b"before"));
    assert_eq!(events, [Event::Message("before".into())]);
    let events = feed(&mut ws, &mut input, &masked(0x88, KEY, b"\x03\xe9"));
    assert!(closed(&events).clean);
    // Outside of a message it is the same as `close`.
    let mut ws = server();
    ws.close_within_message(CloseCode::NORMAL, "").unwrap();
    assert_eq!(written(&mut ws), b"\x88\x02\x03\xe8");
}

// R6455-6.1-d
#[test]
fn loss_of_the_transport_gives_up_a_message_in_pieces_and_what_waits_for_its_end() {
    let extended = || server_of(vec![add_one(RSV1, Scope::Message).boxed()]);
    for new in [server, extended] {
        let mut ws = new();
        ws.send("before").unwrap();
        start(&mut ws, MessageKind::Binary);
        ws.send_chunk(b"half").unwrap();
        ws.send_broadcast(&Broadcast::new("waits")).unwrap();
        ws.input_ended();
        let events = feed(&mut ws, &mut BytesMut::new(), b"");
        assert_eq!(closed(&events).code, CloseCode::ABNORMAL);
        assert_eq!(frames(&written(&mut ws))[0].first & 0x8f, 0x81);
        assert_eq!((ws.unwritten(), ws.memory_usage()), (0, 0));
    }
}

// R6455-6.1-d
#[test]
fn last_frame_of_a_streamed_message_has_fin_even_if_it_is_empty() {
    let mut ws = server();
    start(&mut ws, MessageKind::Text);
    ws.finish_message(b"").unwrap();
    start(&mut ws, MessageKind::Text);
    ws.send_chunk(b"").unwrap();
    ws.send_chunk(b"a").unwrap();
    ws.finish_message(b"").unwrap();
    assert_eq!(written(&mut ws), b"\x81\x00\x01\x01a\x80\x00");
}

// R6455-6.1-b, R6455-6.1-d
#[test]
fn piece_of_a_streamed_message_obeys_the_frame_size() {
    let mut ws = server_with(config(|config| config.max_sent_frame = 2));
    start(&mut ws, MessageKind::Binary);
    ws.send_chunk(b"abc").unwrap();
    ws.finish_message(b"defg").unwrap();
    assert_eq!(written(&mut ws), b"\x02\x02ab\x00\x01c\x00\x02de\x80\x02fg");
}

// R6455-6.1-b
#[test]
fn piece_without_a_start_is_refused() {
    let mut ws = server();
    let refused = Err(SendError::NoMessageInProgress);
    assert_eq!(ws.send_chunk(b"a"), refused);
    assert_eq!(ws.send_chunk(b""), refused);
    assert_eq!(ws.finish_message(b"a"), refused);
    start(&mut ws, MessageKind::Binary);
    ws.finish_message(b"a").unwrap();
    assert_eq!(ws.finish_message(b"a"), refused);
    assert_eq!(written(&mut ws), b"\x82\x01a");
}

// R6455-6.1-b
#[test]
fn control_frames_may_go_between_pieces() {
    let mut ws = server();
    start(&mut ws, MessageKind::Binary);
    ws.send_chunk(b"a").unwrap();
    ws.ping(b"?").unwrap();
    ws.finish_message(b"b").unwrap();
    assert_eq!(written(&mut ws), b"\x02\x01a\x89\x01?\x80\x01b");
}

// R6455-5.5-a, R6455-5.5.1-c, R6455-7.4.1-a
#[test]
fn refused_command_queues_nothing_and_says_why() {
    let mut ws = server();
    let errors = [
        ws.ping(vec![0; 126]).unwrap_err(),
        ws.unsolicited_pong(vec![0; 1000]).unwrap_err(),
        ws.close(CloseCode::NO_STATUS, "").unwrap_err(),
        ws.close(CloseCode::new(999), "").unwrap_err(),
        ws.send_chunk(b"").unwrap_err(),
    ];
    assert_eq!(
        errors,
        [
            SendError::ControlTooLong { len: 126 },
            SendError::ControlTooLong { len: 1000 },
            SendError::InvalidCloseCode(CloseCode::NO_STATUS),
            SendError::InvalidCloseCode(CloseCode::new(999)),
            SendError::NoMessageInProgress,
        ]
    );
    let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(said[0].contains("125") && said[0].contains("126"));
    assert!(said[2].contains("1005") && said[3].contains("999"));
    assert!(ws.is_open());
    assert_eq!((ws.unwritten(), written(&mut ws)), (0, vec![]));
}

// R6455-6.1-b
#[test]
fn sent_messages_keep_their_order_whatever_their_size() {
    let mut ws = server();
    let mut expected = Vec::new();
    for len in [0, 4095, 1, 4096, 125, 20_000, 126, 16_384, 3, 70_000, 0] {
        ws.send(vec![len as u8; len]).unwrap();
        expected.extend(unmasked(0x82, &vec![len as u8; len]));
    }
    assert_eq!(ws.unwritten(), expected.len());
    assert!(written(&mut ws) == expected);
    assert_eq!((ws.unwritten(), ws.memory_usage()), (0, 0));
}
