//! The engine alone, in memory: parsing a client's octets, and writing a server's.

use bytes::{Buf, BytesMut};
use ws_core::{Config, Connection, Event, Extensions, Message, Role};

use crate::frame::{BINARY, push_masked};

/// Sizes of messages in bytes, and the number of messages in a batch.
pub const SIZES: [(usize, usize); 3] = [(20, 256), (1024, 64), (65_536, 8)];

/// The size of one read of a socket.
pub const READ: usize = 64 * 1024;

/// `count` binary messages of a client, each in one masked frame with its own content and key.
pub fn client_frames(len: usize, count: usize) -> Vec<u8> {
    let mut frames = Vec::new();
    for i in 0..count {
        let key = (0x9e37_79b9_u32.wrapping_mul(i as u32 + 1)).to_be_bytes();
        let payload: Vec<u8> = (0..len).map(|at| (at * 7 + i) as u8).collect();
        push_masked(&mut frames, BINARY, &payload, key);
    }
    frames
}

/// A server's end of an open connection.
pub fn server() -> Connection {
    Connection::new(Role::Server, Config::default(), Extensions::none())
}

/// Takes `frames` in reads of [`READ`] bytes, and returns how many payload bytes arrived.
///
/// # Panics
/// If the frames are not valid.
pub fn parse(ws: &mut Connection, input: &mut BytesMut, frames: &[u8]) -> usize {
    let mut received = 0;
    for read in frames.chunks(READ) {
        input.reserve(READ);
        input.extend_from_slice(read);
        while let Some(event) = ws.poll_event(input) {
            match event {
                Event::Message(message) => received += message.len(),
                Event::Yield => {}
                event => panic!("unexpected {event:?}"),
            }
        }
    }
    received
}

/// Sends `message` `count` times, takes the output as a socket would, and returns its length.
///
/// # Panics
/// If the connection is closed.
pub fn write(ws: &mut Connection, message: &Message, count: usize) -> usize {
    for _ in 0..count {
        ws.send(message.clone()).expect("the connection is open");
    }
    let mut written = 0;
    while let Some(output) = ws.poll_output() {
        let n = output.chunk().len();
        output.advance(n);
        written += n;
    }
    written
}
