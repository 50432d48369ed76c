//! The engine does what a [model](model) written from RFC 6455 alone expects: the same events, octets
//! and refusals, whatever a peer sends and an application does, at either end.
//!
//! `PROPTEST_CASES=100000 cargo test -p ws-core --test reference` looks further.
#![allow(clippy::unwrap_used)]

mod model;
mod operations;

use bytes::BytesMut;
use model::{Answer, CONTINUATION, Ending, Frame, Model, Refusal, TEXT, Told};
use operations::{Script, Step, octets, script};
use proptest::prelude::*;
use ws_core::{
    Broadcast, CloseCode, ClosedBy, Compression, Config, Connection, Event, Extensions, Message,
    MessageKind, Receive, SendError, extension::Scope,
};
use ws_tests_support::{
    engine::{config, written, written_some},
    extension::{RSV1, only, xor_55},
    frame::{frames, masked, unmasked},
    side::Side,
};

/// The model and the engine, side by side.
struct Both {
    side: Side,
    extended: bool,
    model: Model,
    ws: Connection,
    input: BytesMut,
    wire: Vec<u8>,
}

fn message(opcode: u8, data: &[u8]) -> Message {
    if opcode == TEXT {
        Message::text(String::from_utf8_lossy(data).as_ref())
    } else {
        Message::binary(data)
    }
}

fn kind(opcode: u8) -> MessageKind {
    if opcode == TEXT { MessageKind::Text } else { MessageKind::Binary }
}

fn opcode(kind: MessageKind) -> u8 {
    if kind == MessageKind::Text { 1 } else { 2 }
}

fn hint(compress: bool) -> Compression {
    if compress { Compression::Auto } else { Compression::Never }
}

fn told(event: Event) -> Told {
    match event {
        Event::Message(message) => {
            Told::Message(opcode(message.kind()), message.as_bytes().to_vec())
        }
        Event::Start(kind) => Told::Start(opcode(kind)),
        Event::Chunk(data) => Told::Data(data.to_vec()),
        Event::End => Told::End,
        Event::Ping(data) => Told::Ping(data.to_vec()),
        Event::Pong(data) => Told::Pong(data.to_vec()),
        Event::Closing => Told::Closing,
        Event::Closed(closed) => Told::Closed(Ending {
            local: closed.by == ClosedBy::Local,
            code: closed.code.get(),
            reason: Some(closed.reason.to_string()),
            clean: closed.clean,
            fault: closed.fault.is_some(),
        }),
        other => panic!("{other:?}"),
    }
}

fn refusal(error: &SendError) -> Refusal {
    match error {
        SendError::Closed => Refusal::Closed,
        SendError::MessageInProgress => Refusal::MessageInProgress,
        SendError::NoMessageInProgress => Refusal::NoMessageInProgress,
        SendError::ControlTooLong { .. } => Refusal::ControlTooLong,
        SendError::InvalidCloseCode(_) => Refusal::InvalidCloseCode,
        SendError::InvalidUtf8 => Refusal::InvalidUtf8,
        other => panic!("{other:?}"),
    }
}

/// Whether the model leaves open what it did not say.
fn same(told: &Told, expected: &Told) -> bool {
    match (told, expected) {
        (Told::Closed(told), Told::Closed(expected)) if expected.reason.is_none() => {
            *told == Ending { reason: told.reason.clone(), ..expected.clone() }
        }
        _ => told == expected,
    }
}

/// Takes what is told until `most` events have come, neighbouring pieces of a message joined.
fn take(most: usize, mut next: impl FnMut() -> Option<Told>) -> Vec<Told> {
    let (mut all, mut count) = (Vec::new(), 0);
    while count < most
        && let Some(told) = next()
    {
        match (all.last_mut(), told) {
            (Some(Told::Data(before)), Told::Data(data)) => before.extend(data),
            (_, told) => {
                count += usize::from(!matches!(told, Told::Data(_)));
                all.push(told);
            }
        }
    }
    all
}

/// How much of a piece is told in which a fault lies is open.
fn forget_part_before_fault(told: &mut Vec<Told>) {
    if let Some(at) = told.windows(2).position(|pair| {
        matches!(pair[0], Told::Data(_)) && matches!(pair[1], Told::Closing | Told::Closed(_))
    }) {
        told.remove(at);
    }
}

