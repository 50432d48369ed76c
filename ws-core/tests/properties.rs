//! However a stream is cut, it means the same, and that is what a naive reader of it finds.
#![allow(clippy::unwrap_used)]

use proptest::{prelude::*, sample::Index};
use ws_core::{ClosedBy, Config, Connection, Event, Fault, Message, MessageKind, Receive};
use ws_tests_support::{
    engine::{self, config, joined},
    frame::{BINARY, CLOSE, PONG, TEXT, frames},
    peer::{bytes, damage, encoded, payload, places, side, stack, stream},
    side::Side,
};

/// The limits are small enough to be met.
fn limited(receive: Receive) -> Config {
    config(|config| {
        (config.max_frame, config.max_message) = (Some(68_000), 66_000);
        (config.max_fragments, config.max_empty_fragments) = (3, 1);
        config.receive = receive;
    })
}

// What comes of it.

/// Echoes whole messages. Neighbouring chunks of a message count as one.
fn run(ws: Connection, bytes: &[u8], places: &[usize]) -> (Vec<Event>, Vec<u8>) {
    let outcome = engine::run(ws, bytes, places, |ws, message| {
        let _ = ws.send(message.clone());
    });
    assert_eq!(outcome.memory, 0, "nothing is kept at the end");
    for event in &outcome.events {
        if let Event::Chunk(chunk) = event {
            assert!(!chunk.is_empty() && chunk.len() <= 64 * 1024);
        }
    }
    let mut told = joined(outcome.events);
    forget_part_before_fault(&mut told);
    check_text(&told);
    (told, outcome.output)
}

/// Text is UTF-8 when it is complete.
fn check_text(told: &[Event]) {
    let mut text: Option<Vec<u8>> = None;
    for event in told {
        match (event, &mut text) {
            (Event::Message(Message::Text(text)), _) => {
                assert_eq!(text.as_str().as_bytes(), text.as_bytes());
            }
            (Event::Start(kind), _) => text = (*kind == MessageKind::Text).then(Vec::new),
            (Event::Chunk(chunk), Some(text)) => text.extend_from_slice(chunk),
            (Event::End, Some(text)) => assert!(std::str::from_utf8(text).is_ok()),
            _ => {}
        }
    }
}

/// How much of a streamed message is told before a fault inside of it depends on how it came.
fn forget_part_before_fault(told: &mut Vec<Event>) {
    let Some(Event::Closed(closed)) = told.last() else {
        panic!("not closed, but {:?}", told.last());
    };
    if let Some(Fault::InvalidUtf8 | Fault::Extension { .. } | Fault::MessageTooBig { .. }) =
        closed.fault.as_deref()
        && let [.., Event::Chunk(_), Event::Closing, _] = told.as_slice()
    {
        told.remove(told.len() - 3);
    }
}

proptest! {
    // R6455-5.4-a, R6455-5.2-a
    #[test]
    fn cuts_change_neither_events_nor_output(
        side in side(),
        items in stream(),
        noise in prop::option::weighted(0.3, (any::<Index>(), any::<u8>())),
        streaming in any::<bool>(),
        cuts in prop::collection::vec(any::<Index>(), 0..12),
    ) {
        let mut bytes = bytes(side, &items);
        damage(&mut bytes, noise);
        let receive = if streaming { Receive::Streaming } else { Receive::Messages };
        let start = || side.connection(limited(receive));
        let whole = run(start(), &bytes, &[]);
        prop_assert_eq!(&run(start(), &bytes, &places(&cuts, bytes.len())), &whole);
        if bytes.len() < 2000 {
            let every: Vec<usize> = (0..bytes.len()).collect();
            prop_assert_eq!(&run(start(), &bytes, &every), &whole);
        }
    }

    // R6455-5.4-a, R6455-5.8-a
    #[test]
    fn cuts_change_neither_events_nor_output_behind_extensions(
        side in side(),
        which in 1..8_usize,
        messages in prop::collection::vec((any::<bool>(), payload(), any::<bool>()), 1..5),
        max in prop_oneof![Just(7_usize), Just(1000), Just(usize::MAX)],
        noise in prop::option::weighted(0.3, (any::<Index>(), any::<u8>())),
        streaming in any::<bool>(),
        max_message in prop_oneof![Just(20_usize), Just(300), Just(1 << 20)],
        cuts in prop::collection::vec(any::<Index>(), 0..12),
    ) {
        let sends = config(|config| config.max_sent_frame = max);
        let peer = side.other().connection_with(sends, stack(which));
        let mut bytes = encoded(peer, &messages, |peer| peer.ping(b"between").unwrap());
        damage(&mut bytes, noise);
        let config = config(|config| {
            config.receive = if streaming { Receive::Streaming } else { Receive::Messages };
            config.max_message = max_message;
            config.max_fragments = 30_000;
        });
        let start = || side.connection_with(config.clone(), stack(which));
        let whole = run(start(), &bytes, &[]);
        prop_assert_eq!(&run(start(), &bytes, &places(&cuts, bytes.len())), &whole);
        if bytes.len() < 2000 {
            let every: Vec<usize> = (0..bytes.len()).collect();
            prop_assert_eq!(&run(start(), &bytes, &every), &whole);
        }
    }
}

