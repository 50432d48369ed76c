//! What a broadcast is compressed to, for whom, and what it leaves behind.
#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::HashSet, thread};

use support::{
    connection, encoded_with, frames, noise, plain, reference::Reference, server_for, written,
};
use ws_core::{Broadcast, Config, Connection, Extension, Payload, Role, extension::Compression};
use ws_ext_deflate::Deflate;

const MARKED: u8 = 0xc1;
const PLAIN: u8 = 0x81;

/// Text of so many bytes in which little repeats near by.
fn text(len: usize) -> String {
    let mut text = String::new();
    let mut n = 1_u32;
    while text.len() < len {
        n = n.wrapping_mul(2_654_435_761).wrapping_add(1);
        text += &format!(r#"{{"user":"{}","price":{}}},"#, n % 1000, n >> 8);
    }
    text.truncate(len);
    text
}

fn server_of(options: Deflate) -> Connection {
    let deflate = options;
    connection(Role::Server, Config::default(), server_for(&deflate, "client_max_window_bits"))
}

/// The only frame that a connection sends.
fn only(ws: &mut Connection) -> (u8, Vec<u8>) {
    let mut sent = frames(&written(ws));
    assert_eq!(sent.len(), 1);
    sent.remove(0)
}

fn broadcast(ws: &mut Connection, broadcast: &Broadcast) -> (u8, Vec<u8>) {
    ws.send_broadcast(broadcast).unwrap();
    only(ws)
}

fn own(ws: &mut Connection, message: &str) -> (u8, Vec<u8>) {
    ws.send(message).unwrap();
    only(ws)
}

// R7692-7.1.2.1-e, T-B17
#[test]
fn windows_as_large_as_the_message_share_one_form() {
    for len in [
        200, 256, 257, 512, 513, 1000, 1024, 1025, 4000, 4096, 4097, 16_384, 32_768, 32_769, 60_000,
    ] {
        let message = Broadcast::new(text(len));
        let mut large_enough = HashSet::new();
        for bits in 8..=15_u8 {
            let mut forms = HashSet::new();
            for takeover in [true, false] {
                let options = plain().server_max_window_bits(bits);
                let mut ws = server_of(options.server_no_context_takeover(!takeover));
                own(&mut ws, &text(300));
                let (first, form) = broadcast(&mut ws, &message);
                assert_eq!(first, MARKED);
                // It refers back to nothing before it, and keeps to the window.
                let mut inflater = Reference::default();
                assert_eq!(inflater.message(&form).unwrap(), text(len).into_bytes());
                assert!(inflater.farthest <= 1 << bits, "{len} bytes, {bits} bits");
                forms.insert(form);
            }
            assert_eq!(forms.len(), 1, "context takeover makes no difference");
            if len <= 1 << bits {
                large_enough.extend(forms);
            }
        }
        assert_eq!(large_enough.len(), usize::from(len <= 1 << 15), "{len} bytes");
    }
}

#[test]
fn levels_have_forms_of_their_own() {
    let message = Broadcast::new(text(4000));
    let mut forms = HashSet::new();
    for level in [1, 6, 9, 1, 6, 9] {
        forms.insert(broadcast(&mut server_of(plain().level(level)), &message).1);
    }
    assert_eq!(forms.len(), 3);
}

#[test]
fn level_goes_by_the_length_of_a_message_unless_one_is_chosen() {
    let mut usual = server_of(plain().history(0));
    for (len, level) in [(4096, 7), (4097, 6), (4096, 7)] {
        let text = text(len);
        let expected = [6, 7].map(|level| {
            let mut ws = server_of(plain().history(0).level(level));
            let (form, sent) =
                (broadcast(&mut ws, &Broadcast::new(text.clone())), own(&mut ws, &text));
            assert_eq!(form, sent);
            sent
        });
        assert_ne!(expected[0], expected[1]);
        let expected = &expected[level - 6];
        assert_eq!(&broadcast(&mut usual, &Broadcast::new(text.clone())), expected, "{len} bytes");
        assert_eq!(&own(&mut usual, &text), expected, "{len} bytes");
    }
    // Nor does a long one go on at the level of the short one before it.
    let (mut usual, mut six) = (server_of(plain()), server_of(plain().level(6)));
    own(&mut six, &text(1000));
    own(&mut server_of(plain()), "in between");
    own(&mut usual, &text(1000));
    assert_eq!(own(&mut usual, &text(5000)), own(&mut six, &text(5000)));
}

// R7692-6-e
#[test]
fn threshold_and_hint_hold_for_broadcasts() {
    let (short, long) = (text(127), text(128));
    for (hint, expected) in [
        (Compression::Auto, [PLAIN, MARKED]),
        (Compression::Never, [PLAIN, PLAIN]),
        (Compression::Always, [MARKED, MARKED]),
    ] {
        let mut ws = server_of(Deflate::default());
        for (message, first) in [&short, &long].into_iter().zip(expected) {
            let message = Broadcast::with_compression(message.clone(), hint);
            let (sent, payload) = broadcast(&mut ws, &message);
            assert_eq!(sent, first, "{hint:?}");
            if first == PLAIN {
                assert_eq!(payload, message.message().as_bytes());
            }
            // A connection with another threshold is not held to it.
            let eager = broadcast(&mut server_of(plain()), &message).0;
            assert_eq!(eager == PLAIN, hint == Compression::Never);
        }
    }
}

// R7692-7.2.1-g
#[test]
fn empty_broadcast_is_one_octet_or_plain() {
    let always = Broadcast::with_compression("", Compression::Always);
    assert_eq!(broadcast(&mut server_of(plain()), &always), (MARKED, vec![0]));
    assert_eq!(broadcast(&mut server_of(plain()), &Broadcast::new("")), (PLAIN, vec![]));
}

#[test]
fn what_does_not_shrink_goes_out_plain_to_all_and_is_no_experience() {
    let data = noise(2000, 1);
    let mut ws = server_of(plain());
    for _ in 0..10 {
        let (first, payload) = broadcast(&mut ws, &Broadcast::new(data.clone()));
        assert_eq!((first, payload), (0x82, data.clone()));
    }
    // The first of its own is tried; of 8 times as many bytes none is.
    let first_of_own = |ws: &mut Connection, data: &[u8]| {
        ws.send(data).unwrap();
        only(ws).0
    };
    assert_eq!(first_of_own(&mut ws, &data), 0xc2);
    assert_eq!(first_of_own(&mut ws, &data), 0x82);
    // Nor does that hold for broadcasts, or they for it.
    let json = text(1000).into_bytes();
    for _ in 0..20 {
        assert_eq!(broadcast(&mut ws, &Broadcast::new(json.clone())).0, 0xc2);
    }
    assert_eq!(first_of_own(&mut ws, &data), 0x82);
    let always = Broadcast::with_compression(data, Compression::Always);
    assert_eq!(broadcast(&mut ws, &always).0, 0xc2);
}

// R7692-7.2.1-h
#[test]
fn message_behind_a_broadcast_refers_back_to_it() {
    let (a, b) = (text(400), text(1000));
    let mut ws = server_of(plain());
    let mut inflater = Reference::default();
    let mut read = |payload: &[u8], plain: &str| {
        assert_eq!(inflater.message(payload).unwrap(), plain.as_bytes());
        payload.len()
    };
    let afresh = read(&own(&mut ws, &a).1, &a);
    for _ in 0..3 {
        assert!(read(&own(&mut ws, &a).1, &a) < afresh / 4);
        read(&broadcast(&mut ws, &Broadcast::new(text(300))).1, &text(300));
        read(&broadcast(&mut ws, &Broadcast::new(b.clone())).1, &b);
        // A broadcast that goes out plain is in the window of nobody.
        broadcast(&mut ws, &Broadcast::with_compression(b.clone(), Compression::Never));
        broadcast(&mut ws, &Broadcast::new(noise(500, 1)));
        assert!(read(&own(&mut ws, &a).1, &a) < afresh / 4);
        // So does one that was sent before a rest, to the little that is kept.
        read(&broadcast(&mut ws, &Broadcast::new(b.clone())).1, &b);
        ws.park();
        let end = &b[b.len() - 200..];
        assert!(read(&own(&mut ws, end).1, end) < afresh / 4);
        read(&own(&mut ws, &a).1, &a);
    }
}

// R7692-x-mem
#[test]
fn broadcast_that_is_referred_back_to_is_counted_and_given_back() {
    let mut ws = server_of(plain().server_max_window_bits(12));
    let idle = ws.memory_usage();
    broadcast(&mut ws, &Broadcast::new(text(3000)));
    assert_eq!(ws.memory_usage(), idle, "nothing of its own was sent");
    own(&mut ws, &text(400));
    let before = ws.memory_usage();
    for len in [3000, 1000, 4096] {
        broadcast(&mut ws, &Broadcast::new(text(len)));
        assert_eq!(ws.memory_usage(), before + size_of::<Payload>() + len);
    }
    ws.park();
    assert!(ws.memory_usage() <= before);
    own(&mut ws, &text(400));
    let before = ws.memory_usage();
    broadcast(&mut ws, &Broadcast::new(text(4097)));
    assert_eq!(ws.memory_usage(), before, "it is larger than the window");
}

// R7692-7.1.1.1-d
#[test]
fn message_behind_a_broadcast_refers_back_to_nothing_without_context_takeover() {
    let mut ws = server_of(plain().server_no_context_takeover(true));
    let afresh = own(&mut ws, &text(400)).1;
    for _ in 0..2 {
        broadcast(&mut ws, &Broadcast::new(text(3000)));
        assert_eq!(own(&mut ws, &text(400)).1, afresh);
    }
}

// RT-51, R7692-x-pool
#[test]
fn rt_51_form_does_not_depend_on_what_was_compressed_before() {
    let (secret, guess) = (text(3000), text(2999));
    // What an extension alone makes of it.
    let options = plain().server_no_context_takeover(true).server_max_window_bits(12);
    let deflate = options;
    let alone = |message: &str| {
        let mut ext = server_for(&deflate, "");
        encoded_with(&mut *ext, &[message.as_bytes()], usize::MAX, Compression::Always).unwrap()
    };
    for (before, then) in [(&secret, &guess), (&guess, &secret), (&secret, &secret)] {
        for message in [before, then] {
            let mut ws = server_of(plain());
            let form = broadcast(&mut ws, &Broadcast::new(message.clone())).1;
            assert_eq!(form, alone(message));
        }
        // One that is given up half-way leaves nothing behind either.
        let large = Broadcast::new(secret.repeat(50));
        server_of(plain()).send_broadcast(&large).unwrap();
        drop(large);
    }
}

// R7692-x-pool
#[test]
fn broadcasts_at_a_time_do_not_meet() {
    thread::scope(|scope| {
        for number in 0..8_usize {
            scope.spawn(move || {
                for round in 0..20 {
                    let message = text(1000 + 100 * number + round);
                    let mut ws = server_of(plain().level(1 + (round % 9) as u8));
                    let form = broadcast(&mut ws, &Broadcast::new(message.clone())).1;
                    let read = Reference::default().message(&form).unwrap();
                    assert_eq!(read, message.into_bytes());
                }
            });
        }
    });
}

#[test]
fn extension_says_what_it_shares_without_changing() {
    let deflate = plain();
    let mut ext: Box<dyn Extension> = server_for(&deflate, "");
    let info = support::info(ws_core::MessageKind::Text, Some(1000), Compression::Auto);
    let sharing = ext.sharing().unwrap();
    assert_eq!(sharing.form(&info), sharing.form(&info));
    assert!(sharing.encoder(&info).is_some());
    sharing.sent(&Payload::from("x"));
    let unknown = support::info(ws_core::MessageKind::Text, None, Compression::Auto);
    assert_eq!(sharing.form(&unknown), None);
    assert!(sharing.encoder(&unknown).is_none());
}
