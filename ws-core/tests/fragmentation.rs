//! Fragmentation (RFC 6455 §5.4).

mod support;

use support::{
    KEY, Sent, binary, client, config, fails, frames, masked, receive, server, server_with, text,
    unmasked, written,
};
use ws_core::{Event, Fault, Message, MessageKind, Payload};

// R6455-5.4-a
#[test]
fn one_frame_with_fin_and_a_data_opcode_is_a_message() {
    let input = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x82\x81\0\0\0\0\xff";
    assert_eq!(receive(server, input).events, [text("Hello"), binary(b"\xff")]);
    let mut ws = server();
    ws.send("Hello").unwrap();
    ws.send(vec![0xff]).unwrap();
    assert_eq!(written(&mut ws), b"\x81\x05Hello\x82\x01\xff");
}

// R6455-5.4-b, R6455-5.2-a
#[test]
fn fragments_of_the_rfc_become_one_message() {
    let input = b"\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f";
    assert_eq!(receive(client, input).events, [text("Hello")]);
}

// R6455-5.4-b, R6455-5.4-g
#[test]
fn payloads_of_many_fragments_are_joined_in_order() {
    let input = [
        masked(0x02, KEY, b"0"),
        masked(0x00, [9; 4], b"12"),
        masked(0x00, [0; 4], b"345"),
        masked(0x00, KEY, b""),
        masked(0x00, KEY, b"6789"),
        masked(0x80, KEY, b"."),
    ]
    .concat();
    assert_eq!(receive(server, &input).events, [binary(b"0123456789.")]);
}

// R6455-5.2-a
#[test]
fn message_is_not_delivered_before_its_fin() {
    let input = [masked(0x01, KEY, b"a"), masked(0x00, KEY, b"b")].concat();
    assert_eq!(receive(server, &input).events, []);
}

// R6455-5.4-c
#[test]
fn continuation_without_a_message_fails_on_its_first_octet() {
    for first in [0x00, 0x80] {
        for payload in [&b""[..], b"abc"] {
            let failed = fails(server, &masked(first, KEY, payload));
            assert_eq!(failed.fault, Fault::UnexpectedContinuation);
            assert_eq!((failed.code, failed.octets), (1002, 1));
        }
    }
    let input =
        [masked(0x01, KEY, b"a"), masked(0x80, KEY, b"b"), masked(0x80, KEY, b"c")].concat();
    let failed = fails(server, &input);
    assert_eq!(failed.before, [text("ab")]);
    assert_eq!(failed.fault, Fault::UnexpectedContinuation);
}

// R6455-5.4-d
#[test]
fn new_message_inside_of_another_fails_on_its_first_octet() {
    for start in [0x01, 0x02] {
        for inner in [0x01, 0x81, 0x02, 0x82] {
            let begun = masked(start, KEY, b"a");
            let failed = fails(server, &[&begun[..], &masked(inner, KEY, b"b")].concat());
            assert_eq!(failed.before, []);
            assert_eq!(failed.fault, Fault::UnfinishedMessage);
            assert_eq!((failed.code, failed.octets), (1002, begun.len() + 1));
        }
    }
}

// R6455-5.4-e
#[test]
fn control_frames_inside_a_message_are_handled_at_once_and_leave_it_alone() {
    let begun = [masked(0x01, KEY, b"to"), masked(0x89, KEY, b"now")].concat();
    let seen = receive(server, &begun);
    assert_eq!(seen.events, [Event::Ping(Payload::from(b"now"))]);
    assert_eq!(seen.sent, b"\x8a\x03now");

    let rest = [
        masked(0x8a, KEY, b""),
        masked(0x00, KEY, b"get"),
        masked(0x89, KEY, b""),
        masked(0x80, KEY, b"her"),
    ]
    .concat();
    let seen = receive(server, &[begun, rest].concat());
    assert_eq!(
        seen.events,
        [
            Event::Ping(Payload::from(b"now")),
            Event::Pong(Payload::new()),
            Event::Ping(Payload::new()),
            text("together"),
        ]
    );
    assert_eq!(seen.sent, b"\x8a\x03now\x8a\x00");
}

