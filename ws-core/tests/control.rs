//! Control frames, pings and pongs (RFC 6455 §5.5, §5.5.2 and §5.5.3).
#![allow(clippy::unwrap_used)]

mod support;

use bytes::{Buf, BytesMut};
use support::{
    KEY, binary, client, config, fails, feed, frames, masked, receive, server, server_with, text,
    unmasked, written,
};
use ws_core::{Connection, Event, Fault, MessageKind, Payload, SendError};

/// Writes `n` bytes of what is queued.
fn write_some(ws: &mut Connection, n: usize) -> Vec<u8> {
    let Some(output) = ws.poll_output() else { panic!("nothing to write") };
    output.copy_to_bytes(n).to_vec()
}

// R6455-5.5-a
#[test]
fn control_payload_of_125_bytes_is_read_and_of_126_refused() {
    let payload = [b'x'; 125];
    let seen = receive(server, &masked(0x89, KEY, &payload));
    assert_eq!(seen.events, [Event::Ping(Payload::from(&payload))]);
    let seen = receive(server, &masked(0x8a, KEY, &payload));
    assert_eq!(seen.events, [Event::Pong(Payload::from(&payload))]);
    for first in [0x88, 0x89, 0x8a] {
        let failed = fails(server, &masked(first, KEY, &[b'x'; 126]));
        assert_eq!(failed.fault, Fault::ControlTooLong);
        assert_eq!((failed.code, failed.octets), (1002, 2));
    }
}

// R6455-5.5-a
#[test]
fn control_payload_over_125_bytes_is_not_sent() {
    let mut ws = server();
    let refused = Err(SendError::ControlTooLong { len: 126 });
    assert_eq!(ws.ping(vec![0; 126]), refused);
    assert_eq!(ws.unsolicited_pong(vec![0; 126]), refused);
    assert_eq!(written(&mut ws), b"");
    ws.ping(vec![1; 125]).unwrap();
    assert_eq!(written(&mut ws), unmasked(0x89, &[1; 125]));
}

