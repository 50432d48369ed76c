//! The ten points of the extension contract, each with an extension that breaks it: the engine stops
//! it and does not trust it. `extension_contract` and `extension_faults` have what an extension may
//! count on and the codes of its failures; what breaks the ninth point breaks a negotiation, and the
//! tests of `ws-handshake` have it.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::BytesMut;
use support::{
    KEY, binary, config,
    extensions::{
        Log, RSV1, RSV2, RSV3_EVERY, Scoped, Spy, Stub, Stutter, add_one, marker, named, server_of,
        server_of_with, xor_55,
    },
    fails, feed, frames, masked, receive, text, written,
};
use ws_core::{
    Config, Connection, Event, Extension, Extensions, Fault, MessageKind, Role,
    extension::{Chunk, Compression, Progress, Rsv, RsvClaim, Scope, Sink, StackError},
};

/// Passes everything on, and answers otherwise the second time it is asked for its claim.
fn turncoat(claims: [RsvClaim; 2]) -> Box<dyn Extension> {
    let asked = AtomicUsize::default();
    let claim = move || claims[asked.fetch_add(1, Ordering::Relaxed).min(1)];
    Box::new(Stub::passing(claims[0]).claims(claim))
}

const ANY: Scope = Scope::Message;

// R6455-5.8-a
#[test]
fn point_1_claim_that_changes_behind_the_stack_wins_no_bit_of_another() {
    let mut stack = Extensions::none();
    stack.push(&named("x-first", ANY), marker(RSV1, ANY).boxed().1).unwrap();
    // It asks for a free bit, and for the other one's when it is in.
    stack.push(&named("x-second", ANY), turncoat([RSV2, RSV1])).unwrap();
    assert_eq!(stack.claimed(), Rsv::RSV1 | Rsv::RSV2);
    // What it let go of by then is not free either.
    let error = stack.push(&named("x-third", ANY), marker(RSV2, ANY).boxed().1).unwrap_err();
    assert!(matches!(error, StackError::Clash { bits: Rsv::RSV2, .. }));
    let mut ws = Connection::new(Role::Server, Config::default(), stack);
    ws.send_with("a", Compression::Never).unwrap();
    assert_eq!(written(&mut ws), b"\xa1\x01a", "RSV1 is the first one's, which did not mark");
}

/// Says that it leaves a message alone, and would transform it all the same, into a frame of its own
/// making.
fn pretender() -> Scoped {
    let transform = |_, input: &mut Chunk<'_>, out: &mut Sink<'_>| {
        input.consume(input.len());
        let _ = out.write(b"\xf1\x00");
        Ok(Progress::Done)
    };
    Stub::new(RSV1, transform).unmarked().boxed(ANY)
}

// R6455-5.2-b
#[test]
fn point_2_extension_transforms_nothing_that_is_unmarked_and_sets_no_bit_itself() {
    let new = || server_of(vec![pretender(), add_one(RSV2, ANY).boxed()]);
    let mut ws = new();
    ws.send("Hello").unwrap();
    assert_eq!(written(&mut ws), b"\xa1\x05Ifmmp");
    let seen = receive(new, &masked(0xa1, KEY, b"Ifmmp"));
    assert_eq!(seen.events, [text("Hello")]);
    // A claim that grows later puts no further bit on the wire, and lets none in.
    let claims = [RSV2, RsvClaim::EveryFrame(Rsv::ALL)];
    let new = || server_of(vec![(ANY, turncoat(claims))]);
    let mut ws = new();
    ws.send("a").unwrap();
    assert_eq!(written(&mut ws), b"\xa1\x01a");
    let failed = fails(new, &masked(0xf1, KEY, b"a"));
    assert_eq!(failed.fault, Fault::ReservedBits(Rsv::RSV1 | Rsv::RSV3));
    // What it writes is payload, whatever it looks like.
    let mut ws = server_of(vec![Stutter::boxed(RSV1, 1)]);
    ws.send(b"\xf1\x00".to_vec()).unwrap();
    assert_eq!(written(&mut ws), b"\xc2\x03\xf1\x00.");
}

