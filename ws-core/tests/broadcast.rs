//! A message that goes to many connections: encoded once for all whose extensions share a form of it,
//! in the order in which it was sent.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bytes::{Buf, BytesMut};
use support::{
    KEY, client, config,
    extensions::{
        RSV1, RSV2, RSV3_EVERY, Scoped, add_one, client_of_with, server_of, server_of_with, stack,
    },
    feed, frames, masked, server, server_with, unmasked, written,
};
use ws_core::{
    Broadcast, CloseCode, Config, Connection, Extension, Message, MessageKind, ObservedFrame,
    Outgoing, Payload, SendError,
    extension::{
        Chunk, Compression, ExtensionError, Mark, MessageInfo, Progress, RsvClaim, Scope,
        SharedEncoder, SharedForm, SharedKey, Sharing, Sink,
    },
};

/// What went on in the extensions of several connections.
#[derive(Clone, Default)]
struct Seen {
    /// Shared encoders that were made, and calls of them.
    made: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    /// Messages that an extension was told of.
    told: Arc<Mutex<Vec<Payload>>>,
    asked: Arc<Mutex<Vec<MessageInfo>>>,
}

impl Seen {
    fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    fn told(&self) -> usize {
        self.told.lock().unwrap().len()
    }
}

/// How a shared encoder behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shares {
    /// It is not asked for one.
    Plain,
    Nothing,
    Soundly,
    /// It says that it is not worth it.
    Unmarked,
    Errs,
    SaysDoneTooEarly,
    StandsStill,
    NeverEnds,
    Panics,
}

/// Writes a letter in front of every message, a capital one by itself and a small one if shared.
#[derive(Clone)]
struct Letter {
    letter: u8,
    claim: RsvClaim,
    shares: Shares,
    form: u64,
    written: bool,
    seen: Seen,
}

fn letter(letter: u8, claim: RsvClaim, shares: Shares, seen: &Seen) -> Letter {
    Letter { letter, claim, shares, form: 0, written: false, seen: seen.clone() }
}

impl Letter {
    fn boxed(self) -> Scoped {
        (Scope::Message, Box::new(self))
    }

    fn write(&mut self, letter: u8, input: &mut Chunk<'_>, out: &mut Sink<'_>) -> Progress {
        self.written = self.written || out.write(&[letter]) == 1;
        out.write_from(input);
        if !input.is_empty() || !self.written {
            return Progress::Full;
        }
        self.written = !input.is_last();
        Progress::Done
    }
}

impl Extension for Letter {
    fn claim(&self) -> RsvClaim {
        self.claim
    }

    fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        Ok(support::extensions::unless_never(unit))
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        Ok(self.write(self.letter, input, out))
    }

    fn decode(&mut self, _: &mut Chunk<'_>, _: &mut Sink<'_>) -> Result<Progress, ExtensionError> {
        Err(ExtensionError::new(CloseCode::INVALID_PAYLOAD, "it only sends"))
    }

    fn sharing(&mut self) -> Option<&mut dyn Sharing> {
        Some(self)
    }
}

impl Sharing for Letter {
    fn form(&self, message: &MessageInfo) -> Option<SharedForm> {
        self.seen.asked.lock().unwrap().push(*message);
        match self.shares {
            Shares::Nothing => None,
            Shares::Plain => Some(SharedForm::Plain),
            _ => Some(SharedForm::Encoded(SharedKey::new::<Self>(
                self.form << 8 | u64::from(self.letter),
            ))),
        }
    }

    fn encoder(&self, _: &MessageInfo) -> Option<Box<dyn SharedEncoder>> {
        self.seen.made.fetch_add(1, Ordering::Relaxed);
        Some(Box::new(Once(Self { written: false, ..self.clone() })))
    }

    fn sent(&mut self, plain: &Payload) {
        self.seen.told.lock().unwrap().push(plain.clone());
    }
}

struct Once(Letter);