impl Both {
    fn new(script: &Script) -> Self {
        let setting = &script.setting;
        let config: Config = config(|config| {
            config.max_frame = Some(setting.max_frame);
            config.max_message = setting.max_message;
            config.max_fragments = setting.max_fragments;
            config.max_empty_fragments = setting.max_empty_fragments;
            config.max_sent_frame = setting.max_sent_frame;
            config.receive = if setting.streaming { Receive::Streaming } else { Receive::Messages };
        });
        let side = if setting.server { Side::Server } else { Side::Client };
        let extensions = if setting.extended {
            only("xor", Scope::Message, xor_55(RSV1, Scope::Message))
        } else {
            Extensions::none()
        };
        Self {
            side,
            extended: setting.extended,
            model: Model::new(setting.clone()),
            ws: side.connection_with(config, extensions),
            input: BytesMut::new(),
            wire: Vec::new(),
        }
    }

    fn arrive(&mut self, octets: &[u8]) {
        self.model.arrive(octets);
        self.input.extend_from_slice(octets);
    }

    fn poll(&mut self, most: usize) -> Result<(), TestCaseError> {
        let mut expected = take(most, || self.model.poll());
        let mut seen = take(most, || {
            loop {
                match self.ws.poll_event(&mut self.input) {
                    Some(Event::Yield) => {}
                    event => return event.map(told),
                }
            }
        });
        if self.model.has_failed()
            || expected.iter().any(|told| matches!(told, Told::Closed(ending) if ending.fault))
        {
            forget_part_before_fault(&mut seen);
            forget_part_before_fault(&mut expected);
        }
        let equal = seen.len() == expected.len()
            && seen.iter().zip(&expected).all(|(told, expected)| same(told, expected));
        prop_assert!(equal, "told {seen:?}\nexpected {expected:?}");
        Ok(())
    }

    fn write(&mut self, most: usize) -> Result<(), TestCaseError> {
        // An extension may hold back, and make other frames.
        let unwritten = self.model.unwritten();
        let octets = if most == usize::MAX || self.extended {
            written(&mut self.ws)
        } else {
            written_some(&mut self.ws, most)
        };
        let free = self.extended || self.model.wire.last().is_some_and(|frame| frame.any_reason);
        prop_assert!(free || octets.len() == most.min(unwritten), "{} written", octets.len());
        self.model.written(if self.extended { usize::MAX } else { octets.len() });
        self.wire.extend(octets);
        Ok(())
    }

    fn command(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let (model, ws) = (&mut self.model, &mut self.ws);
        let text = |data: &[u8]| String::from_utf8_lossy(data).into_owned().into_bytes();
        let data_of = |opcode, data: &[u8]| if opcode == TEXT { text(data) } else { data.to_vec() };
        let (expected, answer): (Answer, Result<(), SendError>) = match step {
            Step::Send(opcode, data, compress) => (
                model.send(*opcode, &data_of(*opcode, data), *compress),
                ws.send_with(message(*opcode, data), hint(*compress)),
            ),
            Step::Broadcast(opcode, data) => (
                model.broadcast(*opcode, &data_of(*opcode, data)),
                ws.send_broadcast(&Broadcast::new(message(*opcode, data))),
            ),
            Step::Start(opcode, compress) => (
                model.start(*opcode, *compress),
                ws.start_message_with(kind(*opcode), hint(*compress)),
            ),
            Step::Piece(data, true) => (model.piece(data, true), ws.finish_message(&data[..])),
            Step::Piece(data, false) => (model.piece(data, false), ws.send_chunk(&data[..])),
            Step::Control(9, data) => (model.ping_or_pong(9, data), ws.ping(&data[..])),
            Step::Control(opcode, data) => {
                (model.ping_or_pong(*opcode, data), ws.unsolicited_pong(&data[..]))
            }
            Step::Close(code, reason, within) => {
                let close =
                    if *within { Connection::close_within_message } else { Connection::close };
                let answer = close(ws, CloseCode::new(*code), reason);
                (model.close(*code, ws_core::fitting_reason(reason), *within), answer)
            }
            Step::Fail(code, reason) => {
                let answer = ws.fail(CloseCode::new(*code), reason);
                (model.fail(*code, ws_core::fitting_reason(reason)), answer)
            }
            Step::InputEnded => {
                model.input_ended();
                ws.input_ended();
                (Ok(()), Ok(()))
            }
            Step::Arrive(_) | Step::Poll(_) | Step::Write(_) => return Ok(()),
        };
        match (expected, answer) {
            (Ok(()), Ok(())) => Ok(()),
            (Err(reasons), Err(error)) if reasons.contains(&refusal(&error)) => Ok(()),
            (expected, answer) => {
                Err(TestCaseError::fail(format!("answered {answer:?}, expected {expected:?}")))
            }
        }
    }

