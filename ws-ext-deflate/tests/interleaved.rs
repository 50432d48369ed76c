//! Broadcasts among messages of a connection's own: whatever their order, and whatever each
//! connection agreed on, both an inflater of another make and our own client read them.
//!
//! The other inflater ([`Reference`]) is written from RFC 1951 for these tests, shares nothing with
//! zlib, goes on from message to message without ever being primed or reset, and knows how far back
//! each message referred: more than another zlib would tell, which takes distances beyond the agreed
//! window.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::{Buf, BytesMut};
use proptest::prelude::*;
use support::{bits, config, feed, frames, noise, reference::Reference, repetitive, shown};
use ws_core::{
    Broadcast, Config, Connection, Event, Extension, ExtensionFactory, Extensions, Message,
    Outgoing, Payload, Role,
    extension::{
        Chunk, Compression, ExtensionError, FixedFactory, Mark, MessageInfo, Progress, Rsv,
        RsvClaim, Scope, SharedEncoder, SharedForm, SharedKey, Sharing, Sink,
    },
};
use ws_ext_deflate::Deflate;

const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;

/// XORs every octet, of all messages but every third of its own where it can mark them.
#[derive(Clone)]
struct Xor {
    key: u8,
    claim: RsvClaim,
    shares: bool,
    units: u8,
}

impl Xor {
    fn run(&self, input: &mut Chunk<'_>, out: &mut Sink<'_>) -> Progress {
        let data = input.data();
        let written = out.fill(data.len(), |room| {
            room.iter_mut().zip(data).for_each(|(to, from)| *to = from ^ self.key);
            room.len()
        });
        input.consume(written);
        if input.is_empty() { Progress::Done } else { Progress::Full }
    }
}

impl Extension for Xor {
    fn claim(&self) -> RsvClaim {
        self.claim
    }

    fn begin_encode(&mut self, _: &MessageInfo) -> Result<Mark, ExtensionError> {
        self.units = (self.units + 1) % 3;
        Ok(if self.units == 0 { Mark::Unmarked } else { Mark::Marked })
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(self.run(input, out))
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(self.run(input, out))
    }

    fn sharing(&mut self) -> Option<&mut dyn Sharing> {
        Some(self)
    }
}

impl Sharing for Xor {
    fn form(&self, _: &MessageInfo) -> Option<SharedForm> {
        let key = SharedKey::new::<Self>(self.key.into());
        self.shares.then_some(SharedForm::Encoded(key))
    }

    fn encoder(&self, _: &MessageInfo) -> Option<Box<dyn SharedEncoder>> {
        Some(Box::new(self.clone()))
    }
}

impl SharedEncoder for Xor {
    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(self.run(input, out))
    }
}

/// Who stands beside deflate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Neighbour {
    Nobody,
    Before { shares: bool },
    Behind { shares: bool },
    BehindWithoutABit,
    BehindOnFrames,
    BeforeAndBehind,
}

/// The name and scope of an extension that nobody negotiated.
fn named(name: &str, scope: Scope) -> impl ExtensionFactory {
    FixedFactory::new(name, scope, || -> Box<dyn Extension> { unreachable!("it names alone") })
}

const BEFORE: u8 = 0x55;
const BEHIND: u8 = 0xa6;

impl Neighbour {
    fn stack(self, deflate: Box<dyn Extension>) -> Extensions {
        let mut stack = Extensions::none();
        let first = |rsv| RsvClaim::FirstFrame(rsv);
        let before = match self {
            Self::Before { shares } => Some(shares),
            Self::BeforeAndBehind => Some(true),
            _ => None,
        };
        if let Some(shares) = before {
            let before = Xor { key: BEFORE, claim: first(Rsv::RSV2), shares, units: 0 };
            stack.push(&named("before", Scope::Message), Box::new(before)).unwrap();
        }
        stack.push(&Deflate::default(), deflate).unwrap();
        let (claim, scope, shares) = match self {
            Self::Nobody | Self::Before { .. } => return stack,
            Self::Behind { shares } => (first(Rsv::RSV3), Scope::Message, shares),
            Self::BehindWithoutABit => (RsvClaim::None, Scope::WholeMessage, false),
            Self::BehindOnFrames | Self::BeforeAndBehind => {
                (RsvClaim::EveryFrame(Rsv::RSV3), Scope::Frame, false)
            }
        };
        let behind = Xor { key: BEHIND, claim, shares, units: 0 };
        stack.push(&named("behind", scope), Box::new(behind)).unwrap();
        stack
    }

