//! Pongs overtake data, and wait at most for the frame that is being written (RFC 6455 §5.5.2 and
//! §5.5.3).
#![allow(clippy::unwrap_used)]

use bytes::{Buf, BytesMut};
use proptest::prelude::*;
use ws_core::{
    CloseCode, Config, Connection, Event, Extensions, Message, Payload, Text, extension::Scope,
};
use ws_tests_support::{
    engine::{config, events, feed_alone, written, written_some},
    extension::{Counters, Inflate, only},
    frame::{BINARY, CLOSE, Frame, PING, PONG, TEXT, frames, frames_and_ends, pattern},
    side::{SIDES, Side},
};

/// Unwritten bytes from which on one Pong is owed.
const ANSWERED_BELOW: usize = 64 * 1024;

fn pongs(frames: &[Frame]) -> Vec<Vec<u8>> {
    let pongs = frames.iter().filter(|frame| frame.first == PONG);
    pongs.map(|frame| frame.payload.clone()).collect()
}

fn ping(n: u32) -> [u8; 125] {
    let mut payload = [b'.'; 125];
    payload[..4].copy_from_slice(&n.to_be_bytes());
    payload
}

// R6455-5.5.3-b, RT-29
#[test]
fn rt_29_pings_to_a_peer_that_does_not_read_owe_one_pong_the_newest() {
    const PINGS: u32 = 100_000;
    for side in SIDES {
        let mut ws = side.connection(Config::default());
        let mut input = BytesMut::new();
        for n in 0..PINGS {
            input.extend_from_slice(&side.incoming(PING, &ping(n)));
            let told = events(&mut ws, &mut input);
            assert_eq!(told, [Event::Ping(Payload::from(&ping(n)))]);
            assert!(ws.unwritten() <= ANSWERED_BELOW + 131, "{}", ws.unwritten());
            assert!(ws.memory_usage() <= 2 * ANSWERED_BELOW + 4096, "{}", ws.memory_usage());
        }
        assert!(ws.is_pong_owed());
        let answered = ws.unwritten().div_ceil(127 + if side == Side::Client { 4 } else { 0 });
        let pongs = pongs(&frames(&written(&mut ws)));
        assert!(!ws.is_pong_owed());
        // The first ones in order, and the newest.
        assert_eq!(pongs.len(), answered + 1);
        for (n, pong) in pongs.iter().take(answered).enumerate() {
            assert_eq!(pong.as_slice(), ping(n as u32));
        }
        assert_eq!(pongs.last().unwrap().as_slice(), ping(PINGS - 1));
        assert_eq!(ws.memory_usage(), 0);
    }
}

// R6455-5.5.3-b, RT-29, MDN-10
#[test]
fn rt_29_pings_behind_unwritten_data_queue_one_pong_and_owe_the_newest() {
    for side in SIDES {
        let mut ws = side.connection(Config::default());
        ws.send(vec![1; 200_000]).unwrap();
        ws.send("behind").unwrap();
        for n in 0..1000 {
            feed_alone(&mut ws, &side.incoming(PING, &ping(n)));
        }
        let unwritten = ws.unwritten();
        assert!(unwritten < 200_000 + 64 + 131, "one Pong is queued: {unwritten}");
        let mut wire = Vec::new();
        while ws.is_pong_owed() {
            let some = written_some(&mut ws, 1000);
            assert!(!some.is_empty());
            wire.extend(some);
        }
        assert!(ws.unwritten() > 190_000, "it does not wait for the data to be written");
        wire.extend(written(&mut ws));
        let frames = frames(&wire);
        let opcodes: Vec<u8> = frames.iter().map(|frame| frame.first).collect();
        assert_eq!(opcodes, [PONG, PONG, BINARY, TEXT]);
        assert_eq!(frames[0].payload, ping(0));
        assert_eq!(frames[1].payload, ping(999));
    }
}

// R6455-5.5.3-b
#[test]
fn newer_ping_replaces_an_owed_pong_also_where_there_is_room_again() {
    for side in SIDES {
        let mut ws = side.connection(Config::default());
        ws.send(vec![1; 100_000]).unwrap();
        feed_alone(&mut ws, &side.incoming(PING, b"one"));
        feed_alone(&mut ws, &side.incoming(PING, b"old"));
        assert!(ws.is_pong_owed());
        // Written, and the output not asked for again when the next Ping comes.
        let mut wire = Vec::new();
        write(&mut ws, 60_000, &mut wire);
        assert!(ws.is_pong_owed() && ws.unwritten() < ANSWERED_BELOW);
        feed_alone(&mut ws, &side.incoming(PING, b"new"));
        assert!(!ws.is_pong_owed());
        wire.extend(written(&mut ws));
        assert_eq!(pongs(&frames(&wire)), [b"one", b"new"]);
    }
}

