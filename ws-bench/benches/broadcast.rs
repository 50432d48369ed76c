//! `cargo bench -p ws-bench --bench broadcast`: a message to 1,000 connections of one process, from
//! the broadcast to what a socket would take, which is copied. A thousandth of the time is that of
//! one delivery; a system call comes to that.
#![allow(missing_docs)]

use std::io::{self, IoSlice, Write};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ws_bench::json::{Random, document};
use ws_core::{
    Broadcast, Config, Connection, ExtensionFactory, Extensions, Message, Role,
    extension::{Compression, Params, Rsv},
};
use ws_ext_deflate::Deflate;

const CONNECTIONS: usize = 1000;
/// Different messages, so that compressing one is not repeating the last.
const MESSAGES: usize = 64;

/// Takes everything, by a copy, as a socket does.
#[derive(Default)]
struct Socket {
    buffer: Vec<u8>,
    taken: usize,
}

impl Write for Socket {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(data)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.buffer.clear();
        for slice in slices {
            self.buffer.extend_from_slice(slice);
        }
        self.taken += self.buffer.len();
        Ok(self.buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn plain() -> Connection {
    Connection::new(Role::Server, Config::default(), Extensions::none())
}

fn deflate() -> Connection {
    let deflate = Deflate::default();
    let offer = Params::new().with_flag("client_max_window_bits");
    let agreed = deflate.accept(&offer, Rsv::ALL).expect("an offer");
    let mut extensions = Extensions::none();
    extensions.push(&deflate, agreed.extension).expect("the only one");
    Connection::new(Role::Server, Config::default(), extensions)
}

/// What a connection is, and how it sends.
type Case = (&'static str, fn() -> Connection, fn(&mut Connection, &Broadcast));

const CASES: [Case; 4] = [
    ("plain, for each", plain, for_each),
    ("plain", plain, once_for_all),
    ("deflate, for each", deflate, for_each),
    ("deflate, once", deflate, once_for_all),
];

fn once_for_all(ws: &mut Connection, broadcast: &Broadcast) {
    ws.send_broadcast(broadcast).expect("the connection is open");
}

fn for_each(ws: &mut Connection, broadcast: &Broadcast) {
    ws.send_ref(broadcast.message(), Compression::Auto).expect("the connection is open");
}

fn broadcast(c: &mut Criterion) {
    let mut group = c.benchmark_group("broadcast");
    let mut random = Random::new(1);
    for len in [128, 1024, 16 * 1024] {
        let messages: Vec<Message> =
            (0..MESSAGES).map(|_| Message::text(document(&mut random, len))).collect();
        group.throughput(Throughput::Elements(CONNECTIONS as u64));
        for (name, connect, send) in CASES {
            let mut connections: Vec<Connection> = (0..CONNECTIONS).map(|_| connect()).collect();
            let mut socket = Socket::default();
            let mut deliveries = 0;
            let mut next = messages.iter().cycle();
            group.bench_function(BenchmarkId::new(name, len), |b| {
                b.iter(|| {
                    let broadcast = Broadcast::new(next.next().expect("endless").clone());
                    for ws in &mut connections {
                        send(ws, &broadcast);
                        ws.write_to(&mut socket).expect("it takes everything");
                    }
                    deliveries += CONNECTIONS;
                });
            });
            if let Some(bytes) = socket.taken.checked_div(deliveries) {
                println!("{name}, {len} bytes: {bytes} on the wire");
            }
        }
    }
}

fn short() -> Criterion {
    Criterion::default().sample_size(10)
}

criterion_group! {
    name = benches;
    config = short();
    targets = broadcast
}
criterion_main!(benches);
