//! The loops that the documentation shows, as they stand there, with an extension and a message that
//! takes it many calls.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{self, Read, Write};

use bytes::{Buf, BufMut, BytesMut};
use support::{client, config, masked, server};
use ws_core::{Closed, Config, Connection, Event, Message};

// ws-core: README, `Connection::poll_output`
fn write(ws: &mut Connection, stream: &mut impl Write) -> io::Result<()> {
    while let Some(output) = ws.poll_output() {
        let written = stream.write(output.chunk())?;
        output.advance(written);
    }
    Ok(())
}

// ws-core: "Writing an extension"
fn put(client: &mut Connection, wire: &mut BytesMut) {
    while let Some(output) = client.poll_output() {
        wire.put(output);
    }
}

// ws-bench: engine
fn count(ws: &mut Connection) -> usize {
    let mut written = 0;
    while let Some(output) = ws.poll_output() {
        let n = output.chunk().len();
        output.advance(n);
        written += n;
    }
    written
}

// ws-bench: round_trip
fn carry(from: &mut Connection, wire: &mut BytesMut) {
    while let Some(output) = from.poll_output() {
        let chunk = output.chunk();
        wire.extend_from_slice(chunk);
        let n = chunk.len();
        output.advance(n);
    }
}

// The README, `own_io`
fn echo(mut ws: Connection, mut io: impl Read + Write) -> io::Result<Option<Closed>> {
    let (mut input, mut chunk, mut end) = (BytesMut::new(), [0; 16 * 1024], None);
    while !ws.is_closed() {
        match io.read(&mut chunk)? {
            0 => ws.input_ended(),
            n => input.extend_from_slice(&chunk[..n]),
        }
        while let Some(event) = ws.poll_event(&mut input) {
            match event {
                Event::Message(message) => ws.send(message).map_err(io::Error::other)?,
                Event::Closed(closed) => end = Some(closed),
                _ => {} // the Pong owed for a Ping is already queued
            }
        }
        ws.write_to(&mut io)?; // the Close that we owe goes out too
    }
    Ok(end)
}

/// Everything that shows how to drive a connection.
const SHOWN: [(&str, &str); 14] = [
    ("README.md", include_str!("../../README.md")),
    ("ws-core/README.md", include_str!("../../ws-core/README.md")),
    ("ws-core/src/lib.rs", include_str!("../../ws-core/src/lib.rs")),
    ("ws-core/src/connection.rs", include_str!("../../ws-core/src/connection.rs")),
    ("guide.md", include_str!("../../ws-core/src/extension/guide.md")),
    ("ws-ext-deflate/README.md", include_str!("../README.md")),
    ("x_seal.rs", include_str!("../examples/x_seal.rs")),
    ("ws-handshake/README.md", include_str!("../../ws-handshake/README.md")),
    ("own_io.rs", include_str!("../../ws-handshake/examples/own_io.rs")),
    ("x_crc32c.rs", include_str!("../../ws-handshake/examples/x_crc32c.rs")),
    ("x_trace.rs", include_str!("../../ws-handshake/examples/x_trace.rs")),
    ("ws-bench/src/engine.rs", include_str!("../../ws-bench/src/engine.rs")),
    ("ws-bench/benches/round_trip.rs", include_str!("../../ws-bench/benches/round_trip.rs")),
    ("extension_ends.rs", include_str!("../../ws-server/examples/extension_ends.rs")),
];

/// The lines without what stands before the code in them.
fn code(text: &str) -> Vec<&str> {
    text.lines()
        .map(|line| {
            let line = line.trim_start();
            line.strip_prefix("///").or(line.strip_prefix("//!")).unwrap_or(line).trim()
        })
        .collect()
}

