//! Frames (RFC 6455 §5.1 to §5.3).

mod support;

use bytes::BytesMut;
use support::{
    KEY, Sent, binary, client, config, fails, feed, frames, masked, receive, receive_in_pieces,
    server, server_with, text, unmasked, written,
};
use ws_core::{Event, Fault, Message, Opcode, Payload, SendError};

// R6455-5.2-d, R6455-6.2-b
#[test]
fn server_reads_the_masked_hello_of_the_rfc() {
    let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(receive(server, hello).events, [text("Hello")]);
}

// R6455-5.1-a, R6455-7.1.7-c
#[test]
fn server_rejects_unmasked_frame() {
    let failed = fails(server, b"\x81\x05\x48\x65\x6c\x6c\x6f");
    assert_eq!(failed.fault, Fault::Unmasked);
    assert_eq!((failed.code, failed.octets), (1002, 2));
    for frame in [b"\x81\x00", b"\x82\x00", b"\x88\x00", b"\x89\x00", b"\x8a\x00"] {
        let failed = fails(server, frame);
        assert_eq!(failed.fault, Fault::Unmasked);
        assert_eq!((failed.code, failed.octets), (1002, 2));
    }
}

// R6455-5.1-a, RT-16
#[test]
fn rt_16_unmasked_frames_of_every_opcode_fin_and_length_fail_with_1002() {
    for opcode in 0..=0xf {
        for fin in [0, 0x80] {
            for len in [0, 1, 126] {
                let failed = fails(server, &unmasked(fin | opcode, &vec![b'a'; len]));
                assert_eq!(failed.code, 1002, "opcode {opcode} fin {fin} len {len}");
                assert!(failed.octets <= 2);
                let expected = match (opcode, fin) {
                    (0, _) => Fault::UnexpectedContinuation,
                    (3..=7 | 11..=15, _) => Fault::ReservedOpcode(opcode),
                    (8..=10, 0) => Fault::FragmentedControl,
                    _ => Fault::Unmasked,
                };
                assert_eq!(failed.fault, expected);
            }
        }
    }
}

// R6455-5.1-b
#[test]
fn server_masks_nothing_that_it_sends() {
    let mut ws = server_with(config(|config| config.max_sent_frame = 1000));
    let mut input = BytesMut::new();
    ws.send("text").unwrap();
    ws.send(vec![7; 50_000]).unwrap();
    feed(&mut ws, &mut input, &masked(0x89, KEY, b"ping"));
    ws.ping(b"ping").unwrap();
    ws.unsolicited_pong(b"pong").unwrap();
    ws.start_message(ws_core::MessageKind::Text).unwrap();
    ws.send_chunk(b"part").unwrap();
    ws.finish_message(b"").unwrap();
    feed(&mut ws, &mut input, b"\x88\x82\0\0\0\0\x03\xe8");
    let sent = frames(&written(&mut ws));
    assert_eq!(sent.len(), 1 + 50 + 1 + 2 + 2 + 1);
    assert!(sent.iter().all(|frame| frame.key.is_none()));
    assert_eq!(sent.last().unwrap().first, 0x88);
}

// R6455-5.2-c, RT-15
#[test]
fn rt_15_reserved_opcodes_fail_on_the_first_octet() {
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        for fin in [0, 0x80] {
            for length in [
                &b"\x80"[..],
                b"\xfe\x00\x7e",
                b"\xff\0\0\0\0\0\x01\0\0",
                b"\xff\0\0\x01\0\0\0\0\0",
            ] {
                let frame = [&[fin | opcode], length].concat();
                let failed = fails(server, &frame);
                assert_eq!(failed.fault, Fault::ReservedOpcode(opcode));
                assert_eq!((failed.code, failed.octets), (1002, 1));
                let mut ws = server();
                let _ = ws.poll_event(&mut BytesMut::from(&frame[..]));
                assert_eq!(ws.memory_usage(), 0);
            }
        }
    }
}

// R6455-5.5-a, RT-15
#[test]
fn rt_15_long_control_frames_fail_on_the_second_octet() {
    for opcode in [0x88, 0x89, 0x8a] {
        for length in [&b"\xfe\x00\x7e"[..], b"\xff\0\0\0\0\0\x01\0\0", b"\xff\0\0\x01\0\0\0\0\0"] {
            let frame = [&[opcode], length, &KEY, b"payload"].concat();
            let failed = fails(server, &frame);
            assert_eq!(failed.fault, Fault::ControlTooLong);
            assert_eq!((failed.code, failed.octets), (1002, 2));
            let mut ws = server();
            let _ = ws.poll_event(&mut BytesMut::from(&frame[..]));
            assert_eq!(ws.memory_usage(), 0);
        }
    }
}