// R6455-5.2-b, R6455-5.2-c
#[test]
fn point_3_claim_of_all_bits_opens_neither_control_frames_nor_reserved_opcodes() {
    for claim in [RsvClaim::EveryFrame(Rsv::ALL), RsvClaim::FirstFrame(Rsv::ALL)] {
        for scope in [Scope::Message, Scope::WholeMessage, Scope::Frame] {
            let log = Log::default();
            let new = || server_of(vec![Spy::boxed(claim, scope, &log)]);
            for opcode in 0x3..=0xf_u8 {
                for bits in (0x10..=0x70).step_by(0x10) {
                    let failed = fails(new, &masked(0x80 | bits | opcode, KEY, b""));
                    assert_eq!((failed.code, failed.octets), (1002, 1), "{opcode:x} {bits:x}");
                }
            }
            // Some of the claimed bits are not the mark.
            for bits in (0x10..0x70).step_by(0x10) {
                let failed = fails(new, &masked(0x82 | bits, KEY, b""));
                assert_eq!((failed.code, failed.octets), (1002, 1), "{bits:x}");
            }
            assert_eq!(*log.lock().unwrap(), [""; 0]);
        }
    }
}

// R6455-9.1-i
#[test]
fn point_4_claim_that_changes_behind_the_stack_changes_no_place_in_the_order() {
    for later in [RSV1, RSV2, RSV3_EVERY] {
        let new = || {
            server_of(vec![
                add_one(RSV1, ANY).boxed(),
                (ANY, turncoat([RsvClaim::None, later])),
                xor_55(RSV2, ANY).boxed(),
            ])
        };
        let mut ws = new();
        ws.send("Hello").unwrap();
        assert_eq!(written(&mut ws), b"\xe1\x05\x1c\x33\x38\x38\x25");
        let seen = receive(new, &masked(0xe1, KEY, b"\x1c\x33\x38\x38\x25"));
        assert_eq!(seen.events, [text("Hello")]);
    }
}

// R6455-6.2-c
#[test]
fn point_5_extension_of_frame_scope_cannot_slip_in_front_of_one_of_message_scope() {
    // With a claim that fits messages once it is in.
    for scope in [Scope::Message, Scope::WholeMessage] {
        let mut stack = Extensions::none();
        let turncoat = turncoat([RSV3_EVERY, RsvClaim::FirstFrame(Rsv::RSV3)]);
        stack.push(&named("x-frames", Scope::Frame), turncoat).unwrap();
        let (scope, messages) = marker(RSV1, scope).boxed();
        let error = stack.push(&named("x-messages", scope), messages).unwrap_err();
        assert!(matches!(error, StackError::FrameScope { .. }));
        // And goes on to be shown frames, each of which carries its mark.
        let config = config(|config| config.max_sent_frame = 1);
        let mut ws = Connection::new(Role::Server, config, stack);
        ws.send("ab").unwrap();
        assert_eq!(written(&mut ws), b"\x11\x01a\x90\x01b");
    }
}

/// Makes a million octets of one.
fn bomb(claim: RsvClaim, scope: Scope) -> Scoped {
    // Of the first octet that is left, so many were written.
    let mut written = 0;
    let transform = move |_, input: &mut Chunk<'_>, out: &mut Sink<'_>| {
        while let Some(octet) = input.data().first() {
            written += out.write(&vec![*octet; (1 << 20) - written]);
            if written < 1 << 20 {
                return Ok(Progress::Full);
            }
            written = 0;
            input.consume(1);
        }
        Ok(Progress::Done)
    };
    Stub::new(claim, transform).boxed(scope)
}

// R6455-10.4-a
#[test]
fn point_6_bombs_in_a_row_are_bounded_together() {
    let rows: [[Scope; 3]; 4] = [
        [Scope::Message; 3],
        [Scope::WholeMessage, Scope::Message, Scope::Message],
        [Scope::Message, Scope::WholeMessage, Scope::Frame],
        [Scope::Frame; 3],
    ];
    for scopes in rows {
        let new = || {
            let claims = [RSV1, RSV2, RSV3_EVERY];
            let row = claims.into_iter().zip(scopes);
            let config = config(|config| {
                config.max_message = 100_000;
            });
            server_of_with(config, row.map(|(claim, scope)| bomb(claim, scope)).collect())
        };
        let mut ws = new();
        let mut input = BytesMut::from(&masked(0xf2, KEY, b"aaa")[..]);
        let mut most = 0;
        let closed = loop {
            match ws.poll_event(&mut input) {
                Some(Event::Closed(closed)) => break closed,
                Some(_) => most = most.max(ws.memory_usage()),
                None => panic!("{scopes:?}: it waits for more"),
            }
        };
        assert_eq!(closed.code.get(), 1009, "{scopes:?}");
        assert!(most <= 512 * 1024, "{scopes:?}: {most} octets were held");
    }
}

