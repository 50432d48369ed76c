//! What happens to the connection: octets that arrive, and commands of the caller.

use flate2::{Compress, Compression as Level};
use ws_core::{Compression, Message, MessageKind};

use super::Setup;
use crate::{frames, inflate::deflated, input::Input};

#[derive(Clone, Debug)]
pub(super) enum Op {
    Feed(Vec<u8>),
    Poll,
    Send(Message, Compression),
    Broadcast(Message, Compression),
    Start(MessageKind, Compression),
    Chunk(Vec<u8>),
    Finish(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    Fail(u16, String),
    Park,
    InputEnded,
    Take(usize),
    TakeAll,
}

/// What marks our unsolicited Pongs.
pub(super) const UNSOLICITED: &[u8] = b"\xffnobody asked";

pub(super) fn operations(setup: &Setup, input: &mut Input<'_>) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut deflater = Compress::new(Level::new(6), false);
    // What a feed left over.
    let mut left = Vec::new();
    let hint = |byte: u8| match byte % 4 {
        0 | 1 => Compression::Auto,
        2 => Compression::Always,
        _ => Compression::Never,
    };
    // Many small frames take their time.
    let mut budget: usize = if setup.config.max_sent_frame < 31 { 20_000 } else { 150_000 };
    while !input.is_empty() && ops.len() < 100 {
        let op = input.byte();
        let mut bytes = std::mem::take(&mut left);
        let key = |input: &mut Input<'_>| setup.server.then(|| [input.byte(), 0x5a, 3, 0xc7]);
        let before = bytes.len();
        match op % 40 {
            0..=1 => bytes.extend_from_slice(input.short()),
            2..=5 => {
                let (first, key, payload) = (input.byte(), key(input), input.payload());
                frames::write(first, &payload, key, &mut bytes);
            }
            6..=9 => {
                // A message in fragments.
                let (first, payload) = (1 + input.byte() % 2, input.payload());
                fragments(first, 0, &payload, setup, input, &mut bytes);
            }
            10..=14 => {
                // A compressed message in fragments, damaged or not.
                let (kind, payload) = (input.byte(), input.payload());
                let mut packed = deflated(&mut deflater, &payload);
                if kind & 4 == 4 {
                    let at = input.u16() % packed.len().max(1);
                    if let Some(octet) = packed.get_mut(at) {
                        *octet ^= input.byte();
                    }
                }
                fragments(1 + kind % 2, 0x40, &packed, setup, input, &mut bytes);
            }
            15 => {
                // The begin of a frame that is as large as it says.
                let (first, len) = (input.byte(), input.u16());
                bytes.push(first);
                bytes.extend_from_slice(&[if setup.server { 255 } else { 127 }, 0, 0, 0, 0]);
                bytes.extend_from_slice(&[input.byte(), input.byte(), (len >> 8) as u8, len as u8]);
            }
            16 => frames::write(0x88, &close_body(input), key(input), &mut bytes),
            17 | 18 => {
                let (first, key) = (0x89 + (op & 1), key(input));
                frames::write(
                    first,
                    &input.short().iter().take(125).copied().collect::<Vec<_>>(),
                    key,
                    &mut bytes,
                );
            }
            19 | 20 => {
                let (text, by) = (input.byte(), hint(input.byte()));
                ops.push(Op::Send(message(text, input), by));
            }
            21 | 22 => {
                let (text, by) = (input.byte(), hint(input.byte()));
                ops.push(Op::Broadcast(message(text, input), by));
            }
            23 => {
                let kind = input.pick(&[MessageKind::Text, MessageKind::Binary]);
                ops.push(Op::Start(kind, hint(input.byte())));
            }
            24 | 25 => ops.push(Op::Chunk(input.payload())),
            26 => ops.push(Op::Finish(input.payload())),
            27 => ops.push(Op::Ping(input.short().to_vec())),
            28 => ops.push(Op::Pong([UNSOLICITED, &input.take(3)].concat())),
            29 => ops.push(Op::Close(code(input), reason(input))),
            30 => ops.push(Op::Fail(code(input), reason(input))),
            31 => ops.push(Op::Park),
            32 => ops.push(Op::InputEnded),
            33..=35 => ops.push(Op::Take(input.u16() % 5000)),
            36 => ops.push(Op::TakeAll),
            _ => ops.push(Op::Poll),
        }
        let came = bytes.len() - before;
        if came > budget {
            break;
        }
        budget -= came;
        if came > 0 && op >= 200 {
            left = bytes.split_off(bytes.len() - came / 2);
        }
        if came > 0 {
            ops.push(Op::Feed(bytes));
        } else {
            left = bytes;
        }
        let queued: usize = match ops.last() {
            Some(Op::Send(message, _) | Op::Broadcast(message, _)) => message.len(),
            Some(Op::Chunk(data) | Op::Finish(data)) => data.len(),
            _ => 0,
        };
        if queued > budget {
            break;
        }
        budget -= queued;
    }
    ops
}

fn message(text: u8, input: &mut Input<'_>) -> Message {
    if text & 1 == 1 { Message::text(input.text()) } else { Message::binary(input.payload()) }
}

fn code(input: &mut Input<'_>) -> u16 {
    match input.byte() {
        code @ 0..=20 => 1000 + u16::from(code),
        21..=60 => 3000,
        _ => input.u16() as u16,
    }
}

fn reason(input: &mut Input<'_>) -> String {
    String::from_utf8_lossy(input.short()).into_owned()
}

fn close_body(input: &mut Input<'_>) -> Vec<u8> {
    let mut body = match input.byte() % 4 {
        0 => return Vec::new(),
        1 => input.take(1).to_vec(),
        _ => code(input).to_be_bytes().to_vec(),
    };
    body.extend_from_slice(input.short());
    body.truncate(125);
    body
}

fn fragments(
    first: u8,
    rsv: u8,
    payload: &[u8],
    setup: &Setup,
    input: &mut Input<'_>,
    out: &mut Vec<u8>,
) {
    let count = usize::from(input.byte() % 4);
    let (mut first, mut rest) = (first | rsv, payload);
    for _ in 0..count {
        let (head, tail) = rest.split_at(input.u16() % (rest.len() + 1));
        frames::write(first, head, setup.server.then_some([9, 8, 7, 6]), out);
        if input.flag() {
            frames::write(0x89, b"between", setup.server.then_some([1, 0, 0, 1]), out);
        }
        (first, rest) = (0, tail);
    }
    frames::write(0x80 | first, rest, setup.server.then_some([0, 0, 0, 0]), out);
}
