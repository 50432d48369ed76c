//! Limits on frames and messages (RFC 6455 §10.4).
#![allow(clippy::unwrap_used)]

use bytes::BytesMut;
use ws_core::{
    CloseCode, Config, Connection, Event, Fault, Message, Receive, UNLIMITED, extension::Scope,
};
use ws_tests_support::{
    engine::{binary, closed, config, events, feed_alone, written},
    extension::{Counters, Inflate, Reverse, only, thin},
    frame::{BINARY, CLOSE, FIRST, LAST, MORE, PING, TEXT, frames, pattern},
    side::{SIDES, Side},
};

/// Checks that the connection failed with this fault, that its code went out, and that it is dead.
#[track_caller]
fn assert_failed(ws: &mut Connection, events: &[Event], fault: &Fault, code: CloseCode) {
    let closed = closed(events);
    assert_eq!(closed.fault.as_deref(), Some(fault));
    assert_eq!(closed.code, code);
    assert!(!closed.clean);
    assert!(events.contains(&Event::Closing));
    let frames = frames(&written(ws));
    let close = frames.last().unwrap();
    assert_eq!(close.first, CLOSE);
    assert_eq!(close.payload[..2], code.get().to_be_bytes());
    assert_eq!(feed_alone(ws, b"\x82\x80\0\0\0\0\x82\0"), [], "failed stays failed");
    assert!(!ws.is_open());
}

/// Like it, where the message is too big.
#[track_caller]
fn assert_too_big(ws: &mut Connection, events: &[Event], limit: usize) {
    let fault = closed(events).fault.clone();
    assert!(
        matches!(fault.as_deref(), Some(Fault::FrameTooBig { .. } | Fault::MessageTooBig { .. })),
        "{fault:?}"
    );
    let fault = *fault.unwrap();
    match &fault {
        Fault::FrameTooBig { limit: told } | Fault::MessageTooBig { limit: told } => {
            assert_eq!(*told, limit);
        }
        _ => unreachable!(),
    }
    assert_failed(ws, events, &fault, CloseCode::MESSAGE_TOO_BIG);
}

/// Feeds the header that a peer of `side` sends, without its masking key.
fn announce(side: Side, config: Config, first: u8, len: u64) -> (Connection, Vec<Event>) {
    let mut ws = side.connection(config);
    let told = feed_alone(&mut ws, &side.incoming_announcement(first, len));
    (ws, told)
}

// R6455-5.2-j, R6455-10.4-a, RT-13
#[test]
fn rt_13_lengths_over_the_limit_are_refused_on_the_header() {
    let default = Config::default().frame_limit() as u64;
    for side in SIDES {
        for first in [TEXT, BINARY, FIRST] {
            for len in [(1 << 63) - 1, (1 << 63) - 14, 1 << 62, (1 << 32) + 1, 1 << 32, default + 1]
            {
                let (mut ws, told) = announce(side, Config::default(), first, len);
                assert_too_big(&mut ws, &told, default as usize);
            }
        }
    }
}

// R6455-5.2-j, R6455-5.2-f, RT-13
#[test]
fn rt_13_lengths_up_to_usize_max_are_refused_with_1002() {
    for side in SIDES {
        for len in (u64::MAX - 13..=u64::MAX).chain([1 << 63, u64::MAX - (1 << 62)]) {
            for config in [
                Config::default(),
                config(|config| config.max_message = UNLIMITED),
                config(|config| config.receive = Receive::Streaming),
            ] {
                let (mut ws, told) = announce(side, config, BINARY, len);
                assert_failed(&mut ws, &told, &Fault::LengthTopBit, CloseCode::PROTOCOL_ERROR);
            }
        }
    }
}

// R6455-5.2-j, RT-13
#[test]
fn rt_13_length_over_the_message_limit_is_refused_on_the_header_of_an_unlimited_frame() {
    let config = config(|config| config.max_frame = Some(UNLIMITED));
    for side in SIDES {
        for len in [(1_u64 << 63) - 1, (1 << 20) + 1] {
            let (mut ws, told) = announce(side, config.clone(), BINARY, len);
            assert_too_big(&mut ws, &told, 1 << 20);
        }
    }
}

// R6455-5.2-j, RT-13
#[test]
fn rt_13_length_on_a_continuation_is_refused_on_the_header() {
    for side in SIDES {
        let mut ws = side.connection(Config::default());
        assert_eq!(feed_alone(&mut ws, &side.incoming(FIRST, b"abc")), []);
        let told = feed_alone(&mut ws, &side.incoming_announcement(MORE, (1 << 63) - 1));
        assert_too_big(&mut ws, &told, Config::default().frame_limit());
    }
}

