//! An engine fed by hand.

use bytes::{Buf, BytesMut};
use ws_core::{Closed, Config, Connection, Event, MaskKeys, Message, Outgoing};

/// The defaults, except for what `change` changes.
pub fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

/// The keys `00 00 00 01`, `00 00 00 02` and so on.
pub fn counting_keys() -> impl MaskKeys + 'static {
    let mut n = 0_u32;
    move || {
        n += 1;
        n.to_be_bytes()
    }
}

/// Different for every frame, and the same in every run. Holds nothing on the heap.
pub fn varied_keys() -> impl MaskKeys + 'static {
    static START: u32 = 0x9e37_79b9;
    let mut state = START;
    move || {
        state = state.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        state.to_be_bytes()
    }
}

/// Polls until the engine needs more input.
///
/// # Panics
///
/// If the engine yields without end.
pub fn events(ws: &mut Connection, input: &mut BytesMut) -> Vec<Event> {
    let mut events = Vec::new();
    let mut yields = 0;
    while let Some(event) = ws.poll_event(input) {
        if event == Event::Yield {
            yields += 1;
            assert!(yields < 100_000, "the engine yields without end");
        } else {
            events.push(event);
        }
    }
    events
}

/// Appends `bytes` to the input, and polls until the engine needs more.
pub fn feed(ws: &mut Connection, input: &mut BytesMut, bytes: &[u8]) -> Vec<Event> {
    input.extend_from_slice(bytes);
    events(ws, input)
}

/// Feeds `bytes` in one piece, whose unread rest is lost.
pub fn feed_alone(ws: &mut Connection, bytes: &[u8]) -> Vec<Event> {
    events(ws, &mut BytesMut::from(bytes))
}

/// Joins neighbouring chunks.
pub fn joined(events: Vec<Event>) -> Vec<Event> {
    let mut out: Vec<Event> = Vec::new();
    for event in events {
        match (out.last_mut(), event) {
            (Some(Event::Chunk(before)), Event::Chunk(chunk)) => {
                *before = [&before[..], &chunk[..]].concat().into();
            }
            (_, event) => out.push(event),
        }
    }
    out
}

/// What came of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub events: Vec<Event>,
    /// All of it, taken at the end: a Pong overtakes what is not written yet.
    pub output: Vec<u8>,
    /// Bytes that the connection holds in the end.
    pub memory: usize,
}

/// Feeds `bytes` in pieces that end at `places`, calls `answer` with each message, and ends the
/// transport.
pub fn run(
    mut ws: Connection,
    bytes: &[u8],
    places: &[usize],
    mut answer: impl FnMut(&mut Connection, &Message),
) -> Outcome {
    let (mut told, mut input, mut from) = (Vec::new(), BytesMut::new(), 0);
    let mut poll = |ws: &mut Connection, input: &mut BytesMut| {
        while let Some(event) = ws.poll_event(input) {
            match event {
                Event::Yield => continue,
                Event::Message(ref message) => answer(ws, message),
                _ => {}
            }
            told.push(event);
        }
    };
    for end in places.iter().copied().chain([bytes.len()]) {
        input.extend_from_slice(&bytes[from..end]);
        from = end;
        poll(&mut ws, &mut input);
    }
    ws.input_ended();
    poll(&mut ws, &mut input);
    assert!(ws.is_closed());
    let output = written(&mut ws);
    Outcome { events: told, output, memory: ws.memory_usage() }
}

/// How a connection ended that was polled to its end.
///
/// # Panics
///
/// If it did not end.
#[track_caller]
pub fn closed(events: &[Event]) -> &Closed {
    match events.last() {
        Some(Event::Closed(closed)) => closed,
        other => panic!("not closed, but {other:?}"),
    }
}

/// Takes out everything that is to be written.
pub fn written(ws: &mut Connection) -> Vec<u8> {
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
pub fn written_some(ws: &mut Connection, n: usize) -> Vec<u8> {
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

pub fn text(text: &str) -> Event {
    Event::Message(Message::text(text))
}

pub fn binary(data: impl AsRef<[u8]>) -> Event {
    Event::Message(Message::binary(data.as_ref()))
}
