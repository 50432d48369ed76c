//! Work that a peer can ask for with few octets: inflating in bounded calls, and what goes back.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::BytesMut;
use support::{
    config, connection, encoded, feed, frames, masked, noise, plain, server, server_for, written,
};
use ws_core::{Config, Connection, Event, Message, Role};
use ws_ext_deflate::Deflate;

/// Writes DEFLATE bit by bit.
#[derive(Default)]
struct Bits {
    octets: Vec<u8>,
    used: u32,
}

impl Bits {
    /// The lowest bit first.
    fn number(&mut self, value: u32, bits: u32) {
        for i in 0..bits {
            if self.used.is_multiple_of(8) {
                self.octets.push(0);
            }
            *self.octets.last_mut().unwrap() |= ((value >> i & 1) as u8) << (self.used % 8);
            self.used += 1;
        }
    }

    /// The highest bit first.
    fn code(&mut self, code: u32, bits: u32) {
        (0..bits).rev().for_each(|i| self.number(code >> i & 1, 1));
    }

    /// A block that has codes for everything, which take zlib long to read, and no data (RFC 1951
    /// §3.2.7).
    fn empty_dynamic_block(&mut self) {
        self.number(0, 1);
        self.number(2, 2);
        self.number(29, 5);
        self.number(29, 5);
        self.number(14, 4);
        for length in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1] {
            self.number(
                if length == 16 { 1 } else { 3 * u32::from(matches!(length, 4 | 5 | 8 | 9)) },
                3,
            );
        }
        for (code, times) in [(0b110, 226), (0b111, 60), (0b100, 2), (0b101, 28)] {
            self.code(code, 3);
            let mut left = times - 1;
            while left >= 3 {
                let repeats: u32 = left.min(6);
                self.code(0, 1);
                self.number(repeats - 3, 2);
                left -= repeats;
            }
            (0..left).for_each(|_| self.code(code, 3));
        }
        // The end of the block.
        self.code(482, 9);
    }
}

/// So many octets or a little more of blocks without data.
fn empty_dynamic_blocks(len: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    while bits.octets.len() < len {
        bits.empty_dynamic_block();
    }
    bits.number(0, 3);
    bits.octets
}

fn repeated(unit: &[u8], len: usize) -> Vec<u8> {
    let mut octets = unit.repeat(len / unit.len());
    octets.push(0);
    octets
}

/// How many calls it takes until the message is there, and how long that is.
fn calls(ws: &mut Connection, payload: &[u8]) -> (usize, usize) {
    let mut input = BytesMut::from(&masked(0xc2, payload)[..]);
    let mut calls = 0;
    loop {
        calls += 1;
        match ws.poll_event(&mut input) {
            Some(Event::Message(message)) => return (calls, message.len()),
            Some(Event::Yield) => {}
            other => panic!("{other:?}"),
        }
    }
}

const LEN: usize = 256 * 1024;

// RT-21
#[test]
fn blocks_without_data_are_inflated_a_few_at_a_time() {
    let units: [(&str, Vec<u8>); 5] = [
        ("03 00", repeated(b"\x03\x00", LEN)),
        ("stored", repeated(b"\x00\x00\x00\xff\xff", LEN)),
        ("stored, BFINAL", repeated(b"\x01\x00\x00\xff\xff", LEN)),
        ("one octet each, BFINAL", repeated(b"\x01\x01\x00\xfe\xffa", LEN)),
        ("codes", empty_dynamic_blocks(LEN)),
    ];
    for (name, payload) in units {
        let (calls, len) = calls(&mut server(Config::default()), &payload);
        println!("{name}: {calls} calls");
        assert!(len <= LEN / 6 && calls > 200, "{name}: {calls} calls");
    }
}

// RT-21
#[test]
fn small_messages_without_data_are_counted_together() {
    for payload in [empty_dynamic_blocks(600), repeated(b"\x03\x00", 600)] {
        let mut ws = server(Config::default());
        let mut input = BytesMut::from(&masked(0xc2, &payload).repeat(64)[..]);
        let (mut messages, mut yields) = (0, 0);
        while let Some(event) = ws.poll_event(&mut input) {
            match event {
                Event::Message(_) => messages += 1,
                Event::Yield => yields += 1,
                event => panic!("{event:?}"),
            }
        }
        assert_eq!(messages, 64);
        assert!(yields > 20, "{yields}");
    }
}

