//! What failed stays failed (RFC 6455 §7.1.7).

mod support;

use bytes::BytesMut;
use support::{
    KEY, closed, config, fails, feed, masked, server, server_with, stays_closed, written,
};
use ws_core::{CloseCode, Closed, Connection, Event, Fault};

fn narrow() -> Connection {
    server_with(config(|config| {
        config.max_frame = Some(10);
        config.max_message = 15;
        config.max_fragments = 5;
        config.max_empty_fragments = 2;
    }))
}

/// An input for every fault that a peer can commit without extensions.
fn faults() -> Vec<(Fault, Vec<u8>)> {
    let masked = |first, payload: &[u8]| masked(first, KEY, payload);
    let pieces = |piece: &[u8], n| [masked(0x02, b"a"), masked(0x00, piece).repeat(n)].concat();
    vec![
        (Fault::ReservedOpcode(0x3), masked(0x83, b"")),
        (Fault::FragmentedControl, masked(0x09, b"")),
        (Fault::ControlTooLong, masked(0x89, &[0; 126])),
        (Fault::Unmasked, b"\x81\x00".to_vec()),
        (Fault::LengthNotMinimal, b"\x82\xfe\x00\x01".to_vec()),
        (Fault::LengthTopBit, b"\x82\xff\x80".to_vec()),
        (Fault::UnexpectedContinuation, masked(0x80, b"")),
        (Fault::UnfinishedMessage, masked(0x01, b"").repeat(2)),
        (Fault::InvalidUtf8, masked(0x81, b"\xff")),
        (Fault::CloseBodyTooShort, masked(0x88, b"\x03")),
        (Fault::InvalidCloseCode(CloseCode::new(1005)), masked(0x88, b"\x03\xed")),
        (Fault::InvalidCloseReason, masked(0x88, b"\x03\xe8\xff")),
        (Fault::FrameTooBig { limit: 10 }, masked(0x82, &[0; 11])),
        (Fault::MessageTooBig { limit: 15 }, pieces(&[0; 5], 3)),
        (Fault::TooManyFragments { limit: 5 }, pieces(b"b", 5)),
        (Fault::TooManyEmptyFragments { limit: 2 }, pieces(b"", 3)),
    ]
}

// R6455-7.1.7-e, RT-61
#[test]
fn rt_61_nothing_happens_after_any_fault_whatever_comes() {
    for (fault, input) in faults() {
        assert_eq!(fails(narrow, &input).fault, fault);
        for (_, more) in faults() {
            let failed = fails(narrow, &[&input[..], &more].concat());
            assert_eq!((failed.fault, failed.before), (fault.clone(), vec![]));
        }
    }
}

// R6455-7.1.7-e, RT-61
#[test]
fn rt_61_nothing_is_read_between_closing_and_closed() {
    for (fault, input) in faults() {
        let mut ws = narrow();
        let mut input = BytesMut::from(&input[..]);
        let mut told = vec![ws.poll_event(&mut input).unwrap()];
        while told.last() == Some(&Event::Yield) {
            told.push(ws.poll_event(&mut input).unwrap());
        }
        assert_eq!(told.last(), Some(&Event::Closing));
        let events = feed(&mut ws, &mut input, &masked(0x81, KEY, b"behind"));
        assert_eq!(events.len(), 1);
        assert_eq!(closed(&events).fault.as_deref(), Some(&fault));
        written(&mut ws);
        stays_closed(&mut ws, &mut input);
    }
}

// R6455-7.1.7-e, RT-61
#[test]
fn rt_61_commands_do_not_revive_a_failed_connection() {
    let commands: [fn(&mut Connection); 2] = [
        |ws| ws.close(CloseCode::new(4001), "ours").unwrap(),
        |ws| ws.fail(CloseCode::new(4001), "ours").unwrap(),
    ];
    for (fault, bytes) in faults() {
        for command in commands {
            let mut ws = narrow();
            let mut input = BytesMut::from(&bytes[..]);
            while ws.poll_event(&mut input) != Some(Event::Closing) {}
            command(&mut ws);
            let events = feed(&mut ws, &mut input, &masked(0x81, KEY, b"behind"));
            assert_eq!(events.len(), 1, "{events:?}");
            let Closed { code, reason, fault: told, .. } = closed(&events);
            assert_eq!((code.get(), reason.as_str()), (4001, "ours"), "what was sent");
            assert_eq!(told.as_deref(), Some(&fault));
            assert_eq!(written(&mut ws), b"\x88\x06\x0f\xa1ours");
            stays_closed(&mut ws, &mut input);
        }
    }
}

// R6455-7.1.7-e, RT-61
#[test]
fn rt_61_fault_behind_our_close_ends_the_connection_without_a_second_close() {
    for (fault, input) in faults() {
        let mut ws = narrow();
        ws.close(CloseCode::NORMAL, "").unwrap();
        let mut rest = BytesMut::new();
        let events = feed(&mut ws, &mut rest, &input);
        assert_eq!(closed(&events).fault.as_deref(), Some(&fault));
        assert!(!closed(&events).clean);
        assert_eq!(written(&mut ws), b"\x88\x02\x03\xe8");
        stays_closed(&mut ws, &mut rest);
    }
}

// R6455-7.1.7-e, RT-61
#[test]
fn rt_61_end_of_input_does_not_change_how_it_ended() {
    for (fault, input) in faults() {
        let mut ws = narrow();
        let mut rest = BytesMut::from(&input[..]);
        ws.input_ended();
        let events = feed(&mut ws, &mut rest, b"");
        assert_eq!(closed(&events).fault.as_deref(), Some(&fault));
        written(&mut ws);
        stays_closed(&mut ws, &mut rest);
    }
}

// RT-61
#[test]
fn rt_61_healthy_connection_takes_the_same_bytes() {
    let seen = support::receive(server, &masked(0x81, KEY, b"behind"));
    assert_eq!(seen.events, [support::text("behind")]);
}