// R6455-5.2-d
#[test]
fn frame_may_be_cut_at_every_offset() {
    for len in [1, 126, 300, 65_536] {
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let frame = [masked(0x82, KEY, &payload), masked(0x81, KEY, b"next")].concat();
        for cut in (0..frame.len()).filter(|cut| *cut < 40 || frame.len() - cut < 40) {
            let mut ws = server();
            let mut input = BytesMut::new();
            let mut events = feed(&mut ws, &mut input, &frame[..cut]);
            events.extend(feed(&mut ws, &mut input, &frame[cut..]));
            assert_eq!(events, [binary(&payload), text("next")], "cut at {cut}");
        }
    }
}

/// Headers of binary messages, of a client and of a server.
const LENGTHS: [(usize, &[u8], &[u8]); 6] = [
    (0, b"\x82\x80", b"\x82\x00"),
    (125, b"\x82\xfd", b"\x82\x7d"),
    (126, b"\x82\xfe\x00\x7e", b"\x82\x7e\x00\x7e"),
    (127, b"\x82\xfe\x00\x7f", b"\x82\x7e\x00\x7f"),
    (65_535, b"\x82\xfe\xff\xff", b"\x82\x7e\xff\xff"),
    (65_536, b"\x82\xff\0\0\0\0\0\x01\0\0", b"\x82\x7f\0\0\0\0\0\x01\0\0"),
];

// R6455-5.2-e, R6455-5.2-i
#[test]
fn lengths_of_every_form_are_read() {
    for (len, from_client, from_server) in LENGTHS {
        let payload = vec![b'*'; len];
        let frame = [from_client, &[0; 4], &payload].concat();
        assert_eq!(receive(server, &frame).events, [binary(&payload)]);
        let frame = [from_server, &payload].concat();
        assert_eq!(receive(client, &frame).events, [binary(&payload)]);
    }
}

// R6455-5.2-g, R6455-5.2-e
#[test]
fn lengths_are_sent_in_their_shortest_form() {
    for (len, from_client, from_server) in LENGTHS {
        let payload = vec![b'*'; len];
        let mut ws = server();
        ws.send(payload.clone()).unwrap();
        assert!(written(&mut ws) == [from_server, &payload].concat());
        let mut ws = client();
        ws.send(payload.clone()).unwrap();
        let sent = written(&mut ws);
        assert_eq!(&sent[..from_client.len()], from_client);
        assert_eq!(sent.len(), from_client.len() + 4 + len);
    }
}

