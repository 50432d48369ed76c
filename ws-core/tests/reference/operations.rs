//! What a peer sends and what an application does, mostly valid.

use proptest::{prelude::*, sample::Index};
use ws_tests_support::frame::{masked, unmasked};

use crate::model::Setting;

/// A step in the life of one end.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// So many octets more arrive, at most.
    Arrive(usize),
    /// Until so many events were told, pieces of messages not counted, at most.
    Poll(usize),
    Write(usize),
    Send(u8, Vec<u8>, bool),
    Broadcast(u8, Vec<u8>),
    Start(u8, bool),
    Piece(Vec<u8>, bool),
    /// Opcode and payload.
    Control(u8, Vec<u8>),
    /// Code, reason, and whether also within a message in pieces.
    Close(u16, String, bool),
    Fail(u16, String),
    InputEnded,
}

/// A frame on the wire, or octets in its place.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Frame {
        first: u8,
        payload: Vec<u8>,
        key: [u8; 4],
        right_mask: bool,
        compress: bool,
    },
    /// A header in which the length takes so many octets more.
    Header {
        first: u8,
        length: u64,
        octets: usize,
    },
    Raw(Vec<u8>),
}

#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) setting: Setting,
    pub(crate) items: Vec<Item>,
    pub(crate) steps: Vec<Step>,
}

/// The octets that reach this end.
pub(crate) fn octets(setting: &Setting, items: &[Item]) -> Vec<u8> {
    let mut octets = Vec::new();
    for item in items {
        match item {
            Item::Frame { first, payload, key, right_mask, compress } => {
                let (mut first, mut payload) = (*first, payload.clone());
                if *compress && setting.extended {
                    first |= if first & 0x0f == 0 { 0 } else { 0x40 };
                    payload.iter_mut().for_each(|octet| *octet ^= 0x55);
                }
                octets.extend(if setting.server == *right_mask {
                    masked(first, *key, &payload)
                } else {
                    unmasked(first, &payload)
                });
            }
            Item::Header { first, length, octets: n } => {
                let mask = if setting.server { 0x80 } else { 0 };
                octets.extend([*first, mask | if *n == 2 { 126 } else { 127 }]);
                octets.extend(&length.to_be_bytes()[8 - n..]);
            }
            Item::Raw(raw) => octets.extend(raw),
        }
    }
    octets
}

fn letters(len: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let letter = prop::sample::select(vec!['a', 'b', 'c', 'é', '€', '𝄞']);
    prop::collection::vec(letter, len).prop_map(|letters| letters.into_iter().collect())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        8 => letters(1..12),
        2 => letters(20..40),
        1 => (118..130_usize).prop_map(|n| "b".repeat(n)),
    ]
}

/// What a message carries: whether it is text, its octets, and whether extensions are to encode it.
fn message() -> impl Strategy<Value = (u8, Vec<u8>, bool)> {
    let invalid = prop_oneof![
        // The last code point lacks an octet.
        letters(0..9)
            .prop_map(|text| (text + "é").into_bytes())
            .prop_map(|text| text[..text.len() - 1].to_vec()),
        prop::collection::vec(any::<u8>(), 0..12),
    ];
    let octets = prop_oneof![
        20 => text().prop_map(String::into_bytes),
        1 => invalid,
        1 => prop_oneof![65_534..65_538_usize, 250..260_usize].prop_map(|n| vec![b'x'; n]),
    ];
    (1..=2_u8, octets, any::<bool>())
}

fn control() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..6),
        1 => prop::collection::vec(any::<u8>(), 120..126),
    ]
}

fn code() -> impl Strategy<Value = u16> {
    let edge = [
        0, 999, 1000, 1001, 1003, 1004, 1005, 1006, 1007, 1010, 1011, 1014, 1015, 1016, 2999, 3000,
        4999, 5000,
    ];
    prop_oneof![3 => Just(1000), 3 => prop::sample::select(edge.to_vec()), 1 => any::<u16>()]
}

fn frame(first: u8, payload: Vec<u8>, key: [u8; 4]) -> Item {
    Item::Frame { first, payload, key, right_mask: true, compress: false }
}

/// A message in fragments that may cut a code point, with control frames in between.
fn fragments() -> impl Strategy<Value = Vec<Item>> {
    let control = (prop_oneof![Just(0x89_u8), Just(0x8a)], control());
    (
        message(),
        prop_oneof![2 => Just(0), 1 => 1..4_usize],
        prop::collection::vec((any::<Index>(), any::<[u8; 4]>()), 4),
        prop::collection::vec(prop::option::weighted(0.3, control), 4),
    )
        .prop_map(|((opcode, data, compress), cuts, places, controls)| {
            let mut ends: Vec<usize> =
                places[..cuts].iter().map(|place| place.0.index(data.len() + 1)).collect();
            ends.sort_unstable();
            ends.push(data.len());
            let (mut items, mut from) = (Vec::new(), 0);
            for (i, &end) in ends.iter().enumerate() {
                let first = if i == cuts { 0x80 } else { 0 } | if i == 0 { opcode } else { 0 };
                let key = if places[i].0.index(5) == 0 { [0; 4] } else { places[i].1 };
                let payload = data[from..end].to_vec();
                items.push(Item::Frame { first, payload, key, right_mask: true, compress });
                if let Some((first, payload)) = &controls[i] {
                    items.push(frame(*first, payload.clone(), key));
                }
                from = end;
            }
            items
        })
}

/// A first octet that is often right but for one bit.
fn first() -> impl Strategy<Value = u8> {
    let right = prop::sample::select(vec![0x00_u8, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a]);
    prop_oneof![
        3 => right.clone(),
        3 => (right, 0..8_u32).prop_map(|(octet, bit)| octet ^ 1 << bit),
        1 => any::<u8>(),
    ]
}