// R6455-5.4-f
#[test]
fn fragmented_control_frame_fails_on_its_first_octet() {
    for first in [0x08, 0x09, 0x0a] {
        for payload in [&b""[..], b"\x03\xe8"] {
            let failed = fails(server, &masked(first, KEY, payload));
            assert_eq!(failed.fault, Fault::FragmentedControl);
            assert_eq!((failed.code, failed.octets), (1002, 1));
        }
    }
    let begun = masked(0x02, KEY, b"a");
    let failed = fails(server, &[&begun[..], &masked(0x09, KEY, b"")].concat());
    assert_eq!(failed.fault, Fault::FragmentedControl);
    assert_eq!(failed.octets, begun.len() + 1);
}

// R6455-5.4-h
#[test]
fn fragments_may_be_empty() {
    let empty = b"\x01\x80\0\0\0\0\x00\x80\0\0\0\0\x80\x80\0\0\0\0";
    assert_eq!(receive(server, empty).events, [text("")]);
    let input = [
        masked(0x01, KEY, b""),
        masked(0x00, KEY, b"in"),
        masked(0x00, KEY, b""),
        masked(0x00, KEY, b"side"),
        masked(0x80, KEY, b""),
    ]
    .concat();
    assert_eq!(receive(server, &input).events, [text("inside")]);
}

// R6455-5.4-i
#[test]
fn fragmented_and_unfragmented_messages_may_alternate() {
    let mut input = Vec::new();
    let mut expected = Vec::new();
    for i in 0..1000_u32 {
        let number = i.to_string();
        let (head, tail) = number.split_at(number.len() / 2);
        if i % 2 == 0 {
            input.extend(masked(0x81, KEY, number.as_bytes()));
        } else {
            input.extend(masked(0x01, i.to_be_bytes(), head.as_bytes()));
            input.extend(masked(0x80, KEY, tail.as_bytes()));
        }
        expected.push(text(&number));
    }
    assert_eq!(receive(server, &input).events, expected);
}

// R6455-5.4-j
#[test]
fn frame_boundaries_do_not_show_in_the_message() {
    let data = b"the same bytes";
    let mut seen = vec![receive(server, &masked(0x82, KEY, data)).events];
    for cut in 0..=data.len() {
        let input = [masked(0x02, KEY, &data[..cut]), masked(0x80, KEY, &data[cut..])].concat();
        seen.push(receive(server, &input).events);
    }
    assert!(seen.iter().all(|events| *events == [binary(data)]));
}

// R6455-5.4-l
#[test]
fn first_frame_sets_the_type_of_all() {
    let input = [masked(0x01, KEY, b"text"), masked(0x80, KEY, b" too")].concat();
    assert_eq!(receive(server, &input).events, [text("text too")]);
    let input = [masked(0x02, KEY, b"\xff"), masked(0x80, KEY, b"\xfe")].concat();
    assert_eq!(receive(server, &input).events, [binary(b"\xff\xfe")]);
    let input = [masked(0x01, KEY, b"text"), masked(0x80, KEY, b"\xff")].concat();
    let failed = fails(server, &input);
    assert_eq!((failed.fault, failed.code), (Fault::InvalidUtf8, 1007));
}

// R6455-5.4-b, R6455-6.1-b, R6455-6.1-d
#[test]
fn sent_message_is_cut_into_valid_fragments_where_that_is_asked_for() {
    let mut ws = server_with(config(|config| config.max_sent_frame = 2));
    ws.send("Hello").unwrap();
    ws.send(b"ab".to_vec()).unwrap();
    ws.send("").unwrap();
    assert_eq!(written(&mut ws), b"\x01\x02He\x00\x02ll\x80\x01o\x82\x02ab\x81\x00");
    let mut ws = server_with(config(|config| config.max_sent_frame = 0));
    ws.send("Hel").unwrap();
    assert_eq!(written(&mut ws), b"\x01\x01H\x00\x01e\x80\x01l");
}

