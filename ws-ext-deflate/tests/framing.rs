//! RSV1, opcodes and fragments (RFC 7692 §6).
#![allow(clippy::unwrap_used)]

mod support;

use support::{
    binary, client, config, connection, fails, feed, frames, masked, noise, plain, receive,
    reference::Reference, repetitive, server, server_for, text, unmasked, written,
};
use ws_core::{
    CloseCode, Config, Connection, Event, Extensions, Message, MessageKind, Role,
    extension::Compression,
};

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];

type New = fn() -> Connection;
type Frame = fn(u8, &[u8]) -> Vec<u8>;

fn new_client() -> Connection {
    client(Config::default())
}

fn new_server() -> Connection {
    server(Config::default())
}

// R7692-6-a, R7692-6-c
#[test]
fn rsv1_on_the_first_frame_marks_a_compressed_message() {
    let wire = [unmasked(0xc1, &HELLO), unmasked(0xc2, &AGAIN)].concat();
    assert_eq!(receive(new_client, &wire), [text("Hello"), binary(b"Hello")]);
    let wire = [masked(0xc1, &HELLO), masked(0xc2, &AGAIN)].concat();
    assert_eq!(receive(new_server, &wire), [text("Hello"), binary(b"Hello")]);

    let mut ws = new_server();
    ws.send("Hello").unwrap();
    ws.send(b"Hello".to_vec()).unwrap();
    let sent = [unmasked(0xc1, &HELLO), unmasked(0xc2, &AGAIN)].concat();
    assert_eq!(written(&mut ws), sent);
}

// R7692-6-b, R7692-6-c
#[test]
fn rsv1_stands_on_the_first_fragment_alone_when_sending() {
    let mut ws = server(config(|config| config.max_sent_frame = 2));
    ws.send("Hello").unwrap();
    ws.send(b"Hello".to_vec()).unwrap();
    assert_eq!(
        frames(&written(&mut ws)),
        [
            (0x41, HELLO[0..2].to_vec()),
            (0x00, HELLO[2..4].to_vec()),
            (0x00, HELLO[4..6].to_vec()),
            (0x80, HELLO[6..].to_vec()),
            (0x42, AGAIN[0..2].to_vec()),
            (0x00, AGAIN[2..4].to_vec()),
            (0x80, AGAIN[4..].to_vec()),
        ]
    );
}

// R7692-6-b, R6455-5.2-b, RT-17
#[test]
fn rt_17_exactly_the_allowed_bits_pass_with_deflate() {
    let sides: [(New, Frame); 2] = [(new_client, unmasked), (new_server, masked)];
    for (new, frame) in sides {
        for first in 0..=255_u8 {
            let (fin, rsv, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 0x0f);
            for before in [None, Some(0x01), Some(0x41)] {
                let mut wire = before.map_or(Vec::new(), |first| frame(first, b""));
                wire.extend(frame(first, b""));
                let allowed = match opcode {
                    0x0 => before.is_some() && rsv == 0,
                    0x1 | 0x2 => before.is_none() && (rsv == 0 || rsv == 4),
                    0x8..=0xa => fin && rsv == 0,
                    _ => false,
                };
                if allowed {
                    let events = receive(new, &wire);
                    let failed = events.iter().any(|event| match event {
                        Event::Closed(closed) => closed.fault.is_some(),
                        _ => false,
                    });
                    assert!(!failed, "{first:#x} behind {before:x?}");
                } else {
                    let (_, code, _) = fails(new, &wire);
                    assert_eq!(code, CloseCode::PROTOCOL_ERROR, "{first:#x} behind {before:x?}");
                }
            }
        }
    }
}

// R7692-6-g
#[test]
fn rsv1_without_the_extension_is_1002() {
    let new = || Connection::new(Role::Server, Config::default(), Extensions::none());
    let (_, code, _) = fails(new, &masked(0xc1, &HELLO));
    assert_eq!(code, CloseCode::PROTOCOL_ERROR);
}

// R7692-6-d
#[test]
fn text_is_validated_when_it_is_inflated() {
    // "é" stored: the compressed octets are no UTF-8, what they inflate to is.
    let valid = [0x00, 0x02, 0x00, 0xfd, 0xff, 0xc3, 0xa9, 0x00];
    assert_eq!(receive(new_client, &unmasked(0xc1, &valid)), [text("é")]);
    let invalid = [0x00, 0x02, 0x00, 0xfd, 0xff, 0xc3, 0x28, 0x00];
    let (_, code, _) = fails(new_client, &unmasked(0xc1, &invalid));
    assert_eq!(code, CloseCode::INVALID_PAYLOAD);
    assert_eq!(receive(new_client, &unmasked(0xc2, &invalid)), [binary(b"\xc3\x28")]);
    // At the first octet that shows it, before the message is complete.
    let mut ws = new_client();
    let events = feed(&mut ws, &mut bytes::BytesMut::new(), &unmasked(0x41, &invalid[..7]));
    assert!(events.contains(&Event::Closing));
}