impl SharedEncoder for Once {
    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        self.0.seen.calls.fetch_add(1, Ordering::Relaxed);
        match self.0.shares {
            Shares::Errs => Err(ExtensionError::new(CloseCode::INTERNAL_ERROR, "no")),
            Shares::SaysDoneTooEarly => Ok(Progress::Done),
            Shares::StandsStill => Ok(Progress::Full),
            Shares::NeverEnds => {
                let _ = out.write(&[b'.'; 1000]);
                Ok(Progress::Full)
            }
            Shares::Panics => panic!("as it should"),
            _ => Ok(self.0.write(self.0.letter.to_ascii_lowercase(), input, out)),
        }
    }

    fn mark(&self) -> Mark {
        if self.0.shares == Shares::Unmarked { Mark::Unmarked } else { Mark::Marked }
    }
}

fn sharing(seen: &Seen) -> Connection {
    server_of(vec![letter(b'A', RSV1, Shares::Soundly, seen).boxed()])
}

/// What a connection writes for a broadcast.
fn sent(ws: &mut Connection, broadcast: &Broadcast) -> Vec<u8> {
    ws.send_broadcast(broadcast).unwrap();
    written(ws)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| b'a' + (at % 26) as u8).collect()
}

// R6455-5.1-b
#[test]
fn broadcast_without_extensions_is_one_frame_of_any_size() {
    for len in [0, 1, 32, 33, 125, 126, 2047, 2048, 4095, 4096, 65_535, 65_536, 200_000] {
        for (first, message) in [
            (0x81, Message::text(String::from_utf8(pattern(len)).unwrap())),
            (0x82, Message::binary(pattern(len))),
        ] {
            let broadcast = Broadcast::new(message);
            for _ in 0..3 {
                let expected = unmasked(first, &pattern(len));
                assert_eq!(sent(&mut server(), &broadcast), expected, "{len} bytes");
                // Beside other output, too.
                let mut ws = server();
                ws.send("before").unwrap();
                ws.send_broadcast(&broadcast).unwrap();
                ws.send("behind").unwrap();
                let (before, behind) = (unmasked(0x81, b"before"), unmasked(0x81, b"behind"));
                assert_eq!(ws.unwritten(), before.len() + expected.len() + behind.len());
                assert_eq!(written(&mut ws), [before, expected, behind].concat());
            }
        }
    }
}

// T-B17
#[test]
fn broadcast_is_encoded_once_for_all_connections_that_share_a_form() {
    for len in [1, 100, 3000, 300_000] {
        let seen = Seen::default();
        let broadcast = Broadcast::new(pattern(len));
        let expected = unmasked(0xc2, &[b"a", &pattern(len)[..]].concat());
        for _ in 0..100 {
            assert_eq!(sent(&mut sharing(&seen), &broadcast), expected);
        }
        assert_eq!((seen.made(), seen.told()), (1, 100));
        assert!(seen.told.lock().unwrap().iter().all(|plain| **plain == pattern(len)));
        // What a connection sends alone is its own.
        let mut ws = sharing(&seen);
        ws.send("x").unwrap();
        assert_eq!(written(&mut ws), b"\xc1\x02Ax");
    }
}

// T-B17
#[test]
fn large_shared_frame_is_not_copied() {
    let seen = Seen::default();
    let broadcast = Broadcast::new(pattern(10_000));
    let plain = Broadcast::new(pattern(10_000));
    let mut places = Vec::new();
    for _ in 0..3 {
        for (mut ws, broadcast) in [(sharing(&seen), &broadcast), (server(), &plain)] {
            ws.send_broadcast(broadcast).unwrap();
            let Some(output) = ws.poll_output() else { panic!("nothing to write") };
            assert_eq!(output.chunk().len(), output.len(), "the frame is one piece");
            places.push(output.chunk().as_ptr());
        }
    }
    assert_eq!(places[..2], places[2..4]);
    assert_eq!(places[..2], places[4..]);
}

