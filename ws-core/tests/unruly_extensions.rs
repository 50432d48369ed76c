//! An extension that breaks its contract is a fault of its connection, and of no other.
#![allow(clippy::unwrap_used)]

mod support;

use std::mem;

use bytes::BytesMut;
use proptest::prelude::*;
use support::{
    KEY, closed,
    extensions::{RSV1, RSV2, Scoped, Stub, add_one, progress, server_of},
    feed, masked,
};
use ws_core::{
    CloseCode, Connection, Event, Fault, SendError,
    extension::{Chunk, ExtensionError, Progress, Scope, Sink},
};

/// What it does in a call.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Pass,
    LongerChunk,
    OtherChunk,
    EmptyChunk,
    OtherSink,
    OtherSinkAndBack,
    Consume(usize),
    Write(usize),
    Fill(usize),
    Charge(usize),
    Fail,
}

static LONG: [u8; 200_000] = [7; 200_000];

/// Does one deed after the other, and says `Done` or `Full` as it likes.
fn unruly(deeds: &[(Deed, Option<Progress>)]) -> Scoped {
    let (deeds, mut next) = (deeds.to_vec(), 0);
    let transform = move |_, input: &mut Chunk<'_>, out: &mut Sink<'_>| {
        let (deed, says) = deeds[next % deeds.len()];
        next += 1;
        act(deed, input, out)?;
        Ok(says.unwrap_or(progress(input)))
    };
    Stub::new(RSV1, transform).memory_usage(usize::MAX).boxed(Scope::Message)
}

fn act(deed: Deed, input: &mut Chunk<'_>, out: &mut Sink<'_>) -> Result<(), ExtensionError> {
    let sink = || Sink::new(Box::leak(Box::default()), 100);
    match deed {
        Deed::Pass => out.write_from(input),
        Deed::LongerChunk => *input = Chunk::new(&LONG, true),
        Deed::OtherChunk => *input = Chunk::new(&LONG[..input.len().min(1)], false),
        Deed::EmptyChunk => *input = Chunk::new(&[], true),
        Deed::OtherSink => {
            *out = sink();
            out.write_from(input);
        }
        Deed::OtherSinkAndBack => {
            let mut other = mem::replace(out, sink());
            let _ = out.write(b"lost");
            mem::swap(&mut other, out);
        }
        Deed::Consume(n) => input.consume(n),
        Deed::Write(n) => _ = out.write(&LONG[..n.min(LONG.len())]),
        Deed::Fill(n) => _ = out.fill(n, |_| usize::MAX),
        Deed::Charge(n) => out.charge(n),
        Deed::Fail => return Err(ExtensionError::new(CloseCode::new(4000), "no")),
    }
    Ok(())
}

/// The first octet of a marked message that goes through all of them.
fn marked(first: u8, ws: &Connection) -> u8 {
    first | ws.extensions().claimed().octet()
}

/// Alone, and before and behind another one.
fn stacks(deeds: &[(Deed, Option<Progress>)]) -> [Connection; 3] {
    let other = || add_one(RSV2, Scope::Message).boxed();
    [vec![unruly(deeds)], vec![unruly(deeds), other()], vec![other(), unruly(deeds)]].map(server_of)
}

#[test]
fn extension_that_replaces_its_chunk_or_sink_or_takes_too_much_fails_its_connection() {
    const REPLACED: &str = "replaced its Chunk or its Sink";
    for (deed, why) in [
        (Deed::LongerChunk, REPLACED),
        (Deed::OtherChunk, REPLACED),
        (Deed::OtherSink, REPLACED),
        (Deed::Consume(5001), "consumed more than its Chunk held"),
        (Deed::Consume(usize::MAX), "consumed more than its Chunk held"),
    ] {
        for len in [1, 20, 5000] {
            for mut ws in stacks(&[(deed, None)]) {
                let frame = masked(marked(0x82, &ws), KEY, &vec![7; len]);
                let events = feed(&mut ws, &mut BytesMut::new(), &frame);
                let Fault::Extension { code, reason, .. } =
                    closed(&events).fault.clone().map(|fault| *fault).unwrap()
                else {
                    panic!("{deed:?} {len}: {events:?}");
                };
                assert_eq!(code, CloseCode::INTERNAL_ERROR);
                assert_eq!(reason, why);
            }
            for mut ws in stacks(&[(deed, None)]).into_iter().take(2) {
                let error = ws.send(vec![7; len]).unwrap_err();
                assert!(matches!(error, SendError::Extension { .. }), "{error:?}");
                assert!(ws.is_ending());
            }
        }
    }
}