/// What is seen of a connection, as far as the model knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Message(u8, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The code, and who began.
    Closed(u16, bool),
}

enum Stop {
    Starved,
    Failed(u16),
    Closed(Option<u16>),
}

/// A naive reader of everything that a peer sends, with all of it in memory.
struct Model<'a> {
    side: Side,
    limits: &'a Config,
    /// Opcode octet, payload, frames and empty frames in a row of the message in progress.
    message: Option<(u8, Vec<u8>, usize, usize)>,
    seen: Vec<Seen>,
}

fn ensure(holds: bool, code: u16) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop::Failed(code)) }
}

impl Model<'_> {
    /// What is seen, and the code of the Close that is written, if one is; 1005 stands for none.
    fn read(mut self, mut bytes: &[u8]) -> (Vec<Seen>, Option<u16>) {
        let stop = loop {
            match self.frame(bytes) {
                Ok(len) => bytes = &bytes[len..],
                Err(stop) => break stop,
            }
        };
        let (code, by_peer, sent) = match stop {
            Stop::Starved => (1006, true, None),
            Stop::Failed(code) => (code, false, Some(code)),
            Stop::Closed(code) => (code.unwrap_or(1005), true, Some(code.unwrap_or(1005))),
        };
        self.seen.push(Seen::Closed(code, by_peer));
        (self.seen, sent)
    }

    fn frame(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        let server = self.side == Side::Server;
        let octets = |at: usize, n: usize| bytes.get(at..at + n).ok_or(Stop::Starved);
        let first = octets(0, 1)?[0];
        let (fin, opcode, control) = (first & 0x80 != 0, first & 0x0f, first & 0x08 != 0);
        ensure(matches!(opcode, 0..=2 | 8..=10) && first & 0x70 == 0, 1002)?;
        ensure(if control { fin } else { (opcode == 0) == self.message.is_some() }, 1002)?;
        let second = octets(1, 1)?[0];
        ensure((second & 0x80 != 0) == server, 1002)?;
        ensure(!control || second & 0x7f <= 125, 1002)?;
        let (shortest, len, mut at) = match second & 0x7f {
            126 => (126, u16::from_be_bytes(octets(2, 2)?.try_into().unwrap()).into(), 4_usize),
            127 => {
                ensure(octets(2, 1)?[0] < 0x80, 1002)?;
                (0x1_0000, u64::from_be_bytes(octets(2, 8)?.try_into().unwrap()), 10)
            }
            len => (0, len.into(), 2),
        };
        ensure(len >= shortest, 1002)?;
        let before = self.message.as_ref().map_or(0, |message| message.1.len());
        let fits = len.saturating_add(before as u64) <= self.limits.max_message as u64;
        ensure(control || (len <= self.limits.frame_limit() as u64 && fits), 1009)?;
        let key = if server { octets(at, 4)? } else { &[0; 4] };
        at += key.len() * usize::from(server);
        let (len, lying) = (len as usize, &bytes[at..]);
        let lying = lying.iter().take(len).zip(key.iter().cycle());
        let payload: Vec<u8> = lying.map(|(octet, key)| octet ^ key).collect();
        let complete = payload.len() == len;
        if control {
            if !complete {
                return Err(Stop::Starved);
            }
            match opcode {
                8 => return Err(close(&payload)?),
                9 => self.seen.push(Seen::Ping(payload)),
                _ => self.seen.push(Seen::Pong(payload)),
            }
            return Ok(at + len);
        }
        let (kind, data, frames, empty) = self.message.get_or_insert((0x80 | opcode, vec![], 0, 0));
        *frames += 1;
        *empty = if len == 0 { *empty + 1 } else { 0 };
        ensure(*frames <= self.limits.max_fragments, 1008)?;
        ensure(*empty <= self.limits.max_empty_fragments, 1008)?;
        data.extend(payload);
        if let (TEXT, Err(error)) = (*kind, std::str::from_utf8(data)) {
            ensure(error.error_len().is_none() && !(fin && complete), 1007)?;
        }
        if !complete {
            return Err(Stop::Starved);
        }
        if fin {
            let (kind, data, ..) = self.message.take().unwrap();
            self.seen.push(Seen::Message(kind, data));
        }
        Ok(at + len)
    }
}

