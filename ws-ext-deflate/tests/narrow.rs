//! Windows of 8 bits: nothing we write refers back farther than 256 bytes.
//!
//! zlib has no raw DEFLATE of 8 bits. Our deflater has a window of 9 bits there, of which it uses 250
//! bytes; here an inflater of its own code, which keeps 256 bytes, reads all that it writes.
#![allow(clippy::unwrap_used)]

mod support;

use proptest::prelude::*;
use support::{
    answer, client_for, decoded, encoded, encoded_in, noise, pair, plain, reference::Reference,
    repetitive, server_for,
};
use ws_core::{Broadcast, Config, Connection, Extension, Role};
use ws_ext_deflate::{Deflate, Pool};

/// What a receiver that agreed on 8 bits keeps.
const WINDOW: usize = 256;
/// What a deflater of 9 bits uses: 512 less 262, zlib's MIN_LOOKAHEAD.
const USED: usize = 250;

fn narrow(level: u8) -> Deflate {
    plain().level(level).pool(Pool::new(usize::MAX))
}

/// Both ends that compress with 8 bits: a server that was asked to, and a client that was told to.
fn ends(options: &Deflate) -> [Box<dyn Extension>; 2] {
    [
        server_for(options, "server_max_window_bits=8"),
        client_for(options, "client_max_window_bits=8"),
    ]
}

/// Data in which repeats lie at every distance about the window, and kinds that stress each strategy.
fn kinds() -> Vec<Vec<u8>> {
    let mut kinds = vec![
        vec![b'a'; 3_000],
        noise(3_000, 9),
        repetitive(20_000, 200),
        repetitive(20_000, 600),
        repetitive(60_000, 40_000),
        br#"{"user":"alice","text":"hello","price":17.5},"#.repeat(200),
        noise(2, 1).repeat(2_000),
    ];
    for distance in (240..=270).chain([300, 400, 500, 511, 512, 513, 600]) {
        kinds.push(noise(distance, distance as u64).repeat(6));
        // Short repeats, with what differs in between.
        let words = noise(4, 3).into_iter().chain(noise(distance - 4, 5));
        kinds.push(words.chain(noise(4, 3)).chain(noise(40, 6)).collect());
    }
    kinds
}

// R7692-7.1.2.1-e, R7692-7.1.2.1-f, R7692-7.1.2.2-d, D-11
#[test]
fn no_distance_is_beyond_256_at_any_level_with_any_data() {
    let mut farthest = 0;
    for level in 1..=9 {
        for mut ext in ends(&narrow(level)) {
            // Continued from message to message, by the state that served the last one.
            let mut reader = Reference::within(WINDOW);
            for data in kinds() {
                let payload = encoded(&mut *ext, &data);
                assert_eq!(reader.message(&payload).as_deref(), Ok(&*data), "level {level}");
            }
            farthest = farthest.max(reader.farthest);
        }
    }
    assert_eq!(farthest, USED, "all that is used of 9 bits is used");
}

#[test]
fn no_distance_is_beyond_256_where_states_are_primed_shared_and_rest() {
    for level in 1..=9 {
        for history in [1, 250, 256, 4_096] {
            // One state for all: each message is of another connection than the last.
            let options = plain().level(level).history(history).pool(Pool::new(usize::MAX));
            let mut all: Vec<_> = (0..2)
                .flat_map(|_| ends(&options))
                .map(|ext| (ext, Reference::within(WINDOW)))
                .collect();
            for (i, data) in kinds().into_iter().step_by(3).enumerate() {
                for (ext, reader) in &mut all {
                    let payload = encoded(&mut **ext, &data[..data.len().min(2_000)]);
                    let plain = reader.message(&payload).unwrap();
                    assert!(data.starts_with(&plain), "level {level}, history {history}");
                    if i % 3 == 0 {
                        ext.park();
                    }
                }
            }
            assert!(all.iter().all(|(_, reader)| reader.farthest > 100), "they refer back");
        }
    }
}

// T-B17
#[test]
fn broadcasts_keep_to_8_bits_too() {
    let new =
        |offer| support::connection(Role::Server, Config::default(), server_for(&narrow(6), offer));
    let mut ws: Connection = new("server_max_window_bits=8");
    let mut reader = Reference::within(WINDOW);
    for len in [100, 256, 257, 300, 1_000, 5_000, 256, 100] {
        let text: String =
            repetitive(len, 600).iter().map(|octet| (octet % 64 + 48) as char).collect();
        for shared in [true, false, true] {
            if shared {
                ws.send_broadcast(&Broadcast::new(text.clone())).unwrap();
            } else {
                ws.send(text.clone()).unwrap();
            }
            for (first, payload) in support::frames(&support::written(&mut ws)) {
                assert_eq!(first, 0xc1);
                assert_eq!(reader.message(&payload).as_deref(), Ok(text.as_bytes()));
            }
        }
    }
}

// R7692-7.1.2.2-d, D-11: a server that answers 8 to an offer without a value does not fail the client.
#[test]
fn both_ends_agree_on_8_bits_and_talk() {
    let client = Deflate::default().threshold(0);
    let server =
        Deflate::default().server_max_window_bits(8).client_max_window_bits(8).threshold(0);
    assert_eq!(
        answer(&server, "server_max_window_bits=12; client_max_window_bits").as_deref(),
        Ok("server_max_window_bits=8; client_max_window_bits=8")
    );
    for (server, client) in [(&server, &client), (&client, &server), (&server, &server)] {
        let (mut server, mut client) = pair(server, client);
        for data in kinds() {
            let payload = encoded(&mut *server, &data);
            assert_eq!(decoded(&mut *client, &payload).unwrap(), data);
            let payload = encoded(&mut *client, &data);
            assert_eq!(decoded(&mut *server, &payload).unwrap(), data);
        }
    }
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0..3_000_usize, 1..700_usize).prop_map(|(len, reach)| repetitive(len, reach)),
        (1..700_usize, 1..8_usize, any::<u64>())
            .prop_map(|(n, times, seed)| noise(n, seed).repeat(times)),
        proptest::collection::vec(0..4_u8, 0..2_000),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    // R7692-7.1.2.1-e
    #[test]
    fn no_distance_is_beyond_256_whatever_is_sent(
        level in 1..=9_u8,
        history in 0..600_usize,
        messages in proptest::collection::vec((data(), 1..4_usize, any::<bool>()), 0..12),
        room in prop_oneof![1..200_usize, Just(usize::MAX)],
    ) {
        let options = plain().level(level).history(history).pool(Pool::new(usize::MAX));
        for mut ext in ends(&options) {
            let mut reader = Reference::within(WINDOW);
            for (data, pieces, rests) in &messages {
                let size = data.len().div_ceil(*pieces).max(1);
                let mut cut: Vec<&[u8]> = data.chunks(size).collect();
                cut.push(&[]);
                let payload = encoded_in(&mut *ext, &cut, room);
                prop_assert_eq!(&reader.message(&payload).unwrap(), data);
                if *rests {
                    ext.park();
                }
            }
        }
    }
}
