//! Connections fed with bytes that a small encoder of the tests' own made, and what came of it read
//! by a small parser of the tests' own.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used)]

pub(crate) mod extensions;

use bytes::{Buf, BytesMut};
use ws_core::{
    CloseCode, Closed, Config, Connection, Event, Extensions, Fault, MaskKeys, Message, Outgoing,
    Role,
};

/// Which end the connection under test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

pub(crate) const SIDES: [Side; 2] = [Side::Server, Side::Client];

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;
/// The first frame of a binary message, and one that goes on with it; neither is the last.
pub(crate) const FIRST: u8 = 0x02;
pub(crate) const MORE: u8 = 0x00;
pub(crate) const LAST: u8 = 0x80;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

impl Side {
    pub(crate) fn connection(self, config: Config) -> Connection {
        self.connection_with(config, Extensions::none())
    }

    pub(crate) fn connection_with(
        self,
        config: impl Into<std::sync::Arc<Config>>,
        extensions: Extensions,
    ) -> Connection {
        let role = match self {
            Self::Server => Role::Server,
            Self::Client => Role::client(keys()),
        };
        Connection::new(role, config, extensions)
    }

    /// A frame that the peer of this side sends.
    pub(crate) fn incoming(self, first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = self.incoming_header(first, payload.len() as u64);
        let start = frame.len();
        frame.extend_from_slice(payload);
        if self == Self::Server {
            xor(&mut frame[start..], KEY);
        }
        frame
    }

    /// Its header alone, with the length in the shortest form.
    pub(crate) fn incoming_header(self, first: u8, len: u64) -> Vec<u8> {
        let mut header = self.incoming_announcement(first, len);
        if self == Self::Server {
            header.extend_from_slice(&KEY);
        }
        header
    }

    /// The header without the masking key.
    pub(crate) fn incoming_announcement(self, first: u8, len: u64) -> Vec<u8> {
        let mask = if self == Self::Server { 0x80 } else { 0 };
        let mut header = vec![first];
        match len {
            0..=125 => header.push(mask | len as u8),
            126..=0xffff => {
                header.push(mask | 126);
                header.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                header.push(mask | 127);
                header.extend_from_slice(&len.to_be_bytes());
            }
        }
        header
    }
}

/// Different for every frame, and the same in every run. Holds nothing on the heap.
pub(crate) fn keys() -> impl MaskKeys + 'static {
    static START: u32 = 0x9e37_79b9;
    let mut state = START;
    move || {
        state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        state.to_be_bytes()
    }
}

fn xor(data: &mut [u8], key: [u8; 4]) {
    for (i, octet) in data.iter_mut().enumerate() {
        *octet ^= key[i % 4];
    }
}

/// A frame as it was found on the wire, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) first: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
    /// Where the frame ends in what was parsed.
    pub(crate) end: usize,
}

impl Wire {
    pub(crate) fn opcode(&self) -> u8 {
        self.first & 0x0f
    }
}

/// Reads whole frames; anything else is a failed test.
pub(crate) fn parse(bytes: &[u8]) -> Vec<Wire> {
    let mut frames = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (first, second) = (bytes[at], bytes[at + 1]);
        at += 2;
        let len = match second & 0x7f {
            126 => {
                at += 2;
                usize::from(u16::from_be_bytes(bytes[at - 2..at].try_into().unwrap()))
            }
            127 => {
                at += 8;
                u64::from_be_bytes(bytes[at - 8..at].try_into().unwrap()) as usize
            }
            len => usize::from(len),
        };
        let masked = second & 0x80 != 0;
        let key = if masked {
            at += 4;
            bytes[at - 4..at].try_into().unwrap()
        } else {
            [0; 4]
        };
        let mut payload = bytes[at..at + len].to_vec();
        xor(&mut payload, key);
        at += len;
        frames.push(Wire { first, masked, payload, end: at });
    }
    frames
}

/// The defaults, changed.
pub(crate) fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

/// Polls until more input is needed.
pub(crate) fn events(ws: &mut Connection, input: &mut BytesMut) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = ws.poll_event(input) {
        if event != Event::Yield {
            events.push(event);
        }
    }
    events
}

/// Feeds `bytes` in one piece.
pub(crate) fn feed(ws: &mut Connection, bytes: &[u8]) -> Vec<Event> {
    events(ws, &mut BytesMut::from(bytes))
}

/// Takes out everything that is to be written.
pub(crate) fn written(ws: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        if let Outgoing::Write(output) = ws.poll_output_bounded() {
            let n = output.chunk().len();
            bytes.extend_from_slice(output.chunk());
            output.advance(n);
        } else if !ws.has_more_to_encode() {
            return bytes;
        }
    }
}

/// Takes out at most `n` bytes of what is to be written.
pub(crate) fn written_some(ws: &mut Connection, n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < n
        && let Outgoing::Write(output) = ws.poll_output_bounded()
    {
        let chunk = output.chunk();
        let step = chunk.len().min(n - bytes.len());
        bytes.extend_from_slice(&chunk[..step]);
        output.advance(step);
    }
    bytes
}

/// What ended the connection, with the code of the Close frame that it wrote.
pub(crate) fn closed(events: &[Event]) -> Closed {
    match events.last() {
        Some(Event::Closed(closed)) => closed.clone(),
        other => panic!("not closed, but {other:?}"),
    }
}

/// Checks that the connection failed with this fault, that its code went out, and that it is dead.
#[track_caller]
pub(crate) fn assert_failed(ws: &mut Connection, events: &[Event], fault: &Fault, code: CloseCode) {
    let closed = closed(events);
    assert_eq!(closed.fault.as_deref(), Some(fault));
    assert_eq!(closed.code, code);
    assert!(!closed.clean);
    assert!(events.contains(&Event::Closing));
    let frames = parse(&written(ws));
    let close = frames.last().unwrap();
    assert_eq!(close.first, CLOSE);
    assert_eq!(close.payload[..2], code.get().to_be_bytes());
    assert_eq!(feed(ws, b"\x82\x80\0\0\0\0\x82\0"), [], "failed stays failed");
    assert!(!ws.is_open());
}

/// Like it, where the message is too big.
#[track_caller]
pub(crate) fn assert_too_big(ws: &mut Connection, events: &[Event], limit: usize) {
    let fault = closed(events).fault;
    assert!(
        matches!(fault.as_deref(), Some(Fault::FrameTooBig { .. } | Fault::MessageTooBig { .. })),
        "{fault:?}"
    );
    let fault = *fault.unwrap();
    match &fault {
        Fault::FrameTooBig { limit: told } | Fault::MessageTooBig { limit: told } => {
            assert_eq!(*told, limit);
        }
        _ => unreachable!(),
    }
    assert_failed(ws, events, &fault, CloseCode::MESSAGE_TOO_BIG);
}

pub(crate) fn binary(payload: impl AsRef<[u8]>) -> Event {
    Event::Message(Message::binary(payload.as_ref()))
}

/// Bytes in which every place looks different.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