    /// What the neighbour behind made of a frame of a message with these bits on its first.
    fn undo_behind(self, of_message: u8, of_frame: u8, payload: &mut [u8]) {
        let marked = match self {
            Self::Nobody | Self::Before { .. } => false,
            Self::Behind { .. } => of_message & RSV3 != 0,
            Self::BehindWithoutABit => true,
            Self::BehindOnFrames | Self::BeforeAndBehind => of_frame & RSV3 != 0,
        };
        if marked {
            payload.iter_mut().for_each(|octet| *octet ^= BEHIND);
        }
    }
}

#[derive(Clone, Debug)]
struct Agreed {
    server: Deflate,
    client: Deflate,
    neighbour: Neighbour,
    most: usize,
}

struct Pair {
    server: Connection,
    client: Connection,
    input: BytesMut,
    wire: Vec<u8>,
    neighbour: Neighbour,
    inflater: Reference,
    afresh: bool,
    window: usize,
    expected: Vec<Message>,
}

impl Pair {
    fn new(agreed: &Agreed) -> Self {
        let Agreed { server, client, neighbour, most } = agreed;
        let accepted =
            client.offers().iter().find_map(|offer| server.accept(offer, Rsv::ALL).ok()).unwrap();
        let said = shown(&accepted.response);
        let own = client.confirm(&accepted.response, &[]).unwrap();
        let config = config(|config| config.max_sent_frame = *most);
        let stack = neighbour.stack(accepted.extension);
        Self {
            server: Connection::new(Role::Server, config, stack),
            client: Connection::new(
                Role::client(|| [1, 2, 3, 4]),
                Config::default(),
                neighbour.stack(own),
            ),
            input: BytesMut::new(),
            wire: Vec::new(),
            neighbour: *neighbour,
            inflater: Reference::default(),
            afresh: said.contains("server_no_context_takeover"),
            window: 1 << bits(&said, "server_max_window_bits").unwrap_or(15),
            expected: Vec::new(),
        }
    }

    /// Writes at most so much.
    fn write(&mut self, mut most: usize) {
        while most > 0 {
            match self.server.poll_output_bounded() {
                Outgoing::Write(output) => {
                    let n = output.chunk().len().min(most);
                    self.wire.extend_from_slice(&output.chunk()[..n]);
                    output.advance(n);
                    most -= n;
                }
                Outgoing::Yield => most -= 1,
                Outgoing::Idle => return,
            }
        }
    }

    /// Everything that was sent, as an independent peer reads it.
    fn read_independently(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        let (mut opener, mut data) = (0, Vec::new());
        for (first, mut payload) in frames(&self.wire) {
            if first & 0x0f != 0 {
                assert_eq!(data.len(), 0, "a message within a message");
                opener = first;
            } else {
                assert_eq!(first & (RSV1 | RSV2), 0, "a bit on a continuation");
            }
            self.neighbour.undo_behind(opener, first, &mut payload);
            data.extend(payload);
            if first & 0x80 == 0 {
                continue;
            }
            let mut whole = std::mem::take(&mut data);
            if opener & RSV1 != 0 {
                if self.afresh {
                    self.inflater.forget();
                }
                whole = self.inflater.message(&whole).unwrap();
            }
            if opener & RSV2 != 0 {
                whole.iter_mut().for_each(|octet| *octet ^= BEFORE);
            }
            messages.push(match opener & 0x0f {
                1 => Message::text(String::from_utf8(whole).unwrap()),
                _ => Message::binary(whole),
            });
        }
        assert_eq!(data.len(), 0, "a message without an end");
        messages
    }
}

#[derive(Clone, Debug)]
struct Data {
    message: Message,
    hint: Compression,
}

#[derive(Clone, Debug)]
enum Act {
    Own(usize, Data),
    /// To those whose bit is set.
    Broadcast(u8, Data),
    /// In so many pieces; a broadcast comes in the middle.
    Streamed(usize, Data, usize, Option<Data>),
    Park(usize),
    Write(usize, usize),
    ToServer(usize, Data, bool),
}

fn json(seed: u64, len: usize) -> String {
    let words = ["order", "price", "market", "hello", "update", "closed", "room", "volume"];
    let octets = noise(8 + len / 2, seed);
    let mut out = String::new();
    for pair in octets.chunks(4) {
        if out.len() >= len {
            break;
        }
        let word = |at: usize| words[usize::from(pair.get(at).copied().unwrap_or(0)) % words.len()];
        out += &format!(
            r#"{{"user":"{}","text":"{} {}","n":{}}},"#,
            word(0),
            word(1),
            word(2),
            pair[0]
        );
    }
    out.truncate(len);
    out
}