// R6455-5.5.2-a
#[test]
fn ping_is_answered_by_a_pong() {
    let seen = receive(server, b"\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    assert_eq!(seen.events, [Event::Ping(Payload::from(b"Hello"))]);
    assert_eq!(seen.sent, b"\x8a\x05\x48\x65\x6c\x6c\x6f");
}

// R6455-5.5.2-a
#[test]
fn client_answers_the_ping_of_a_server() {
    let seen = receive(client, b"\x89\x05\x48\x65\x6c\x6c\x6f");
    assert_eq!(seen.events, [Event::Ping(Payload::from(b"Hello"))]);
    assert_eq!(seen.sent, b"\x8a\x85\0\0\0\x01Helmo");
}

// R6455-5.5.2-a, R6455-5.5.3-a
#[test]
fn pongs_go_out_in_the_order_of_their_pings() {
    let pings: Vec<u8> = (0..10).flat_map(|i| masked(0x89, KEY, &[i])).collect();
    let pongs: Vec<u8> = (0..10).flat_map(|i| [0x8a, 1, i]).collect();
    assert_eq!(receive(server, &pings).sent, pongs);

    // Behind a frame that is partly written, too.
    let mut ws = server();
    ws.send("data").unwrap();
    let mut sent = write_some(&mut ws, 3);
    feed(&mut ws, &mut BytesMut::new(), &pings);
    sent.extend(written(&mut ws));
    assert_eq!(sent, [b"\x81\x04data", &pongs[..]].concat());
}

// R6455-5.5.2-a
#[test]
fn ping_behind_our_close_is_not_answered() {
    let mut ws = server();
    ws.close(1000.into(), "").unwrap();
    let events = feed(&mut ws, &mut BytesMut::new(), &masked(0x89, KEY, b"?"));
    assert_eq!(events, [Event::Ping(Payload::from(b"?"))]);
    assert_eq!(written(&mut ws), b"\x88\x02\x03\xe8");
}

// R6455-5.5.2-b
#[test]
fn pong_overtakes_the_data_that_is_queued() {
    let mut ws = server();
    ws.send("first").unwrap();
    ws.send(vec![b'2'; 5000]).unwrap();
    ws.send("third").unwrap();
    let mut sent = write_some(&mut ws, 3);
    feed(&mut ws, &mut BytesMut::new(), &masked(0x89, KEY, b"now"));
    sent.extend(written(&mut ws));
    let expected = [
        unmasked(0x81, b"first"),
        unmasked(0x8a, b"now"),
        unmasked(0x82, &[b'2'; 5000]),
        unmasked(0x81, b"third"),
    ];
    assert_eq!(sent, expected.concat());
}

// R6455-5.5.2-b
#[test]
fn pong_stays_at_a_frame_boundary_wherever_the_writer_is() {
    let data = [
        unmasked(0x81, b"one"),
        unmasked(0x82, &[b'2'; 5000]),
        unmasked(0x82, &[b'3'; 300]),
        unmasked(0x81, b"four"),
    ];
    let ends: Vec<usize> = data
        .iter()
        .scan(0, |end, frame| {
            *end += frame.len();
            Some(*end)
        })
        .collect();
    let all = data.concat();
    for at in
        (0..all.len()).filter(|at| ends.iter().any(|end| end.abs_diff(*at) < 8) || at % 97 == 0)
    {
        let mut ws = server();
        ws.send("one").unwrap();
        ws.send(vec![b'2'; 5000]).unwrap();
        ws.send(vec![b'3'; 300]).unwrap();
        ws.send("four").unwrap();
        let mut sent = write_some(&mut ws, at);
        feed(&mut ws, &mut BytesMut::new(), &masked(0x89, KEY, b"ping"));
        feed(&mut ws, &mut BytesMut::new(), &masked(0x89, KEY, b"again"));
        sent.extend(written(&mut ws));
        let boundary = *[0].iter().chain(&ends).find(|end| **end >= at).unwrap();
        let (before, behind) = all.split_at(boundary);
        let pongs = b"\x8a\x04ping\x8a\x05again";
        assert!(sent == [before, pongs, behind].concat(), "written {at}");
    }
}

// R6455-5.5.2-b
#[test]
fn pong_goes_between_the_fragments_of_a_message_that_is_being_sent() {
    let mut ws = server();
    ws.start_message(MessageKind::Text).unwrap();
    ws.send_chunk(b"to").unwrap();
    feed(&mut ws, &mut BytesMut::new(), &masked(0x89, KEY, b""));
    ws.finish_message(b"gether").unwrap();
    assert_eq!(written(&mut ws), b"\x8a\x00\x01\x02to\x80\x06gether");
}

// R6455-5.5.2-b
#[test]
fn pong_is_queued_without_the_application_sending_anything() {
    let mut ws = server();
    let input = [masked(0x89, KEY, b"1"), masked(0x81, KEY, b"read only")].concat();
    let events = feed(&mut ws, &mut BytesMut::new(), &input);
    assert_eq!(events, [Event::Ping(Payload::from(b"1")), text("read only")]);
    assert_eq!(ws.unwritten(), 3);
    assert_eq!(written(&mut ws), b"\x8a\x011");
}

// R6455-5.5.3-a
#[test]
fn pong_carries_what_the_ping_carried() {
    let all: Vec<u8> = (0..=255).collect();
    for payload in [&b""[..], b"\0", &all[..125], &all[125..250], &all[131..]] {
        let seen = receive(server, &masked(0x89, KEY, payload));
        assert_eq!(seen.sent, unmasked(0x8a, payload));
    }
}

// R6455-5.5.3-b
#[test]
fn one_pong_at_most_is_owed_while_the_peer_does_not_read() {
    let mut ws = server();
    let mut input = BytesMut::new();
    ws.send(vec![0; 64 * 1024]).unwrap();
    let unwritten = ws.unwritten();
    for i in 0..10_000_u32 {
        feed(&mut ws, &mut input, &masked(0x89, KEY, &i.to_be_bytes()));
        assert_eq!(ws.is_pong_owed(), i > 0);
        assert_eq!(ws.unwritten(), unwritten + 6, "one Pong waits, one is owed");
    }
    let sent = frames(&written(&mut ws));
    let pongs: Vec<_> = sent.iter().filter(|frame| frame.first == 0x8a).collect();
    assert_eq!((sent.len(), pongs.len()), (3, 2));
    assert_eq!(pongs[0].payload, 0_u32.to_be_bytes());
    assert_eq!(pongs[1].payload, 9999_u32.to_be_bytes());
    assert!(!ws.is_pong_owed());
}

// R6455-5.5.3-b
#[test]
fn pongs_without_an_owed_one_stop_at_64_kib_of_output() {
    let mut ws = server();
    let mut input = BytesMut::new();
    for _ in 0..10_000 {
        feed(&mut ws, &mut input, &masked(0x89, KEY, &[7; 125]));
    }
    assert!(ws.is_pong_owed());
    assert!((64 * 1024..64 * 1024 + 127).contains(&ws.unwritten()));
}

// R6455-5.5.3-b
#[test]
fn pongs_to_a_peer_that_reads_slowly_do_not_pile_up() {
    let mut ws = server();
    let mut input = BytesMut::new();
    for _ in 0..3 {
        feed(&mut ws, &mut input, &masked(0x89, KEY, &[7; 125]));
    }
    for _ in 0..10_000 {
        feed(&mut ws, &mut input, &masked(0x89, KEY, &[7; 125]));
        assert_eq!(write_some(&mut ws, 127).len(), 127);
    }
    assert_eq!(ws.unwritten(), 3 * 127);
    assert!(ws.memory_usage() < 4096, "{} bytes", ws.memory_usage());
}

// R6455-5.5.3-c
#[test]
fn unsolicited_pong_is_told_and_not_answered() {
    for payload in [&b""[..], b"Hello"] {
        let seen = receive(server, &masked(0x8a, KEY, payload));
        assert_eq!(seen.events, [Event::Pong(Payload::from(payload))]);
        assert_eq!(seen.sent, b"");
    }
}

// R6455-5.5.3-c, RT-30
#[test]
fn rt_30_a_million_unsolicited_pongs_leave_nothing_behind() {
    let mut ws = server();
    let mut input = BytesMut::new();
    let many: Vec<u8> = masked(0x8a, KEY, &[7; 10]).repeat(1000);
    for _ in 0..1000 {
        input.extend_from_slice(&many);
        for _ in 0..1000 {
            assert_eq!(ws.poll_event(&mut input), Some(Event::Pong(Payload::from(&[7; 10]))));
        }
        assert_eq!(ws.poll_event(&mut input), None);
        assert_eq!((ws.memory_usage(), ws.unwritten()), (0, 0));
        assert_eq!(ws.unfinished(), None);
    }
    let events = feed(&mut ws, &mut input, &masked(0x82, KEY, b"alive"));
    assert_eq!(events, [binary(b"alive")]);
}

// R6455-5.5.3-c
#[test]
fn unsolicited_pong_and_ping_can_be_sent() {
    let mut ws = server();
    ws.unsolicited_pong(b"beat").unwrap();
    ws.ping(b"?").unwrap();
    assert_eq!(written(&mut ws), b"\x8a\x04beat\x89\x01?");
}

// R6455-5.5.2-b
#[test]
fn pong_waits_for_the_frame_being_written_however_much_is_behind_it() {
    let mut ws = server_with(config(|config| config.max_sent_frame = 16 * 1024));
    ws.send(vec![0; 128 * 1024]).unwrap();
    let mut sent = write_some(&mut ws, 40 * 1024);
    feed(&mut ws, &mut BytesMut::new(), &masked(0x89, KEY, b"!"));
    assert!(!ws.is_pong_owed());
    sent.extend(written(&mut ws));
    let kinds: Vec<u8> = frames(&sent).iter().map(|frame| frame.first).collect();
    assert_eq!(kinds, [0x02, 0x00, 0x00, 0x8a, 0x00, 0x00, 0x00, 0x00, 0x80]);
}

// R6455-5.5.2-a
#[test]
fn pong_that_is_owed_goes_out_in_front_of_our_close() {
    let mut ws = server();
    ws.send(vec![0; 64 * 1024]).unwrap();
    let mut input = BytesMut::new();
    feed(&mut ws, &mut input, &masked(0x89, KEY, b"1"));
    feed(&mut ws, &mut input, &masked(0x89, KEY, b"2"));
    assert!(ws.is_pong_owed());
    ws.close(ws_core::CloseCode::NORMAL, "").unwrap();
    let kinds: Vec<u8> = frames(&written(&mut ws)).iter().map(|frame| frame.first).collect();
    assert_eq!(kinds, [0x8a, 0x8a, 0x82, 0x88]);
}

// R6455-5.5.2-b, R6455-5.5.3-a
#[test]
fn pongs_keep_frames_whole_and_everything_in_order_under_any_interleaving() {
    let sizes = [0, 1, 125, 126, 3000, 4096, 5000, 17_000];
    for seed in 1..200_u64 {
        let as_server = seed % 2 == 0;
        let mut ws = if as_server { server() } else { client() };
        let mut state = seed;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        let mut input = BytesMut::new();
        let (mut wire, mut messages, mut pings) = (Vec::new(), Vec::new(), Vec::<u8>::new());
        for step in 0..60_u8 {
            match next(4) {
                0 => {
                    let data = vec![step; sizes[next(sizes.len())]];
                    ws.send(data.clone()).unwrap();
                    messages.push(data);
                }
                1 if ws.unwritten() < 64 * 1024 => {
                    let ping = if as_server {
                        masked(0x89, KEY, &[step])
                    } else {
                        unmasked(0x89, &[step])
                    };
                    feed(&mut ws, &mut input, &ping);
                    pings.push(step);
                }
                _ => {
                    let n = ws.unwritten().min(next(6000));
                    if n > 0 {
                        wire.extend(write_some(&mut ws, n));
                    }
                }
            }
        }
        wire.extend(written(&mut ws));
        let (pongs, data): (Vec<_>, Vec<_>) =
            frames(&wire).into_iter().partition(|frame| frame.first == 0x8a);
        assert!(data.iter().all(|frame| frame.first == 0x82));
        let data: Vec<Vec<u8>> = data.into_iter().map(|frame| frame.payload).collect();
        assert!(data == messages, "seed {seed}");
        let pongs: Vec<u8> = pongs.into_iter().flat_map(|frame| frame.payload).collect();
        assert_eq!(pongs, pings, "seed {seed}");
    }
}