// R6455-10.4-a
#[test]
fn frame_limit_follows_the_message_limit_unless_it_is_set() {
    for side in SIDES {
        for limit in [10, 4 << 20] {
            let raised = config(|config| config.max_message = limit);
            let payload = pattern(limit);
            let mut ws = side.connection(raised.clone());
            let told = feed_alone(&mut ws, &side.incoming(BINARY, &payload));
            assert_eq!(told, [binary(&payload)], "limit {limit}");
            // Nothing decodes the message: the header says how long it is.
            let (mut ws, told) = announce(side, raised.clone(), BINARY, limit as u64 + 1);
            let fault = Fault::MessageTooBig { limit };
            assert_failed(&mut ws, &told, &fault, CloseCode::MESSAGE_TOO_BIG);
            let beyond = raised.frame_limit();
            let (mut ws, told) = announce(side, raised, BINARY, beyond as u64 + 1);
            assert_too_big(&mut ws, &told, beyond);
        }
    }
    assert_eq!(config(|config| config.max_message = UNLIMITED).frame_limit(), UNLIMITED);
    assert_eq!(config(|config| config.max_frame = Some(7)).frame_limit(), 7);
}

// R6455-10.4-a
#[test]
fn frame_limit_is_met_exactly_and_not_exceeded() {
    for side in SIDES {
        for limit in [1, 125, 126, 65_535, 65_536, 200_000] {
            let config = config(|config| config.max_frame = Some(limit));
            let payload = pattern(limit);
            let mut ws = side.connection(config.clone());
            let told = feed_alone(&mut ws, &side.incoming(BINARY, &payload));
            assert_eq!(told, [binary(&payload)], "limit {limit}");
            let (mut ws, told) = announce(side, config, BINARY, limit as u64 + 1);
            assert_too_big(&mut ws, &told, limit);
        }
    }
}

// R6455-10.4-a
#[test]
fn message_limit_is_met_exactly_and_not_exceeded() {
    for side in SIDES {
        for limit in [1, 125, 126, 65_535, 65_536, 200_000] {
            let config = config(|config| config.max_message = limit);
            let payload = pattern(limit);
            let mut ws = side.connection(config.clone());
            let told = feed_alone(&mut ws, &side.incoming(BINARY, &payload));
            assert_eq!(told, [binary(&payload)], "limit {limit}");
            let (mut ws, told) = announce(side, config, BINARY, limit as u64 + 1);
            assert_too_big(&mut ws, &told, limit);
        }
    }
}

// R6455-10.4-a, RT-18
#[test]
fn rt_18_fragments_that_sum_to_one_over_the_limit_fail_on_the_header_that_crosses() {
    let config = config(|config| config.max_message = 1000);
    for side in SIDES {
        for (pieces, crossing) in [
            (vec![1000], 1),
            (vec![500, 500], 1),
            (vec![999], 2),
            (vec![0, 1, 998, 0], 2),
            (vec![1; 1000], 1),
        ] {
            let mut ws = side.connection(config.clone());
            let mut first = FIRST;
            for piece in &pieces {
                assert_eq!(feed_alone(&mut ws, &side.incoming(first, &pattern(*piece))), []);
                first = MORE;
            }
            let told = feed_alone(&mut ws, &side.incoming_announcement(MORE, crossing));
            assert_too_big(&mut ws, &told, 1000);
        }
        // Exactly the limit passes.
        let mut ws = side.connection(config.clone());
        let input = [
            side.incoming(FIRST, &pattern(999)),
            side.incoming(MORE, b""),
            side.incoming(LAST, b"x"),
        ];
        let whole = [pattern(999), b"x".to_vec()].concat();
        assert_eq!(feed_alone(&mut ws, &input.concat()), [binary(whole)]);
    }
}

// R6455-10.4-a, RT-18
#[test]
fn rt_18_incomplete_frame_just_under_the_frame_limit_cannot_stand_on_a_full_message() {
    for side in SIDES {
        let mut ws = side.connection(Config::default());
        let full = vec![7; 1 << 20];
        assert_eq!(feed_alone(&mut ws, &side.incoming(FIRST, &full)), []);
        let held = ws.memory_usage();
        assert!(held <= (1 << 20) + 1024, "{held} bytes for a full message");
        let told = feed_alone(&mut ws, &side.incoming_header(MORE, (1 << 20) - 1));
        assert_too_big(&mut ws, &told, 1 << 20);
    }
}

