//! `cargo bench -p ws-bench --bench engine`
#![allow(missing_docs)]

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ws_bench::engine;
use ws_core::Message;

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (len, count) in engine::SIZES {
        let frames = engine::client_frames(len, count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::from_parameter(len), &frames, |b, frames| {
            let (mut ws, mut input) = (engine::server(), BytesMut::new());
            b.iter(|| assert_eq!(engine::parse(&mut ws, &mut input, frames), len * count));
        });
    }
}

fn write(c: &mut Criterion) {
    let mut group = c.benchmark_group("write");
    for (len, count) in engine::SIZES {
        let message = Message::binary(vec![7; len]);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::from_parameter(len), &message, |b, message| {
            let mut ws = engine::server();
            b.iter(|| engine::write(&mut ws, message, count));
        });
    }
}

criterion_group!(benches, parse, write);
criterion_main!(benches);
