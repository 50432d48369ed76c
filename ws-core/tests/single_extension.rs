//! Small messages through one extension take a way of their own: nobody may notice.
//!
//! What comes of it is compared with the general ways, which the same messages take when an
//! observer watches the frames, and when they come one octet at a time.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::BytesMut;
use support::{
    KEY,
    extensions::{RSV1, RSV3_EVERY, server_of_with},
    masked, receive_in_pieces, written,
};
use ws_core::{
    CloseCode, Config, Connection, Event, Extension, Message, MessageKind, ObservedFrame,
    extension::{
        Chunk, Compression, ExtensionError, Mark, MessageInfo, Progress, RsvClaim, Scope, Sink,
    },
};

/// What an extension does, in both directions. None shows how its input was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Copies.
    Pass,
    /// Writes an octet a call, and says that there is more.
    Drip,
    /// Writes every octet this many times.
    Repeat(usize),
    /// Writes nothing.
    Swallow,
    /// Copies, and fails at the first `b`.
    FailAtB,
    /// Fails before it sees data.
    FailAtOnce,
    /// Copies up to the first `b`, and says that it is done.
    StopAtB,
    /// Says that there is more, and does nothing.
    Idle,
}

use Doing::{Drip, FailAtB, FailAtOnce, Idle, Pass, Repeat, StopAtB, Swallow};

#[derive(Clone, Copy, Debug)]
struct Kind {
    doing: Doing,
    claim: RsvClaim,
    scope: Scope,
}

struct Subject {
    kind: Kind,
    /// Octets that are to be written, from `at` on.
    held: [Vec<u8>; 2],
}

impl Subject {
    fn begin(&mut self) -> Result<(), ExtensionError> {
        self.held = [Vec::new(), Vec::new()];
        match self.kind.doing {
            FailAtOnce => Err(ExtensionError::new(CloseCode::POLICY_VIOLATION, "at once")),
            _ => Ok(()),
        }
    }

    fn run(
        &mut self,
        way: usize,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let held = &mut self.held[way];
        match self.kind.doing {
            Pass => out.write_from(input),
            Drip => {
                let n = out.write(&input.data()[..input.len().min(1)]);
                input.consume(n);
            }
            Repeat(times) => {
                for &octet in input.data() {
                    held.resize(held.len() + times, octet);
                }
                input.consume(input.len());
                let n = out.write(held);
                held.drain(..n);
                return Ok(if held.is_empty() { Progress::Done } else { Progress::Full });
            }
            Swallow => input.consume(input.len()),
            FailAtOnce => unreachable!("it failed before"),
            FailAtB | StopAtB => {
                let until = input.data().iter().position(|&octet| octet == b'b');
                let n = out.write(&input.data()[..until.unwrap_or(input.len())]);
                input.consume(n);
                if until == Some(n) && self.kind.doing == FailAtB {
                    return Err(ExtensionError::new(CloseCode::INVALID_PAYLOAD, "met a b"));
                }
                if until == Some(n) {
                    return Ok(Progress::Done);
                }
            }
            Idle => return Ok(Progress::Full),
        }
        Ok(if input.is_empty() { Progress::Done } else { Progress::Full })
    }
}

impl Extension for Subject {
    fn claim(&self) -> RsvClaim {
        self.kind.claim
    }

    fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        self.begin()?;
        let marks = unit.compression != Compression::Never;
        Ok(if marks { Mark::Marked } else { Mark::Unmarked })
    }

    fn begin_decode(&mut self, _: &MessageInfo) -> Result<(), ExtensionError> {
        self.begin()
    }

    fn begin_unmarked(&mut self, unit: &MessageInfo) -> Result<(), ExtensionError> {
        // One length of messages has to be marked.
        match unit.len {
            Some(7) => Err(ExtensionError::new(CloseCode::POLICY_VIOLATION, "unmarked")),
            _ => Ok(()),
        }
    }

    fn encode(&mut self, i: &mut Chunk<'_>, o: &mut Sink<'_>) -> Result<Progress, ExtensionError> {
        self.run(0, i, o)
    }

    fn decode(&mut self, i: &mut Chunk<'_>, o: &mut Sink<'_>) -> Result<Progress, ExtensionError> {
        self.run(1, i, o)
    }
}

fn kinds() -> Vec<Kind> {
    let doings = [
        Pass,
        Drip,
        Repeat(3),
        Repeat(40),
        Repeat(2100),
        Swallow,
        FailAtB,
        FailAtOnce,
        StopAtB,
        Idle,
    ];
    let claims = [RsvClaim::None, RSV1, RSV3_EVERY];
    let scopes = [Scope::Message, Scope::WholeMessage];
    let mut kinds = Vec::new();
    for doing in doings {
        for claim in claims {
            kinds.extend(scopes.map(|scope| Kind { doing, claim, scope }));
        }
    }
    kinds
}

/// The defaults, and limits around what counts as small.
fn configs() -> Vec<Config> {
    let tight = |message, frame, sent| {
        support::config(|config| {
            config.max_message = message;
            config.max_frame = Some(frame);
            config.max_sent_frame = sent;
        })
    };
    vec![Config::default(), tight(32, 32, 32), tight(31, 31, 31)]
}

