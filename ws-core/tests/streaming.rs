//! Messages received in pieces (`Receive::Streaming`; RFC 6455 §5.4, §6.2 and §8.1).

mod support;

use bytes::BytesMut;
use support::{
    KEY, closed, config, extensions, fails, feed, joined, masked, receive, server_with, written,
};
use ws_core::{
    CloseCode, Config, Connection, Event, Fault,
    MessageKind::{self, Binary, Text},
    Payload, Receive,
    extension::Scope,
};

fn streaming() -> Config {
    config(|config| config.receive = Receive::Streaming)
}

fn server() -> Connection {
    server_with(streaming())
}

type Stack = Vec<extensions::Scoped>;

/// A stack, and "Hello" as it encodes it in two fragments.
type Case = (fn() -> Stack, &'static [u8], &'static [u8]);

fn with(extensions: Stack) -> Connection {
    extensions::server_of_with(streaming(), extensions)
}

fn start(kind: MessageKind) -> Event {
    Event::Start(kind)
}

fn chunk(data: &[u8]) -> Event {
    Event::Chunk(data.into())
}

// R6455-5.4-j, R6455-5.4-b
#[test]
fn message_is_told_as_start_chunks_and_end() {
    let seen = receive(server, &masked(0x81, KEY, b"Hello"));
    assert_eq!(seen.events, [start(Text), chunk(b"Hello"), Event::End]);
    let input = [
        masked(0x02, KEY, b"frag"),
        masked(0x00, KEY, b""),
        masked(0x80, KEY, b"ments"),
        masked(0x81, KEY, b""),
        masked(0x02, KEY, b""),
        masked(0x80, KEY, b""),
    ]
    .concat();
    let seen = receive(server, &input);
    assert_eq!(
        seen.events,
        [
            start(Binary),
            chunk(b"fragments"),
            Event::End,
            start(Text),
            Event::End,
            start(Binary),
            Event::End,
        ]
    );
}

// R6455-5.4-j
#[test]
fn frame_boundaries_do_not_show_in_a_streamed_message() {
    let data = b"the same bytes";
    for cut in 0..=data.len() {
        let input = [masked(0x01, KEY, &data[..cut]), masked(0x80, KEY, &data[cut..])].concat();
        let seen = receive(server, &input);
        assert_eq!(seen.events, [start(Text), chunk(data), Event::End]);
    }
}

// R6455-5.4-e
#[test]
fn control_frames_inside_of_a_streamed_message_are_handled_at_once() {
    let input = [masked(0x01, KEY, b"to"), masked(0x89, KEY, b"now"), masked(0x80, KEY, b"gether")]
        .concat();
    let seen = receive(server, &input);
    assert_eq!(
        seen.events,
        [
            start(Text),
            chunk(b"to"),
            Event::Ping(Payload::from(b"now")),
            chunk(b"gether"),
            Event::End,
        ]
    );
    assert_eq!(seen.sent, b"\x8a\x03now");
}

// R6455-5.3-a, R6455-5.2-e
#[test]
fn message_larger_than_every_limit_passes_in_chunks_of_64_kib() {
    let len = 3 << 20;
    let data: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
    for size in [1000, 65_536, 5 << 20] {
        let mut ws = server();
        let mut input = BytesMut::new();
        let mut events = Vec::new();
        for piece in masked(0x82, KEY, &data).chunks(size) {
            events.extend(feed(&mut ws, &mut input, piece));
            // How far it came, and nothing of what came.
            assert!(ws.memory_usage() <= 192, "{} bytes", ws.memory_usage());
        }
        let longest = |event: &Event| match event {
            Event::Chunk(chunk) => chunk.len(),
            _ => 0,
        };
        assert!(events.iter().map(longest).max() <= Some(64 * 1024));
        assert!(joined(events) == [start(Binary), chunk(&data), Event::End]);
    }
}

// R6455-10.4-a
#[test]
fn streamed_message_may_have_any_number_of_frames_but_not_of_empty_ones() {
    let mut input = masked(0x02, KEY, b"a");
    input.extend(masked(0x00, KEY, b"a").repeat(5000));
    input.extend(masked(0x80, KEY, b""));
    let seen = receive(server, &input);
    assert_eq!(seen.events, [start(Binary), chunk(&[b'a'; 5001]), Event::End]);
    let input = [masked(0x02, KEY, b"a"), masked(0x00, KEY, b"").repeat(65)].concat();
    let failed = fails(server, &input);
    assert_eq!(failed.fault, Fault::TooManyEmptyFragments { limit: 64 });
    assert_eq!((failed.code, failed.before), (1008, vec![start(Binary), chunk(b"a")]));
}

