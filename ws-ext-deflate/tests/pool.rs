//! States that connections share, and the limit on what all of them hold.
#![allow(clippy::unwrap_used)]

mod support;

use proptest::prelude::*;
use support::{
    client_for, decoded, encoded, info, noise, pair, plain, reference::Reference, repetitive,
    server_for,
};
use ws_core::{
    CloseCode, Extension, MessageKind,
    extension::{Chunk, Compression, Progress, Sink},
};
use ws_ext_deflate::{Deflate, Pool};

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
/// "Hello" once more, by a reference to what came 5 octets before.
const AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];
/// More than an inflater, and less than a deflater.
const BETWEEN: usize = 100 * 1024;

/// Windows of 12 bits, and a pool of its own.
fn pooled(limit: usize) -> (Deflate, Pool) {
    let pool = Pool::new(limit);
    let options = Deflate::default().threshold(0).pool(pool.clone());
    (options, pool)
}

/// Text that is a little different for every `i`.
fn json(i: usize) -> Vec<u8> {
    format!(r#"{{"id":{},"user":"alice","text":"hello, is anybody there?"}}"#, i * 7919)
        .repeat(4)
        .into_bytes()
}

// RT-51, R7692-x-pool
#[test]
fn rt_51_reference_reaches_nothing_of_another_connection() {
    let (options, pool) = pooled(usize::MAX);
    let options = options.client_max_window_bits(15);
    let mut secret = server_for(&options, "");
    let mut other = server_for(&options, "");
    assert_eq!(decoded(&mut *other, &[0x4a, 0x04, 0x00]).unwrap(), b"a");
    assert_eq!(decoded(&mut *secret, &HELLO).unwrap(), b"Hello");
    let held = pool.memory_usage();
    // Its own history is one octet.
    let error = decoded(&mut *other, &AGAIN).unwrap_err();
    assert_eq!(error.code(), CloseCode::INVALID_PAYLOAD);
    assert!(pool.memory_usage() <= held, "another inflater was made for it");
    assert_eq!(decoded(&mut *secret, &AGAIN).unwrap(), b"Hello");
}

// RT-51, R7692-x-pool
#[test]
fn rt_51_connection_in_the_middle_of_a_message_leaves_nothing_behind() {
    let (options, _) = pooled(usize::MAX);
    let mut secret = server_for(&options, "");
    let mut out = Vec::new();
    secret.begin_decode(&info(MessageKind::Text, None, Compression::Auto)).unwrap();
    secret.decode(&mut Chunk::new(&HELLO[..6], false), &mut Sink::new(&mut out, 100)).unwrap();
    secret.begin_encode(&info(MessageKind::Text, None, Compression::Always)).unwrap();
    secret.encode(&mut Chunk::new(&noise(5000, 1), false), &mut Sink::new(&mut out, 9000)).unwrap();
    drop(secret);
    let mut other = server_for(&options, "");
    assert!(decoded(&mut *other, &AGAIN).is_err());
    let sent = encoded(&mut *other, &noise(1000, 1));
    assert!(sent.len() >= 1000, "{} bytes", sent.len());
    assert_eq!(Reference::default().message(&sent).unwrap(), noise(1000, 1));
}

// RT-51, R7692-x-pool
#[test]
fn rt_51_what_one_connection_sent_makes_nothing_smaller_for_another() {
    let (options, pool) = pooled(usize::MAX);
    let secret = noise(1000, 5);
    let mut one = server_for(&options, "");
    let mut other = server_for(&options, "");
    assert!(encoded(&mut *one, &secret).len() >= 1000);
    let held = pool.memory_usage();
    let payload = encoded(&mut *other, &secret);
    assert!(payload.len() >= 1000, "{} bytes", payload.len());
    assert!(pool.memory_usage() < held + 4096, "another deflater was made for it");
    assert_eq!(Reference::default().message(&payload).unwrap(), secret);
    // The same connection may look back, with another in between and without.
    assert!(encoded(&mut *one, &secret).len() < 100);
    assert!(encoded(&mut *one, &secret).len() < 100);
}

#[test]
fn connection_that_goes_on_alone_looks_back_as_far_as_its_window() {
    let (options, _) = pooled(usize::MAX);
    let options = options.history(512);
    let mut one = server_for(&options, "");
    let mut other = server_for(&options, "");
    let mut reference = Reference::default();
    let data = noise(2000, 9);
    reference.message(&encoded(&mut *one, &data)).unwrap();
    let payload = encoded(&mut *one, &data);
    assert!(payload.len() < 100, "{} bytes", payload.len());
    assert_eq!(reference.message(&payload).unwrap(), data);
    encoded(&mut *other, b"in between");
    let payload = encoded(&mut *one, &data);
    assert!((1400..1600).contains(&payload.len()), "{} bytes", payload.len());
    assert_eq!(reference.message(&payload).unwrap(), data);
}

// A state that this connection had, and that another one has overtaken since, is not gone on with.
#[test]
fn connection_that_moves_between_threads_keeps_its_context() {
    let (options, _) = pooled(usize::MAX);
    let mut ext = server_for(&options, "");
    let mut reference = Reference::default();
    for i in 0..8 {
        let payload = encoded(&mut *ext, &json(i));
        assert_eq!(reference.message(&payload).unwrap(), json(i));
        // Every thread has a shelf of its own as far as there are processors.
        let payload = std::thread::scope(|scope| {
            scope.spawn(|| encoded(&mut *ext, &json(i + 1))).join().unwrap()
        });
        assert_eq!(reference.message(&payload).unwrap(), json(i + 1));
    }
}

#[test]
fn connection_finds_the_state_that_it_had_among_others() {
    let (options, _) = pooled(usize::MAX);
    let options = options.history(512);
    let info = info(MessageKind::Binary, Some(2000), Compression::Always);
    let data = noise(2000, 9);
    let mut ends = [server_for(&options, ""), server_for(&options, "")];
    for ext in &mut ends {
        ext.begin_encode(&info).unwrap();
    }
    for ext in &mut ends {
        let (mut out, mut input) = (Vec::new(), Chunk::new(&data, true));
        while ext.encode(&mut input, &mut Sink::new(&mut out, 5000)) != Ok(Progress::Done) {}
    }
    for ext in &mut ends {
        let payload = encoded(&mut **ext, &data);
        assert!(payload.len() < 100, "{} bytes", payload.len());
    }
}

// R7692-7.2.1-h
#[test]
fn long_and_short_messages_in_turn_refer_to_each_other() {
    let (options, pool) = pooled(usize::MAX);
    let mut ext = server_for(&options, "");
    let mut reference = Reference::default();
    // Of one level for short ones and another for long ones.
    let (short, long) = (noise(1000, 9), noise(5000, 9));
    for (i, data) in [&long, &short, &long, &short, &short].into_iter().enumerate() {
        let payload = encoded(&mut *ext, data);
        assert_eq!(&reference.message(&payload).unwrap(), data);
        // The first 1000 octets of a long one are out of the window by its end.
        let refers = [0, 0, 1000, 0, 1000][i];
        assert!(payload.len().abs_diff(data.len() - refers) < 100, "{i}: {}", payload.len());
    }
    assert!(pool.memory_usage() < 300_000, "one deflater does for both");
}

// R7692-7.2.1-h
#[test]
fn message_that_was_not_completed_is_never_referred_to() {
    let (options, _) = pooled(usize::MAX);
    let info = info(MessageKind::Binary, None, Compression::Always);
    let data = noise(2000, 9);
    for between in [false, true] {
        let mut ext = server_for(&options, "");
        let mut out = Vec::new();
        ext.begin_encode(&info).unwrap();
        ext.encode(&mut Chunk::new(&data, false), &mut Sink::new(&mut out, 5000)).unwrap();
        if between {
            encoded(&mut *server_for(&options, ""), b"in between");
        }
        let payload = encoded(&mut *ext, &data);
        assert_eq!(Reference::default().message(&payload).unwrap(), data);
    }
}

// At level 1 zlib-rs keeps the block that is open through a reset.
#[test]
fn message_that_was_not_completed_spoils_no_other_at_any_level() {
    let info = info(MessageKind::Binary, None, Compression::Always);
    let begun = noise(3000, 9);
    for level in 1..=9 {
        let (options, _) = pooled(usize::MAX);
        let options = options.level(level);
        let mut begins_again = server_for(&options, "");
        for ends in [true, false] {
            let mut ext = server_for(&options, "");
            let ext = if ends { &mut ext } else { &mut begins_again };
            ext.begin_encode(&info).unwrap();
            ext.encode(&mut Chunk::new(&begun, false), &mut Sink::new(&mut Vec::new(), 9000))
                .unwrap();
        }
        for mut ext in [server_for(&options, ""), begins_again] {
            let payload = encoded(&mut *ext, &json(1));
            assert_eq!(Reference::default().message(&payload), Ok(json(1)), "level {level}");
        }
    }
}

#[test]
fn history_of_nothing_compresses_every_message_on_its_own() {
    let (options, _) = pooled(usize::MAX);
    let mut ext = server_for(&options.history(0), "");
    let first = encoded(&mut *ext, &json(1));
    assert_eq!(encoded(&mut *ext, &json(1)), first);
}

/// Begins a message on each of so many connections, and then completes all of them.
fn at_once(options: &Deflate, connections: usize) {
    let mut ends: Vec<_> = (0..connections).map(|_| server_for(options, "")).collect();
    for ext in &mut ends {
        ext.begin_encode(&info(MessageKind::Text, None, Compression::Always)).unwrap();
        ext.begin_decode(&info(MessageKind::Text, None, Compression::Auto)).unwrap();
    }
    for ext in &mut ends {
        let mut out = Vec::new();
        while ext.encode(&mut Chunk::new(b"", true), &mut Sink::new(&mut out, 100))
            != Ok(Progress::Done)
        {}
        let mut input = Chunk::new(&HELLO, true);
        while ext.decode(&mut input, &mut Sink::new(&mut out, 100)) != Ok(Progress::Done) {}
    }
}

// R7692-x-mem
#[test]
fn pool_keeps_four_states_of_each_sort() {
    let (options, pool) = pooled(usize::MAX);
    at_once(&options, 1);
    let one_of_each = pool.memory_usage();
    assert!(one_of_each > 300_000);
    at_once(&options, 3);
    assert_eq!(pool.memory_usage(), 3 * one_of_each);
    at_once(&options, 20);
    assert_eq!(pool.memory_usage(), 4 * one_of_each);
}

// R7692-x-mem
#[test]
fn pool_at_its_limit_keeps_one_state_of_each_sort() {
    let (options, pool) = pooled(0);
    at_once(&options, 1);
    let one_of_each = pool.memory_usage();
    at_once(&options, 20);
    assert_eq!(pool.memory_usage(), one_of_each);
    assert!(one_of_each < 400_000);
}

// R7692-x-mem
#[test]
fn pool_at_its_limit_forgets_what_was_sent_and_never_what_was_received() {
    for (limit, forgets) in [(BETWEEN, true), (usize::MAX, false)] {
        let (options, pool) = pooled(limit);
        let (mut server, mut client) = pair(&options, &options);
        let mut other = server_for(&options, "");
        let (mut to_client, mut to_server) = (Reference::default(), Reference::default());
        for i in 0..20 {
            let sent = encoded(&mut *server, &json(i));
            assert_eq!(to_client.message(&sent).unwrap(), json(i));
            assert_eq!(decoded(&mut *client, &sent).unwrap(), json(i));
            encoded(&mut *other, b"in between");
            let alone = encoded(&mut *server_for(&options, ""), &json(i));
            assert_eq!(sent.len() < alone.len(), !forgets && i > 0, "message {i}");
            let sent = encoded(&mut *client, &json(i));
            assert_eq!(to_server.message(&sent).unwrap(), json(i));
            assert_eq!(decoded(&mut *server, &sent).unwrap(), json(i));
        }
        let (records, sent) = (server.memory_usage(), if forgets { 0 } else { 4096 });
        assert!((4096 + sent..4096 + sent + 512).contains(&records), "{records}");
        drop((server, client, other));
        assert!(pool.memory_usage() > 0);
    }
}

// R7692-x-mem
#[test]
fn many_busy_connections_record_less_of_what_they_sent() {
    // Of what is beyond the least, a 256th of the limit is there for all together.
    let (options, pool) = pooled(8 << 20);
    let mut ends: Vec<_> = (0..100).map(|_| server_for(&options, "")).collect();
    let idle = ends[0].memory_usage();
    for ext in &mut ends {
        for i in 0..30 {
            encoded(&mut **ext, &json(i));
        }
    }
    let recorded: Vec<usize> = ends.iter().map(|ext| ext.memory_usage() - idle).collect();
    assert_eq!((recorded[0], recorded[99]), (4096, 256));
    assert_eq!(recorded.iter().map(|bytes| bytes - 256).sum::<usize>().div_ceil(4096), 8);
    // Where some rest there is room for others.
    let one_state = pool.memory_usage() - recorded.iter().sum::<usize>();
    ends.iter_mut().for_each(|ext| ext.park());
    assert_eq!(pool.memory_usage() - one_state, 100 * 256);
    encoded(&mut *ends[99], &noise(5000, 1));
    assert_eq!(ends[99].memory_usage() - idle, 4096);
    drop(ends);
    assert_eq!(pool.memory_usage(), one_state);
}

#[test]
fn default_pool_is_one_for_all() {
    assert_eq!(Pool::default(), Pool::default());
    assert_eq!(Pool::default().limit(), 256 << 20);
    assert_ne!(Pool::new(1), Pool::new(1));
    assert_ne!(Deflate::default(), pooled(256 << 20).0);
}

#[test]
fn threads_share_a_pool_and_nothing_else() {
    let (options, pool) = pooled(usize::MAX);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let options = &options;
            scope.spawn(move || {
                let mut pairs: Vec<_> = (0..5).map(|_| pair(options, options)).collect();
                for i in 0..200 {
                    let (server, client) = &mut pairs[i % 5];
                    let data = json(1000 * thread + i);
                    let payload = encoded(&mut **server, &data);
                    assert_eq!(decoded(&mut **client, &payload).unwrap(), data);
                }
            });
        }
    });
    let states = std::thread::available_parallelism().unwrap().get() * 4;
    assert!(pool.memory_usage() <= states * 330_000, "{} bytes", pool.memory_usage());
}

