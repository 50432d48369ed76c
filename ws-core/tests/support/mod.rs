//! Drives connections with literal bytes, whole and one at a time.
#![allow(dead_code, unused_imports, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used)]

use bytes::BytesMut;
use ws_core::{
    CloseCode, ClosedBy, Config, Connection, Event, Extensions, Fault, Message, Role, SendError,
};
pub(crate) use ws_tests_support::{
    engine::{binary, closed, config, counting_keys, joined, text},
    extension as extensions,
    frame::{Frame as Sent, KEY, frames, masked, unmasked},
};

pub(crate) fn server() -> Connection {
    server_with(Config::default())
}

pub(crate) fn server_with(config: Config) -> Connection {
    Connection::new(Role::Server, config, Extensions::none())
}

pub(crate) fn client() -> Connection {
    client_with(Config::default())
}

pub(crate) fn client_with(config: Config) -> Connection {
    Connection::new(Role::client(counting_keys()), config, Extensions::none())
}

/// Appends `bytes` to the input and polls until more is needed.
pub(crate) fn feed(ws: &mut Connection, input: &mut BytesMut, bytes: &[u8]) -> Vec<Event> {
    let events = ws_tests_support::engine::feed(ws, input, bytes);
    assert!(input.len() < 14, "more than an unfinished header is left");
    events
}

/// Everything that is to be written.
pub(crate) fn written(ws: &mut Connection) -> Vec<u8> {
    let mut output = Vec::new();
    ws.write_to(&mut output).unwrap();
    output
}

/// What came of some input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) events: Vec<Event>,
    pub(crate) sent: Vec<u8>,
}

impl Seen {
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Message(message) => Some(message.clone()),
                _ => None,
            })
            .collect()
    }
}

/// Feeds `bytes` to one new connection as a whole and to another one at a time, and compares.
/// Neighbouring chunks count as one.
pub(crate) fn receive(new: impl Fn() -> Connection, bytes: &[u8]) -> Seen {
    let whole = receive_in_pieces(&new, bytes, bytes.len().max(1));
    let singly = receive_in_pieces(&new, bytes, 1);
    assert_eq!(whole, singly, "whole (left) and one byte at a time (right)");
    whole
}

/// Feeds `bytes` to a new connection, `size` at a time.
pub(crate) fn receive_in_pieces(new: impl Fn() -> Connection, bytes: &[u8], size: usize) -> Seen {
    let mut ws = new();
    let mut input = BytesMut::new();
    let mut seen = Seen { events: Vec::new(), sent: Vec::new() };
    for piece in bytes.chunks(size) {
        seen.events.extend(feed(&mut ws, &mut input, piece));
        seen.sent.extend(written(&mut ws));
    }
    seen.events = joined(seen.events);
    seen
}

/// How a connection failed.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Events before the fault.
    pub(crate) before: Vec<Event>,
    pub(crate) fault: Fault,
    /// How many octets of the input it took.
    pub(crate) octets: usize,
    /// Code of the Close that was sent.
    pub(crate) code: u16,
    /// What was sent before the Close.
    pub(crate) sent: Vec<Sent>,
}

/// Feeds `bytes`, which have to fail the connection, whole and one at a time.
///
/// Every failure has to look the same: the Close with the code of the fault goes out, then nothing
/// more is read, told, sent or accepted.
pub(crate) fn fails(new: impl Fn() -> Connection, bytes: &[u8]) -> Failed {
    let seen = receive(&new, bytes);
    let (before, closed) = match seen.events.as_slice() {
        [before @ .., Event::Closing, Event::Closed(closed)] => (before.to_vec(), closed),
        events => panic!("no failure: {events:?}"),
    };
    let fault = *closed.fault.clone().unwrap();
    assert_eq!(closed.by, ClosedBy::Local);
    assert_eq!(closed.code, fault.close_code());
    assert!(!closed.clean);

    let mut sent = frames(&seen.sent);
    let close = sent.pop().unwrap();
    assert_eq!(close.first, 0x88);
    assert_eq!(close.payload[..2], closed.code.get().to_be_bytes());
    assert_eq!(close.payload[2..], *closed.reason.as_bytes());
    assert!(sent.iter().all(|frame| frame.first != 0x88));

    let mut ws = new();
    let mut input = BytesMut::new();
    let octets = 1 + bytes
        .iter()
        .position(|&octet| feed(&mut ws, &mut input, &[octet]).contains(&Event::Closing))
        .unwrap();
    written(&mut ws);
    stays_closed(&mut ws, &mut input);
    Failed { before, fault, octets, code: closed.code.get(), sent }
}

/// Whatever comes, nothing happens any more.
pub(crate) fn stays_closed(ws: &mut Connection, input: &mut BytesMut) {
    let mut everything: Vec<u8> = (0..=255).collect();
    everything.extend(masked(0x81, KEY, b"text"));
    everything.extend(unmasked(0x81, b"text"));
    everything.extend(masked(0x89, KEY, b"ping"));
    everything.extend(masked(0x88, KEY, &[0x03, 0xe8]));
    assert_eq!(feed(ws, input, &everything), []);
    assert!(input.is_empty());
    for frame in
        [masked(0x81, KEY, b"text"), unmasked(0x89, b"ping"), masked(0x88, KEY, &[0x03, 0xe8])]
    {
        for octet in frame {
            assert_eq!(feed(ws, input, &[octet]), []);
        }
    }
    assert_eq!(ws.send("late"), Err(SendError::Closed));
    assert_eq!(ws.ping(b"late"), Err(SendError::Closed));
    assert_eq!(ws.close(CloseCode::NORMAL, ""), Err(SendError::Closed));
    assert!(!ws.is_open() && !ws.is_close_awaited() && !ws.is_pong_owed());
    assert_eq!(written(ws), b"");
    ws.input_ended();
    assert_eq!(feed(ws, input, b""), []);
    assert!(ws.is_closed());
}