    fn look(&self) -> Result<(), TestCaseError> {
        let (model, ws) = (&self.model, &self.ws);
        prop_assert_eq!(ws.is_open(), model.is_open());
        prop_assert_eq!(ws.is_close_awaited(), model.is_close_awaited());
        if !self.extended && !model.wire.iter().any(|frame| frame.any_reason) {
            prop_assert_eq!(ws.encoded(), model.unwritten());
        }
        if model.is_open() {
            prop_assert_eq!(ws.unfinished().is_some(), model.is_receiving());
        }
        Ok(())
    }

    /// After the end nothing is told, nothing can be said, and nothing is held.
    fn stays_closed(&mut self) -> Result<(), TestCaseError> {
        for step in [
            Step::Send(1, b"late".to_vec(), true),
            Step::Broadcast(1, b"late".to_vec()),
            Step::Start(2, true),
            Step::Piece(b"late".to_vec(), true),
            Step::Control(9, Vec::new()),
            Step::Close(1000, String::new(), true),
            Step::Fail(1008, String::new()),
            Step::InputEnded,
        ] {
            self.command(&step)?;
            self.arrive(&[masked(0x89, [1; 4], b"late"), unmasked(0x81, b"late")].concat());
            self.poll(usize::MAX)?;
        }
        prop_assert_eq!(written(&mut self.ws), b"");
        prop_assert!(self.ws.is_closed());
        prop_assert_eq!(self.ws.memory_usage(), 0);
        Ok(())
    }

    /// What was written, read by the tests' own reader of frames.
    fn check_wire(&self) -> Result<(), TestCaseError> {
        let mut seen = Vec::new();
        for frame in frames(&self.wire) {
            prop_assert_eq!(frame.is_masked(), self.side == Side::Client);
            seen.push((frame.first, frame.payload));
        }
        if let (Some(Frame { payload, any_reason: true, .. }), Some(close)) =
            (self.model.wire.last(), seen.last_mut())
        {
            prop_assert!(close.1.starts_with(payload) && close.1.len() <= 125);
            prop_assert!(std::str::from_utf8(&close.1[2..]).is_ok());
            close.1.truncate(2);
        }
        let expected: Vec<_> =
            self.model.wire.iter().map(|frame| (frame.first, frame.payload.clone())).collect();
        if self.extended {
            prop_assert_eq!(joined(seen), joined(expected));
        } else {
            prop_assert_eq!(seen, expected);
        }
        Ok(())
    }
}

/// Frames with every message in one, where its last frame was; what has none is left out.
fn joined(frames: Vec<(u8, Vec<u8>)>) -> Vec<(u8, Vec<u8>)> {
    let (mut out, mut message) = (Vec::new(), None);
    for (first, payload) in frames {
        if first & 0x08 != 0 {
            out.push((first, payload));
            continue;
        }
        let (opcode, mut data) = message.take().unwrap_or((first & 0x7f, Vec::new()));
        assert!(first & 0x7f == opcode && data.is_empty() || first & 0x7f == CONTINUATION);
        data.extend(payload);
        if first & 0x80 != 0 {
            out.push((0x80 | opcode, data));
        } else {
            message = Some((opcode, data));
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    // R6455-5.1-a, R6455-5.2-a, R6455-5.4-b, R6455-5.5.1-e, R6455-5.5.2-a, R6455-6.1-a, R6455-7.1.5-a
    #[test]
    fn engine_does_what_the_reference_model_says(script in script()) {
        let mut both = Both::new(&script);
        let incoming = octets(&script.setting, &script.items);
        let mut rest = &incoming[..];
        for step in &script.steps {
            match step {
                Step::Arrive(most) => {
                    let (piece, later) = rest.split_at(rest.len().min(*most));
                    both.arrive(piece);
                    rest = later;
                }
                Step::Poll(most) => both.poll(*most)?,
                Step::Write(most) => both.write(*most)?,
                command => both.command(command)?,
            }
            both.look()?;
            // Beyond 64 KiB Pongs may give way to newer ones.
            if both.model.unwritten() > 60_000 {
                both.write(usize::MAX)?;
            }
        }
        both.arrive(rest);
        both.poll(usize::MAX)?;
        both.look()?;
        both.command(&Step::InputEnded)?;
        both.poll(usize::MAX)?;
        prop_assert!(both.model.is_over());
        both.write(usize::MAX)?;
        both.check_wire()?;
        both.stays_closed()?;
    }
}

/// A second or two, in debug.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1024)
}