/// From a line that begins so to the end of its block.
fn blocks<'a>(lines: &'a [&'a str], begins: &str) -> Vec<&'a [&'a str]> {
    let starts = (0..lines.len()).filter(|&at| lines[at].starts_with(begins));
    let block = |start: usize| {
        let mut depth = 0;
        let end = lines[start..].iter().position(|line| {
            depth += line.matches('{').count() as isize - line.matches('}').count() as isize;
            depth == 0
        });
        &lines[start..=start + end.unwrap()]
    };
    starts.map(block).collect()
}

#[test]
fn loops_that_are_shown_are_those_that_are_tested() {
    let tested = code(include_str!("loops.rs"));
    let is_tested = |block: &[&str]| tested.windows(block.len()).any(|lines| lines == block);
    let mut found = 0;
    for (file, text) in SHOWN {
        let lines = code(text);
        let mut shown = blocks(&lines, "fn echo(mut ws");
        shown.extend(
            blocks(&lines, "while let")
                .into_iter()
                .filter(|block| block[0].contains("poll_output")),
        );
        shown.extend(
            blocks(&lines, "loop {")
                .into_iter()
                .filter(|block| block.iter().any(|line| line.contains("poll_output"))),
        );
        for block in shown {
            // The implementation of `write_to` is one of them, which all the examples run.
            if block.get(1) != Some(&"output.write_to(writer)?;") {
                found += 1;
                assert!(is_tested(block), "{file}: {block:#?}");
            }
        }
    }
    assert_eq!(found, 7);
}

const LARGE: usize = 1 << 20;

/// A connection of either role that has a megabyte of zeros to write, which becomes a kilobyte.
fn with_a_large_message() -> [Connection; 2] {
    [client(Config::default()), server(Config::default())].map(|mut ws| {
        ws.send(vec![0; LARGE]).unwrap();
        ws
    })
}

/// Whether the other end of `ws` understands `wire` as that message.
fn is_the_message(mut wire: BytesMut, from: &Connection) -> bool {
    let config = config(|config| config.max_frame = Some(usize::MAX));
    let mut to = if from.role().is_server() { client(config) } else { server(config) };
    while let Some(event) = to.poll_event(&mut wire) {
        match event {
            Event::Message(message) => return message == Message::binary(vec![0; LARGE]),
            Event::Yield => {}
            event => panic!("{event:?}"),
        }
    }
    false
}

#[test]
fn loops_over_output_write_a_large_message() {
    for mut ws in with_a_large_message() {
        let mut wire = Vec::new();
        write(&mut ws, &mut wire).unwrap();
        assert!(is_the_message(wire[..].into(), &ws));
        assert_eq!(ws.unwritten(), 0);
    }
    for mut ws in with_a_large_message() {
        let mut wire = BytesMut::new();
        put(&mut ws, &mut wire);
        assert!(is_the_message(wire, &ws));
    }
    for mut ws in with_a_large_message() {
        let mut wire = BytesMut::new();
        carry(&mut ws, &mut wire);
        assert!(is_the_message(wire, &ws));
    }
    let [mut one, mut other] = with_a_large_message();
    let mut wire = Vec::new();
    other.write_to(&mut wire).unwrap();
    assert!(is_the_message(wire[..].into(), &other));
    assert!(count(&mut one).abs_diff(wire.len()) <= 4 * 2, "the masking keys");
}

/// What a peer sends, a few octets at a time, and what it is sent.
struct Peer {
    sends: BytesMut,
    reads: usize,
    received: Vec<u8>,
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = buffer.len().min(self.reads).min(self.sends.len());
        self.sends.copy_to_slice(&mut buffer[..n]);
        Ok(n)
    }
}

impl Write for Peer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = data.len().min(1000);
        self.received.extend_from_slice(&data[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn echo_loop_sends_a_large_message_back() {
    for reads in [7, 1000, usize::MAX] {
        let [mut client, _] = with_a_large_message();
        let mut sends = BytesMut::new();
        put(&mut client, &mut sends);
        sends.extend(masked(0x88, b"\x03\xe8"));
        let mut peer = Peer { sends, reads, received: Vec::new() };
        let closed = echo(server(Config::default()), &mut peer).unwrap().unwrap();
        assert!(closed.clean);
        assert_eq!(peer.received[peer.received.len() - 4..], *b"\x88\x02\x03\xe8");
        let from = server(Config::default());
        assert!(is_the_message(peer.received[..].into(), &from));
    }
}