fn data() -> impl Strategy<Value = Data> {
    let message = prop_oneof![
        12 => (0..1500_usize, any::<u64>()).prop_map(|(len, seed)| Message::text(json(seed, len))),
        3 => (0..5000_usize, any::<u64>()).prop_map(|(len, seed)| Message::text(json(seed, len))),
        2 => (0..2000_usize, any::<u64>()).prop_map(|(len, seed)| Message::binary(noise(len, seed))),
        2 => (1..6000_usize, 1..9000_usize)
            .prop_map(|(len, reach)| Message::binary(repetitive(len, reach))),
        1 => Just(Message::binary(Payload::new())),
        1 => (1..300_usize).prop_map(|len| Message::binary(vec![b'x'; len])),
    ];
    let hint = prop_oneof![
        5 => Just(Compression::Auto),
        1 => Just(Compression::Never),
        3 => Just(Compression::Always),
    ];
    (message, hint).prop_map(|(message, hint)| Data { message, hint })
}

fn act() -> impl Strategy<Value = Act> {
    let of = 0..4_usize;
    prop_oneof![
        4 => (of.clone(), data()).prop_map(|(of, data)| Act::Own(of, data)),
        5 => (any::<u8>(), data()).prop_map(|(to, data)| Act::Broadcast(to, data)),
        1 => (of.clone(), data(), 1..6_usize, proptest::option::of(data()))
            .prop_map(|(of, data, n, within)| Act::Streamed(of, data, n, within)),
        1 => of.clone().prop_map(Act::Park),
        1 => (of.clone(), 0..3000_usize).prop_map(|(of, most)| Act::Write(of, most)),
        1 => (of, data(), any::<bool>()).prop_map(|(of, data, many)| Act::ToServer(of, data, many)),
    ]
}

fn options() -> impl Strategy<Value = Deflate> {
    let level = prop_oneof![4 => Just(6_u8), 1 => 1..=9_u8];
    let threshold = prop_oneof![2 => Just(128_usize), 1 => Just(0), 1 => 0..2000_usize];
    (level, 8..=15_u8, 8..=15_u8, 0..8_u8, 0..8_u8, threshold).prop_map(
        |(level, server, client, server_afresh, client_afresh, threshold)| {
            Deflate::default()
                .level(level)
                .server_max_window_bits(server)
                .client_max_window_bits(client)
                .server_no_context_takeover(server_afresh == 0)
                .client_no_context_takeover(client_afresh == 0)
                .threshold(threshold)
        },
    )
}

fn agreed() -> impl Strategy<Value = Agreed> {
    let neighbour = prop_oneof![
        5 => Just(Neighbour::Nobody),
        1 => any::<bool>().prop_map(|shares| Neighbour::Before { shares }),
        1 => any::<bool>().prop_map(|shares| Neighbour::Behind { shares }),
        1 => Just(Neighbour::BehindWithoutABit),
        1 => Just(Neighbour::BehindOnFrames),
        1 => Just(Neighbour::BeforeAndBehind),
    ];
    let most = prop_oneof![4 => Just(usize::MAX), 1 => 20..3000_usize];
    (options(), options(), neighbour, most).prop_map(|(server, client, neighbour, most)| Agreed {
        server,
        client,
        neighbour,
        most,
    })
}

/// Sends in pieces. Text is cut between characters, which are of one octet here.
fn stream(pair: &mut Pair, data: &Data, pieces: usize, within: Option<&Data>) {
    let ws = &mut pair.server;
    ws.start_message_with(data.message.kind(), data.hint).unwrap();
    let bytes = data.message.as_bytes();
    let size = bytes.len().div_ceil(pieces).max(1);
    for (number, piece) in bytes.chunks(size).enumerate() {
        ws.send_chunk(piece).unwrap();
        if number == 0
            && let Some(data) = within
        {
            let broadcast = Broadcast::with_compression(data.message.clone(), data.hint);
            ws.send_broadcast(&broadcast).unwrap();
        }
    }
    ws.finish_message(Payload::new()).unwrap();
    pair.expected.push(data.message.clone());
    if let Some(data) = within
        && !bytes.is_empty()
    {
        pair.expected.push(data.message.clone());
    }
}

