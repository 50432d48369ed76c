//! `cargo bench -p ws-bench --bench round_trip`: a message from a client to a server and back, all
//! in memory, through the `Connection` of either end.
#![allow(missing_docs)]

use bytes::{Buf, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ws_bench::json::{Random, document};
use ws_core::{Config, Connection, Event, Extensions, Message, Role};

/// What `from` has to write goes to `to`, and the message that it makes comes back.
fn carry(from: &mut Connection, to: &mut Connection, wire: &mut BytesMut) -> Message {
    while let Some(output) = from.poll_output() {
        let chunk = output.chunk();
        wire.extend_from_slice(chunk);
        let n = chunk.len();
        output.advance(n);
    }
    loop {
        match to.poll_event(wire) {
            Some(Event::Message(message)) => return message,
            Some(Event::Yield) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

fn round_trip(c: &mut Criterion) {
    let mut group = c.benchmark_group("round trip");
    let mut random = Random::new(1);
    for len in [20, 1024, 16 * 1024, 256 * 1024] {
        let text = document(&mut random, len);
        let messages =
            [("binary", Message::binary(text.as_bytes().to_vec())), ("text", Message::text(text))];
        for (name, message) in messages {
            group.throughput(Throughput::Bytes(2 * len as u64));
            group.bench_function(BenchmarkId::new(name, len), |b| {
                let mut key = 0_u32;
                let keys = move || {
                    key = key.wrapping_add(0x9e37_79b9);
                    key.to_be_bytes()
                };
                let connection =
                    |role| Connection::new(role, Config::default(), Extensions::none());
                let mut client = connection(Role::client(keys));
                let mut server = connection(Role::Server);
                let mut wire = BytesMut::new();
                b.iter(|| {
                    client.send(message.clone()).expect("the connection is open");
                    let received = carry(&mut client, &mut server, &mut wire);
                    server.send(received).expect("the connection is open");
                    carry(&mut server, &mut client, &mut wire).len()
                });
            });
        }
    }
}

criterion_group!(benches, round_trip);
criterion_main!(benches);
