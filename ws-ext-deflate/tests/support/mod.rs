//! Drives the extension alone and behind connections, with literal bytes.
#![allow(dead_code, unused_imports, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used)]

pub(crate) mod reference;

use bytes::BytesMut;
use ws_core::{
    CloseCode, Config, Connection, Event, Extension, ExtensionFactory, Extensions, Fault,
    MessageKind, Role,
    extension::{
        Chunk, Compression, ExtensionError, Mark, MessageInfo, NegotiationError, Param, Params,
        Progress, Rsv, Sink,
    },
};
use ws_ext_deflate::Deflate;
use ws_tests_support::frame;
pub(crate) use ws_tests_support::{
    engine::{binary, config, feed, text, written},
    frame::unmasked,
};

/// Compresses everything with windows of 15 bits, so that literal bytes can be expected.
pub(crate) fn plain() -> Deflate {
    Deflate::default().threshold(0).server_max_window_bits(15).client_max_window_bits(15)
}

/// Reads `a; b=10`.
pub(crate) fn params(text: &str) -> Params {
    let mut params = Params::new();
    for param in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        match param.split_once('=') {
            Some((name, value)) => params.push(name, Some(value)),
            None => params.push(param, None),
        }
    }
    params
}

/// Writes `a; b=10`.
pub(crate) fn shown(params: &Params) -> String {
    params.to_string().trim_start_matches("; ").to_owned()
}

/// What a server answers to an offer.
pub(crate) fn answer(server: &Deflate, offer: &str) -> Result<String, NegotiationError> {
    let agreed = server.accept(&params(offer), Rsv::ALL)?;
    Ok(shown(&agreed.response))
}

/// The server's end for an offer that it has to take.
pub(crate) fn server_for(server: &Deflate, offer: &str) -> Box<dyn Extension> {
    server.accept(&params(offer), Rsv::ALL).unwrap().extension
}

/// The client's end for a response that it has to take.
pub(crate) fn client_for(client: &Deflate, response: &str) -> Box<dyn Extension> {
    client.confirm(&params(response), &[]).unwrap()
}

/// Both ends, which agree on the client's first offer that the server takes.
pub(crate) fn pair(server: &Deflate, client: &Deflate) -> (Box<dyn Extension>, Box<dyn Extension>) {
    let agreed =
        client.offers().iter().find_map(|offer| server.accept(offer, Rsv::ALL).ok()).unwrap();
    let client = client.confirm(&agreed.response, &[]).unwrap();
    (agreed.extension, client)
}

/// The value of a parameter in a list such as `a; b=10`.
pub(crate) fn bits(list: &str, name: &str) -> Option<u8> {
    let list = params(list);
    let param = list.iter().find(|param| param.name() == name)?;
    Param::value(param)?.parse().ok()
}

/// Encodes a message that lies there whole.
pub(crate) fn encoded(ext: &mut dyn Extension, data: &[u8]) -> Vec<u8> {
    encoded_in(ext, &[data], usize::MAX)
}

/// Encodes a message in pieces, into sinks of `room` bytes.
pub(crate) fn encoded_in(ext: &mut dyn Extension, pieces: &[&[u8]], room: usize) -> Vec<u8> {
    encoded_with(ext, pieces, room, Compression::Always).unwrap()
}

/// Encodes a message, unless it is left as it is.
pub(crate) fn encoded_with(
    ext: &mut dyn Extension,
    pieces: &[&[u8]],
    room: usize,
    compression: Compression,
) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let len = pieces.iter().map(|piece| piece.len()).sum();
    let info = info(MessageKind::Binary, Some(len), compression);
    if ext.begin_encode(&info).unwrap() == Mark::Unmarked {
        return None;
    }
    for (i, piece) in pieces.iter().enumerate() {
        let mut chunk = Chunk::new(piece, i + 1 == pieces.len());
        run(&mut chunk, &mut out, room, |chunk, sink| ext.encode(chunk, sink)).unwrap();
    }
    Some(out)
}

/// Decodes a message that lies there whole.
pub(crate) fn decoded(ext: &mut dyn Extension, payload: &[u8]) -> Result<Vec<u8>, ExtensionError> {
    decoded_in(ext, &[payload], usize::MAX)
}