fn close(body: &[u8]) -> Result<Stop, Stop> {
    let [a, b, reason @ ..] = body else {
        return if body.is_empty() { Ok(Stop::Closed(None)) } else { Err(Stop::Failed(1002)) };
    };
    let code = u16::from_be_bytes([*a, *b]);
    ensure(matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999), 1002)?;
    ensure(std::str::from_utf8(reason).is_ok(), 1007)?;
    Ok(Stop::Closed(Some(code)))
}

fn seen(event: Event) -> Option<Seen> {
    Some(match event {
        Event::Message(Message::Text(text)) => Seen::Message(TEXT, text.as_bytes().to_vec()),
        Event::Message(Message::Binary(data)) => Seen::Message(BINARY, data.to_vec()),
        Event::Ping(data) => Seen::Ping(data.to_vec()),
        Event::Pong(data) => Seen::Pong(data.to_vec()),
        Event::Closed(closed) => Seen::Closed(closed.code.get(), closed.by == ClosedBy::Peer),
        Event::Closing => return None,
        other => panic!("{other:?}"),
    })
}

proptest! {
    // R6455-5.5.1-e, R6455-5.5.1-h, R6455-5.5.1-k, R6455-5.5.1-l, R6455-5.5.2-a
    #[test]
    fn connection_sees_and_writes_what_a_naive_reader_expects(
        side in side(),
        items in stream(),
        noise in prop::option::weighted(0.5, (any::<Index>(), any::<u8>())),
        end in prop::option::weighted(0.2, any::<Index>()),
        cuts in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let mut bytes = bytes(side, &items);
        damage(&mut bytes, noise);
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len() + 1));
        }
        let limits = limited(Receive::Messages);
        let model = Model { side, limits: &limits, message: None, seen: Vec::new() };
        let (expected, code) = model.read(&bytes);
        let places = places(&cuts, bytes.len());
        let (told, output) = run(side.connection(limits.clone()), &bytes, &places);
        let told: Vec<Seen> = told.into_iter().filter_map(seen).collect();
        prop_assert_eq!(&told, &expected);

        // Every message is sent back; Pongs overtake, since nothing is written before the end.
        let (mut pongs, mut data) = (Vec::new(), Vec::new());
        for seen in expected {
            match seen {
                Seen::Ping(payload) => pongs.push((PONG, payload)),
                Seen::Message(kind, payload) => data.push((kind, payload)),
                _ => {}
            }
        }
        let mut frames: Vec<(u8, Vec<u8>)> =
            frames(&output).into_iter().map(|frame| (frame.first, frame.payload)).collect();
        if let Some(code) = code {
            let (first, body) = frames.pop().unwrap();
            prop_assert_eq!(first, CLOSE);
            let body = body.first_chunk().map(|code| u16::from_be_bytes(*code));
            prop_assert_eq!(body.unwrap_or(1005), code);
        }
        let unwritten: usize = data.iter().map(|message| message.1.len()).sum();
        if unwritten > 60_000 {
            // Some Pongs gave way to newer ones.
            frames.retain(|frame| frame.0 != PONG);
            pongs.clear();
        }
        prop_assert_eq!(frames, [pongs, data].concat());
    }
}