// R6455-5.4-b, R6455-5.2-a, R6455-6.1-d
#[test]
fn streamed_message_is_a_valid_series_of_fragments() {
    let mut ws = server();
    ws.start_message(MessageKind::Text).unwrap();
    ws.send_chunk(b"Hel").unwrap();
    ws.send_chunk(b"").unwrap();
    ws.send_chunk(b"lo").unwrap();
    ws.finish_message(b"").unwrap();
    ws.start_message(MessageKind::Binary).unwrap();
    ws.finish_message(b"!").unwrap();
    let frame = |first, payload: &[u8]| Sent { first, key: None, payload: payload.to_vec() };
    assert_eq!(
        frames(&written(&mut ws)),
        [frame(0x01, b"Hel"), frame(0x00, b"lo"), frame(0x80, b""), frame(0x82, b"!"),]
    );
}

// R6455-5.4-h, RT-36
#[test]
fn rt_36_empty_frame_of_every_opcode_has_one_outcome_alone_and_inside_of_a_message() {
    let begun = masked(0x02, KEY, b"a");
    let end = masked(0x80, KEY, b"z");
    for first in 0..=0xff {
        let (fin, rsv, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0f);
        let frame = masked(first, KEY, b"");
        let inside = [&begun[..], &frame, &end].concat();
        let fault = match opcode {
            0x3..=0x7 | 0xb..=0xf => Some(Fault::ReservedOpcode(opcode)),
            0x8..=0xa if !fin => Some(Fault::FragmentedControl),
            _ => None,
        };
        if fault.is_some() || rsv != 0 {
            let failed = [fails(server, &frame), fails(server, &inside)];
            assert!(failed.iter().all(|failed| failed.code == 1002));
            if let Some(fault) = fault {
                assert!(failed.iter().all(|failed| failed.fault == fault));
            }
            continue;
        }
        let alone = || receive(server, &frame).events;
        let within = || receive(server, &inside).events;
        match (opcode, fin) {
            (0x0, _) => {
                let failed = fails(server, &frame);
                assert_eq!(failed.fault, Fault::UnexpectedContinuation);
                if fin {
                    let failed = fails(server, &inside);
                    assert_eq!(failed.before, [binary(b"a")]);
                } else {
                    assert_eq!(within(), [binary(b"az")]);
                }
            }
            (0x1 | 0x2, _) => {
                let message = if opcode == 1 { text("") } else { binary(b"") };
                let expected = if fin { vec![message] } else { vec![] };
                assert_eq!(alone(), expected);
                assert_eq!(fails(server, &inside).fault, Fault::UnfinishedMessage);
            }
            (0x8, _) => {
                assert!(matches!(alone()[..], [Event::Closing, Event::Closed(_)]));
                assert_eq!(within(), alone());
            }
            (0x9, _) => {
                let ping = Event::Ping(Payload::new());
                assert_eq!(alone(), std::slice::from_ref(&ping));
                assert_eq!(within(), [ping, binary(b"az")]);
            }
            _ => {
                let pong = Event::Pong(Payload::new());
                assert_eq!(alone(), std::slice::from_ref(&pong));
                assert_eq!(within(), [pong, binary(b"az")]);
            }
        }
    }
}

// R6455-5.4-b, R6455-6.2-b
#[test]
fn client_joins_fragments_of_a_server() {
    let input =
        [unmasked(0x01, b"a"), unmasked(0x89, b""), unmasked(0x80, b"b"), unmasked(0x82, b"c")]
            .concat();
    assert_eq!(receive(client, &input).messages(), [Message::text("ab"), Message::binary(b"c")]);
}