// T-B17
#[test]
fn connections_on_many_threads_encode_once() {
    for len in [1000, 1_000_000] {
        let seen = Seen::default();
        let data = pattern(len);
        let broadcast = Broadcast::new(data.clone());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let out = sent(&mut sharing(&seen), &broadcast);
                        assert_eq!(out.len(), len + 1 + if len > 65_535 { 10 } else { 4 });
                        assert!(out.ends_with(&data));
                    }
                });
            }
        });
        assert_eq!((seen.made(), seen.told()), (1, 40));
    }
}

#[test]
fn form_in_the_making_is_brought_forward_by_whoever_comes() {
    let seen = Seen::default();
    let broadcast = Broadcast::new(pattern(1 << 20));
    let mut connections = [sharing(&seen), sharing(&seen), sharing(&seen)];
    for ws in &mut connections {
        ws.send_broadcast(&broadcast).unwrap();
        ws.send("behind").unwrap();
        assert_eq!(ws.encoded(), 0, "64 KiB are not the whole");
        assert!(ws.has_more_to_encode());
        assert!(ws.memory_usage() >= 1 << 20, "it keeps the message");
    }
    let mut polls = 0;
    let mut outputs = [Vec::new(), Vec::new(), Vec::new()];
    while connections.iter().any(|ws| ws.has_more_to_encode() || ws.unwritten() > 0) {
        for (ws, out) in connections.iter_mut().zip(&mut outputs) {
            polls += 1;
            if let Outgoing::Write(output) = ws.poll_output_bounded() {
                out.extend_from_slice(&output.copy_to_bytes(output.len()));
            }
        }
    }
    // 16 steps of 64 KiB, which they did in turn.
    assert!((16..40).contains(&polls), "{polls}");
    assert_eq!((seen.made(), seen.told()), (1, 3));
    let calls = seen.calls.load(Ordering::Relaxed);
    assert!((16..20).contains(&calls), "{calls}");
    for out in outputs {
        let sent = frames(&out);
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0].payload[..3], *b"aab");
        assert_eq!(sent[1].payload, b"Abehind");
    }
}

#[test]
fn forms_of_different_keys_and_bits_are_kept_apart() {
    let seen = Seen::default();
    let broadcast = Broadcast::new("x");
    let with = |claim, form| {
        let extension = Letter { form, ..letter(b'A', claim, Shares::Soundly, &seen) };
        (sent(&mut server_of(vec![extension.boxed()]), &broadcast), seen.made())
    };
    assert_eq!(with(RSV1, 0), (b"\xc1\x02ax".to_vec(), 1));
    assert_eq!(with(RSV1, 1), (b"\xc1\x02ax".to_vec(), 2));
    assert_eq!(with(RSV2, 0), (b"\xa1\x02ax".to_vec(), 3));
    assert_eq!(with(RSV3_EVERY, 0), (b"\x91\x02ax".to_vec(), 4));
    assert_eq!(with(RsvClaim::None, 0), (b"\x81\x02ax".to_vec(), 5));
    for (claim, form) in [(RSV1, 0), (RSV1, 1), (RSV2, 0), (RSV3_EVERY, 0), (RsvClaim::None, 0)] {
        assert_eq!(with(claim, form).1, 5);
    }
    // What would be too many goes through the extension of the connection.
    for form in 2..13 {
        assert_eq!(with(RSV1, form), (b"\xc1\x02ax".to_vec(), 4 + form as usize));
    }
    for form in 13..100 {
        assert_eq!(with(RSV1, form), (b"\xc1\x02Ax".to_vec(), 16));
    }
    assert_eq!(with(RSV1, 12), (b"\xc1\x02ax".to_vec(), 16));
}

