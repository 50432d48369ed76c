//! The client's side (RFC 6455 §5.1, §5.3 and §7).

mod support;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use support::{
    KEY, client, client_with, closed, config, fails, feed, frames, masked, receive, server,
    stays_closed, text, unmasked, written,
};
use ws_core::{
    CloseCode, ClosedBy, Config, Connection, Event, Extensions, Fault, MessageKind, Payload, Role,
    SendError,
};

// R6455C-5.1-a, R6455C-5.5.1-b
#[test]
fn client_masks_every_frame() {
    let mut ws = client_with(config(|config| config.max_sent_frame = 1000));
    let mut input = BytesMut::new();
    ws.send("text").unwrap();
    ws.send("").unwrap();
    ws.send(vec![7; 10_000]).unwrap();
    feed(&mut ws, &mut input, &unmasked(0x89, b"ping"));
    ws.ping(b"ping").unwrap();
    ws.unsolicited_pong(b"").unwrap();
    ws.start_message(MessageKind::Text).unwrap();
    ws.send_chunk(b"part").unwrap();
    ws.finish_message(b"").unwrap();
    ws.close(CloseCode::NORMAL, "bye").unwrap();
    let sent = frames(&written(&mut ws));
    assert_eq!(sent.len(), 1 + 1 + 10 + 1 + 2 + 2 + 1);
    assert!(sent.iter().all(|frame| frame.key.is_some()));
    let answer = receive(client, &unmasked(0x88, b"\x03\xe8")).sent;
    assert_eq!(answer, b"\x88\x82\0\0\0\x01\x03\xe8");
}

// R6455C-5.1-b
#[test]
fn client_rejects_masked_frame() {
    for frame in [
        &b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"[..],
        b"\x81\x80\0\0\0\0",
        b"\x88\x80\0\0\0\0",
        b"\x89\x80\0\0\0\0",
        b"\x8a\x80\0\0\0\0",
        b"\x82\xfe\x00\x7e",
    ] {
        let failed = fails(client, frame);
        assert_eq!(failed.fault, Fault::Masked);
        assert_eq!((failed.code, failed.octets), (1002, 2));
    }
    let seen = receive(client, b"\x81\x05\x48\x65\x6c\x6c\x6f");
    assert_eq!(seen.events, [text("Hello")]);
}

