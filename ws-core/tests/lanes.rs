//! Whichever lane a message takes through the engine, nobody can tell: the same events, octets and
//! memory come of it.
//!
//! A stream that arrives whole takes the short lane where it can, also with an observer and with low
//! limits; octets that arrive one at a time take the general lane. One test has fragments and faults,
//! the other whole messages, so that the short lane takes several in a row.
#![allow(clippy::unwrap_used)]

use proptest::{prelude::*, sample::Index};
use ws_core::{Broadcast, Config, Connection, Message, ObservedFrame, extension::Compression};
use ws_tests_support::{
    engine::{config, run},
    peer::{bytes, damage, encoded, payload, places, side, stack, stream},
};

/// How the application answers.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Owned,
    Borrowed,
    Hinted,
    Broadcast,
    Pieces,
    /// As often as it takes to be larger than what is copied.
    Repeated,
    RepeatedBroadcast,
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::Owned),
        Just(Answer::Borrowed),
        Just(Answer::Hinted),
        Just(Answer::Broadcast),
        Just(Answer::Pieces),
        Just(Answer::Repeated),
        Just(Answer::RepeatedBroadcast)
    ]
}

fn answer(ws: &mut Connection, message: &Message, how: Answer) {
    let _ = match how {
        Answer::Owned => ws.send(message.clone()),
        Answer::Borrowed => ws.send_ref(message, Compression::Auto),
        Answer::Hinted => ws.send_with(message.clone(), Compression::Never),
        Answer::Repeated => ws.send_ref(&repeated(message), Compression::Auto),
        Answer::RepeatedBroadcast => ws.send_broadcast(&Broadcast::new(repeated(message))),
        Answer::Broadcast => ws.send_broadcast(&Broadcast::new(message.clone())),
        Answer::Pieces => ws
            .start_message(message.kind())
            .and_then(|()| ws.finish_message(message.clone().into_payload())),
    };
}

fn repeated(message: &Message) -> Message {
    Message::binary(message.as_bytes().repeat(4200_usize.div_ceil(message.len().max(1))))
}

/// The stream through all lanes.
fn check(
    connection: impl Fn() -> Connection,
    bytes: &[u8],
    cuts: &[Index],
    how: Answer,
) -> Result<(), TestCaseError> {
    let run = |ws, places: &[usize]| {
        let mut held = Vec::new();
        let outcome = run(ws, bytes, places, |ws, message| {
            // Extensions keep the buffer of the last message until the input is used up.
            if ws.extensions().is_empty() {
                held.push(ws.memory_usage());
            }
            answer(ws, message, how);
        });
        (outcome, held)
    };
    let every: Vec<usize> = (0..bytes.len()).collect();
    let general = run(connection(), &every);
    let places = places(cuts, bytes.len());
    let observed = || {
        let mut ws = connection();
        ws.observe_frames(|_: &ObservedFrame| {});
        ws
    };
    let others = [
        run(connection(), &[]),
        run(connection(), &places),
        run(observed(), &[]),
        run(observed(), &places),
    ];
    for outcome in others {
        prop_assert_eq!(&outcome, &general);
    }
    Ok(())
}

/// The default limits, low ones, and limits below the messages that a payload holds without a buffer.
fn limits(low: u8) -> Config {
    config(|config| {
        if low > 0 {
            let limits = if low == 1 { (Some(70), 60) } else { (Some(24), 20) };
            (config.max_frame, config.max_message) = limits;
            (config.max_fragments, config.max_empty_fragments) = (3, 1);
            config.max_sent_frame = 50;
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn lanes_agree_on_fragments_and_faults(
        side in side(),
        items in stream(),
        noise in prop::option::weighted(0.3, (any::<Index>(), any::<u8>())),
        low in 0..3_u8,
        cuts in prop::collection::vec(any::<Index>(), 0..6),
        how in answers(),
    ) {
        let mut bytes = bytes(side, &items);
        bytes.truncate(4000);
        damage(&mut bytes, noise);
        check(|| side.connection(limits(low)), &bytes, &cuts, how)?;
    }

    #[test]
    fn lanes_agree_on_whole_messages_with_and_without_extensions(
        side in side(),
        which in 0..8_usize,
        messages in prop::collection::vec((any::<bool>(), payload(), any::<bool>()), 1..5),
        rsv in prop_oneof![3 => Just(0), 1 => Just(0x10), 1 => Just(0x20), 1 => Just(0x40)],
        noise in prop::option::weighted(0.3, (any::<Index>(), any::<u8>())),
        low in 0..3_u8,
        cuts in prop::collection::vec(any::<Index>(), 0..6),
        how in answers(),
    ) {
        let peer = side.other().connection_with(Config::default(), stack(which));
        let mut bytes = encoded(peer, &messages, |_| {});
        bytes.truncate(4000);
        // Bits that an extension claims or not, on the first message.
        bytes[0] |= rsv;
        damage(&mut bytes, noise);
        let connection = || side.connection_with(limits(low), stack(which));
        check(connection, &bytes, &cuts, how)?;
    }
}
