//! An engine fed by hand.

use bytes::{Buf, BytesMut};
use ws_core::{Config, Connection, Event, MaskKeys, Message, Outgoing};

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

/// Appends `bytes` to the input, and polls until the engine needs more.
///
/// # Panics
///
/// If the engine yields without end.
pub fn feed(ws: &mut Connection, input: &mut BytesMut, bytes: &[u8]) -> Vec<Event> {
    input.extend_from_slice(bytes);
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

pub fn text(text: &str) -> Event {
    Event::Message(Message::text(text))
}

pub fn binary(data: impl AsRef<[u8]>) -> Event {
    Event::Message(Message::binary(data.as_ref()))
}