// R6455C-5.3-a
#[test]
fn masked_frame_has_the_mask_bit_and_carries_its_key() {
    let mut ws = Connection::new(Role::client(|| KEY), Config::default(), Extensions::none());
    ws.send("Hello").unwrap();
    assert_eq!(written(&mut ws), b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    ws.unsolicited_pong(b"Hello").unwrap();
    assert_eq!(written(&mut ws), b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    ws.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(written(&mut ws), b"\x88\x82\x37\xfa\x21\x3d\x34\x12");
}

// R6455C-5.3-a
#[test]
fn client_payloads_of_every_length_form_read_back() {
    for len in [0, 1, 125, 126, 5000, 65_535, 65_536] {
        let data: Vec<u8> = (0..len).map(|i| (i * 31) as u8).collect();
        let mut ws = client();
        ws.send(data.clone()).unwrap();
        let sent = written(&mut ws);
        assert!(sent == masked(0x82, [0, 0, 0, 1], &data));
    }
}

// R6455C-5.3-b, R6455C-5.3-c, R6455C-5.3-d, RT-48
#[test]
fn rt_48_keys_of_10_000_frames_are_distinct_and_those_of_the_source() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let scattered = |n: u32| n.wrapping_mul(0x9e37_79b1).to_be_bytes();
    let mut ws = Connection::new(
        Role::client(move || scattered(count.fetch_add(1, Ordering::Relaxed))),
        config(|config| config.max_sent_frame = 10),
        Extensions::none(),
    );
    let mut input = BytesMut::new();
    let mut keys = Vec::new();
    while keys.len() < 10_000 {
        ws.send(vec![1; 25]).unwrap();
        ws.ping(b"").unwrap();
        ws.start_message(MessageKind::Binary).unwrap();
        ws.send_chunk(b"a").unwrap();
        ws.finish_message(b"b").unwrap();
        let mut sent = written(&mut ws);
        feed(&mut ws, &mut input, &unmasked(0x89, b"pong for it"));
        sent.extend(written(&mut ws));
        keys.extend(frames(&sent).iter().filter_map(|frame| frame.key));
    }
    assert_eq!(asked.load(Ordering::Relaxed) as usize, keys.len());
    let expected: Vec<[u8; 4]> = (0..keys.len() as u32).map(scattered).collect();
    assert_eq!(keys, expected);
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
}

// R6455C-10.3-a
#[test]
fn payload_cannot_be_changed_once_it_was_sent() {
    let mut buffer = vec![b'a'; 5000];
    for mut ws in [client(), server()] {
        ws.send(Payload::from(&buffer[..])).unwrap();
        let before = buffer.clone();
        buffer.fill(b'z');
        assert_eq!(frames(&written(&mut ws))[0].payload, before);
    }
    // And masking does not show in what the application still holds.
    let shared = Bytes::from(vec![b'a'; 5000]);
    let mut ws = client();
    ws.send(shared.clone()).unwrap();
    let sent = written(&mut ws);
    assert_ne!(sent[8..], shared);
    assert!(shared.iter().all(|octet| *octet == b'a'));
}

// R6455C-7.1.7-a
#[test]
fn failing_client_sends_a_close_and_reads_nothing_more() {
    let input = [unmasked(0x81, b"\xff"), unmasked(0x81, b"behind")].concat();
    let failed = fails(client, &input);
    assert_eq!((failed.fault, failed.code), (Fault::InvalidUtf8, 1007));
    assert_eq!((failed.before, failed.octets), (vec![], 3));
}

// R6455C-7.2.1-a
#[test]
fn loss_of_the_transport_fails_with_1006() {
    for before in [&b""[..], b"\x81", b"\x81\x05He"] {
        let mut ws = client();
        let mut input = BytesMut::new();
        assert_eq!(feed(&mut ws, &mut input, before), []);
        ws.input_ended();
        let events = feed(&mut ws, &mut input, b"");
        let closed = closed(&events);
        assert_eq!((closed.by, closed.code.get()), (ClosedBy::Peer, 1006));
        assert!(!closed.clean);
        assert!(ws.is_closed());
        stays_closed(&mut ws, &mut input);
    }
}

// R6455C-7.4.1-a
#[test]
fn client_that_misses_an_extension_closes_with_1010_and_names_it() {
    let mut ws = Connection::new(Role::client(|| [0; 4]), Config::default(), Extensions::none());
    ws.close(CloseCode::MANDATORY_EXTENSION, "permessage-deflate").unwrap();
    let sent = written(&mut ws);
    assert_eq!(sent, b"\x88\x94\0\0\0\0\x03\xf2permessage-deflate");
    let seen = receive(server, &sent);
    assert_eq!(closed(&seen.events).code, CloseCode::MANDATORY_EXTENSION);
}

// R6455C-7.1.1-a
#[test]
fn client_sends_its_close_and_waits_for_the_server_to_end_the_transport() {
    let mut ws = client();
    let mut input = BytesMut::new();
    ws.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(written(&mut ws), b"\x88\x82\0\0\0\x01\x03\xe8");
    assert!(ws.is_close_awaited() && !ws.is_closed());
    let events = feed(&mut ws, &mut input, b"\x88\x02\x03\xe8");
    assert!(matches!(&events[..], [Event::Closed(closed)] if closed.clean));
    assert!(!ws.is_closed(), "the server closes first");
    ws.input_ended();
    assert!(ws.is_closed());

    // Told to close by the server, likewise; a server does not wait.
    let mut ws = client();
    feed(&mut ws, &mut input, b"\x88\x02\x03\xe8");
    assert_eq!(written(&mut ws), b"\x88\x82\0\0\0\x01\x03\xe8");
    assert!(!ws.is_closed());
    ws.input_ended();
    assert!(ws.is_closed());
    let mut ws = server();
    feed(&mut ws, &mut input, &masked(0x88, KEY, b"\x03\xe8"));
    assert!(ws.is_closed());
}

// R6455C-7.1.1-a
#[test]
fn client_reads_on_until_the_server_closes() {
    let mut ws = client();
    ws.close(CloseCode::NORMAL, "").unwrap();
    let mut input = BytesMut::new();
    let events = feed(&mut ws, &mut input, &unmasked(0x81, b"still"));
    assert_eq!(events, [text("still")]);
    assert_eq!(ws.send("late"), Err(SendError::Closed));
}