fn play(agreed: &[Agreed], acts: &[Act]) -> Result<(), TestCaseError> {
    let mut pairs: Vec<Pair> = agreed.iter().map(Pair::new).collect();
    let among = |of: usize| of % agreed.len();
    for act in acts {
        match act {
            Act::Own(of, data) => {
                let pair = &mut pairs[among(*of)];
                pair.server.send_with(data.message.clone(), data.hint).unwrap();
                pair.expected.push(data.message.clone());
            }
            Act::Broadcast(to, data) => {
                let broadcast = Broadcast::with_compression(data.message.clone(), data.hint);
                for (number, pair) in pairs.iter_mut().enumerate() {
                    // Most get it.
                    if to >> number & 0x11 != 0 {
                        pair.server.send_broadcast(&broadcast).unwrap();
                        pair.expected.push(data.message.clone());
                    }
                }
            }
            Act::Streamed(of, data, pieces, within) => {
                stream(&mut pairs[among(*of)], data, *pieces, within.as_ref());
            }
            Act::Park(of) => {
                let pair = &mut pairs[among(*of)];
                pair.server.park();
                pair.client.park();
            }
            Act::Write(of, most) => pairs[among(*of)].write(*most),
            Act::ToServer(of, data, many) => {
                let Pair { server, client, .. } = &mut pairs[among(*of)];
                let broadcast = Broadcast::with_compression(data.message.clone(), data.hint);
                match many {
                    true => client.send_broadcast(&broadcast).unwrap(),
                    false => client.send_with(data.message.clone(), data.hint).unwrap(),
                }
                let events = feed(server, &mut BytesMut::new(), &support::written(client));
                prop_assert_eq!(events, [Event::Message(data.message.clone())]);
            }
        }
    }
    for mut pair in pairs {
        pair.write(usize::MAX);
        let (expected, wire) = (std::mem::take(&mut pair.expected), pair.wire.clone());
        prop_assert_eq!(&pair.read_independently(), &expected);
        prop_assert!(
            pair.inflater.farthest <= pair.window,
            "{} back with a window of {}",
            pair.inflater.farthest,
            pair.window
        );
        let events = feed(&mut pair.client, &mut pair.input, &wire);
        let expected: Vec<Event> = expected.into_iter().map(Event::Message).collect();
        prop_assert_eq!(events, expected);
    }
    Ok(())
}

/// `PROPTEST_CASES` asks for another number.
fn cases() -> ProptestConfig {
    let usual = ProptestConfig::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => usual,
        None => ProptestConfig { cases: 1000, ..usual },
    }
}

proptest! {
    #![proptest_config(cases())]

    // R7692-7.2.1-h, R7692-7.1.2.1-e, R7692-7.1.1.1-d, R7692-6-e, R7692-6-b, T-B17
    #[test]
    fn broadcasts_among_other_messages_are_read_by_everybody(
        agreed in proptest::collection::vec(agreed(), 1..4),
        acts in proptest::collection::vec(act(), 1..10),
    ) {
        play(&agreed, &acts)?;
    }
}

/// Messages larger than what one call works through, and than every window.
#[test]
fn large_broadcasts_among_other_messages_are_read_by_everybody() {
    let data = |len: usize, seed| Data {
        message: Message::text(json(seed, len)),
        hint: Compression::Auto,
    };
    for (neighbour, most) in [
        (Neighbour::Nobody, usize::MAX),
        (Neighbour::Nobody, 10_000),
        (Neighbour::Before { shares: true }, usize::MAX),
        (Neighbour::BeforeAndBehind, usize::MAX),
    ] {
        let agreed: Vec<Agreed> = [8, 9, 12, 15]
            .map(|bits| {
                let server = Deflate::default().server_max_window_bits(bits);
                Agreed { server: server.clone(), client: server, neighbour, most }
            })
            .into();
        let acts = [
            Act::Own(0, data(3000, 1)),
            Act::Broadcast(0xff, data(200_000, 2)),
            Act::Own(0, data(3000, 3)),
            Act::Own(1, data(100_000, 4)),
            Act::Broadcast(0xff, data(40_000, 5)),
            Act::Write(2, 10),
            Act::Broadcast(0xff, data(1000, 6)),
            Act::Streamed(2, data(70_000, 7), 3, Some(data(70_000, 8))),
            Act::Own(2, data(3000, 9)),
        ];
        play(&agreed, &acts).unwrap();
    }
}