/// Leaves everything out, or says something of its own in every call.
fn inventive(said: &'static [u8]) -> Scoped {
    let transform = move |_, input: &mut Chunk<'_>, out: &mut Sink<'_>| {
        input.consume(input.len());
        let _ = out.write(said);
        Ok(Progress::Done)
    };
    Stub::new(RsvClaim::None, transform).boxed(ANY)
}

// R6455-6.2-c
#[test]
fn point_7_extension_neither_loses_nor_adds_a_message() {
    for said in [&b""[..], b"\x81\x00"] {
        let new = || server_of(vec![inventive(said)]);
        let mut ws = new();
        for message in ["", "one", "two"] {
            ws.send(message).unwrap();
        }
        let sent = frames(&written(&mut ws));
        let ends: Vec<bool> = sent.iter().map(|frame| frame.first & 0x80 != 0).collect();
        assert_eq!(ends, [true; 3]);
        assert!(sent.iter().all(|frame| frame.first == 0x81 && frame.payload == said));
        let mut ws = new();
        let wire = [masked(0x82, KEY, b""), masked(0x82, KEY, b"one"), masked(0x82, KEY, b"two")];
        let events = feed(&mut ws, &mut BytesMut::new(), &wire.concat());
        assert_eq!(events, [binary(said), binary(said), binary(said)]);
    }
    // Text stays text: what an extension makes of it is judged like what a peer sends.
    let new = || server_of(vec![inventive(b"\xff")]);
    let failed = fails(new, &masked(0x81, KEY, b"a"));
    assert_eq!((failed.fault, failed.code), (Fault::InvalidUtf8, 1007));
}

// R6455-5.8-a
#[test]
fn point_8_extension_that_was_refused_costs_nothing_and_is_never_called() {
    let log = Log::default();
    let mut stack = Extensions::none();
    assert_eq!((stack.is_empty(), stack.memory_usage()), (true, 0));
    stack
        .push(&named("x-frames", Scope::Frame), marker(RSV3_EVERY, Scope::Frame).boxed().1)
        .unwrap();
    for (claim, scope) in [(RSV3_EVERY, Scope::Frame), (RSV1, Scope::Message)] {
        let (scope, spy) = Spy::boxed(claim, scope, &log);
        stack.push(&named("x-refused", scope), spy).unwrap_err();
    }
    assert_eq!(Arc::strong_count(&log), 1, "they are gone");
    assert_eq!((stack.len(), stack.claimed()), (1, Rsv::RSV3));
    let mut ws = Connection::new(Role::Server, Config::default(), stack);
    ws.send("a").unwrap();
    ws.park();
    assert_eq!(written(&mut ws), b"\x91\x01a");
    assert_eq!(*log.lock().unwrap(), [""; 0]);
}

// R6455-6.1-e
#[test]
fn point_10_hint_reaches_every_extension_whatever_those_before_it_made_of_it() {
    for hint in [Compression::Auto, Compression::Never, Compression::Always] {
        let logs = [(); 4].map(|()| Log::default());
        let scopes = [Scope::Message, Scope::WholeMessage, Scope::Message, Scope::Frame];
        let claims = [RsvClaim::None, RSV1, RSV2, RSV3_EVERY];
        let spies = logs.iter().zip(scopes).zip(claims);
        let spies = spies.map(|((log, scope), claim)| Spy::boxed(claim, scope, log));
        // The first changes the data whatever the hint says, and by it the length.
        let deaf = Stutter::boxed(RsvClaim::None, 2);
        let mut ws = server_of_with(
            config(|config| config.max_sent_frame = 3),
            std::iter::once(deaf).chain(spies).collect(),
        );
        ws.send_with("abc", hint).unwrap();
        ws.start_message_with(MessageKind::Binary, hint).unwrap();
        ws.send_chunk(b"a").unwrap();
        ws.finish_message(b"b").unwrap();
        written(&mut ws);
        for log in logs {
            let log = log.lock().unwrap();
            let told = log.iter().filter(|line| line.starts_with("send"));
            assert!(told.clone().count() >= 2);
            assert!(told.clone().all(|line| line.ends_with(&format!("{hint:?}"))), "{log:?}");
        }
    }
}
