//! Memory and work that a peer can make us spend.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::BytesMut;
use support::{
    client, client_for, config, connection, decoded, encoded, feed, info, masked, noise, plain,
    server, server_for, text, unmasked, written,
};
use ws_core::{
    Broadcast, CloseCode, Config, Connection, Event, MessageKind, Receive, Role,
    extension::Compression,
};
use ws_ext_deflate::Pool;
use ws_tests_support::heap::{Counting, measured};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that was held at a time while `act` ran, beyond what was there before, in bytes.
fn peak<T>(act: impl FnOnce() -> T) -> (usize, T) {
    let (heap, result) = measured(act);
    (heap.peak as usize, result)
}

/// Bytes that are still there when `act` has run.
fn kept<T>(act: impl FnOnce() -> T) -> (isize, T) {
    let (heap, result) = measured(act);
    (heap.live, result)
}

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// 16 MiB of zeros, in about 16 KiB.
fn bomb() -> Vec<u8> {
    let mut ext = client_for(&plain(), "");
    let payload = encoded(&mut *ext, &vec![0; 16 << 20]);
    assert!((16_000..17_000).contains(&payload.len()));
    payload
}

/// One end of a connection, and how its peer makes a frame.
type Side = (fn(Config) -> Connection, fn(u8, &[u8]) -> Vec<u8>);

const SIDES: [Side; 2] = [(client, unmasked), (server, masked)];

/// A connection that inflated a message before.
fn warmed((new, frame): Side, config: Config) -> (Connection, BytesMut) {
    let mut ws = new(config);
    let mut input = BytesMut::with_capacity(4 << 20);
    assert_eq!(feed(&mut ws, &mut input, &frame(0xc1, &HELLO)), [text("Hello")]);
    (ws, input)
}

/// Feeds frames of a message and asserts that they end with 1009 within the limit and 64 KiB.
fn explodes(side: Side, config: Config, frames: &[u8]) {
    let limit = config.max_message;
    let (mut ws, mut input) = warmed(side, config);
    input.extend_from_slice(frames);
    let (held, events) = peak(|| feed(&mut ws, &mut input, b""));
    let Some(Event::Closed(closed)) = events.last() else { panic!("{events:?}") };
    assert_eq!(closed.code, CloseCode::MESSAGE_TOO_BIG);
    assert!(held <= limit + 64 * 1024, "{held} bytes for {limit}");
}

// R7692-7.2.2-h, RT-21
#[test]
fn rt_21_bomb_in_one_frame_is_1009_within_the_limit() {
    let bomb = bomb();
    for (new, frame) in SIDES {
        for limit in [5, 1000, 1 << 16, 1 << 20, (1 << 20) + 1] {
            let config = config(|config| config.max_message = limit);
            explodes((new, frame), config, &frame(0xc2, &bomb));
        }
    }
}

// R7692-7.2.2-h, RT-21
#[test]
fn rt_21_bomb_in_fragments_of_one_byte_is_1009_within_the_limit() {
    for (new, frame) in SIDES {
        let mut frames = frame(0x42, &[]);
        for octet in bomb() {
            frames.extend(frame(0x00, &[octet]));
        }
        // Without an end, too.
        let config = config(|config| config.max_fragments = usize::MAX);
        explodes((new, frame), config.clone(), &frames);
        frames.extend(frame(0x80, &[]));
        explodes((new, frame), config, &frames);
    }
}

// R7692-7.2.2-h, RT-21
#[test]
fn rt_21_many_small_bombs_hold_no_more_than_one() {
    let mut ext =
        client_for(&plain().server_no_context_takeover(true), "server_no_context_takeover");
    let mut writer = server_for(&plain(), "server_no_context_takeover");
    let small = encoded(&mut *writer, &vec![0; 1 << 20]);
    decoded(&mut *ext, &small).unwrap();
    let (mut ws, mut input) = warmed(SIDES[0], Config::default());
    let (kept, ()) = kept(|| {
        for _ in 0..64 {
            let events = feed(&mut ws, &mut input, &unmasked(0xc2, &small));
            assert!(matches!(events[..], [Event::Message(_)]));
        }
    });
    assert!(kept <= 64 * 1024, "{kept}");
}

