//! Whichever lane a message takes through the engine, nobody can tell: the same events, octets and
//! memory come of it.
//!
//! A stream that comes whole takes the short lanes where it can, an observer keeps it from the
//! shortest of them, and octets that come one at a time take the general lane.
#![allow(clippy::unwrap_used)]

use bytes::BytesMut;
use proptest::{prelude::*, sample::Index};
use ws_core::{
    Broadcast, Config, Connection, Event, Message, ObservedFrame, extension::Compression,
};
use ws_tests_support::{
    engine::{config, written},
    peer::{bytes, payload, side, stack, stream},
    side::Side,
};

/// How the application answers.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Owned,
    Borrowed,
    Broadcast,
    Pieces,
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::Owned),
        Just(Answer::Borrowed),
        Just(Answer::Broadcast),
        Just(Answer::Pieces)
    ]
}

fn answer(ws: &mut Connection, message: &Message, how: Answer) {
    let _ = match how {
        Answer::Owned => ws.send(message.clone()),
        Answer::Borrowed => ws.send_ref(message, Compression::Auto),
        Answer::Broadcast => ws.send_broadcast(&Broadcast::new(message.clone())),
        Answer::Pieces => ws
            .start_message(message.kind())
            .and_then(|()| ws.finish_message(message.clone().into_payload())),
    };
}

/// What came of a stream: events, octets out, and the bytes that are held in the end.
type Outcome = (Vec<Event>, Vec<u8>, usize);

fn run(mut ws: Connection, pieces: impl Iterator<Item = Vec<u8>>, how: Answer) -> Outcome {
    let (mut events, mut input) = (Vec::new(), BytesMut::new());
    let mut take = |ws: &mut Connection, input: &mut BytesMut| {
        while let Some(event) = ws.poll_event(input) {
            match event {
                Event::Yield => continue,
                Event::Message(message) => {
                    answer(ws, &message, how);
                    events.push(Event::Message(message));
                }
                event => events.push(event),
            }
        }
    };
    for piece in pieces {
        input.extend_from_slice(&piece);
        take(&mut ws, &mut input);
    }
    ws.input_ended();
    take(&mut ws, &mut input);
    // All at once, since a Pong overtakes what is not written yet.
    let output = written(&mut ws);
    (events, output, ws.memory_usage())
}

/// The stream through all lanes.
fn check(
    connection: impl Fn() -> Connection,
    bytes: &[u8],
    cuts: &[Index],
    how: Answer,
) -> Result<(), TestCaseError> {
    let octets = || bytes.iter().map(|&octet| vec![octet]);
    let general = run(connection(), octets(), how);
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let pieces = || {
        let mut from = 0;
        places.clone().into_iter().map(move |to| {
            let piece = bytes[from..to].to_vec();
            from = to;
            piece
        })
    };
    let observed = || {
        let mut ws = connection();
        ws.observe_frames(|_: &ObservedFrame| {});
        ws
    };
    let others = [
        run(connection(), std::iter::once(bytes.to_vec()), how),
        run(connection(), pieces(), how),
        run(observed(), std::iter::once(bytes.to_vec()), how),
        run(observed(), pieces(), how),
    ];
    for outcome in others {
        prop_assert_eq!(&outcome, &general);
    }
    Ok(())
}

fn limits(low: bool) -> Config {
    config(|config| {
        if low {
            (config.max_frame, config.max_message) = (Some(70), 60);
            (config.max_fragments, config.max_empty_fragments) = (3, 1);
        }
    })
}

fn damage(bytes: &mut [u8], noise: Option<(Index, u8)>) {
    if let (Some((at, octet)), false) = (noise, bytes.is_empty()) {
        bytes[at.index(bytes.len())] = octet;
    }
}

/// Messages of another connection with the same extensions.
fn encoded(side: Side, which: usize, messages: &[(bool, Vec<u8>, bool)]) -> Vec<u8> {
    let mut peer = side.other().connection_with(Config::default(), stack(which));
    for (text, data, compress) in messages {
        let hint = if *compress { Compression::Auto } else { Compression::Never };
        let message = if *text {
            Message::text(String::from_utf8_lossy(data).as_ref())
        } else {
            Message::binary(data.as_slice())
        };
        peer.send_with(message, hint).unwrap();
    }
    written(&mut peer)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn lanes_agree_without_extensions(
        side in side(),
        items in stream(),
        noise in prop::option::weighted(0.3, (any::<Index>(), any::<u8>())),
        low in any::<bool>(),
        cuts in prop::collection::vec(any::<Index>(), 0..6),
        how in answers(),
    ) {
        let mut bytes = bytes(side, &items);
        bytes.truncate(4000);
        damage(&mut bytes, noise);
        check(|| side.connection(limits(low)), &bytes, &cuts, how)?;
    }

    #[test]
    fn lanes_agree_with_extensions(
        side in side(),
        which in 1..8_usize,
        messages in prop::collection::vec((any::<bool>(), payload(), any::<bool>()), 1..5),
        noise in prop::option::weighted(0.3, (any::<Index>(), any::<u8>())),
        low in any::<bool>(),
        cuts in prop::collection::vec(any::<Index>(), 0..6),
        how in answers(),
    ) {
        let mut bytes = encoded(side, which, &messages);
        bytes.truncate(4000);
        damage(&mut bytes, noise);
        let connection = || side.connection_with(limits(low), stack(which));
        check(connection, &bytes, &cuts, how)?;
    }
}
