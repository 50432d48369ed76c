//! Faults, and what an observer sees, do not depend on how the input was cut.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use proptest::prelude::*;
use support::{
    KEY, config,
    extensions::{
        Call, RSV1, RSV2, RSV3_EVERY, Reverse, Scoped, Stub, add_one, pass, progress,
        server_of_with, xor_55,
    },
    feed, masked, unmasked,
};
use ws_core::{
    CloseCode, Config, Connection, Event, Extensions, FrameDirection, Message, ObservedFrame,
    Receive, Role,
    extension::{Chunk, ExtensionError, RsvClaim, Scope, Sink},
};

/// Passes everything on, at most `step` octets in one call, and fails at an octet `!`, after which
/// nothing comes through.
fn fails_at_mark(claim: RsvClaim, scope: Scope, step: usize) -> Scoped {
    let transform = move |call, input: &mut Chunk<'_>, out: &mut Sink<'_>| {
        if call == Call::Encode {
            return pass(input, out);
        }
        let end = input.data().iter().position(|&octet| octet == b'!').unwrap_or(input.len());
        let n = out.write(&input.data()[..end.min(step)]);
        input.consume(n);
        if n == end && input.data().first() == Some(&b'!') {
            return Err(ExtensionError::new(CloseCode::new(4000), "a mark"));
        }
        Ok(progress(input))
    };
    Stub::new(claim, transform).boxed(scope)
}

/// What came, how it ended, and the frames that an observer saw.
#[derive(Debug, PartialEq)]
struct Seen {
    messages: Vec<Message>,
    octets: Vec<u8>,
    end: Option<(u16, String)>,
    frames: Vec<ObservedFrame>,
}

fn seen(mut ws: Connection, observed: bool, input: &[u8], cuts: &[usize]) -> Seen {
    let log = Arc::new(Mutex::new(Vec::new()));
    if observed {
        let log = log.clone();
        ws.observe_frames(move |frame: &ObservedFrame| {
            if frame.direction == FrameDirection::Received {
                log.lock().unwrap().push(*frame);
            }
        });
    }
    let mut seen = Seen { messages: vec![], octets: vec![], end: None, frames: vec![] };
    let (mut buffer, mut rest, mut cuts) = (BytesMut::new(), input, cuts.iter().cycle());
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
        rest = left;
        for event in feed(&mut ws, &mut buffer, piece) {
            match event {
                Event::Message(message) => seen.messages.push(message),
                Event::Chunk(chunk) => seen.octets.extend_from_slice(&chunk),
                Event::Closed(closed) => {
                    seen.end = Some((closed.code.get(), closed.fault.unwrap().to_string()));
                }
                _ => {}
            }
        }
    }
    seen.frames = std::mem::take(&mut *log.lock().unwrap());
    seen
}

/// The same whole, octet by octet and in pieces, with an observer and without.
fn alike(new: impl Fn() -> Connection, input: &[u8], cuts: &[usize]) -> Seen {
    let whole = seen(new(), true, input, &[usize::MAX]);
    let streams = new().config().receive == Receive::Streaming;
    for cuts in [&[1], cuts, &[7, 1, 100]] {
        for observed in [true, false] {
            let mut other = seen(new(), observed, input, cuts);
            if !observed {
                other.frames = whole.frames.clone();
            }
            if streams {
                // Of a message that turns out to be faulty, how much comes first depends on the cuts.
                other.octets = whole.octets.clone();
            }
            assert_eq!(other, whole, "{cuts:?}, observed: {observed}");
        }
    }
    whole
}

#[test]
fn observer_sees_no_frame_of_invalid_text_however_it_came() {
    let none: fn() -> Vec<Scoped> = Vec::new;
    let one: fn() -> Vec<Scoped> = || vec![add_one(RSV1, Scope::Message).boxed()];
    for stack in [none, one] {
        let new = || {
            let stack = stack();
            if stack.is_empty() {
                support::server()
            } else {
                server_of_with(Config::default(), stack)
            }
        };
        for text in [&b"\xff"[..], b"Hello \xc3", b"\xf4\x90\x80\x80", &[0xff; 100]] {
            let input = [masked(0x81, KEY, b"Hello"), masked(0x81, KEY, text)].concat();
            let seen = alike(new, &input, &[3]);
            assert_eq!((seen.messages.len(), seen.frames.len()), (1, 1), "{text:x?}");
            assert_eq!(seen.end.unwrap().0, 1007);
        }
    }
    let client = || Connection::new(Role::client(|| [0; 4]), Config::default(), Extensions::none());
    assert_eq!(alike(client, &unmasked(0x81, b"\xff"), &[2]).frames, []);
}