// R6455-5.2-f, RT-14, MDN-7
#[test]
fn rt_14_top_bit_of_the_length_fails_at_its_octet() {
    let failed = fails(server, b"\x82\xff\x80\0\0\0\0\0\0\0");
    assert_eq!(failed.fault, Fault::LengthTopBit);
    assert_eq!((failed.code, failed.octets), (1002, 3));
    let failed = fails(client, b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff");
    assert_eq!(failed.fault, Fault::LengthTopBit);
    assert_eq!((failed.code, failed.octets), (1002, 3));
}

// R6455-5.2-h, RT-14, MDN-7
#[test]
fn rt_14_length_not_in_its_shortest_form_fails() {
    for frame in [
        &b"\x82\xfe\x00\x7d"[..],
        b"\x82\xfe\x00\x00",
        b"\x82\xff\0\0\0\0\0\0\0\x00",
        b"\x82\xff\0\0\0\0\0\0\0\x01",
        b"\x82\xff\0\0\0\0\0\0\0\x7e",
        b"\x82\xff\0\0\0\0\0\0\xff\xff",
    ] {
        let failed = fails(server, frame);
        assert_eq!(failed.fault, Fault::LengthNotMinimal);
        assert_eq!((failed.code, failed.octets), (1002, frame.len()));
    }
    let frame = [&b"\x82\xfe\x00\x7e\0\0\0\0"[..], &[1; 126]].concat();
    assert_eq!(receive(server, &frame).events, [binary([1; 126])]);
}

// R6455-5.2-i
#[test]
fn length_counts_the_payload_and_not_the_key() {
    let two = [&b"\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"[..], b"\x82\x80\x37\xfa\x21\x3d"]
        .concat();
    assert_eq!(receive(server, &two).events, [binary(b"Hello"), binary(b"")]);
}

// R6455-5.2-j
#[test]
fn monstrous_length_fails_on_the_header() {
    for length in [
        &b"\x7f\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\x40\0\0\0\0\0\0\0",
        b"\0\0\0\x01\0\0\0\x01",
        b"\0\0\0\0\0\x10\x40\x41",
    ] {
        let header = [&b"\x82\xff"[..], length].concat();
        let failed = fails(server, &header);
        assert_eq!(failed.fault, Fault::FrameTooBig { limit: 0x10_4040 });
        assert_eq!((failed.code, failed.octets), (1009, 10));
        let mut ws = server();
        let mut input = BytesMut::from(&header[..]);
        assert_eq!(ws.poll_event(&mut input), Some(Event::Closing));
        assert_eq!(ws.memory_usage(), 0);
        assert!(input.capacity() < 100);
    }
}

// R6455-5.3-a, MDN-8
#[test]
fn payload_is_unmasked_from_its_start_however_it_is_cut() {
    for len in [1, 2, 3, 4, 5, 31, 32, 33, 125, 126, 1000] {
        let payload: Vec<u8> = (0..len).map(|i| (i * 31 + 7) as u8).collect();
        for key in [KEY, [1, 2, 3, 4], [0xff, 0, 0, 0]] {
            let frame = masked(0x82, key, &payload);
            let fragments =
                [masked(0x02, key, &payload[..len / 2]), masked(0x80, KEY, &payload[len / 2..])]
                    .concat();
            for size in [1, 2, 3, 5, 6, 7, 13, 37, 64, 2000] {
                for input in [&frame, &fragments] {
                    let seen = receive_in_pieces(server, input, size);
                    assert_eq!(seen.events, [binary(&payload)], "len {len} size {size}");
                }
            }
        }
    }
}

// R6455-5.3-a
#[test]
fn control_payload_is_unmasked_from_its_start_however_it_is_cut() {
    let payload: Vec<u8> = (0..125).collect();
    for size in 1..=131 {
        let seen = receive_in_pieces(server, &masked(0x89, KEY, &payload), size);
        assert_eq!(seen.events, [Event::Ping(Payload::from(&payload[..]))]);
        assert_eq!(seen.sent, unmasked(0x8a, &payload));
    }
}

// R6455-5.3-b
#[test]
fn zero_key_is_legal_and_changes_nothing() {
    let frame = b"\x81\x85\0\0\0\0Hello";
    assert_eq!(receive(server, frame).events, [text("Hello")]);
}

// R6455-6.2-b
#[test]
fn frames_back_to_back_begin_a_new_message_each() {
    let input = [
        masked(0x81, KEY, b"one"),
        masked(0x82, KEY, b"\x02"),
        masked(0x01, KEY, b"th"),
        masked(0x80, KEY, b"ree"),
        masked(0x81, KEY, b""),
    ]
    .concat();
    assert_eq!(
        receive(server, &input).messages(),
        [Message::text("one"), Message::binary(b"\x02"), Message::text("three"), Message::text(""),]
    );
}

// R6455-5.1-c
#[test]
fn nothing_is_sent_behind_our_close() {
    let mut ws = server();
    ws.close(1000.into(), "").unwrap();
    assert_eq!(ws.send("late"), Err(SendError::Closed));
    assert_eq!(ws.start_message(ws_core::MessageKind::Binary), Err(SendError::Closed));
    assert_eq!(ws.ping(b""), Err(SendError::Closed));
    assert_eq!(ws.unsolicited_pong(b""), Err(SendError::Closed));
    assert_eq!(ws.close(1000.into(), ""), Err(SendError::Closed));
    assert_eq!(ws.fail(1011.into(), ""), Ok(()));
    assert_eq!(ws.fail(1011.into(), ""), Err(SendError::Closed));
    assert_eq!(written(&mut ws), b"\x88\x02\x03\xe8");
}

// R6455-5.2-c
#[test]
fn every_known_opcode_is_read_and_has_its_number() {
    for number in 0..=255 {
        let known = matches!(number, 0..=2 | 8..=10);
        let opcode = Opcode::from_number(number);
        assert_eq!(opcode.is_some(), known);
        assert!(opcode.is_none_or(|opcode| opcode.number() == number));
    }
    let mut ws = server();
    ws.ping(b"").unwrap();
    ws.unsolicited_pong(b"").unwrap();
    let frame = |first| Sent { first, key: None, payload: vec![] };
    assert_eq!(frames(&written(&mut ws)), [frame(0x89), frame(0x8a)]);
}