#[test]
fn ordinary_data_passes_in_large_steps() {
    let mut ext = server_for(&plain(), "");
    let words: String =
        (0_u32..60_000).map(|i| format!("{} ", i.wrapping_mul(2_654_435_761) % 5000)).collect();
    for (data, most) in
        [(&words.as_bytes()[..1 << 18], 30), (&noise(1 << 18, 1), 60), (&vec![0; 1 << 18], 6)]
    {
        let payload = encoded(&mut *ext, data);
        let mut ws = server(Config::default());
        let (calls, len) = calls(&mut ws, &payload);
        assert!(len == data.len() && calls <= most, "{calls} calls for {}", payload.len());
        // Small ones never stop, however many: what they cost is in proportion.
        let small = encoded(&mut *ext, &data[..1000]);
        let events = (0..1000)
            .map(|_| ws.poll_event(&mut BytesMut::from(&masked(0xc2, &small)[..])).unwrap());
        assert!(events.into_iter().all(|event| matches!(event, Event::Message(_))));
    }
}

#[test]
fn some_empty_blocks_in_a_message_are_nothing_special() {
    // As a sender leaves them that flushes often.
    let payload = [&b"\x00\x00\x00\xff\xff"[..]; 20].concat();
    let payload = [&payload[..], b"\xf2\x48\xcd\xc9\xc9\x07\x00"].concat();
    let mut ws = server(Config::default());
    for _ in 0..5 {
        assert_eq!(calls(&mut ws, &payload), (1, 5));
    }
}

/// A server that compresses every message on its own, so that what it sends depends on level and
/// message alone.
fn alone(options: Deflate) -> Connection {
    let deflate = options.server_no_context_takeover(true);
    let ext = server_for(&deflate, "server_no_context_takeover");
    connection(Role::Server, config(|config| config.max_frame = Some(usize::MAX)), ext)
}

/// What a message is sent as.
fn sent(ws: &mut Connection) -> Vec<(u8, Vec<u8>)> {
    let words: String =
        (0_u32..5000).map(|i| format!("{} ", i.wrapping_mul(2_654_435_761) % 700)).collect();
    ws.send(words).unwrap();
    frames(&written(ws))
}

/// A compressed message of the client.
fn receive(ws: &mut Connection, payload: &[u8], len: usize) {
    let events = feed(ws, &mut BytesMut::new(), &masked(0xc2, payload));
    let [Event::Message(Message::Binary(message))] = &events[..] else { panic!("{events:?}") };
    assert_eq!(message.len(), len);
}

#[test]
fn who_has_us_inflate_far_more_than_it_sent_is_compressed_for_at_level_1() {
    let mut ext = server_for(&plain(), "");
    let bomb = encoded(&mut *ext, &vec![0; 1 << 20]);
    let mut ext = server_for(&plain(), "");
    let ordinary = encoded(&mut *ext, &noise(1 << 16, 3));
    let at_level_1 = sent(&mut alone(plain().level(1)));
    for options in [plain(), plain().level(9), plain().level(6)] {
        let mut ws = alone(options);
        let usual = sent(&mut ws);
        assert_ne!(usual, at_level_1);
        receive(&mut ws, &bomb, 1 << 20);
        assert_eq!(sent(&mut ws), at_level_1);
        // It makes up for that by what inflates to as much as it is.
        let mut more = 0;
        while sent(&mut ws) != usual {
            assert_eq!(sent(&mut ws), at_level_1);
            receive(&mut ws, &ordinary, 1 << 16);
            more += 1;
        }
        assert!((1..=8).contains(&more), "{more}");
        // A little of it changes nothing.
        receive(&mut ws, &encoded(&mut *server_for(&plain(), ""), &[0; 4096]), 4096);
        assert_eq!(sent(&mut ws), usual);
    }
}

#[test]
fn client_that_sends_as_much_as_we_inflate_keeps_its_level() {
    let mut ws = alone(plain());
    let usual = sent(&mut ws);
    let mut ext = server_for(&plain(), "");
    let words: String =
        (0_u32..60_000).map(|i| format!("{} ", i.wrapping_mul(2_654_435_761) % 5000)).collect();
    let payload = encoded(&mut *ext, &words.as_bytes()[..1 << 18]);
    receive(&mut ws, &payload, 1 << 18);
    assert_eq!(sent(&mut ws), usual);
}