/// Stacks in which one fails with others before and behind it, in the order of sending.
fn failing_stack(which: usize, step: usize) -> Vec<Scoped> {
    let fails = |scope| fails_at_mark(RSV1, scope, step);
    let message = || xor_55(RSV2, Scope::Message).boxed();
    match which {
        0 => vec![fails(Scope::Message)],
        1 => vec![message(), fails(Scope::Message)],
        2 => vec![Reverse::boxed(RSV2, Scope::WholeMessage), fails(Scope::Message)],
        3 => vec![fails(Scope::Message), message()],
        4 => vec![message(), fails(Scope::WholeMessage)],
        5 => vec![message(), fails_at_mark(RSV3_EVERY, Scope::Frame, step)],
        6 => vec![fails(Scope::Message), fails_at_mark(RSV3_EVERY, Scope::Frame, step)],
        7 => vec![message(), fails(Scope::Message), fails_at_mark(RSV3_EVERY, Scope::Frame, step)],
        _ => {
            vec![xor_55(RSV2, Scope::Frame).boxed(), fails_at_mark(RSV3_EVERY, Scope::Frame, step)]
        }
    }
}

/// All the bits that the stack claims.
fn bits(which: usize) -> u8 {
    match which {
        0 => 0x40,
        1..=4 => 0x60,
        5 | 8 => 0x30,
        6 => 0x50,
        _ => 0x70,
    }
}

#[test]
fn what_was_written_before_a_failure_meets_the_limit_and_the_other_extensions_first() {
    for step in [1, 3, usize::MAX] {
        for which in 0..9 {
            // As it is where the one that fails is nearest to the wire.
            let mark = if which == 3 { 0x55 ^ b'!' } else { b'!' };
            let too_much = [&[0x55 ^ b'a'; 11][..], &[mark]].concat();
            let new = |limit| {
                move || {
                    let config = config(|config| config.max_message = limit);
                    server_of_with(config, failing_stack(which, step))
                }
            };
            let first = 0x82 | bits(which);
            let input = masked(first, KEY, &too_much);
            let end = alike(new(10), &input, &[2]).end.unwrap();
            // A frame that is gathered has a limit of its own.
            assert_eq!(end.0, if which == 8 { 4000 } else { 1009 }, "{which} {step}: {end:?}");
            let end = alike(new(100), &input, &[2]).end.unwrap();
            assert_eq!(end.0, 4000, "{which} {step}: {end:?}");
            // Text that is not valid, before what fails. Nothing of it comes out of one that gathers.
            let input = masked(first ^ 3, KEY, &[0xaa, 0xaa, mark]);
            let end = alike(new(100), &input, &[2]).end.unwrap();
            assert_eq!(
                end.0,
                if matches!(which, 2 | 8) { 4000 } else { 1007 },
                "{which} {step}: {end:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn faults_messages_and_observed_frames_do_not_depend_on_cuts(
        which in 0_usize..9,
        step in 1_usize..5,
        limit in 1_usize..40,
        streams: bool,
        payloads in prop::collection::vec((prop::bool::ANY, prop::collection::vec(
            prop_oneof![8 => 0x20_u8..0x7f, 1 => Just(b'!'), 1 => Just(0xaa)], 0..30,
        )), 1..4),
        cuts in prop::collection::vec(1_usize..20, 1..5),
    ) {
        let new = || {
            let config = config(|config| {
                config.max_message = limit;
                config.receive = if streams { Receive::Streaming } else { Receive::Messages };
            });
            server_of_with(config, failing_stack(which, step))
        };
        let mut input = Vec::new();
        for (text, payload) in &payloads {
            let first = 0x82 ^ if *text { 3 } else { 0 };
            input.extend(masked(first | bits(which), KEY, payload));
            input.extend(masked(first, KEY, payload));
        }
        alike(new, &input, &cuts);
    }
}
