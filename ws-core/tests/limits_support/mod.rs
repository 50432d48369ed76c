//! Connections fed with bytes from the encoder of the tests, and what came of it, read by the parser
//! of the tests.
#![allow(dead_code, unused_imports, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used)]

pub(crate) mod extensions;

use bytes::{Buf, BytesMut};
use ws_core::{
    CloseCode, Closed, Config, Connection, Event, Extensions, Fault, MaskKeys, Message, Outgoing,
    Role,
};
use ws_tests_support::frame::{Frame, KEY, MASK, frames_and_ends, header, masked, unmasked};
pub(crate) use ws_tests_support::{
    engine::{binary, config, written},
    frame::{BINARY, CLOSE, PING, PONG, TEXT},
};

/// Which end the connection under test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

pub(crate) const SIDES: [Side; 2] = [Side::Server, Side::Client];

/// The first frame of a binary message, and one that goes on with it; neither is the last.
pub(crate) const FIRST: u8 = 0x02;
pub(crate) const MORE: u8 = 0x00;
pub(crate) const LAST: u8 = 0x80;

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
        match self {
            Self::Server => masked(first, KEY, payload),
            Self::Client => unmasked(first, payload),
        }
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
        let mask = if self == Self::Server { MASK } else { 0 };
        header(first, mask, len)
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
    let wire = |(frame, end): (Frame, usize)| Wire {
        first: frame.first,
        masked: frame.is_masked(),
        payload: frame.payload,
        end,
    };
    frames_and_ends(bytes).into_iter().map(wire).collect()
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

/// Bytes in which every place looks different.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