// R6455-10.4-a, RT-19
#[test]
fn rt_19_a_million_continuations_of_one_octet_end_at_max_fragments() {
    for side in SIDES {
        let mut ws = side.connection(Config::default());
        let frame = side.incoming(MORE, b"x");
        let mut input = BytesMut::from(side.incoming(FIRST, b"x").as_slice());
        let (mut sent, mut most) = (1_usize, 0);
        let told = loop {
            let told = events(&mut ws, &mut input);
            if !told.is_empty() || sent == 1_000_000 {
                break told;
            }
            most = most.max(ws.memory_usage());
            sent += 1;
            input.extend_from_slice(&frame);
        };
        assert_eq!(sent, 4097);
        assert!(most <= 2 * sent + 256, "{most} bytes held");
        assert_failed(
            &mut ws,
            &told,
            &Fault::TooManyFragments { limit: 4096 },
            CloseCode::POLICY_VIOLATION,
        );
    }
}

// R6455-10.4-a, RT-19
#[test]
fn rt_19_a_million_empty_continuations_end_at_max_empty_fragments() {
    for side in SIDES {
        for receive in [Receive::Messages, Receive::Streaming] {
            let mut ws = side.connection(config(|config| config.receive = receive));
            let frame = side.incoming(MORE, b"");
            let mut input = BytesMut::from(side.incoming(FIRST, b"x").as_slice());
            let mut empty = 0;
            let told = loop {
                let told = events(&mut ws, &mut input);
                if told.contains(&Event::Closing) || empty == 1_000_000 {
                    break told;
                }
                assert!(ws.memory_usage() <= 256);
                empty += 1;
                input.extend_from_slice(&frame);
            };
            assert_eq!(empty, 65);
            assert_failed(
                &mut ws,
                &told,
                &Fault::TooManyEmptyFragments { limit: 64 },
                CloseCode::POLICY_VIOLATION,
            );
        }
    }
}

// R6455-10.4-a
#[test]
fn fragment_counts_are_met_exactly_and_not_exceeded() {
    for side in SIDES {
        for limit in [1, 2, 64] {
            let config = config(|config| config.max_fragments = limit);
            // As many frames as are allowed, and one more.
            for (frames, allowed) in [(limit, true), (limit + 1, false)] {
                let mut ws = side.connection(config.clone());
                let mut input = Vec::new();
                for i in 0..frames {
                    let fin = if i + 1 == frames { 0x80 } else { 0 };
                    let opcode = if i == 0 { FIRST } else { MORE };
                    input.extend(side.incoming(fin | opcode, b"x"));
                    // Control frames are none of the message's.
                    input.extend(side.incoming(PING, b""));
                }
                let told = feed_alone(&mut ws, &input);
                if allowed {
                    assert!(told.contains(&binary(vec![b'x'; limit])), "limit {limit}");
                } else {
                    let fault = Fault::TooManyFragments { limit };
                    assert_failed(&mut ws, &told, &fault, CloseCode::POLICY_VIOLATION);
                }
            }
        }
    }
}

// R6455-10.4-a
#[test]
fn empty_frames_count_in_a_row_and_anew_in_every_message() {
    let config = config(|config| config.max_empty_fragments = 2);
    for side in SIDES {
        let mut ws = side.connection(config.clone());
        let (first, empty, full) =
            (side.incoming(FIRST, b""), side.incoming(MORE, b""), side.incoming(MORE, b"x"));
        let last = side.incoming(LAST, b"");
        let message = [&first, &empty, &full, &empty, &last].map(Vec::as_slice);
        for _ in 0..3 {
            assert_eq!(feed_alone(&mut ws, &message.concat()), [binary(b"x")]);
        }
        let over = [&first, &empty, &empty].map(Vec::as_slice).concat();
        let told = feed_alone(&mut ws, &over);
        let fault = Fault::TooManyEmptyFragments { limit: 2 };
        assert_failed(&mut ws, &told, &fault, CloseCode::POLICY_VIOLATION);
    }
}