#[test]
fn longest_start_of_the_stack_is_shared() {
    let seen = Seen::default();
    let make = |name, claim, shares| letter(name, claim, shares, &seen).boxed();
    let (yes, no) = (Shares::Soundly, Shares::Nothing);
    let cases: [([Shares; 3], &[u8], usize, usize); 7] = [
        ([yes, yes, yes], b"\xf1\x04cbax", 3, 3),
        ([yes, yes, no], b"\xf1\x04Cbax", 2, 2),
        ([yes, no, yes], b"\xf1\x04CBax", 1, 1),
        ([no, yes, yes], b"\xf1\x04CBAx", 0, 0),
        ([yes, Shares::Plain, yes], b"\xd1\x03cax", 2, 2),
        ([Shares::Plain, yes, no], b"\xb1\x03Cbx", 1, 1),
        ([Shares::Unmarked, yes, yes], b"\xb1\x03cbx", 3, 2),
    ];
    for (shares, expected, made, told) in cases {
        let broadcast = Broadcast::new("x");
        let before = (seen.made(), seen.told());
        for _ in 0..3 {
            let mut ws = server_of(vec![
                make(b'A', RSV1, shares[0]),
                make(b'B', RSV2, shares[1]),
                make(b'C', RSV3_EVERY, shares[2]),
            ]);
            // Messages of its own before and behind it pass all of them.
            for _ in 0..2 {
                ws.send("x").unwrap();
                assert_eq!(written(&mut ws), b"\xf1\x04CBAx", "{shares:?}");
                assert_eq!(sent(&mut ws, &broadcast), expected, "{shares:?}");
            }
        }
        assert_eq!(
            (seen.made() - before.0, seen.told() - before.1),
            (made, 6 * told),
            "{shares:?}"
        );
    }
}

#[test]
fn form_of_a_form_is_shared_by_those_who_share_both() {
    let seen = Seen::default();
    let broadcast = Broadcast::new("x");
    let make = |names: &str| {
        let extension = |name: u8| {
            let claim = [RSV1, RSV2, RSV3_EVERY][usize::from(name - b'A')];
            letter(name, claim, Shares::Soundly, &seen).boxed()
        };
        server_of(names.bytes().map(extension).collect())
    };
    for (names, expected, made) in [
        ("A", &b"\xc1\x02ax"[..], 1),
        ("AB", b"\xe1\x03bax", 2),
        ("AC", b"\xd1\x03cax", 3),
        ("BC", b"\xb1\x03cbx", 5),
        ("BA", b"\xe1\x03abx", 6),
        ("C", b"\x91\x02cx", 7),
        ("ABC", b"\xf1\x04cbax", 8),
        ("BAC", b"\xf1\x04cabx", 9),
        ("AB", b"\xe1\x03bax", 9),
        ("ABC", b"\xf1\x04cbax", 9),
    ] {
        assert_eq!(sent(&mut make(names), &broadcast), expected, "{names}");
        assert_eq!(seen.made(), made, "{names}");
    }
    // Each was asked about what entered it.
    let asked = seen.asked.lock().unwrap();
    assert_eq!(asked[0], MessageInfo::new(MessageKind::Text, Some(1), Compression::Auto));
    assert_eq!(asked[2].len, Some(2));
    assert_eq!(asked[2].marks, RSV1.bits());
}

#[test]
fn extensions_behind_the_shared_form_run_for_each_connection() {
    let seen = Seen::default();
    for scope in [Scope::Message, Scope::WholeMessage, Scope::Frame] {
        for len in [1, 100, 5000, 100_000] {
            let broadcast = Broadcast::new(pattern(len));
            let made = seen.made();
            for most in [100, usize::MAX] {
                let mut ws = server_of_with(
                    config(|config| config.max_sent_frame = most),
                    vec![
                        letter(b'A', RSV1, Shares::Soundly, &seen).boxed(),
                        add_one(RSV2, scope).boxed(),
                    ],
                );
                let out = frames(&sent(&mut ws, &broadcast));
                let data: Vec<u8> = out.iter().flat_map(|frame| &frame.payload).copied().collect();
                let expected: Vec<u8> =
                    [b"a", &pattern(len)[..]].concat().iter().map(|octet| octet + 1).collect();
                assert_eq!(data, expected, "{scope:?}, {len} bytes, frames of {most}");
                assert_eq!(out[0].first & 0x70, 0x60);
                assert!(out.iter().all(|frame| frame.payload.len() <= most));
            }
            assert_eq!(seen.made() - made, 1);
        }
    }
}

