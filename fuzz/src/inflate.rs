//! Compressed messages, damaged or not, into a server with permessage-deflate and a small limit; and in
//! one go, with the same context, into two inflaters (`oracle`): the same messages, or a failure for the
//! same reason. Windows from 8 to 15 bits.

mod oracle;

use bytes::BytesMut;
use flate2::{Compress, Compression as Level, FlushCompress, Status};
use ws_core::{
    CloseCode, Config, Connection, Event, ExtensionFactory, Extensions, Fault, Receive, Role,
    extension::{Params, Rsv},
};
use ws_ext_deflate::{Deflate, Pool};

use self::oracle::Oracle;
use crate::{
    frames,
    input::{Input, pattern},
};

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let bits = 8 + input.byte() % 8;
    let takeover = flags & 1 == 0;
    let limit = input.pick(&[1 << 16, 0, 1, 100, 1000, 5000, 40_000, 200_000]);
    let streams = flags & 2 == 2;
    let step = input.pick(&[usize::MAX, 1, 2, 3, 50, 1000]);
    let messages = messages(bits, takeover, &mut input);

    let mut config = Config::default();
    (config.max_message, config.max_frame) = (limit, Some(1 << 20));
    config.receive = if streams { Receive::Streaming } else { Receive::Messages };
    let mut deflate = Deflate::default().pool(Pool::new(1 << 20));
    // By default it asks for a window of at most 12 bits.
    let widest = if flags & 4 == 4 { 15 } else { 12 };
    if widest == 15 {
        deflate = deflate.client_max_window_bits(15);
    }
    let mut offer = Params::new().with("client_max_window_bits", bits);
    if !takeover {
        offer = offer.with_flag("client_no_context_takeover");
    }
    let window = 1 << bits.min(widest);
    let mut stack = Extensions::none();
    let agreed = deflate.accept(&offer, Rsv::ALL).unwrap();
    stack.push(&deflate, agreed.extension).unwrap();
    let mut ws = Connection::new(Role::Server, config, stack);

    let mut oracle = Oracle::new(if takeover { window } else { 0 });
    let mut buffer = BytesMut::new();
    for (place, (frames, packed)) in messages.iter().enumerate() {
        let expected = oracle.message(packed);
        let (mut got, mut fault, mut yields) = (None, None, 0);
        for piece in frames.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(event) = ws.poll_event(&mut buffer) {
                match event {
                    Event::Message(message) => got = Some(message.as_bytes().to_vec()),
                    Event::Start(_) => got = Some(Vec::new()),
                    Event::Chunk(chunk) => got.as_mut().unwrap().extend_from_slice(&chunk),
                    Event::Closed(closed) => fault = closed.fault,
                    Event::Yield => yields += 1,
                    _ => {}
                }
            }
        }
        let work = frames.len()
            + expected.plain.len().min(limit.max(if streams { usize::MAX } else { 0 }));
        assert!(yields <= 8 + frames.len() + work / 8192, "{yields} times Yield");
        let plain = &expected.plain[..];
        match (fault, expected.corrupt) {
            (None, false) => assert!(got.unwrap() == plain, "message {place}"),
            (None, true) => panic!("message {place} is corrupt, and was taken"),
            (Some(fault), corrupt) => {
                match *fault {
                    Fault::MessageTooBig { .. } => assert!(!streams && plain.len() > limit),
                    Fault::Extension { code, ref reason, .. } => {
                        assert_eq!(
                            (code, &**reason),
                            (CloseCode::INVALID_PAYLOAD, "corrupt DEFLATE data")
                        );
                        assert!(corrupt, "message {place} is valid, and was refused");
                        assert!(streams || plain.len() <= limit, "too much before what is corrupt");
                    }
                    fault => panic!("{fault:?}"),
                }
                return;
            }
        }
    }
}

/// Frames of each message, and the payload of all of them together.
fn messages(bits: u8, takeover: bool, input: &mut Input<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut messages = Vec::new();
    // zlib has no window of 8 bits; with one of 9 it refers back by 250 octets at most.
    let level = Level::new((input.byte() % 10).into());
    let mut deflater = Compress::new_with_window_bits(level, false, bits.max(9));
    let mut last = Vec::new();
    while !input.is_empty() && messages.len() < 12 {
        let how = input.byte();
        let mut packed = match how % 8 {
            // Anything.
            0 => input.short().to_vec(),
            1 => last.clone(),
            // What is compressed, one block or with a flush in between, perhaps with BFINAL.
            _ => {
                let plain = match how % 3 {
                    0 => pattern(input.u16() % 12_000, input.byte()),
                    _ => input.payload(),
                };
                if !takeover {
                    deflater.reset();
                }
                let mut packed = compressed(&mut deflater, &plain, FlushCompress::Sync);
                packed.truncate(packed.len().saturating_sub(4));
                if how & 16 == 16 {
                    let mut once = Compress::new(Level::new(6), false);
                    let mut ended = compressed(&mut once, &plain, FlushCompress::Finish);
                    if how & 32 == 32 {
                        ended.extend_from_slice(&packed);
                    } else {
                        ended.extend_from_slice(&[0]);
                    }
                    packed = ended;
                }
                packed
            }
        };
        if how & 64 == 64 {
            for _ in 0..1 + input.byte() % 3 {
                let at = input.u16() % packed.len().max(1);
                if let Some(octet) = packed.get_mut(at) {
                    *octet ^= input.byte();
                }
            }
        }
        if how & 128 == 128 {
            let at = input.u16() % (packed.len() + 1);
            let insert = input.short();
            packed.splice(at..(at + insert.len()).min(packed.len()), insert.iter().copied());
        }
        last.clone_from(&packed);
        let (mut frames, mut rest, mut first) = (Vec::new(), &packed[..], 0x42);
        for _ in 0..input.byte() % 4 {
            let (head, tail) = rest.split_at(input.u16() % (rest.len() + 1));
            frames::write(first, head, Some([5, 6, 7, 8]), &mut frames);
            (first, rest) = (0, tail);
        }
        frames::write(0x80 | first, rest, Some([0; 4]), &mut frames);
        messages.push((frames, packed));
    }
    messages
}

fn compressed(deflater: &mut Compress, plain: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + 1000);
    let before = deflater.total_in();
    loop {
        let taken = (deflater.total_in() - before) as usize;
        let status = deflater.compress_vec(&plain[taken..], &mut out, flush).unwrap();
        if status == Status::StreamEnd || out.len() < out.capacity() {
            return out;
        }
        out.reserve(out.len());
    }
}

/// A message as permessage-deflate sends it, with context takeover.
pub fn deflated(deflater: &mut Compress, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + 1000);
    let before = deflater.total_in();
    loop {
        out.reserve(1000);
        let taken = (deflater.total_in() - before) as usize;
        deflater.compress_vec(&plain[taken..], &mut out, FlushCompress::Sync).unwrap();
        if out.len() < out.capacity() {
            break;
        }
    }
    if out.ends_with(&[0, 0, 0xff, 0xff]) {
        out.truncate(out.len() - 4);
    }
    out
}
