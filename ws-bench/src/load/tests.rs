//! Tests of the load against servers of a few lines.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use super::*;

/// One message of `size` bytes over one connection.
pub(super) fn echo_of(size: usize) -> Load {
    Load {
        kind: Kind::Echo,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        path: "/echo".to_owned(),
        raw: false,
        text: false,
        deflate: false,
        no_takeover: false,
        size,
        connections: 1,
        depth: 1,
        warm_up: Duration::from_millis(10),
        rest: Duration::from_millis(10),
        measure: Duration::from_secs(10),
        messages: 1000,
        server: None,
    }
}

/// A server that runs `handler` for every connection, as long as the test lasts.
fn server(handler: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            thread::spawn(move || handler(stream));
        }
    });
    address
}

fn echo(mut stream: TcpStream, change: impl Fn(&mut [u8])) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        change(&mut buffer[..n]);
        if stream.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
}

fn raw(address: SocketAddr) -> Load {
    Load { address, raw: true, connections: 3, depth: 8, ..echo_of(20) }
}

fn failure(load: &Load) -> String {
    run(load).expect_err("a failure").to_string()
}

#[test]
fn every_message_comes_back_from_an_echo() {
    let outcome = run(&raw(server(|stream| echo(stream, |_| {})))).expect("an outcome");
    let json = outcome.json();
    let messages = json["messages"].as_u64().expect("a number");
    // The last turn answers at most the messages in flight.
    assert!((1000..1000 + 3 * 8).contains(&messages), "{json}");
    assert_eq!(json["reply_bytes"], messages * 26);
    assert!(json["latency_ns"]["p50"].as_u64() > Some(0));
}

#[test]
fn large_messages_come_back_whatever_the_reads_are() {
    let address = server(|stream| echo(stream, |_| {}));
    let load = Load { size: 300_000, depth: 2, messages: 20, ..raw(address) };
    let outcome = run(&load).expect("an outcome");
    assert!(outcome.json()["messages"].as_u64() >= Some(20));
}

#[test]
fn other_octet_is_a_failure() {
    let address = server(|stream| echo(stream, |octets| octets[octets.len() - 1] ^= 1));
    assert!(failure(&raw(address)).contains("of a reply came"));
}

#[test]
fn more_than_the_echo_is_a_failure() {
    let address = server(|mut stream| {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).expect("a message");
        buffer[n] = 7;
        stream.write_all(&buffer[..=n]).expect("the client reads");
        thread::sleep(Duration::from_secs(1));
    });
    let load = Load { connections: 1, ..raw(address) };
    let failure = failure(&load);
    assert!(failure.contains("came 07"), "{failure}");
    assert!(failure.contains("nothing more"), "{failure}");
}

#[test]
fn server_that_leaves_is_a_failure() {
    let address = server(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
    });
    let failure = failure(&raw(address));
    assert!(failure.contains("closed") || failure.contains("reset"), "{failure}");
}

#[test]
fn refused_handshake_is_a_failure() {
    let address = server(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    });
    let failure = failure(&Load { raw: false, ..raw(address) });
    assert!(failure.contains("handshake") && failure.contains("404"), "{failure}");
}
