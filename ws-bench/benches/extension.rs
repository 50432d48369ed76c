//! `cargo bench -p ws-bench --bench extension`: an extension that changes nothing, beside none.
#![allow(missing_docs)]

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ws_bench::{engine, pass_through::PassThrough};
use ws_core::{
    Config, Connection, Extensions, Message, Role,
    extension::{FixedFactory, Scope},
};

fn server(extensions: usize) -> Connection {
    let mut stack = Extensions::none();
    for _ in 0..extensions {
        let factory = FixedFactory::new("x-pass", Scope::Message, || Box::new(PassThrough));
        stack.push(&factory, factory.make()).expect("it claims no bit");
    }
    Connection::new(Role::Server, Config::default(), stack)
}

fn pass_through(c: &mut Criterion) {
    for (name, len, count) in [("20 B", 20, 256), ("1 KiB", 1024, 64)] {
        let frames = engine::client_frames(len, count);
        let message = Message::binary(vec![7; len]);
        for extensions in [0, 1, 2] {
            let mut group = c.benchmark_group(format!("read {name}"));
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new("extensions", extensions), |b| {
                let (mut ws, mut input) = (server(extensions), BytesMut::new());
                b.iter(|| assert_eq!(engine::parse(&mut ws, &mut input, &frames), len * count));
            });
            group.finish();
            let mut group = c.benchmark_group(format!("write {name}"));
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new("extensions", extensions), |b| {
                let mut ws = server(extensions);
                b.iter(|| engine::write(&mut ws, &message, count));
            });
            group.finish();
        }
    }
}

criterion_group!(benches, pass_through);
criterion_main!(benches);