#[test]
fn memory_that_an_extension_makes_up_overflows_nothing() {
    for mut ws in stacks(&[(Deed::Pass, None)]) {
        // The engine has buffers of its own to add.
        ws.send(vec![7; 300]).unwrap();
        assert_eq!(ws.memory_usage(), usize::MAX);
    }
}

#[test]
fn what_an_extension_charges_ends_the_call() {
    // 16 KiB for an octet: four of them are the work of one call.
    let charging = vec![(Deed::Consume(1), Some(Progress::Full)), (Deed::Charge(16 << 10), None)];
    let [mut ws, ..] = stacks(&charging);
    let mut input = BytesMut::from(&masked(0xc2, KEY, &[7; 40])[..]);
    let mut yields = 0;
    while let Some(event) = ws.poll_event(&mut input) {
        match event {
            Event::Yield => yields += 1,
            Event::Message(message) => assert!(message.is_empty()),
            event => panic!("{event:?}"),
        }
    }
    assert!((9..=21).contains(&yields), "{yields}");
}

#[test]
fn what_is_charged_for_small_messages_adds_up() {
    let [mut ws, ..] = stacks(&[(Deed::Charge(8 << 10), Some(Progress::Full)), (Deed::Pass, None)]);
    let mut input = BytesMut::from(&masked(0xc2, KEY, b"small").repeat(64)[..]);
    let (mut messages, mut yields) = (0, 0);
    while let Some(event) = ws.poll_event(&mut input) {
        match event {
            Event::Yield => yields += 1,
            Event::Message(_) => messages += 1,
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(messages, 64);
    assert!((6..=10).contains(&yields), "{yields}");
}

fn deed() -> impl Strategy<Value = (Deed, Option<Progress>)> {
    let size = || prop_oneof![0_usize..40, Just(5000), Just(70_000), Just(usize::MAX)];
    let deed = prop_oneof![
        6 => Just(Deed::Pass),
        1 => Just(Deed::LongerChunk),
        1 => Just(Deed::OtherChunk),
        1 => Just(Deed::EmptyChunk),
        1 => Just(Deed::OtherSink),
        1 => Just(Deed::OtherSinkAndBack),
        2 => size().prop_map(Deed::Consume),
        2 => size().prop_map(Deed::Write),
        2 => size().prop_map(Deed::Fill),
        2 => size().prop_map(Deed::Charge),
        1 => Just(Deed::Fail),
    ];
    let says = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Progress::Done)),
        1 => Just(Some(Progress::Full)),
    ];
    (deed, says)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_breach_of_the_contract_panics(
        deeds in prop::collection::vec(deed(), 1..6),
        len in prop_oneof![1_usize..40, Just(300), Just(70_000)],
        step in prop_oneof![Just(1_usize), Just(10), Just(usize::MAX)],
    ) {
        for mut ws in stacks(&deeds) {
            let mut input = BytesMut::new();
            let frames = [masked(marked(0x02, &ws), KEY, &vec![7; len]), masked(0x80, KEY, b"end")].concat();
            for piece in frames.chunks(step.max(len / 50)) {
                input.extend_from_slice(piece);
                // An extension that always charges comes no further, but lets others have their turn.
                for _ in 0..20 {
                    if ws.poll_event(&mut input).is_none() {
                        break;
                    }
                }
            }
        }
        for mut ws in stacks(&deeds) {
            let _ = ws.send(vec![7; len]);
            let _ = ws.close(CloseCode::NORMAL, "");
            for _ in 0..20 {
                let _ = ws.poll_output_bounded();
            }
            let _ = (ws.unwritten(), ws.memory_usage());
        }
    }
}