// R6455-10.4-b, RT-57
#[test]
fn rt_57_every_default_limit_is_finite_and_not_zero() {
    // A new field has to be named here before this compiles as `complete`.
    let debug = format!("{:?}", Config::default());
    let fields: Vec<&str> = debug
        .trim_start_matches("Config { ")
        .trim_end_matches(" }")
        .split(", ")
        .map(|field| field.split(": ").next().unwrap())
        .collect();
    let complete = [
        "max_frame",
        "max_message",
        "max_fragments",
        "max_empty_fragments",
        "receive",
        "max_sent_frame",
    ];
    assert_eq!(fields, complete, "a new field needs a finite default");
    let config = Config::default();
    assert_eq!(config.max_frame, None);
    assert_eq!(config.max_message, 1 << 20);
    assert_eq!(config.max_fragments, 4096);
    assert_eq!(config.max_empty_fragments, 64);
    // What we send is the caller's, and bounded by what the caller sends.
    assert_eq!(config.max_sent_frame, UNLIMITED);
}

// R6455-10.4-b, RT-57
#[test]
fn rt_57_zero_limits_mean_zero() {
    for side in SIDES {
        for (zero, fault) in [
            (config(|config| config.max_frame = Some(0)), Fault::FrameTooBig { limit: 0 }),
            (config(|config| config.max_message = 0), Fault::MessageTooBig { limit: 0 }),
        ] {
            let mut ws = side.connection(zero);
            assert_eq!(feed_alone(&mut ws, &side.incoming(BINARY, b"")), [binary(b"")]);
            let told = feed_alone(&mut ws, &side.incoming(BINARY, b"x"));
            assert_failed(&mut ws, &told, &fault, CloseCode::MESSAGE_TOO_BIG);
        }
        let mut ws = side.connection(config(|config| config.max_fragments = 0));
        let told = feed_alone(&mut ws, &side.incoming(BINARY, b"x"));
        let fault = Fault::TooManyFragments { limit: 0 };
        assert_failed(&mut ws, &told, &fault, CloseCode::POLICY_VIOLATION);

        let mut ws = side.connection(config(|config| config.max_empty_fragments = 0));
        assert_eq!(feed_alone(&mut ws, &side.incoming(BINARY, b"x")), [binary(b"x")]);
        let told = feed_alone(&mut ws, &side.incoming(BINARY, b""));
        let fault = Fault::TooManyEmptyFragments { limit: 0 };
        assert_failed(&mut ws, &told, &fault, CloseCode::POLICY_VIOLATION);
    }
}

// R6455-10.4-a
#[test]
fn streaming_has_no_limit_on_frame_and_message_but_one_on_what_is_gathered() {
    let streaming = config(|config| {
        config.receive = Receive::Streaming;
        (config.max_frame, config.max_message) = (Some(100), 100);
        config.max_fragments = 2;
    });
    for side in SIDES {
        let mut ws = side.connection(streaming.clone());
        let mut input = side.incoming(FIRST, &pattern(150_000));
        for _ in 0..10 {
            input.extend(side.incoming(MORE, &pattern(150_000)));
        }
        let mut len = 0;
        for event in feed_alone(&mut ws, &input) {
            let Event::Chunk(chunk) = event else { continue };
            assert!(chunk.len() <= 64 * 1024);
            len += chunk.len();
        }
        assert_eq!(len, 11 * 150_000);
        assert!(ws.memory_usage() <= 256);

        // A frame that an extension has to see whole keeps to the limit on frames,
        let stack = only("frames", Scope::Frame, Reverse::frames());
        let mut ws = side.connection_with(streaming.clone(), stack);
        let told = feed_alone(&mut ws, &side.incoming_announcement(BINARY | 0x10, 101));
        assert_too_big(&mut ws, &told, 100);
        // a message to that on messages,
        let stack = only("messages", Scope::WholeMessage, Reverse::messages());
        let mut ws = side.connection_with(streaming.clone(), stack);
        let told = feed_alone(&mut ws, &side.incoming(FIRST, &pattern(100)));
        assert_eq!(told, [Event::Start(ws_core::MessageKind::Binary)]);
        let told = feed_alone(&mut ws, &side.incoming(MORE, b"x"));
        assert_too_big(&mut ws, &told, 100);
        // and what an extension makes of a message that is not gathered to none.
        let stack = only("inflate", Scope::Message, Inflate::new(1000, &Counters::default()));
        let mut ws = side.connection_with(streaming.clone(), stack);
        let told = feed_alone(&mut ws, &side.incoming(BINARY | 0x40, &pattern(300)));
        assert_eq!(told.last(), Some(&Event::End));
    }
}

