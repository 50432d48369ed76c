//! Limits (RFC 6455 §10.4). Counts of fragments and memory have tests of their own.

mod support;

use bytes::BytesMut;
use support::{
    KEY, binary, config, extensions, fails, feed, masked, receive, server, server_with, text,
};
use ws_core::{Config, Connection, Event, Fault, Receive, UNLIMITED, extension::Scope};

fn narrow() -> Connection {
    server_with(config(|config| {
        config.max_frame = 10;
        config.max_message = 15;
    }))
}

// R6455-10.4-b
#[test]
fn every_limit_on_what_is_received_is_finite_by_default() {
    let Config {
        max_frame,
        max_message,
        max_fragments,
        max_empty_fragments,
        receive,
        ..
    } = Config::default();
    for limit in [max_frame, max_message, max_fragments, max_empty_fragments] {
        assert!(limit > 0 && limit <= 1 << 20);
        assert_ne!(limit, UNLIMITED);
    }
    assert_eq!(receive, Receive::Messages);
    assert_eq!(server().config(), &Config::default());
}

// R6455-10.4-b
#[test]
fn zero_is_no_other_word_for_unlimited() {
    let nothing = |change: fn(&mut Config)| move || server_with(config(change));
    let failed = fails(nothing(|config| config.max_frame = 0), b"\x82\x81");
    assert_eq!(failed.fault, Fault::FrameTooBig { limit: 0 });
    let failed = fails(nothing(|config| config.max_message = 0), b"\x82\x81");
    assert_eq!(failed.fault, Fault::MessageTooBig { limit: 0 });
    let empty = masked(0x82, KEY, b"");
    let failed = fails(nothing(|config| config.max_fragments = 0), &empty);
    assert_eq!(failed.fault, Fault::TooManyFragments { limit: 0 });
    let failed = fails(nothing(|config| config.max_empty_fragments = 0), &empty);
    assert_eq!(failed.fault, Fault::TooManyEmptyFragments { limit: 0 });
}

// R6455-10.4-a
#[test]
fn frame_over_the_limit_fails_with_1009_on_its_header() {
    let seen = receive(narrow, &masked(0x82, KEY, &[1; 10]));
    assert_eq!(seen.events, [binary(&[1; 10])]);
    let failed = fails(narrow, &masked(0x82, KEY, &[1; 11]));
    assert_eq!(failed.fault, Fault::FrameTooBig { limit: 10 });
    assert_eq!((failed.code, failed.octets), (1009, 2));
}

// R6455-10.4-a
#[test]
fn default_limit_of_a_frame_is_a_mebibyte() {
    let mut ws = server();
    let frame = masked(0x82, KEY, &vec![1; 1 << 20]);
    let events = feed(&mut ws, &mut BytesMut::new(), &frame);
    assert!(matches!(&events[..], [Event::Message(message)] if message.len() == 1 << 20));
    let failed = fails(server, b"\x82\xff\0\0\0\0\0\x10\0\x01");
    assert_eq!((failed.code, failed.octets), (1009, 10));
}

// R6455-10.4-a
#[test]
fn message_over_the_limit_fails_with_1009_on_the_header_that_crosses_it() {
    let exact = [
        masked(0x01, KEY, &[b'a'; 10]),
        masked(0x80, KEY, &[b'a'; 5]),
    ]
    .concat();
    assert_eq!(receive(narrow, &exact).events, [text(&"a".repeat(15))]);
    let begun = [
        masked(0x01, KEY, &[b'a'; 10]),
        masked(0x89, KEY, &[b'p'; 100]),
        masked(0x00, KEY, &[b'a'; 5]),
    ]
    .concat();
    let failed = fails(narrow, &[&begun[..], b"\x00\x81"].concat());
    assert_eq!(failed.fault, Fault::MessageTooBig { limit: 15 });
    assert_eq!((failed.code, failed.octets), (1009, begun.len() + 2));
    assert_eq!(failed.sent.len(), 1, "the Pong");
    // An empty frame crosses nothing.
    let rest = [&begun[..], &masked(0x80, KEY, b"")].concat();
    assert_eq!(receive(narrow, &rest).messages().len(), 1);
}

// R6455-10.4-a
#[test]
fn limits_count_one_message_and_not_the_connection() {
    let input = [
        masked(0x02, KEY, &[1; 10]),
        masked(0x80, KEY, &[1; 5]),
        masked(0x82, KEY, &[1; 10]),
    ]
    .concat();
    assert_eq!(receive(narrow, &input.repeat(100)).events.len(), 200);
}

// R6455-10.4-a
#[test]
fn limit_of_a_message_holds_for_what_extensions_decode() {
    let new = || {
        let config = config(|config| config.max_message = 15);
        extensions::server_of_with(
            config,
            vec![extensions::Stutter::boxed(extensions::RSV1, 3)],
        )
    };
    let wire = [b"aaa".repeat(15), b".".to_vec()].concat();
    let seen = receive(new, &masked(0xc2, KEY, &wire));
    assert_eq!(seen.events, [binary(&[b'a'; 15])]);
    let wire = [b"aaa".repeat(16), b".".to_vec()].concat();
    let failed = fails(new, &masked(0xc2, KEY, &wire));
    assert_eq!(failed.fault, Fault::MessageTooBig { limit: 15 });
    assert_eq!((failed.code, failed.octets), (1009, 6 + 3 * 16));
}

// R6455-10.4-a
#[test]
fn limit_of_a_message_holds_where_extensions_leave_it_alone() {
    for scope in [Scope::Message, Scope::WholeMessage, Scope::Frame] {
        let new = || {
            let config = config(|config| {
                config.max_frame = 100;
                config.max_message = 15;
            });
            extensions::server_of_with(
                config,
                vec![extensions::marker(extensions::RSV1, scope).boxed()],
            )
        };
        let seen = receive(new, &masked(0x82, KEY, &[1; 15]));
        assert_eq!(seen.events, [binary(&[1; 15])]);
        let failed = fails(new, &masked(0x82, KEY, &[1; 16]));
        assert_eq!(failed.fault, Fault::MessageTooBig { limit: 15 });
        assert_eq!((failed.code, failed.octets), (1009, 6));
        let begun = [masked(0x02, KEY, &[1; 10]), masked(0x00, KEY, &[1; 5])].concat();
        let failed = fails(new, &[begun.clone(), masked(0x80, KEY, &[1])].concat());
        assert_eq!(failed.fault, Fault::MessageTooBig { limit: 15 });
        assert_eq!((failed.code, failed.octets), (1009, begun.len() + 6));
    }
}

// R6455-10.4-a
#[test]
fn limit_of_a_message_holds_for_what_is_gathered_for_an_extension() {
    for input in [
        masked(0xc2, KEY, &[1; 16]),
        [masked(0x42, KEY, &[1; 10]), masked(0x80, KEY, &[1; 6])].concat(),
    ] {
        let new = || {
            let config = config(|config| config.max_message = 15);
            extensions::server_of_with(
                config,
                vec![extensions::Reverse::boxed(
                    extensions::RSV1,
                    Scope::WholeMessage,
                )],
            )
        };
        let failed = fails(new, &input);
        assert_eq!(failed.fault, Fault::MessageTooBig { limit: 15 });
        assert_eq!(failed.code, 1009);
    }
}
