//! Close codes (RFC 6455 §7.4 and the IANA registry).

mod support;

use bytes::BytesMut;
use support::{
    KEY, client, client_with, closed, config, fails, feed, masked, receive, server, server_with,
    text, unmasked, written,
};
use ws_core::{CloseCode, ClosedBy, Fault, SendError};

/// The codes that may stand in a Close frame.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

// R6455-7.4.1-a, MDN-11
#[test]
fn codes_that_are_not_for_the_wire_are_never_sent() {
    for code in (0..=u16::MAX).filter(|code| !may_be_sent(*code)) {
        let mut ws = client();
        let refused = Err(SendError::InvalidCloseCode(CloseCode::new(code)));
        assert_eq!(ws.close(CloseCode::new(code), ""), refused);
        assert_eq!(written(&mut ws), b"");
        assert!(ws.is_open());
        // Giving the connection up is not refused.
        assert_eq!(ws.fail(CloseCode::new(code), ""), Ok(()));
        assert!(written(&mut ws).ends_with(b"\x03\xf3"));
        assert!(!CloseCode::new(code).is_sendable());
    }
    for code in [CloseCode::NO_STATUS, CloseCode::ABNORMAL, CloseCode::TLS_HANDSHAKE] {
        assert!(server().close(code, "").is_err());
    }
}

// R6455-7.4.1-a
#[test]
fn codes_for_the_wire_are_sent() {
    for code in (0..=u16::MAX).filter(|code| may_be_sent(*code) && *code != 1010) {
        let mut ws = server();
        ws.close(CloseCode::new(code), "").unwrap();
        assert_eq!(written(&mut ws), [&[0x88, 2], &code.to_be_bytes()[..]].concat());
    }
}

// R6455-7.4.1-b, D-7
#[test]
fn received_code_that_may_not_be_sent_fails_with_1002() {
    for code in (0..=u16::MAX).filter(|code| !may_be_sent(*code)) {
        let mut ws = server();
        let mut input = BytesMut::new();
        let events = feed(&mut ws, &mut input, &masked(0x88, KEY, &code.to_be_bytes()));
        let fault = Fault::InvalidCloseCode(CloseCode::new(code));
        assert_eq!(closed(&events).fault.as_deref(), Some(&fault));
        assert_eq!(written(&mut ws)[2..4], [0x03, 0xea]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535_u16] {
        let body = [&code.to_be_bytes()[..], b"reason"].concat();
        assert_eq!(fails(server, &masked(0x88, KEY, &body)).code, 1002);
        assert_eq!(fails(client, &unmasked(0x88, &body)).code, 1002);
    }
}

// R6455-7.4.1-c, R6455-7.4.2-a, D-7
#[test]
fn received_codes_for_the_wire_are_accepted_and_repeated() {
    for code in (0..=u16::MAX).filter(|code| may_be_sent(*code)) {
        let mut ws = server();
        let mut input = BytesMut::new();
        let events = feed(&mut ws, &mut input, &masked(0x88, KEY, &code.to_be_bytes()));
        let closed = closed(&events);
        assert_eq!((closed.by, closed.code.get()), (ClosedBy::Peer, code));
        assert!(closed.clean);
        assert_eq!(written(&mut ws), [&[0x88, 2], &code.to_be_bytes()[..]].concat());
    }
}

// R6455-7.4.2-a
#[test]
fn codes_of_libraries_and_applications_go_both_ways() {
    for code in [3000_u16, 3999, 4000, 4999] {
        let frame = [&b"\x88\x02"[..], &code.to_be_bytes()].concat();
        let seen = receive(server, &masked(0x88, KEY, &code.to_be_bytes()));
        assert_eq!(seen.sent, frame);
        let mut ws = server();
        ws.close(code.into(), "").unwrap();
        assert_eq!(written(&mut ws), frame);
    }
}

// R6455-7.4.1-d
#[test]
fn server_does_not_use_1010_but_understands_it() {
    let mut ws = server();
    let refused = Err(SendError::InvalidCloseCode(CloseCode::MANDATORY_EXTENSION));
    assert_eq!(ws.close(CloseCode::MANDATORY_EXTENSION, ""), refused);
    assert_eq!(written(&mut ws), b"");
    assert_eq!(ws.fail(CloseCode::MANDATORY_EXTENSION, ""), Ok(()));
    assert_eq!(written(&mut ws), b"\x88\x02\x03\xf3");
    let seen = receive(server, &masked(0x88, KEY, b"\x03\xf2permessage-deflate"));
    assert_eq!(closed(&seen.events).code, CloseCode::MANDATORY_EXTENSION);
    assert_eq!(closed(&seen.events).reason, "permessage-deflate");
}

// R6455-7.4.1-e, D-16
#[test]
fn every_cause_has_its_code() {
    let code = |change: fn(&mut ws_core::Config), input: &[u8]| {
        fails(|| server_with(config(change)), input).code
    };
    // Protocol: 1002.
    assert_eq!(code(|_| {}, b"\x83"), 1002);
    // Text that is not UTF-8: 1007.
    assert_eq!(code(|_| {}, b"\x81\x81\0\0\0\0\xff"), 1007);
    // Counts of fragments: 1008.
    let many = b"\x01\x81\0\0\0\0a\x00\x81\0\0\0\0a\x00\x80\0\0\0\0";
    assert_eq!(code(|config| config.max_fragments = 2, many), 1008);
    assert_eq!(code(|config| config.max_empty_fragments = 0, many), 1008);
    // Sizes: 1009.
    assert_eq!(code(|config| config.max_frame = Some(2), b"\x81\x83"), 1009);
    assert_eq!(code(|config| config.max_message = 2, b"\x81\x83"), 1009);
    // Causes that the caller has to tell: kind of data, rates, errors, shutdown, overload.
    for (cause, code) in [
        (CloseCode::UNSUPPORTED_DATA, 1003_u16),
        (CloseCode::POLICY_VIOLATION, 1008),
        (CloseCode::INTERNAL_ERROR, 1011),
        (CloseCode::GOING_AWAY, 1001),
        (CloseCode::TRY_AGAIN_LATER, 1013),
    ] {
        let mut ws = server();
        ws.fail(cause, "").unwrap();
        assert_eq!(written(&mut ws), [&b"\x88\x02"[..], &code.to_be_bytes()].concat());
    }
}

// R6455-7.4.1-e
#[test]
fn client_tells_the_same_codes() {
    assert_eq!(fails(client, b"\x83").code, 1002);
    assert_eq!(fails(client, b"\x81\x01\xff").code, 1007);
    let narrow = || client_with(config(|config| config.max_message = 2));
    assert_eq!(fails(narrow, b"\x81\x03").code, 1009);
    assert_eq!(receive(narrow, b"\x81\x02ok").events, [text("ok")]);
}
