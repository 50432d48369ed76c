//! What a peer sends: mostly valid, sometimes not.

use proptest::{prelude::*, sample::Index};
use ws_core::{
    Connection, Extension, Extensions, Message,
    extension::{Compression, Scope},
};

use crate::{
    engine::written,
    extension::{Reverse, RunLength, named},
    side::Side,
};

/// One thing on the wire: an opcode octet, a payload, and what is broken about it.
#[derive(Clone, Debug)]
pub enum Item {
    Frame(u8, Vec<u8>),
    Raw(Vec<u8>),
    /// Masked where it must not be, or the other way round.
    WrongMask(u8, Vec<u8>),
    Header(u8, u64),
}

pub fn payload() -> impl Strategy<Value = Vec<u8>> {
    let text =
        prop_oneof![Just(String::new()), "[a-zé€𝄞]{1,12}", "[a-b]{30,40}", "[a-c€]{120,130}",];
    prop_oneof![
        8 => text.prop_map(String::into_bytes),
        // The last code point lacks an octet.
        1 => "[a-c]{0,40}[é€𝄞]{1,3}".prop_map(|text| text.as_bytes()[..text.len() - 1].to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (60_000..70_000_usize).prop_map(|n| vec![b'x'; n]),
    ]
}

/// A message in fragments that may cut a code point, control frames in between.
fn message() -> impl Strategy<Value = Vec<Item>> {
    let control = prop_oneof![Just(0x89_u8), Just(0x8a)];
    let control = (control, prop::collection::vec(any::<u8>(), 0..126));
    (
        any::<bool>(),
        payload(),
        prop::collection::vec(any::<Index>(), 0..4),
        prop::collection::vec(prop::option::weighted(0.3, control), 5),
    )
        .prop_map(|(text, payload, cuts, controls)| {
            let mut cuts: Vec<usize> =
                cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.push(payload.len());
            let (mut items, mut from) = (Vec::new(), 0);
            for (i, &to) in cuts.iter().enumerate() {
                let opcode = if i > 0 {
                    0
                } else if text {
                    1
                } else {
                    2
                };
                let fin = if i + 1 == cuts.len() { 0x80 } else { 0 };
                items.push(Item::Frame(fin | opcode, payload[from..to].to_vec()));
                if let Some((opcode, data)) = &controls[i] {
                    items.push(Item::Frame(*opcode, data.clone()));
                }
                from = to;
            }
            items
        })
}

/// Something that ends the connection, or does not belong where it stands.
fn oddity() -> impl Strategy<Value = Vec<Item>> {
    let small = || prop::collection::vec(any::<u8>(), 0..8);
    let code = prop_oneof![Just(1000_u16), Just(3000), Just(1005), Just(1012), any::<u16>()];
    let close = (code, "[a-é]{0,20}").prop_map(|(code, reason)| {
        Item::Frame(0x88, [&code.to_be_bytes(), reason.as_bytes()].concat())
    });
    let odd = prop_oneof![
        4 => close,
        1 => small().prop_map(|body| Item::Frame(0x88, body)),
        2 => (any::<u8>(), small()).prop_map(|(first, data)| Item::Frame(first, data)),
        1 => (any::<u8>(), small()).prop_map(|(first, data)| Item::WrongMask(first, data)),
        1 => (any::<u8>(), any::<u64>()).prop_map(|(first, len)| Item::Header(first, len)),
        1 => (any::<u8>(), 100_000..200_000_u64).prop_map(|(first, len)| Item::Header(first, len)),
        1 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Item::Raw),
    ];
    odd.prop_map(|item| vec![item])
}

/// What a peer sends, mostly valid.
pub fn stream() -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec(prop_oneof![6 => message(), 1 => oddity()], 0..8)
        .prop_map(|items| items.concat())
}

pub fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Server), Just(Side::Client)]
}

/// The bytes that reach a connection on this side.
pub fn bytes(side: Side, items: &[Item]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in items {
        bytes.extend(match item {
            Item::Frame(first, payload) => side.incoming(*first, payload),
            Item::WrongMask(first, payload) => side.other().incoming(*first, payload),
            Item::Header(first, len) => side.incoming_header(*first, *len),
            Item::Raw(bytes) => bytes.clone(),
        });
    }
    bytes
}

/// Where a stream of `len` octets is cut, in order.
pub fn places(cuts: &[Index], len: usize) -> Vec<usize> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(len + 1)).collect();
    places.sort_unstable();
    places
}

/// Puts another octet somewhere.
pub fn damage(bytes: &mut [u8], noise: Option<(Index, u8)>) {
    if let (Some((at, octet)), false) = (noise, bytes.is_empty()) {
        bytes[at.index(bytes.len())] = octet;
    }
}

/// Messages as `peer` sends them, `after` each of which it does something else.
pub fn encoded(
    mut peer: Connection,
    messages: &[(bool, Vec<u8>, bool)],
    after: impl Fn(&mut Connection),
) -> Vec<u8> {
    for (text, data, compress) in messages {
        let hint = if *compress { Compression::Auto } else { Compression::Never };
        let message = if *text {
            Message::text(String::from_utf8_lossy(data).as_ref())
        } else {
            Message::binary(data.as_slice())
        };
        peer.send_with(message, hint).unwrap();
        after(&mut peer);
    }
    written(&mut peer)
}

/// The stacks to test with, by number; all of them use different bits or none.
pub fn stack(which: usize) -> Extensions {
    let mut stack = Extensions::none();
    let mut push = |name, scope, extension: Box<dyn Extension>| {
        stack.push(&named(name, scope), extension).unwrap();
    };
    if which & 1 != 0 {
        push("runs", Scope::Message, Box::<RunLength>::default());
    }
    if which & 2 != 0 {
        push("whole", Scope::WholeMessage, Box::new(Reverse::messages()));
    }
    if which & 4 != 0 {
        push("frames", Scope::Frame, Box::new(Reverse::frames()));
    }
    stack
}
