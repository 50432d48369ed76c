//! `cargo bench -p ws-bench --bench handshake`: the opening handshake of either side, in octets.
#![allow(missing_docs)]

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ws_ext_deflate::Deflate;
use ws_handshake::{
    AcceptOptions, ClientHandshake, ClientOptions, ExtensionSet, RequestReader, ResponseReader,
    Upgrade,
};

/// Extensions in the order of their registration: none, or permessage-deflate.
fn sets() -> [(&'static str, ExtensionSet); 2] {
    let deflate = ExtensionSet::new().with(Deflate::default()).expect("one extension");
    [("plain", ExtensionSet::new()), ("deflate", deflate)]
}

fn ask(set: &ExtensionSet) -> ClientHandshake {
    let uri = "ws://server.example.com/chat".parse().expect("a URI");
    ClientOptions::new(uri).extensions(set.clone()).handshake([7; 16]).expect("a request")
}

/// What a server does with the octets of a request.
fn answer(input: &mut BytesMut, options: &AcceptOptions, output: &mut BytesMut) {
    let request = RequestReader::default().read(input).expect("a request").expect("all of it");
    let upgrade = Upgrade::inspect(&request).expect("a WebSocket");
    let accepted = upgrade.accept(options).expect("an answer");
    accepted.write(output);
}

fn handshake(c: &mut Criterion) {
    for (name, set) in sets() {
        let mut group = c.benchmark_group(format!("handshake {name}"));
        let (mut request, mut response) = (BytesMut::new(), BytesMut::new());
        let handshake = ask(&set);
        handshake.write_request(&mut request);
        let options = AcceptOptions::default().extensions(set.clone());
        answer(&mut request.clone(), &options, &mut response);

        group.bench_function("server", |b| {
            let mut output = BytesMut::new();
            b.iter_batched_ref(
                || request.clone(),
                |request| {
                    output.clear();
                    answer(request, &options, &mut output);
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function("client asks", |b| {
            let mut output = BytesMut::new();
            b.iter(|| {
                output.clear();
                ask(&set).write_request(&mut output);
            });
        });
        group.bench_function("client verifies", |b| {
            b.iter_batched_ref(
                || response.clone(),
                |response| {
                    let read = ResponseReader::default().read(response).expect("a response");
                    handshake.verify(&read.expect("all of it")).expect("the answer to the request")
                },
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, handshake);
criterion_main!(benches);
