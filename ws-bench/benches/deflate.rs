//! permessage-deflate: time and size over levels and window sizes.
//!
//! Both directions take over their context. Sizes are printed beside the times. `connections` is what
//! one message costs where many connections are busy in turns.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ws_core::{
    Extension, ExtensionFactory, MessageKind,
    extension::{Chunk, Compression, MessageInfo, Params, Progress, Rsv, Sink},
};
use ws_ext_deflate::Deflate;

const SIZES: [usize; 3] = [128, 1024, 16 * 1024];
const LEVELS: [u8; 5] = [1, 3, 6, 7, 9];
const WINDOWS: [u8; 4] = [9, 10, 12, 15];
/// Bytes of different messages that follow each other. The next round is out of every window.
const ROUND: usize = 256 * 1024;

/// JSON as a service sends it: the same keys, a few users, words, numbers and ids.
fn messages(size: usize) -> Vec<Vec<u8>> {
    let words = [
        "order", "price", "the", "market", "of", "hello", "update", "and", "closed", "open",
        "room", "is", "in", "volume", "today", "we", "think", "so", "limit", "depth",
    ];
    let users = ["alice", "bob", "carol", "dave", "erin", "frank"];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below
    };
    let mut record = |n: usize| {
        let text: Vec<&str> = (0..3 + random(6)).map(|_| words[random(words.len())]).collect();
        format!(
            r#"{{"id":{n},"user":"{}","price":{}.{:02},"at":17000{:05},"text":"{}"}}"#,
            users[random(users.len())],
            random(1000),
            random(100),
            random(100_000),
            text.join(" "),
        )
    };
    (0..ROUND / size)
        .map(|n| {
            let mut message = record(n);
            while message.len() < size {
                message.push(',');
                message.push_str(&record(message.len()));
            }
            message.truncate(size);
            message.into_bytes()
        })
        .collect()
}

/// The ends of a connection that compress with this level and window.
fn ends(level: u8, bits: u8) -> (Box<dyn Extension>, Box<dyn Extension>) {
    let deflate =
        Deflate::default().level(level).server_max_window_bits(bits).client_max_window_bits(bits);
    let offer = Params::new().with_flag("client_max_window_bits");
    let server = deflate.accept(&offer, Rsv::ALL).expect("an offer");
    let client = deflate.confirm(&server.response, &[]).expect("a response");
    (server.extension, client)
}

fn info(len: usize) -> MessageInfo {
    MessageInfo::new(MessageKind::Text, Some(len as u64), Compression::Always)
}

fn encode(ext: &mut dyn Extension, data: &[u8], out: &mut Vec<u8>) {
    out.clear();
    ext.begin_encode(&info(data.len())).expect("to begin");
    let mut chunk = Chunk::new(data, true);
    while ext.encode(&mut chunk, &mut Sink::new(out, 64 * 1024)) != Ok(Progress::Done) {}
}

fn decode(ext: &mut dyn Extension, data: &[u8], out: &mut Vec<u8>) {
    out.clear();
    ext.begin_decode(&info(data.len())).expect("to begin");
    let mut chunk = Chunk::new(data, true);
    while ext.decode(&mut chunk, &mut Sink::new(out, 64 * 1024)) != Ok(Progress::Done) {}
}

fn deflate(c: &mut Criterion) {
    for size in SIZES {
        let messages = messages(size);
        let mut group = c.benchmark_group(format!("deflate/{size}"));
        group.throughput(Throughput::Bytes(size as u64));
        for bits in WINDOWS {
            for level in LEVELS {
                let (mut server, _) = ends(level, bits);
                let mut out = Vec::with_capacity(2 * size);
                let mut total = 0_usize;
                for message in &messages {
                    encode(&mut *server, message, &mut out);
                    total += out.len();
                }
                let percent = 100.0 * total as f64 / ROUND as f64;
                println!("{size} bytes, {bits} bits, level {level}: {percent:.1} %");
                let mut next = 0;
                let id = BenchmarkId::new(format!("{bits} bits"), format!("level {level}"));
                group.bench_function(id, |b| {
                    b.iter(|| {
                        next = (next + 1) % messages.len();
                        encode(&mut *server, black_box(&messages[next]), &mut out);
                    });
                });
            }
        }
        group.finish();
    }
}