// R6455-5.5.3-b
#[test]
fn writer_that_never_quite_catches_up_does_not_make_pongs_grow() {
    for side in SIDES {
        let mut ws = side.connection(Config::default());
        let mut wire = Vec::new();
        for n in 0..20_000 {
            feed_alone(&mut ws, &side.incoming(PING, &ping(n)));
            let pong = if side == Side::Client { 131 } else { 127 };
            let leave = ws.unwritten().saturating_sub(10 * pong + 1);
            wire.extend(written_some(&mut ws, leave));
            assert!(ws.memory_usage() <= 16 * 1024, "{}", ws.memory_usage());
        }
        wire.extend(written(&mut ws));
        let pongs = pongs(&frames(&wire));
        assert_eq!(pongs.len(), 20_000);
        assert!((0..).zip(&pongs).all(|(n, pong)| pong.as_slice() == ping(n)));
    }
}

// R6455-5.5.2-b
#[test]
fn pong_leaves_behind_the_first_frame_of_a_long_message() {
    for side in SIDES {
        let mut ws = side.connection(config(|config| config.max_sent_frame = 10_000));
        ws.send(pattern(60_000)).unwrap();
        let mut wire = written_some(&mut ws, 1);
        feed_alone(&mut ws, &side.incoming(PING, b"now"));
        wire.extend(written(&mut ws));
        let frames = frames(&wire);
        assert_eq!(frames[1].first, PONG);
        assert_eq!(frames[1].payload, b"now");
        assert_eq!(frames.len(), 7);
    }
}

// R6455-5.5.2-b
#[test]
fn pong_leaves_before_what_an_extension_has_not_encoded() {
    for side in SIDES {
        let stack = only("inflate", Scope::Message, Inflate::new(1, &Counters::default()));
        let mut ws = side.connection_with(Config::default(), stack);
        ws.send(pattern(1 << 20)).unwrap();
        ws.send("behind").unwrap();
        // At most 64 KiB and a frame are ahead of the writer.
        let mut wire = written_some(&mut ws, 100_000);
        feed_alone(&mut ws, &side.incoming(PING, b"now"));
        wire.extend(written(&mut ws));
        let (sent, ends): (Vec<Frame>, Vec<usize>) = frames_and_ends(&wire).into_iter().unzip();
        let place = sent.iter().position(|frame| frame.first == PONG).unwrap();
        let start = ends[place - 1];
        assert!(start < 100_000 + 3 * ANSWERED_BELOW, "{start}");
        assert_eq!(sent[place].payload, b"now");
        let data: Vec<u8> = sent[..sent.len() - 1]
            .iter()
            .filter(|frame| frame.first != PONG)
            .flat_map(|frame| frame.payload.clone())
            .collect();
        assert_eq!(data, pattern(1 << 20));
        assert_eq!(sent.last().unwrap().payload, b"behind");
    }
}

// R6455-5.5.2-a, R6455-5.5.1-d
#[test]
fn no_pong_follows_our_close() {
    for side in SIDES {
        let mut ws = side.connection(Config::default());
        feed_alone(&mut ws, &side.incoming(PING, b"before"));
        ws.close(CloseCode::NORMAL, "").unwrap();
        feed_alone(&mut ws, &side.incoming(PING, b"after"));
        assert!(!ws.is_pong_owed());
        let sent = frames(&written(&mut ws));
        let opcodes: Vec<u8> = sent.iter().map(|frame| frame.first).collect();
        assert_eq!(opcodes, [PONG, CLOSE]);
        assert_eq!(sent[0].payload, b"before");
        // A Pong that is owed goes out before.
        let mut ws = side.connection(Config::default());
        ws.send(vec![0; 100_000]).unwrap();
        feed_alone(&mut ws, &side.incoming(PING, b"waits"));
        feed_alone(&mut ws, &side.incoming(PING, b"owed"));
        assert!(ws.is_pong_owed());
        ws.close(CloseCode::NORMAL, "").unwrap();
        feed_alone(&mut ws, &side.incoming(PING, b"after"));
        let sent = frames(&written(&mut ws));
        let opcodes: Vec<u8> = sent.iter().map(|frame| frame.first).collect();
        assert_eq!(opcodes, [PONG, PONG, BINARY, CLOSE]);
        assert_eq!(sent[1].payload, b"owed");
    }
}