#[test]
fn message_that_is_not_worth_it_goes_out_plain_to_all() {
    let seen = Seen::default();
    for len in [10, 3000, 100_000] {
        for shares in [Shares::Unmarked, Shares::Plain] {
            let made = seen.made();
            let broadcast = Broadcast::new(pattern(len));
            for _ in 0..3 {
                let mut ws = server_of(vec![letter(b'A', RSV1, shares, &seen).boxed()]);
                assert_eq!(sent(&mut ws, &broadcast), unmasked(0x82, &pattern(len)));
            }
            assert_eq!(seen.made() - made, usize::from(shares == Shares::Unmarked));
        }
    }
    assert_eq!(seen.told(), 0);
    // Without a bit nobody could see that it is plain.
    for shares in [Shares::Unmarked, Shares::Plain] {
        let mut ws = server_of(vec![letter(b'A', RsvClaim::None, shares, &seen).boxed()]);
        assert_eq!(sent(&mut ws, &Broadcast::new("x")), b"\x81\x02Ax");
    }
}

#[test]
fn encoder_that_fails_leaves_the_message_to_each_connection() {
    for shares in [Shares::Errs, Shares::SaysDoneTooEarly, Shares::StandsStill, Shares::NeverEnds] {
        let seen = Seen::default();
        let broadcast = Broadcast::new("x");
        for _ in 0..3 {
            let mut ws = server_of(vec![letter(b'A', RSV1, shares, &seen).boxed()]);
            assert_eq!(sent(&mut ws, &broadcast), b"\xc1\x02Ax", "{shares:?}");
        }
        assert_eq!((seen.made(), seen.told()), (1, 0), "{shares:?}");
    }
}

#[test]
fn encoder_that_panics_takes_no_other_connection_with_it() {
    let seen = Seen::default();
    let broadcast = Broadcast::new("x");
    let make = || server_of(vec![letter(b'A', RSV1, Shares::Panics, &seen).boxed()]);
    catch_unwind(AssertUnwindSafe(|| make().send_broadcast(&broadcast))).unwrap_err();
    for _ in 0..3 {
        assert_eq!(sent(&mut make(), &broadcast), b"\xc1\x02Ax");
    }
    assert_eq!((seen.made(), seen.told()), (1, 0));
}

// R6455-5.4-a
#[test]
fn broadcast_waits_for_the_end_of_a_message_in_pieces() {
    let seen = Seen::default();
    let broadcasts = [Broadcast::new("one"), Broadcast::new("two")];
    for (mut ws, expected) in [
        (server(), &b"\x01\x01<\x89\x00\x00\x01=\x80\x01>\x81\x03one\x81\x03two\x81\x01!"[..]),
        (sharing(&seen), b"\x41\x02A<\x89\x00\x00\x01=\x80\x01>\xc1\x04aone\xc1\x04atwo\xc1\x02A!"),
    ] {
        ws.start_message(MessageKind::Text).unwrap();
        ws.send_broadcast(&broadcasts[0]).unwrap();
        ws.send_chunk(b"<").unwrap();
        ws.ping(b"").unwrap();
        ws.send_broadcast(&broadcasts[1]).unwrap();
        assert!(ws.memory_usage() >= 6);
        assert!(
            !matches!(ws.poll_output_bounded(), Outgoing::Yield),
            "there is nothing to be done"
        );
        ws.send_chunk(b"=").unwrap();
        assert_eq!(ws.send("refused"), Err(SendError::MessageInProgress));
        ws.finish_message(b">").unwrap();
        ws.send("!").unwrap();
        assert_eq!(written(&mut ws), expected);
        assert_eq!(ws.memory_usage(), 0);
    }
}