// R7692-7.2.2-h, RT-21
#[test]
fn rt_21_streamed_bomb_comes_in_chunks_of_bounded_size() {
    let bomb = bomb();
    let mut ws = client(config(|config| config.receive = Receive::Streaming));
    let mut input = BytesMut::from(&unmasked(0xc2, &bomb)[..]);
    let mut total = 0;
    loop {
        let (held, event) = peak(|| ws.poll_event(&mut input));
        assert!(held <= 256 * 1024, "{held} bytes for one event");
        match event {
            Some(Event::Chunk(chunk)) => {
                assert!(chunk.len() <= 64 * 1024);
                total += chunk.len();
            }
            Some(Event::End) => break,
            Some(_) => {}
            None => panic!("it wants more"),
        }
    }
    assert_eq!(total, 16 << 20);
}

// RT-25
#[test]
fn rt_25_connection_that_failed_leaves_nothing_behind() {
    let bomb = bomb();
    for (payload, code) in
        [(&[0x07][..], CloseCode::INVALID_PAYLOAD), (&bomb, CloseCode::MESSAGE_TOO_BIG)]
    {
        let (left, ()) = kept(|| {
            let options = plain().pool(Pool::new(usize::MAX));
            let mut ws = connection(Role::Server, Config::default(), server_for(&options, ""));
            let mut input = BytesMut::new();
            ws.send("compress me ".repeat(100)).unwrap();
            written(&mut ws);
            let events = feed(&mut ws, &mut input, &masked(0xc2, payload));
            let Some(Event::Closed(closed)) = events.last() else { panic!("{events:?}") };
            assert_eq!(closed.code, code);
            assert_eq!(feed(&mut ws, &mut input, &masked(0xc2, payload)), []);
        });
        assert_eq!(left, 0, "{code}");
    }
}

// R7692-7.2.2-i, RT-22
#[test]
fn rt_22_million_empty_blocks_inflate_to_nothing_without_a_new_inflater() {
    // Stored blocks, fixed blocks, and blocks with BFINAL, behind each of which we start anew.
    for block in [&[0x00, 0x00, 0x00, 0xff, 0xff][..], &[0x03, 0x00]] {
        let payload = block.repeat(1_000_000);
        let mut ext = client_for(&plain(), "");
        assert_eq!(decoded(&mut *ext, &HELLO).unwrap(), b"Hello");
        let (heap, ()) = measured(|| {
            assert_eq!(decoded(&mut *ext, &payload).unwrap(), b"");
            assert_eq!(decoded(&mut *ext, &HELLO).unwrap(), b"Hello");
        });
        assert!(heap.asked < 64 * 1024, "{heap:?}, where one new inflater takes 48 KiB");
    }
    // Through a connection.
    let payload = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(1_000_000);
    let config = config(|config| config.max_frame = Some(usize::MAX));
    let events = feed(&mut client(config), &mut BytesMut::new(), &unmasked(0xc1, &payload));
    assert_eq!(events, [text("")]);
}

// RT-22
#[test]
fn rt_22_million_empty_fragments_are_1008() {
    let mut wire = unmasked(0x41, &[]);
    wire.extend(unmasked(0x00, &[]).repeat(1_000_000));
    let (mut ws, mut input) = warmed(SIDES[0], Config::default());
    let events = feed(&mut ws, &mut input, &wire);
    let Some(Event::Closed(closed)) = events.last() else { panic!("{events:?}") };
    assert_eq!(closed.code, CloseCode::POLICY_VIOLATION);
}

