//! `cargo bench --manifest-path ws-bench/peers/Cargo.toml`: the engine beside tungstenite's, in turn.

mod in_memory;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ws_bench::engine;

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    for (len, count) in engine::SIZES {
        let frames = engine::client_frames(len, count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new("ws-core", len), &frames, |b, frames| {
            let (mut ws, mut input) = (engine::server(), BytesMut::new());
            b.iter(|| assert_eq!(engine::parse(&mut ws, &mut input, frames), len * count));
        });
        group.bench_with_input(BenchmarkId::new("tungstenite", len), &frames, |b, frames| {
            let mut ws = in_memory::server(frames.clone());
            b.iter(|| assert_eq!(in_memory::parse(&mut ws, count), len * count));
        });
    }
}

fn write(c: &mut Criterion) {
    let mut group = c.benchmark_group("write");
    for (len, count) in engine::SIZES {
        let payload = Bytes::from(vec![7; len]);
        group.throughput(Throughput::Elements(count as u64));
        let message = ws_core::Message::binary(payload.clone());
        group.bench_with_input(BenchmarkId::new("ws-core", len), &message, |b, message| {
            let mut ws = engine::server();
            b.iter(|| engine::write(&mut ws, message, count));
        });
        let message = tungstenite::Message::Binary(payload);
        group.bench_with_input(BenchmarkId::new("tungstenite", len), &message, |b, message| {
            let mut ws = in_memory::server(Vec::new());
            b.iter(|| in_memory::write(&mut ws, message, count));
        });
    }
}

criterion_group!(benches, parse, write);
criterion_main!(benches);