/// What ends a connection, or does not belong where it comes.
fn oddity() -> impl Strategy<Value = Item> {
    let small = || prop::collection::vec(any::<u8>(), 0..5);
    let close = (code(), text()).prop_map(|(code, reason)| {
        let body = [&code.to_be_bytes(), reason.as_bytes()].concat();
        frame(0x88, body[..body.len().min(126)].to_vec(), [1, 2, 3, 4])
    });
    let bad_reason = (code(), small()).prop_map(|(code, reason)| {
        frame(0x88, [&code.to_be_bytes(), &reason[..]].concat(), [9; 4])
    });
    let edges = vec![0, 125, 126, 127, 300, 0xffff, 0x1_0000, 1 << 63, u64::MAX];
    let length = prop_oneof![4 => prop::sample::select(edges), 1 => any::<u64>()];
    let begins = prop::sample::select(vec![0x01_u8, 0x02, 0x81, 0x82]);
    let first_of_long = prop_oneof![3 => begins, 1 => first()];
    let long = (first_of_long, length, prop::sample::select(vec![2, 8]))
        .prop_map(|(first, length, octets)| Item::Header { first, length, octets });
    prop_oneof![
        6 => close,
        1 => bad_reason,
        1 => small().prop_map(|body| frame(0x88, body, [7; 4])),
        3 => (first(), small()).prop_map(|(first, data)| frame(first, data, [5; 4])),
        1 => (first(), small()).prop_map(|(first, payload)| Item::Frame {
            first,
            payload,
            key: [6; 4],
            right_mask: false,
            compress: false,
        }),
        4 => long,
        1 => prop::collection::vec(any::<u8>(), 1..9).prop_map(Item::Raw),
        1 => (0..0x100_u32, 124..128_usize).prop_map(|(i, n)| frame(0x89 | (i as u8 & 2), vec![1; n], [3; 4])),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let piece = prop_oneof![
        4 => message().prop_map(|message| message.1),
        // Half a code point, and the other half.
        1 => prop::sample::select(vec![b"\xe2".to_vec(), b"\x82\xac".to_vec()]),
    ];
    let reason = prop_oneof![3 => text(), 1 => Just("€".repeat(41) + "aé")];
    prop_oneof![
        8 => prop_oneof![3 => 1..12_usize, 3 => 12..300_usize, 1 => Just(usize::MAX)].prop_map(Step::Arrive),
        8 => prop_oneof![2 => 1..3_usize, 2 => Just(usize::MAX)].prop_map(Step::Poll),
        4 => prop_oneof![3 => 0..20_usize, 1 => Just(usize::MAX)].prop_map(Step::Write),
        4 => message().prop_map(|(opcode, data, compress)| Step::Send(opcode, data, compress)),
        1 => message().prop_map(|(opcode, data, _)| Step::Broadcast(opcode, data)),
        2 => (1..=2_u8, any::<bool>()).prop_map(|(opcode, compress)| Step::Start(opcode, compress)),
        3 => (piece, prop::bool::weighted(0.3)).prop_map(|(data, last)| Step::Piece(data, last)),
        2 => (9..=10_u8, prop_oneof![9 => control(), 1 => Just(vec![0; 126])])
            .prop_map(|(opcode, data)| Step::Control(opcode, data)),
        1 => (code(), reason.clone(), any::<bool>())
            .prop_map(|(code, reason, within)| Step::Close(code, reason, within)),
        1 => (code(), reason, 0..2_u8).prop_map(|(code, reason, rare)| {
            if rare == 0 { Step::Fail(code, reason) } else { Step::InputEnded }
        }),
    ]
}

fn setting() -> impl Strategy<Value = Setting> {
    let size = || prop_oneof![4 => Just(70_000_usize), 1 => prop::sample::select(vec![0, 3, 20, 125, 126, 300])];
    (
        (any::<bool>(), any::<bool>(), any::<bool>()),
        prop::option::weighted(0.3, Just(126_usize)),
        size(),
        prop_oneof![4 => Just(100_usize), 1 => 0..4_usize],
        prop_oneof![4 => Just(64_usize), 1 => 0..2_usize],
        prop_oneof![3 => Just(usize::MAX), 1 => prop::sample::select(vec![0, 1, 7, 125, 126])],
    )
        .prop_map(|((server, streaming, extended), frame, message, fragments, empty, sent)| {
            Setting {
                server,
                streaming,
                extended,
                // Where it is not said: what a message may have, plus a 64th of it and 64.
                max_frame: frame
                    .filter(|_| fragments == 100)
                    .unwrap_or(message + message / 64 + 64),
                max_message: message,
                // Not both: a frame that breaks two limits may be refused for either.
                max_fragments: if message < 1000 { 100 } else { fragments },
                max_empty_fragments: empty,
                max_sent_frame: sent,
            }
        })
}

pub(crate) fn script() -> impl Strategy<Value = Script> {
    let item = prop_oneof![7 => fragments(), 1 => oddity().prop_map(|item| vec![item])];
    let items = prop::collection::vec(item, 0..10).prop_map(|items| items.concat());
    (setting(), items, prop::collection::vec(step(), 1..40)).prop_map(
        |(setting, items, mut steps)| {
            // A large message in frames of one octet would take a second.
            for step in &mut steps {
                if let Step::Send(_, data, _) | Step::Broadcast(_, data) | Step::Piece(data, _) =
                    step
                    && setting.max_sent_frame < 125
                {
                    data.truncate(260);
                }
            }
            Script { setting, items, steps }
        },
    )
}
