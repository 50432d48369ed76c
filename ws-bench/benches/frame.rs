//! `cargo bench -p ws-bench --bench frame`: headers, masking and UTF-8, each alone.
#![allow(missing_docs)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ws_bench::json::{Random, document};
use ws_core::extension::Rsv;
use ws_core::{FrameHeader, Opcode, Text, apply_mask};

/// One for each form of the length (RFC 6455 §5.2), as a client and as a server sends it.
fn headers() -> Vec<(String, FrameHeader)> {
    let forms = [20, 1024, 70_000].map(|len| {
        [("client", Some([1, 2, 3, 4])), ("server", None)].map(|(role, mask)| {
            let header =
                FrameHeader { fin: true, rsv: Rsv::NONE, opcode: Opcode::Binary, mask, len };
            (format!("{role} {len}"), header)
        })
    });
    forms.into_iter().flatten().collect()
}

fn header(c: &mut Criterion) {
    let mut group = c.benchmark_group("header");
    for (name, header) in headers() {
        let mut octets = Vec::new();
        header.encode(&mut octets);
        group.bench_function(BenchmarkId::new("parse", &name), |b| {
            b.iter(|| FrameHeader::decode(black_box(&octets)));
        });
        group.bench_function(BenchmarkId::new("write", &name), |b| {
            let mut out = Vec::with_capacity(16);
            b.iter(|| {
                out.clear();
                black_box(&header).encode(&mut out);
                out.len()
            });
        });
    }
}

fn mask(c: &mut Criterion) {
    let mut group = c.benchmark_group("mask");
    for len in [16, 128, 1024, 16 * 1024, 1024 * 1024] {
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |b| {
            let mut data = vec![7; len];
            b.iter(|| apply_mask(black_box(&mut data), [0x37, 0xfa, 0x21, 0x3d], 1));
        });
    }
}

fn utf8(c: &mut Criterion) {
    let mut group = c.benchmark_group("utf8");
    let mut random = Random::new(1);
    for len in [16, 128, 1024, 16 * 1024, 1024 * 1024] {
        let ascii = document(&mut random, len);
        let mixed: String = "κόσμε 世界 hello ".chars().cycle().take(len).collect();
        // Whole letters, so that it may be a few bytes shorter.
        let end = (0..=len).rev().find(|end| mixed.is_char_boundary(*end)).unwrap_or(0);
        group.throughput(Throughput::Bytes(len as u64));
        for (name, text) in [("ascii", &ascii[..]), ("mixed", &mixed[..end])] {
            let octets = Bytes::copy_from_slice(text.as_bytes());
            group.bench_function(BenchmarkId::new(name, len), |b| {
                b.iter_batched(
                    || octets.clone(),
                    |octets| Text::try_from(octets).expect("it is UTF-8"),
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

criterion_group!(benches, header, mask, utf8);
criterion_main!(benches);