fn subject(kind: Kind, config: &Config) -> Connection {
    let subject = Subject { kind, held: [Vec::new(), Vec::new()] };
    server_of_with(config.clone(), vec![(kind.scope, Box::new(subject))])
}

/// The same, which an observer keeps from the shortest way.
fn watched(kind: Kind, config: &Config) -> Connection {
    let mut ws = subject(kind, config);
    ws.observe_frames(|_: &ObservedFrame| {});
    ws
}

/// Three times eleven is one more than the tight limits.
const LENGTHS: [usize; 7] = [0, 1, 7, 11, 31, 32, 33];

fn letters(len: usize) -> Vec<u8> {
    (0..len).map(|i| b'a' + (i % 26) as u8).collect()
}

/// What a client may send, and what it may not.
fn inputs() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    // Every bit on every kind of frame, between two messages.
    for rsv in 0..8 {
        for first in [0x80, 0x81, 0x82, 0x83, 0x88, 0x89, 0x01] {
            let odd = masked(first | rsv << 4, KEY, b"cad");
            inputs.push([masked(0x82, KEY, b"a"), odd, masked(0x81, KEY, b"e")]);
        }
    }
    for len in LENGTHS {
        for first in [0x81, 0xc1, 0x92] {
            let message = masked(first, KEY, &letters(len));
            inputs.push([message.clone(), masked(0x89, KEY, b"ping"), message]);
        }
    }
    for first in [0x81, 0xc1, 0x82] {
        // A text that is not UTF-8, by its last octet and by the one before.
        inputs.push([masked(first, KEY, b"\xc3\xbc"), masked(first, KEY, b"a\xc3"), vec![]]);
        inputs.push([masked(first, KEY, b"\xff."), masked(first, KEY, b"b"), vec![]]);
    }
    let fragments = [masked(0x02, KEY, b"a"), masked(0x80, KEY, b"b"), masked(0x82, KEY, b"c")];
    inputs.push(fragments);
    inputs.push([masked(0x42, KEY, b"a"), masked(0x80, KEY, b"b"), masked(0xc2, KEY, b"c")]);
    inputs.push([masked(0x82, KEY, b"a"), support::unmasked(0x82, b"b"), vec![]]);
    inputs.push([masked(0x82, KEY, b"a"), masked(0x88, KEY, &[3, 232]), masked(0x82, KEY, b"b")]);
    inputs.into_iter().map(|frames| frames.concat()).collect()
}

#[test]
fn received_messages_and_faults_are_those_of_the_general_way() {
    let inputs = inputs();
    let (mut messages, mut faults) = (0, 0);
    for config in configs() {
        for kind in kinds() {
            for input in &inputs {
                let new = || subject(kind, &config);
                let short = receive_in_pieces(new, input, input.len());
                let general = receive_in_pieces(|| watched(kind, &config), input, input.len());
                assert_eq!(short, general, "{kind:?} {input:x?}");
                messages += short.messages().len();
                faults += usize::from(short.events.contains(&Event::Closing));
                let singly = receive_in_pieces(new, input, 1);
                assert_eq!(short, singly, "singly, {kind:?} {input:x?}");
            }
        }
    }
    assert!(messages > 10_000 && faults > 10_000, "{messages} messages, {faults} faults");
}

/// Sends every length twice, each with a Ping behind it. What is written, and how it ended.
fn send_all(mut ws: Connection, kind: MessageKind, hint: Compression) -> (Vec<u8>, Vec<String>) {
    let mut said = Vec::new();
    let mut sent = Vec::new();
    for len in LENGTHS.into_iter().flat_map(|len| [len, len]) {
        let message = match kind {
            MessageKind::Text => Message::text(String::from_utf8(letters(len)).unwrap()),
            MessageKind::Binary => Message::binary(letters(len)),
        };
        said.push(format!("{:?}", ws.send_with(message, hint)));
        said.push(format!("{:?}", ws.ping(b"ping")));
        // Every other message meets a connection that has something unwritten.
        if said.len() % 8 == 0 {
            sent.extend(written(&mut ws));
        }
    }
    sent.extend(written(&mut ws));
    said.push(format!("{:?}", support::feed(&mut ws, &mut BytesMut::new(), b"")));
    (sent, said)
}

#[test]
fn sent_frames_and_errors_are_those_of_the_general_way() {
    let (mut octets, mut errors) = (0, 0);
    for config in configs() {
        for kind in kinds() {
            for hint in [Compression::Auto, Compression::Never] {
                for message in [MessageKind::Text, MessageKind::Binary] {
                    let short = send_all(subject(kind, &config), message, hint);
                    let general = send_all(watched(kind, &config), message, hint);
                    assert!(short == general, "{kind:?} {hint:?} {message:?} {config:?}");
                    octets += short.0.len();
                    errors += short.1.iter().filter(|said| said.starts_with("Err")).count();
                }
            }
        }
    }
    assert!(octets > 100_000 && errors > 1000, "{octets} octets, {errors} errors");
}