fn inflate(c: &mut Criterion) {
    for size in SIZES {
        let messages = messages(size);
        let mut group = c.benchmark_group(format!("inflate/{size}"));
        group.throughput(Throughput::Bytes(size as u64));
        for bits in WINDOWS {
            let (mut server, mut client) = ends(6, bits);
            let mut out = Vec::with_capacity(2 * size);
            // The first round refers to nothing, the second to the end of the first; that one can
            // be repeated.
            let mut payloads = Vec::new();
            for message in messages.iter().chain(&messages) {
                encode(&mut *server, message, &mut out);
                payloads.push(out.clone());
            }
            for payload in &payloads {
                decode(&mut *client, payload, &mut out);
            }
            let payloads = &payloads[messages.len()..];
            let mut next = 0;
            group.bench_function(BenchmarkId::from_parameter(format!("{bits} bits")), |b| {
                b.iter(|| {
                    decode(&mut *client, black_box(&payloads[next]), &mut out);
                    next = (next + 1) % messages.len();
                });
            });
        }
        group.finish();
    }
}

/// What a client sends: a ring of messages, each of which goes on from the one before.
struct Ring {
    /// What the first one goes on from.
    before: Vec<Vec<u8>>,
    payloads: Vec<Vec<u8>>,
}

impl Ring {
    /// Begins somewhere else for every client.
    fn new(messages: &[Vec<u8>], client: usize, bits: u8) -> Self {
        let mut ring = messages.to_vec();
        ring.rotate_left(4 * client);
        let payloads = |ext: &mut dyn Extension, messages: &[Vec<u8>]| {
            let payload = |message: &Vec<u8>| {
                let mut out = Vec::new();
                encode(ext, message, &mut out);
                out
            };
            messages.iter().map(payload).collect()
        };
        // As much as the largest window holds.
        let last = &ring[ring.len() - 32..];
        let before = payloads(&mut *ends(6, bits).1, last);
        let (_, mut ext) = ends(6, bits);
        let _: Vec<Vec<u8>> = payloads(&mut *ext, last);
        Self { before, payloads: payloads(&mut *ext, &ring) }
    }
}

/// Messages of 1 KiB come and go back over so many connections, in turns.
fn connections(c: &mut Criterion) {
    /// As many clients are different.
    const CLIENTS: usize = 64;
    let messages = messages(1024);
    let (mut out, mut reply) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    let mut group = c.benchmark_group("connections");
    for bits in [12, 15] {
        let rings: Vec<Ring> =
            (0..CLIENTS).map(|client| Ring::new(&messages, client, bits)).collect();
        for n in [1, 32, 1_000, 10_000] {
            let open = |i: usize| {
                let (mut server, _) = ends(6, bits);
                let ring = &rings[i % CLIENTS];
                for payload in &ring.before {
                    decode(&mut *server, payload, &mut out);
                }
                (server, ring, 0)
            };
            let mut busy: Vec<_> = (0..n).map(open).collect();
            let mut turn = 0;
            group.bench_function(BenchmarkId::new(format!("{bits} bits"), n), |b| {
                b.iter(|| {
                    // Not the neighbour, in memory either.
                    turn = (turn + 7919) % n;
                    let (server, ring, next) = &mut busy[turn];
                    decode(&mut **server, black_box(&ring.payloads[*next]), &mut out);
                    *next = (*next + 1) % ring.payloads.len();
                    encode(&mut **server, &out, &mut reply);
                });
            });
        }
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
}

criterion_group! {
    name = benches;
    config = short();
    targets = deflate, inflate, connections
}
criterion_main!(benches);