// R6455-5.4-a, R6455-5.5.1-g
#[test]
fn broadcast_behind_a_message_that_is_given_up_is_dropped_with_it() {
    let seen = Seen::default();
    for mut ws in [server(), sharing(&seen)] {
        ws.start_message(MessageKind::Text).unwrap();
        ws.send_chunk(b"<").unwrap();
        ws.send_broadcast(&Broadcast::new("never")).unwrap();
        ws.fail(CloseCode::INTERNAL_ERROR, "").unwrap();
        assert_eq!(ws.send_broadcast(&Broadcast::new("late")), Err(SendError::Closed));
        let sent = frames(&written(&mut ws));
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[1].first, 0x88);
    }
    assert_eq!(seen.made(), 0);
}

#[test]
fn broadcast_behind_a_message_that_the_end_of_the_transport_cuts_is_dropped_with_it() {
    for new in [server, client] {
        let mut ws = new();
        ws.start_message(MessageKind::Text).unwrap();
        ws.send_chunk("half of ").unwrap();
        ws.send_broadcast(&Broadcast::new("waits for the other half")).unwrap();
        written(&mut ws);
        assert!(ws.unwritten() > 0);
        ws.input_ended();
        let events = feed(&mut ws, &mut BytesMut::new(), b"");
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!((ws.unwritten(), ws.memory_usage()), (0, 0));
        assert_eq!(ws.finish_message("it"), Err(SendError::Closed));
        assert!(written(&mut ws).is_empty());
    }
}

// R6455-5.4-b
#[test]
fn broadcast_keeps_its_place_behind_what_is_being_encoded() {
    let seen = Seen::default();
    let broadcast = Broadcast::new("x");
    let mut ws = sharing(&seen);
    ws.send(pattern(300_000)).unwrap();
    ws.send_broadcast(&broadcast).unwrap();
    ws.send("y").unwrap();
    assert_eq!(seen.made(), 0, "it is encoded when it leaves the queue");
    let sent = frames(&written(&mut ws));
    let whole: usize = sent[..sent.len() - 2].iter().map(|frame| frame.payload.len()).sum();
    assert_eq!(whole, 300_001);
    assert_eq!(sent[sent.len() - 2].payload, b"ax");
    assert_eq!(sent[sent.len() - 1].payload, b"Ay");
}

#[test]
fn broadcast_that_never_leaves_the_queue_is_never_encoded() {
    let seen = Seen::default();
    let mut ws = sharing(&seen);
    ws.send(pattern(300_000)).unwrap();
    ws.send_broadcast(&Broadcast::new("x")).unwrap();
    drop(ws);
    assert_eq!((seen.made(), seen.told()), (0, 0));
}

#[test]
fn form_larger_than_a_frame_may_be_is_cut() {
    let seen = Seen::default();
    let broadcast = Broadcast::new(pattern(10));
    let mut ws = server_of_with(
        config(|config| config.max_sent_frame = 4),
        vec![letter(b'A', RSV1, Shares::Soundly, &seen).boxed()],
    );
    assert_eq!(sent(&mut ws, &broadcast), b"\x42\x04aabc\x00\x04defg\x80\x03hij");
    let mut ws = server_of_with(
        config(|config| config.max_sent_frame = 4),
        vec![letter(b'A', RSV3_EVERY, Shares::Soundly, &seen).boxed()],
    );
    assert_eq!(sent(&mut ws, &broadcast), b"\x12\x04aabc\x10\x04defg\x90\x03hij");
    let mut ws = server_with(config(|config| config.max_sent_frame = 4000));
    let sent = frames(&sent(&mut ws, &Broadcast::new(pattern(9000))));
    let lens: Vec<usize> = sent.iter().map(|frame| frame.payload.len()).collect();
    assert_eq!(lens, [4000, 4000, 1000]);
}