// R6455-5.6-a
#[test]
fn code_point_of_streamed_text_may_be_cut() {
    for cut in 0..=3 {
        let euro = "€".as_bytes();
        let input = [masked(0x01, KEY, &euro[..cut]), masked(0x80, KEY, &euro[cut..])].concat();
        let seen = receive(server, &input);
        assert_eq!(seen.events, [start(Text), chunk(euro), Event::End]);
    }
}

// R6455-5.6-b, R6455-8.1-a, R6455-8.1-b
#[test]
fn invalid_streamed_text_fails_at_its_octet_and_is_not_shown() {
    for (text, octets) in
        [(&b"ok\xff"[..], 3), (b"ok\xed\xa0\x80", 4), (b"ok\xe2\x82", 4), (b"\xc0\x80", 1)]
    {
        let input = masked(0x81, KEY, text);
        // One octet at a time.
        let mut ws = server();
        let mut rest = BytesMut::new();
        let mut shown = Vec::new();
        for (i, octet) in input.iter().enumerate() {
            let events = feed(&mut ws, &mut rest, &[*octet]);
            if i + 1 == 6 + octets {
                let fault = closed(&events).fault.as_deref();
                assert_eq!(fault, Some(&Fault::InvalidUtf8));
                break;
            }
            shown.extend(events);
        }
        assert!(!shown.contains(&Event::End));
        // All at once.
        let events = feed(&mut server(), &mut BytesMut::new(), &input);
        assert_eq!(closed(&events).code, CloseCode::INVALID_PAYLOAD);
        assert!(!events.contains(&Event::End));
        // Nothing of what is invalid was shown.
        for event in [joined(shown), joined(events)].concat() {
            if let Event::Chunk(chunk) = event {
                let valid = text.iter().position(|octet| b"\xff\xa0\xc0".contains(octet));
                assert!(text[..valid.unwrap_or(text.len())].starts_with(&chunk));
            }
        }
    }
}

// R6455-5.4-c, R6455-5.4-d, R6455-5.2-b, R6455-7.1.7-e
#[test]
fn faults_inside_of_a_streamed_message_end_it_without_an_end() {
    let begun = masked(0x01, KEY, b"a");
    for (behind, fault) in [
        (masked(0x81, KEY, b""), Fault::UnfinishedMessage),
        (masked(0x09, KEY, b""), Fault::FragmentedControl),
        (masked(0x83, KEY, b""), Fault::ReservedOpcode(3)),
        (b"\x80\x00".to_vec(), Fault::Unmasked),
    ] {
        let failed = fails(server, &[&begun[..], &behind].concat());
        assert_eq!(failed.fault, fault);
        assert_eq!(failed.before, [start(Text), chunk(b"a")]);
    }
    let complete = [begun, masked(0x80, KEY, b""), masked(0x80, KEY, b"")].concat();
    let failed = fails(server, &complete);
    assert_eq!(failed.fault, Fault::UnexpectedContinuation);
    assert_eq!(failed.before.last(), Some(&Event::End));
}

// R6455-5.5.1-l, R6455-7.1.4-a
#[test]
fn streamed_message_that_breaks_off_has_no_end() {
    let begun = masked(0x01, KEY, b"part");
    let seen = receive(server, &[&begun[..], &masked(0x88, KEY, b"\x03\xe8")].concat());
    assert_eq!(seen.events[..3], [start(Text), chunk(b"part"), Event::Closing]);
    assert!(closed(&seen.events).clean);
    assert_eq!(seen.sent, b"\x88\x02\x03\xe8");
    let mut ws = server();
    let mut input = BytesMut::new();
    feed(&mut ws, &mut input, &begun);
    ws.input_ended();
    let events = feed(&mut ws, &mut input, b"");
    assert!(matches!(&events[..], [Event::Closed(closed)] if !closed.clean));
    assert_eq!(written(&mut ws), b"");
}