/// What happens to one of several connections.
#[derive(Clone, Debug)]
enum Turn {
    Send(usize, Vec<u8>),
    Receive(usize, Vec<u8>),
    Rest(usize),
    /// It ends, and another one takes its place.
    Replace(usize),
}

fn turn() -> impl Strategy<Value = Turn> {
    let data = || {
        prop_oneof![
            (1..9000_usize, 1..5000_usize).prop_map(|(len, reach)| repetitive(len, reach)),
            (0..100_usize).prop_map(json),
            Just(Vec::new()),
        ]
    };
    let which = 0..4_usize;
    prop_oneof![
        4 => (which.clone(), data()).prop_map(|(which, data)| Turn::Send(which, data)),
        4 => (which.clone(), data()).prop_map(|(which, data)| Turn::Receive(which, data)),
        2 => which.clone().prop_map(Turn::Rest),
        1 => which.prop_map(Turn::Replace),
    ]
}

/// A connection whose peer has a pool of its own and shares no code with it where it can.
struct End {
    server: Box<dyn Extension>,
    client: Box<dyn Extension>,
    reader: Reference,
}

impl End {
    fn new(server: &Deflate, client: &Deflate) -> Self {
        let (server, client) = pair(server, client);
        Self { server, client, reader: Reference::default() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    // RT-51, R7692-x-pool, R7692-7.2.2-g
    #[test]
    fn connections_that_share_states_keep_their_own_contexts(
        turns in proptest::collection::vec(turn(), 0..40),
        limit in prop_oneof![Just(0), 0..1_000_000_usize, Just(usize::MAX)],
        history in prop_oneof![Just(512_usize), 1..5000_usize],
        bits in 8..=15_u8,
    ) {
        let options = |pool| plain()
            .server_max_window_bits(bits)
            .client_max_window_bits(bits)
            .history(history)
            .pool(pool);
        let (server, client) = (options(Pool::new(limit)), options(Pool::new(usize::MAX)));
        let mut ends: Vec<End> = (0..4).map(|_| End::new(&server, &client)).collect();
        for turn in turns {
            match turn {
                Turn::Send(which, data) => {
                    let end = &mut ends[which];
                    let payload = encoded(&mut *end.server, &data);
                    prop_assert_eq!(&end.reader.message(&payload).unwrap(), &data);
                    prop_assert_eq!(decoded(&mut *end.client, &payload).unwrap(), data);
                }
                Turn::Receive(which, data) => {
                    let end = &mut ends[which];
                    let payload = encoded(&mut *end.client, &data);
                    prop_assert_eq!(decoded(&mut *end.server, &payload).unwrap(), data);
                }
                Turn::Rest(which) => ends[which].server.park(),
                Turn::Replace(which) => ends[which] = End::new(&server, &client),
            }
        }
        prop_assert!(ends.iter().all(|end| end.reader.farthest <= 1 << bits));
    }
}

// RT-51: hot or parked never differs in what it accepts.
#[test]
fn resting_changes_nothing_of_what_is_accepted() {
    // References to all that a window holds, to one octet more, and blocks with BFINAL.
    for bits in [8_u8, 9, 12, 15] {
        let window = 1_usize << bits;
        let options =
            |pool| plain().server_max_window_bits(bits).client_max_window_bits(bits).pool(pool);
        let (one, other) = (options(Pool::new(0)), options(Pool::new(0)));
        let offer = format!("server_max_window_bits={bits}; client_max_window_bits={bits}");
        for len in [1, 5, window - 1, window, window + 1, 3 * window] {
            let mut writer = client_for(&other, &offer);
            let first = encoded(&mut *writer, &noise(len, 3));
            for second in [&AGAIN[..], &[0x03, 0x00], &[0x4b, 0x04, 0x00, 0x00], &[0x00], &HELLO] {
                let outcomes = [false, true].map(|rests| {
                    let mut ext = server_for(&one, &offer);
                    let mut outcomes = Vec::new();
                    for payload in [&first[..], second, &HELLO, &AGAIN] {
                        outcomes.push(decoded(&mut *ext, payload).map_err(|error| error.code()));
                        if rests {
                            ext.park();
                        }
                    }
                    outcomes
                });
                assert_eq!(outcomes[0], outcomes[1]);
            }
        }
    }
}