// R6455-10.4-a
#[test]
fn output_of_an_extension_is_refused_as_it_grows() {
    let limited = config(|config| config.max_message = 10_000);
    for side in SIDES {
        let start = || {
            let counters = Counters::default();
            let stack = only("inflate", Scope::Message, Inflate::new(1000, &counters));
            (side.connection_with(limited.clone(), stack), counters)
        };
        // Exactly the limit,
        let (mut ws, _) = start();
        let told = feed_alone(&mut ws, &side.incoming(BINARY | 0x40, &[7; 10]));
        assert_eq!(told, [binary(vec![7; 10_000])]);
        // and beyond it, whole and one byte at a time.
        let bomb = side.incoming(BINARY | 0x40, &[7; 1000]);
        let (mut ws, counters) = start();
        let told = feed_alone(&mut ws, &bomb);
        assert_too_big(&mut ws, &told, 10_000);
        assert!(counters.written() <= 10_001, "{counters:?}");

        let (mut ws, counters) = start();
        let header = bomb.len() - 1000;
        let mut input = BytesMut::new();
        for (i, octet) in bomb.iter().enumerate() {
            input.extend_from_slice(&[*octet]);
            let told = events(&mut ws, &mut input);
            if !told.is_empty() {
                assert_eq!(i, header + 10, "the byte that proves it");
                assert_too_big(&mut ws, &told, 10_000);
                break;
            }
            assert!(ws.memory_usage() <= 10_001 + 256);
        }
        assert!(!ws.is_open());
        assert!(counters.written() <= 10_001, "{counters:?}");
    }
}

// R6455-10.4-a
#[test]
fn bomb_in_fragments_is_refused_too() {
    let limited = config(|config| config.max_message = 10_000);
    for side in SIDES {
        let counters = Counters::default();
        let stack = only("inflate", Scope::Message, Inflate::new(1000, &counters));
        let mut ws = side.connection_with(limited.clone(), stack);
        let first = side.incoming(FIRST | 0x40, &[7; 5]);
        assert_eq!(feed_alone(&mut ws, &first), []);
        assert_eq!(feed_alone(&mut ws, &side.incoming(MORE, &[7; 5])), []);
        assert_eq!(feed_alone(&mut ws, &side.incoming(MORE, b"")), []);
        let told = feed_alone(&mut ws, &side.incoming(MORE, &[7; 1]));
        assert_too_big(&mut ws, &told, 10_000);
    }
}

// R6455-10.4-a
#[test]
fn gathering_for_an_extension_is_bounded_however_the_message_is_cut() {
    // Twice as much as the limit enters, and exactly the limit would leave.
    let limited = config(|config| (config.max_frame, config.max_message) = (Some(UNLIMITED), 1000));
    let payload = pattern(2000);
    for side in SIDES {
        for pieces in [1, 2, 20] {
            let mut ws =
                side.connection_with(limited.clone(), only("thin", Scope::WholeMessage, thin()));
            let mut told = Vec::new();
            for (i, piece) in payload.chunks(2000 / pieces).enumerate() {
                let fin = if i + 1 == pieces { 0x80 } else { 0 };
                let opcode = if i == 0 { FIRST } else { MORE };
                told.extend(feed_alone(&mut ws, &side.incoming(fin | opcode, piece)));
            }
            assert_too_big(&mut ws, &told, 1000);
            // The same frame, one byte at a time.
            let mut ws =
                side.connection_with(limited.clone(), only("thin", Scope::WholeMessage, thin()));
            let mut input = BytesMut::new();
            let mut told = Vec::new();
            for octet in side.incoming(BINARY, &payload) {
                input.extend_from_slice(&[octet]);
                told.extend(events(&mut ws, &mut input));
            }
            assert_too_big(&mut ws, &told, 1000);
        }
        let mut ws =
            side.connection_with(limited.clone(), only("thin", Scope::WholeMessage, thin()));
        let told = feed_alone(&mut ws, &side.incoming(BINARY, &payload[..1000]));
        assert_eq!(told.len(), 1);
        assert!(matches!(&told[0], Event::Message(Message::Binary(data)) if data.len() == 500));
    }
}

// R6455-10.4-a
#[test]
fn messages_before_the_one_that_is_too_big_are_delivered() {
    let small = config(|config| config.max_message = 10);
    for side in SIDES {
        let mut ws = side.connection(small.clone());
        let input = [
            side.incoming(BINARY, b"first"),
            side.incoming(BINARY, b"second"),
            side.incoming(BINARY, b"more than ten"),
            side.incoming(BINARY, b"behind"),
        ];
        let told = feed_alone(&mut ws, &input.concat());
        assert_eq!(told[..3], [binary(b"first"), binary(b"second"), Event::Closing]);
        assert_eq!(closed(&told).code, CloseCode::MESSAGE_TOO_BIG);
        assert_eq!(told.len(), 4);
    }
}