// R7692-x-mem
#[test]
fn memory_is_known_lazy_and_given_back() {
    for bits in [8, 9, 10, 12, 15] {
        for level in [1, 3, 6, 9] {
            let (kept_pool, pool) = kept(|| Pool::new(usize::MAX));
            let options = plain()
                .level(level)
                .server_max_window_bits(bits)
                .client_max_window_bits(bits)
                .pool(pool.clone());
            let offer = format!("client_max_window_bits={bits}");
            let (idle, mut ext) = kept(|| server_for(&options, &offer));
            assert!(idle < 512, "{idle}");
            assert!(ext.memory_usage() < 512);
            assert_eq!(pool.memory_usage(), 0);

            // In the middle of a message the connection has an inflater, at its end the pool.
            let (inflating, ()) = kept(|| {
                let info = info(MessageKind::Text, None, Compression::Auto);
                ext.begin_decode(&info).unwrap();
            });
            near(ext.memory_usage(), idle + inflating, "inflater, lent");
            near(pool.memory_usage(), inflating, "inflater, lent");
            assert!(inflating < 64 * 1024);
            let (record, _) = kept(|| drop(decoded(&mut *ext, &HELLO)));
            near(ext.memory_usage(), idle + record, "record");
            near(pool.memory_usage(), inflating + record, "inflater and record");

            let (deflating, _) = kept(|| drop(encoded(&mut *ext, b"Hello")));
            near(pool.memory_usage(), inflating + record + deflating, "both");
            let data = noise(100_000, 1);
            let mut writer = client_for(&options, &format!("server_max_window_bits={bits}"));
            let payload = encoded(&mut *writer, &data);
            assert_eq!(decoded(&mut *ext, &payload).unwrap(), data);
            encoded(&mut *ext, &data);
            // A record grows by 1 KiB.
            let window = (1 << bits).max(1024);
            let busy = ext.memory_usage();
            assert!((window..window + 4096 + 512).contains(&busy), "{busy} busy, {bits} bits");
            ext.park();
            let parked = ext.memory_usage();
            assert!((window..window + 512).contains(&parked), "{parked} parked, {bits} bits");

            let (ended, ()) = kept(|| drop((ext, writer)));
            assert!(ended < -(window as isize), "{ended} given back with the connections");
            near(pool.memory_usage(), inflating + deflating, "what the pool keeps");
            let (ended, ()) = kept(|| drop((options, pool)));
            near(-(ended + kept_pool) as usize, inflating + deflating, "given back with the pool");
        }
    }
}

/// What is said is near what is.
fn near(said: usize, is: isize, what: &str) {
    let is = is as usize;
    assert!(said.abs_diff(is) <= is / 50 + 1024, "{what}: {said} said, {is} held");
}

// R7692-6-e
#[test]
fn connection_without_compressed_messages_makes_no_state() {
    let mut ws = client(Config::default());
    let (heap, ()) = measured(|| {
        ws.send_with("Hello", ws_core::extension::Compression::Never).unwrap();
    });
    written(&mut ws);
    assert!(heap.asked < 8 * 1024, "{heap:?}");
}

// R7692-x-mem, R7692-x-pool
#[test]
fn connections_that_send_broadcasts_alone_hold_nothing() {
    let pool = Pool::new(usize::MAX);
    let options = plain().pool(pool.clone());
    let server = || support::connection(Role::Server, Config::default(), server_for(&options, ""));
    let mut all: Vec<Connection> = (0..100).map(|_| server()).collect();
    let idle = all[0].memory_usage();
    let send = |ws: &mut Connection, broadcast: &Broadcast| {
        ws.send_broadcast(broadcast).unwrap();
        assert!(written(ws).len() < 100);
    };
    let text = "compress me ".repeat(100);
    for _ in 0..50 {
        let broadcast = Broadcast::new(text.clone());
        all.iter_mut().for_each(|ws| send(ws, &broadcast));
    }
    assert!(
        pool.memory_usage() < 400_000,
        "one deflater serves all of them: {}",
        pool.memory_usage()
    );
    assert!(all.iter().all(|ws| ws.memory_usage() == idle));
    let (heap, ()) = measured(|| {
        for _ in 0..50 {
            send(&mut all[0], &Broadcast::new(text.clone()));
        }
    });
    assert!(heap.asked < 500_000, "and none is made for a broadcast: {heap:?}");
}
