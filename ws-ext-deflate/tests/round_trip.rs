//! What one end compresses the other reads, and an inflater of another make too.
#![allow(clippy::unwrap_used)]

mod support;

use proptest::prelude::*;
use support::{
    decoded_in, encoded, encoded_in, encoded_with, noise, pair, plain, reference::Reference,
    repetitive, shown,
};
use ws_core::{ExtensionFactory, extension::Compression};
use ws_ext_deflate::{Deflate, Pool};

#[derive(Clone, Debug)]
struct Sent {
    data: Vec<u8>,
    compression: Compression,
    cuts: usize,
    room: usize,
    parks: [bool; 2],
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        proptest::collection::vec(any::<u8>(), 1..300),
        (1..9000_usize, 1..5000_usize).prop_map(|(len, reach)| repetitive(len, reach)),
        (1..20_000_usize, any::<u64>()).prop_map(|(len, seed)| noise(len, seed)),
        (1..40_000_usize).prop_map(|len| vec![b'x'; len]),
        (1..80_usize)
            .prop_map(|n| r#"{"user":"alice","text":"hello","n":17}"#.repeat(n).into_bytes()),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let compression = prop_oneof![
        Just(Compression::Auto),
        Just(Compression::Never),
        Just(Compression::Always),
        Just(Compression::Always)
    ];
    let room = prop_oneof![1..20_usize, 120..140_usize, 500..70_000_usize, Just(usize::MAX)];
    (data(), compression, 1..400_usize, room, any::<[bool; 2]>()).prop_map(
        |(data, compression, cuts, room, parks)| Sent { data, compression, cuts, room, parks },
    )
}

fn options() -> impl Strategy<Value = Deflate> {
    let history = prop_oneof![Just(0), 1..5000_usize, Just(usize::MAX)];
    // At its limit, on the way to it, and far from it.
    let limit = prop_oneof![Just(0), 0..1_000_000_usize, Just(usize::MAX)];
    let takeovers = any::<[bool; 2]>();
    (1..=9_u8, 8..=15_u8, 8..=15_u8, takeovers, 0..200_usize, history, limit).prop_map(
        |(level, server, client, [server_afresh, client_afresh], threshold, history, limit)| {
            Deflate::default()
                .pool(Pool::new(limit))
                .history(history)
                .level(level)
                .server_max_window_bits(server)
                .client_max_window_bits(client)
                .server_no_context_takeover(server_afresh)
                .client_no_context_takeover(client_afresh)
                .threshold(threshold)
        },
    )
}

fn pieces(data: &[u8], n: usize) -> Vec<&[u8]> {
    let mut pieces: Vec<&[u8]> = data.chunks(data.len().div_ceil(n).max(1)).collect();
    if pieces.is_empty() || n.is_multiple_of(3) {
        pieces.push(&[]);
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    // R7692-7.1.2.1-e, R7692-7.1.2.2-d, R7692-7.1.1.1-d, R7692-6-e, R7692-7.2.1-i
    #[test]
    fn messages_survive_whatever_was_agreed(
        server in options(),
        client in options(),
        to_client in proptest::collection::vec(sent(), 0..6),
        to_server in proptest::collection::vec(sent(), 0..6),
    ) {
        // A client that insists on less than the server would use is content with it.
        let agreed = client.offers().iter().find_map(|offer| {
            server.accept(offer, ws_core::extension::Rsv::ALL).ok()
        }).unwrap();
        let said = shown(&agreed.response);
        let (mut server, mut client) = pair(&server, &client);
        let ways = [
            ("server", &mut server, to_client),
            ("client", &mut client, to_server),
        ];
        let mut payloads = Vec::new();
        for (from, ext, messages) in ways {
            let window = support::bits(&said, &format!("{from}_max_window_bits")).unwrap_or(15);
            let afresh = said.contains(&format!("{from}_no_context_takeover"));
            let mut reference = Reference::default();
            let mut sent = Vec::new();
            for message in messages {
                let cut = pieces(&message.data, message.cuts);
                let payload = encoded_with(&mut **ext, &cut, message.room, message.compression);
                if message.parks[0] {
                    ext.park();
                }
                if let Some(payload) = &payload {
                    if afresh {
                        reference.forget();
                    }
                    prop_assert_eq!(&reference.message(payload).unwrap(), &message.data);
                }
                sent.push((payload, message));
            }
            prop_assert!(
                reference.farthest <= 1 << window,
                "{} back with {} bits", reference.farthest, window
            );
            payloads.push(sent);
        }
        for (ext, messages) in [&mut client, &mut server].into_iter().zip(payloads) {
            for (payload, message) in messages {
                let Some(payload) = payload else { continue };
                let cut = pieces(&payload, message.cuts);
                let room = message.room;
                prop_assert_eq!(decoded_in(&mut **ext, &cut, room).unwrap(), message.data);
                if message.parks[1] {
                    ext.park();
                }
            }
        }
    }
}

// R7692-7.1.2.1-e, R7692-7.1.2.2-d, R7692-7.2.1-f
#[test]
fn distances_keep_to_every_window_at_every_level() {
    // Data that repeats at all distances, so that a larger window would be used.
    for bits in 8..=15_u8 {
        for level in 1..=9 {
            let options =
                plain().level(level).server_max_window_bits(bits).client_max_window_bits(bits);
            let (mut server, mut client) = pair(&options, &options);
            for ext in [&mut server, &mut client] {
                let mut reference = Reference::default();
                for len in [100, 700, 5_000, 60_000, 20] {
                    let data = repetitive(len, 40_000);
                    let payload = encoded(&mut **ext, &data);
                    assert_eq!(reference.message(&payload).unwrap(), data);
                }
                let window = 1 << bits;
                assert!(reference.farthest <= window, "{bits} bits, level {level}");
                assert!(reference.farthest > window / 4, "the test reaches its aim");
            }
        }
    }
}

// R7692-7.2.1-i, R7692-7.2.1-c
#[test]
fn sinks_of_any_size_give_the_same_message() {
    for data in [&b"Hello"[..], &noise(3_000, 3), &repetitive(9_000, 900)] {
        for room in (1..=32).chain(120..=136).chain([1000, 4096, 16 * 1024, usize::MAX]) {
            let options = plain();
            let (mut server, mut client) = pair(&options, &options);
            let mut reference = Reference::default();
            for _ in 0..3 {
                let payload = encoded_in(&mut *server, &[data], room);
                assert_eq!(reference.message(&payload).unwrap(), data);
                // The mark is written once.
                let empty = reference.blocks.iter().filter(|kind| **kind == 0).count();
                assert!(empty <= 2 || data.len() == 3_000, "{room}: {:?}", reference.blocks);
                let pieces: Vec<&[u8]> = payload.chunks(room).collect();
                assert_eq!(decoded_in(&mut *client, &pieces, room).unwrap(), data);
            }
        }
    }
}
