//! Limits (RFC 6455 §10.4) beside extensions.

mod support;

use support::{KEY, binary, config, extensions, fails, masked, receive, server_with};
use ws_core::{Connection, Fault, extension::Scope};

fn narrow() -> Connection {
    server_with(config(|config| {
        config.max_frame = Some(10);
        config.max_message = 15;
    }))
}

// R6455-10.4-a
#[test]
fn limits_count_one_message_and_not_the_connection() {
    let input =
        [masked(0x02, KEY, &[1; 10]), masked(0x80, KEY, &[1; 5]), masked(0x82, KEY, &[1; 10])]
            .concat();
    assert_eq!(receive(narrow, &input.repeat(100)).events.len(), 200);
}

// R6455-10.4-a
#[test]
fn limit_of_a_message_holds_for_what_extensions_decode() {
    let new = || {
        let config = config(|config| config.max_message = 15);
        extensions::server_of_with(config, vec![extensions::Stutter::boxed(extensions::RSV1, 3)])
    };
    let wire = [b"aaa".repeat(15), b".".to_vec()].concat();
    let seen = receive(new, &masked(0xc2, KEY, &wire));
    assert_eq!(seen.events, [binary([b'a'; 15])]);
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
                config.max_frame = Some(100);
                config.max_message = 15;
            });
            extensions::server_of_with(
                config,
                vec![extensions::marker(extensions::RSV1, scope).boxed()],
            )
        };
        let seen = receive(new, &masked(0x82, KEY, &[1; 15]));
        assert_eq!(seen.events, [binary([1; 15])]);
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
                vec![extensions::Reverse::boxed(extensions::RSV1, Scope::WholeMessage)],
            )
        };
        let failed = fails(new, &input);
        assert_eq!(failed.fault, Fault::MessageTooBig { limit: 15 });
        assert_eq!(failed.code, 1009);
    }
}