#[test]
fn observer_sees_the_bytes_of_the_message() {
    let seen = Seen::default();
    let observed = Arc::new(Mutex::new(Vec::new()));
    let watch = |mut ws: Connection| {
        let log = Arc::clone(&observed);
        ws.observe_frames(move |frame: &ObservedFrame| {
            log.lock().unwrap().push((frame.header.len, frame.data_len));
        });
        ws
    };
    let cut = |most| config(|config| config.max_sent_frame = most);
    let one = || letter(b'A', RSV1, Shares::Soundly, &seen).boxed();
    let two = || vec![one(), letter(b'B', RSV2, Shares::Nothing, &seen).boxed()];
    for (len, ws, expected) in [
        (10, server(), &[(10, 10)][..]),
        (9000, server(), &[(9000, 9000)]),
        (10, server_of(vec![one()]), &[(11, 10)]),
        (9000, server_of(vec![one()]), &[(9001, 9000)]),
        (10, server_of(two()), &[(12, 10)]),
        // Of a form nobody knows what became of which byte.
        (10, server_of_with(cut(6), vec![one()]), &[(6, 10), (5, 0)]),
        (10, server_of_with(cut(6), two()), &[(6, 10), (6, 0)]),
    ] {
        sent(&mut watch(ws), &Broadcast::new(pattern(len)));
        assert_eq!(std::mem::take(&mut *observed.lock().unwrap()), expected);
    }
}

// R6455-5.3-a
#[test]
fn client_masks_and_shares_nothing() {
    let seen = Seen::default();
    let broadcast = Broadcast::new("x");
    let stack = vec![letter(b'A', RSV1, Shares::Soundly, &seen).boxed()];
    let mut with = client_of_with(Config::default(), stack);
    let out = frames(&sent(&mut with, &broadcast));
    assert_eq!((out[0].key, &out[0].payload[..]), (Some([0, 0, 0, 1]), &b"Ax"[..]));
    assert_eq!((seen.made(), seen.told()), (0, 0));
    let large = Broadcast::new(pattern(5000));
    let mut ws = client();
    for key in 1..4 {
        let out = frames(&sent(&mut ws, &large));
        assert_eq!((out[0].key, &out[0].payload[..]), (Some([0, 0, 0, key]), &pattern(5000)[..]));
    }
}

// R6455-5.5.2-b
#[test]
fn pong_overtakes_a_shared_frame_that_is_not_being_written() {
    let (seen, large) = (Seen::default(), Broadcast::new(pattern(5000)));
    for shared in [true, false] {
        for write in [0, 1, 4, 5, 3000, 5004, 5005] {
            let mut ws = if shared { sharing(&seen) } else { server() };
            ws.send_broadcast(&large).unwrap();
            ws.send_broadcast(&large).unwrap();
            let mut out = Vec::new();
            if let Outgoing::Write(output) = ws.poll_output_bounded() {
                out.extend_from_slice(&output.copy_to_bytes(write));
            }
            feed(&mut ws, &mut BytesMut::new(), &masked(0x89, KEY, b"?"));
            out.extend(written(&mut ws));
            let kinds: Vec<u8> = frames(&out).iter().map(|frame| frame.first & 0x0f).collect();
            let len = if shared { 5005 } else { 5004 };
            match write {
                0 => assert_eq!(kinds, [0xa, 2, 2]),
                n if n <= len => assert_eq!(kinds, [2, 0xa, 2], "{n} written"),
                _ => assert_eq!(kinds, [2, 2, 0xa], "{write} written"),
            }
        }
    }
}

#[test]
fn hint_reaches_the_extensions() {
    let seen = Seen::default();
    for hint in [Compression::Auto, Compression::Never, Compression::Always] {
        let broadcast = Broadcast::with_compression("x", hint);
        assert_eq!((broadcast.compression(), broadcast.message()), (hint, &"x".into()));
        sharing(&seen).send_broadcast(&broadcast).unwrap();
        assert_eq!(seen.asked.lock().unwrap().pop().unwrap().compression, hint);
    }
    // Where nothing is shared it is what `begin_encode` is told.
    let mut ws = Connection::new(
        ws_core::Role::Server,
        Config::default(),
        stack(vec![letter(b'A', RSV1, Shares::Nothing, &seen).boxed()]),
    );
    assert_eq!(sent(&mut ws, &Broadcast::with_compression("x", Compression::Never)), b"\x81\x01x");
}