/// A step of one side's life.
#[derive(Clone, Debug)]
enum Act {
    Send(usize),
    Text(usize),
    OwnPing(usize),
    /// Write out this many bytes.
    Write(usize),
    /// Write out up to so many bytes behind the next frame boundary, or before it.
    WriteToBoundary(isize),
    PingCame(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let size = prop_oneof![
        4 => 0..40_usize,
        2 => 100..200_usize,
        2 => 4090..4100_usize,
        1 => 10_000..20_000_usize,
    ];
    prop_oneof![
        4 => size.prop_map(Act::Send),
        1 => (0..30_usize).prop_map(Act::Text),
        1 => (0..20_usize).prop_map(Act::OwnPing),
        2 => (0..60_usize).prop_map(Act::Write),
        1 => (0..9000_usize).prop_map(Act::Write),
        1 => (-3..16_isize).prop_map(Act::WriteToBoundary),
        4 => (0..126_usize).prop_map(Act::PingCame),
    ]
}

/// What stands on the wire, by a model that knows of nothing but whole frames.
#[derive(Default)]
struct Model {
    /// Opcode octet, payload and length on the wire of frames that did not begin to be written.
    waiting: Vec<(u8, Vec<u8>, usize)>,
    expected: Vec<(u8, Vec<u8>)>,
    /// What is left of the frame that is being written.
    left: usize,
}

impl Model {
    fn push(&mut self, side: Side, first: u8, payload: Vec<u8>) {
        let (at, len) = (self.waiting.len(), frame_len(side, payload.len()));
        self.waiting.insert(at, (first, payload, len));
    }

    /// Behind the frame that is being written, and behind earlier Pongs.
    fn push_pong(&mut self, side: Side, payload: Vec<u8>) {
        let at = self.waiting.iter().take_while(|frame| frame.0 == PONG).count();
        let len = frame_len(side, payload.len());
        self.waiting.insert(at, (PONG, payload, len));
    }

    fn write(&mut self, mut n: usize) {
        while n > 0 {
            if self.left == 0 {
                let (first, payload, len) = self.waiting.remove(0);
                self.expected.push((first, payload));
                self.left = len;
            }
            let step = n.min(self.left);
            self.left -= step;
            n -= step;
        }
    }
}

fn frame_len(side: Side, payload: usize) -> usize {
    let len = match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    len + payload + if side == Side::Client { 4 } else { 0 }
}

/// Writes some of the output, through vectored chunks in turns.
fn write(ws: &mut Connection, n: usize, wire: &mut Vec<u8>) -> usize {
    let Some(output) = ws.poll_output() else {
        return 0;
    };
    let n = n.min(output.remaining());
    let mut slices = [std::io::IoSlice::new(&[]); 64];
    let count = output.chunks_vectored(&mut slices);
    let lying: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
    let step = n.min(lying.len());
    wire.extend_from_slice(&lying[..step]);
    output.advance(step);
    step
}

proptest! {
    // R6455-5.5.2-b, R6455-5.5.3-b, R6455-5.5.1-d
    #[test]
    fn pongs_overtake_data_at_the_next_frame_boundary(
        acts in prop::collection::vec(act(), 1..60),
        server in any::<bool>(),
        close in any::<bool>(),
    ) {
        let side = if server { Side::Server } else { Side::Client };
        let mut ws = side.connection_with(Config::default(), Extensions::none());
        let (mut model, mut wire, mut n) = (Model::default(), Vec::new(), 0_u8);
        for act in acts {
            n = n.wrapping_add(1);
            match act {
                Act::Send(len) => {
                    ws.send(Message::binary(vec![n; len])).unwrap();
                    model.push(side, BINARY, vec![n; len]);
                }
                Act::Text(len) => {
                    ws.send(Message::Text(Text::from("é".repeat(len)))).unwrap();
                    model.push(side, TEXT, "é".repeat(len).into_bytes());
                }
                Act::OwnPing(len) => {
                    ws.ping(vec![n; len]).unwrap();
                    model.push(side, PING, vec![n; len]);
                }
                Act::Write(n) => {
                    let written = write(&mut ws, n, &mut wire);
                    model.write(written);
                }
                Act::WriteToBoundary(by) => {
                    let next = model.left + model.waiting.first().map_or(0, |frame| frame.2);
                    let n = next.saturating_add_signed(by);
                    let written = write(&mut ws, n, &mut wire);
                    model.write(written);
                }
                Act::PingCame(len) => {
                    if ws.unwritten() < ANSWERED_BELOW {
                        feed_alone(&mut ws, &side.incoming(PING, &vec![n; len]));
                        model.push_pong(side, vec![n; len]);
                    }
                }
            }
            let waiting: usize = model.waiting.iter().map(|frame| frame.2).sum();
            prop_assert_eq!(ws.unwritten(), model.left + waiting);
        }
        if close {
            ws.close(CloseCode::NORMAL, "").unwrap();
            model.push(side, CLOSE, vec![0x03, 0xe8]);
            // Nothing follows it, and nothing overtakes.
            feed_alone(&mut ws, &side.incoming(PING, b"late"));
            prop_assert!(ws.send("late").is_err());
        }
        wire.extend(written(&mut ws));
        model.write(model.left + model.waiting.iter().map(|frame| frame.2).sum::<usize>());
        let frames = frames(&wire);
        prop_assert!(frames.iter().all(|frame| frame.is_masked() == (side == Side::Client)));
        let got: Vec<_> = frames.into_iter().map(|frame| (frame.first, frame.payload)).collect();
        prop_assert_eq!(got, model.expected);
        prop_assert_eq!(ws.memory_usage(), 0);
    }
}