// R6455-6.2-c, R6455-9.1-i
#[test]
fn extensions_decode_streamed_messages_in_every_scope() {
    let stacks: [Case; 4] = [
        (|| vec![extensions::Stutter::boxed(extensions::RSV1, 2)], b"HHeelll", b"loo."),
        (|| vec![extensions::Reverse::boxed(extensions::RSV1, Scope::WholeMessage)], b"ol", b"leH"),
        (|| vec![extensions::Reverse::boxed(extensions::RSV1, Scope::Frame)], b"leH", b"ol"),
        (
            || {
                vec![
                    extensions::Stutter::boxed(extensions::RSV1, 1),
                    extensions::Reverse::boxed(extensions::RSV3_EVERY, Scope::Frame),
                ]
            },
            b"eH",
            b".oll",
        ),
    ];
    for (i, (stack, head, tail)) in stacks.into_iter().enumerate() {
        let each = if i == 3 { 0x10 } else { 0 };
        let input = [
            masked(0x41 | each, KEY, head),
            masked(0x89, KEY, b""),
            masked(0x80 | each, KEY, tail),
        ]
        .concat();
        let mut seen = receive(|| with(stack()), &input);
        seen.events.retain(|event| !matches!(event, Event::Ping(_)));
        let events = joined(seen.events);
        assert_eq!(events, [start(Text), chunk(b"Hello"), Event::End], "{i}");
    }
}

// R6455-6.2-c, R6455-10.4-a
#[test]
fn unmarked_streamed_message_passes_beside_an_extension() {
    let new = || with(vec![extensions::add_one(extensions::RSV1, Scope::Message).boxed()]);
    let input = [masked(0x81, KEY, b"plain"), masked(0xc1, KEY, b"b")].concat();
    assert_eq!(
        receive(new, &input).events,
        [start(Text), chunk(b"plain"), Event::End, start(Text), chunk(b"a"), Event::End,]
    );
    // Larger than the limits, which are for whole messages.
    let data = vec![7; 2 << 20];
    for first in [0x82, 0xc2] {
        let events = feed(&mut new(), &mut BytesMut::new(), &masked(first, KEY, &data));
        assert_eq!(events.last(), Some(&Event::End));
    }
}

// R6455-10.4-a
#[test]
fn what_an_extension_has_to_see_whole_is_limited_when_streaming_too() {
    let whole = |scope| {
        move || {
            let config = config(|config| {
                config.receive = Receive::Streaming;
                config.max_frame = Some(10);
                config.max_message = 15;
            });
            let reverse = extensions::Reverse::boxed(extensions::RSV1, scope);
            extensions::server_of_with(config, vec![reverse])
        }
    };
    let failed = fails(whole(Scope::Frame), &masked(0xc2, KEY, &[1; 11]));
    assert_eq!(failed.fault, Fault::FrameTooBig { limit: 10 });
    let input = [masked(0x42, KEY, &[1; 12]), masked(0x80, KEY, &[1; 4])].concat();
    let failed = fails(whole(Scope::WholeMessage), &input);
    assert_eq!(failed.fault, Fault::MessageTooBig { limit: 15 });
    assert_eq!((failed.code, failed.before), (1009, vec![start(Binary)]));
}

// R6455-8.1-d
#[test]
fn decoded_streamed_text_is_checked_as_it_comes() {
    let new = || with(vec![extensions::add_one(extensions::RSV1, Scope::Message).boxed()]);
    let mut ws = new();
    let mut input = BytesMut::new();
    let events = feed(&mut ws, &mut input, &masked(0x41, KEY, b"pl\xe3\x83"));
    assert_eq!(joined(events), [start(Text), chunk(b"ok\xe2\x82")]);
    let events = feed(&mut ws, &mut input, &masked(0x00, KEY, b"b"));
    assert_eq!(closed(&events).fault.as_deref(), Some(&Fault::InvalidUtf8));
    let cut = masked(0xc1, KEY, b"\xe3\x83");
    let events = feed(&mut new(), &mut BytesMut::new(), &cut);
    assert_eq!(closed(&events).fault.as_deref(), Some(&Fault::InvalidUtf8));
    assert!(!events.contains(&Event::End));
}

#[test]
fn queued_piece_of_a_message_keeps_no_read_buffer_alive() {
    let mut ws = with_messages(vec![extensions::add_one(extensions::RSV1, Scope::Message).boxed()]);
    let mut input = BytesMut::with_capacity(64 * 1024);
    input.extend_from_slice(&masked(0x82, KEY, &[7; 1000]));
    let Some(Event::Message(message)) = ws.poll_event(&mut input) else {
        panic!("no message");
    };
    // More than is encoded ahead of the writer, so that what follows waits.
    ws.send(vec![0; 200_000]).unwrap();
    ws.start_message(Binary).unwrap();
    ws.send_chunk(message.into_payload()).unwrap();
    assert!(input.try_reclaim(64 * 1024), "nothing else holds the buffer");
}

fn with_messages(extensions: Stack) -> Connection {
    extensions::server_of_with(Config::default(), extensions)
}