// R7692-6-f
#[test]
fn plain_message_between_is_as_it_is_and_leaves_the_history_alone() {
    let wire = [
        unmasked(0xc1, &HELLO),
        unmasked(0x82, &HELLO),
        unmasked(0x01, b"other "),
        unmasked(0x80, b"text"),
        unmasked(0xc1, &AGAIN),
    ]
    .concat();
    assert_eq!(
        receive(new_client, &wire),
        [text("Hello"), binary(HELLO), text("other text"), text("Hello")]
    );
}

// R7692-6-e
#[test]
fn message_sent_plain_does_not_enter_the_window() {
    let mut ws = new_server();
    ws.send("Hello").unwrap();
    ws.send_with("0123456789 something else", Compression::Never).unwrap();
    ws.send("Hello").unwrap();
    let sent = [
        unmasked(0xc1, &HELLO),
        unmasked(0x81, b"0123456789 something else"),
        unmasked(0xc1, &AGAIN),
    ];
    assert_eq!(written(&mut ws), sent.concat());
}

// R7692-6-e
#[test]
fn messages_under_the_threshold_go_plain_unless_asked_otherwise() {
    let options = plain().threshold(6);
    let new = || connection(Role::Server, Config::default(), server_for(&options, ""));
    let mut ws = new();
    ws.send("Hello").unwrap();
    ws.send_with("Hello", Compression::Always).unwrap();
    ws.send_with("Hello", Compression::Never).unwrap();
    ws.send("Hello!").unwrap();
    let firsts: Vec<u8> = frames(&written(&mut ws)).iter().map(|f| f.0).collect();
    assert_eq!(firsts, [0x81, 0xc1, 0x81, 0xc1]);
}

// R7692-6-h
#[test]
fn control_frames_pass_between_the_fragments() {
    let wire = [masked(0x41, &HELLO[..3]), masked(0x89, b"?"), masked(0x80, &HELLO[3..])].concat();
    let mut ws = new_server();
    let events = feed(&mut ws, &mut bytes::BytesMut::new(), &wire);
    assert_eq!(events, [Event::Ping(b"?".into()), text("Hello")]);
    assert_eq!(written(&mut ws), b"\x8a\x01?");
    receive(new_server, &wire);
}

// R7692-7.2.1-c, R7692-6-i
#[test]
fn streamed_message_is_one_compressed_message() {
    let data = [repetitive(200_000, 2_000), noise(100_000, 4)].concat();
    let mut ws = new_server();
    ws.start_message(MessageKind::Binary).unwrap();
    for piece in data.chunks(7_777) {
        ws.send_chunk(piece.to_vec()).unwrap();
    }
    ws.finish_message(b"".to_vec()).unwrap();
    let wire = written(&mut ws);
    let sent = frames(&wire);
    assert!(sent.len() > 1);
    assert_eq!(sent[0].0, 0x42);
    assert_eq!(sent.last().unwrap().0, 0x80);
    let payload: Vec<u8> = sent.into_iter().flat_map(|frame| frame.1).collect();
    assert_eq!(Reference::default().message(&payload).unwrap(), data);
    let events = feed(&mut new_client(), &mut bytes::BytesMut::new(), &wire);
    assert!(events == [Event::Message(Message::binary(data))]);
}

// R7692-7.2.1-h
#[test]
fn message_begun_and_not_completed_fails_the_connection_or_is_forgotten() {
    // Through a connection: giving up in the middle ends it, so nothing follows.
    let mut ws = new_server();
    ws.start_message_with(MessageKind::Text, Compression::Always).unwrap();
    ws.send_chunk(b"Hello").unwrap();
    ws.fail(CloseCode::GOING_AWAY, "").unwrap();
    assert!(ws.send("Hello").is_err());

    // The extension alone: the next message does not look back.
    use ws_core::extension::{Chunk, Sink};
    let mut ext = server_for(&plain(), "");
    assert_eq!(support::encoded(&mut *ext, b"Hello"), HELLO);
    let info = support::info(MessageKind::Text, None, Compression::Always);
    ext.begin_encode(&info).unwrap();
    let mut out = Vec::new();
    ext.encode(&mut Chunk::new(b"Hello", false), &mut Sink::new(&mut out, 100)).unwrap();
    assert_eq!(support::encoded(&mut *ext, b"Hello"), HELLO);
}