/// Decodes a message in pieces, into sinks of `room` bytes.
pub(crate) fn decoded_in(
    ext: &mut dyn Extension,
    pieces: &[&[u8]],
    room: usize,
) -> Result<Vec<u8>, ExtensionError> {
    let mut out = Vec::new();
    ext.begin_decode(&info(MessageKind::Binary, None, Compression::Auto))?;
    for (i, piece) in pieces.iter().enumerate() {
        let mut chunk = Chunk::new(piece, i + 1 == pieces.len());
        run(&mut chunk, &mut out, room, |chunk, sink| ext.decode(chunk, sink))?;
    }
    Ok(out)
}

/// Calls until it is done, and checks what the engine would check.
fn run(
    chunk: &mut Chunk<'_>,
    out: &mut Vec<u8>,
    room: usize,
    mut call: impl FnMut(&mut Chunk<'_>, &mut Sink<'_>) -> Result<Progress, ExtensionError>,
) -> Result<(), ExtensionError> {
    loop {
        let (left, before) = (chunk.len(), out.len());
        let mut sink = Sink::new(out, room);
        let progress = call(chunk, &mut sink)?;
        match progress {
            Progress::Done => {
                assert!(chunk.is_empty(), "done with input left");
                return Ok(());
            }
            Progress::Full => {
                assert!(chunk.len() < left || out.len() > before, "full without any progress");
            }
        }
    }
}

pub(crate) fn info(kind: MessageKind, len: Option<usize>, compression: Compression) -> MessageInfo {
    MessageInfo::new(kind, len.map(|len| len as u64), compression)
}

/// A connection whose only extension this is.
pub(crate) fn connection(role: Role, config: Config, ext: Box<dyn Extension>) -> Connection {
    let mut stack = Extensions::none();
    stack.push(&Deflate::default(), ext).unwrap();
    Connection::new(role, config, stack)
}

/// A client that inflates and compresses with takeover and 15 bits.
pub(crate) fn client(config: Config) -> Connection {
    let ext = client_for(&plain(), "server_max_window_bits=15");
    connection(Role::client(|| [1, 2, 3, 4]), config, ext)
}

/// A server that inflates and compresses with takeover and 15 bits.
pub(crate) fn server(config: Config) -> Connection {
    let ext = server_for(&plain(), "");
    connection(Role::Server, config, ext)
}

/// A frame of a client, with the key of zeros.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame::masked(first, [0; 4], payload)
}

/// Frames as they were sent: first octet and unmasked payload.
pub(crate) fn frames(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    frame::frames(bytes).into_iter().map(|frame| (frame.first, frame.payload)).collect()
}

/// Feeds `bytes` to one new connection as a whole and to another one at a time, and compares.
pub(crate) fn receive(new: impl Fn() -> Connection, bytes: &[u8]) -> Vec<Event> {
    let whole = feed(&mut new(), &mut BytesMut::new(), bytes);
    let (mut ws, mut input) = (new(), BytesMut::new());
    let singly: Vec<Event> =
        bytes.iter().flat_map(|&octet| feed(&mut ws, &mut input, &[octet])).collect();
    assert_eq!(whole, singly, "whole (left) and one byte at a time (right)");
    whole
}

/// Feeds `bytes`, which have to fail the connection: what came before, the code and the fault.
pub(crate) fn fails(new: impl Fn() -> Connection, bytes: &[u8]) -> (Vec<Event>, CloseCode, Fault) {
    match receive(new, bytes).as_slice() {
        [before @ .., Event::Closing, Event::Closed(closed)] => {
            let fault = *closed.fault.clone().unwrap();
            (before.to_vec(), closed.code, fault)
        }
        events => panic!("no failure: {events:?}"),
    }
}

/// Octets that look like nothing in particular, and do not compress.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Octets that repeat at every distance up to `reach`.
pub(crate) fn repetitive(len: usize, reach: usize) -> Vec<u8> {
    let seed = noise(reach.min(len), 7);
    let mut data = Vec::with_capacity(len);
    let mut at = 0;
    while data.len() < len {
        let n = (20 + at % 61).min(len - data.len());
        at = (at * 31 + 17) % seed.len();
        let n = n.min(seed.len() - at);
        data.extend_from_slice(&seed[at..at + n]);
    }
    data
}
