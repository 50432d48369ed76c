//! After a failure nothing goes on, and after BFINAL nothing is left over.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::BytesMut;
use support::{
    client, client_for, config, decoded, decoded_in, encoded, fails, feed, noise, plain, receive,
    text, unmasked,
};
use ws_core::{CloseCode, Config, Event, Fault};

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];
const FINAL: [u8; 7] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

// R7692-7.2.2-g, RT-25
#[test]
fn rt_25_connection_is_dead_after_corrupt_data() {
    for payload in [&[0x07][..], &AGAIN, &[0xff; 40]] {
        for after in 0..=HELLO.len() {
            let mut ws = client(Config::default());
            let mut input = BytesMut::new();
            let events = feed(&mut ws, &mut input, &unmasked(0xc1, payload));
            assert!(matches!(events[..], [Event::Closing, Event::Closed(_)]));
            let more = [unmasked(0xc1, &HELLO), unmasked(0x80, &HELLO[..after])].concat();
            assert_eq!(feed(&mut ws, &mut input, &more), []);
            assert!(ws.send("late").is_err());
            drop(ws);
        }
    }
}

// RT-25
#[test]
fn rt_25_connection_is_dead_after_too_much_output() {
    let new = || client(config(|config| config.max_message = 4));
    let wire = [unmasked(0xc1, &HELLO), unmasked(0xc1, &HELLO)].concat();
    let (before, code, fault) = fails(new, &wire);
    assert_eq!((before.len(), code), (0, CloseCode::MESSAGE_TOO_BIG));
    assert_eq!(fault, Fault::MessageTooBig { limit: 4 });
    let mut ws = new();
    let mut input = BytesMut::new();
    feed(&mut ws, &mut input, &wire);
    assert_eq!(feed(&mut ws, &mut input, &wire), []);
    // One byte more is enough room.
    let new = || client(config(|config| config.max_message = 5));
    assert_eq!(receive(new, &unmasked(0xc1, &HELLO)), [text("Hello")]);
}

// RT-25
#[test]
fn rt_25_extension_stays_failed() {
    let mut ext = client_for(&plain(), "");
    assert!(decoded(&mut *ext, &[0x07]).is_err());
    for _ in 0..3 {
        let error = decoded(&mut *ext, &HELLO).unwrap_err();
        assert_eq!(error.code(), CloseCode::INVALID_PAYLOAD);
        ext.park();
    }
    // The other direction is not concerned.
    assert_eq!(encoded(&mut *ext, b"Hello"), HELLO);
}

// R7692-7.2.2-e, RT-26, D-14
#[test]
fn rt_26_second_message_is_what_was_sent_whatever_followed_bfinal() {
    let behind: [(&[u8], &[u8]); 5] = [
        (b"", b"Hello"),
        (b"\x00", b"Hello"),
        (&HELLO, b"HelloHello"),
        (&FINAL, b"HelloHello"),
        (b"\x03\x00\x03\x00", b"Hello"),
    ];
    for (behind, first) in behind {
        let payload = [&FINAL, behind].concat();
        for room in [1, 5, 6, usize::MAX] {
            for size in [1, 2, 7, 100] {
                let mut ext = client_for(&plain(), "");
                let pieces: Vec<&[u8]> = payload.chunks(size).collect();
                assert_eq!(decoded_in(&mut *ext, &pieces, room).unwrap(), first);
                assert_eq!(decoded(&mut *ext, &HELLO).unwrap(), b"Hello");
                assert_eq!(decoded(&mut *ext, &AGAIN).unwrap(), b"Hello");
            }
        }
    }
    for garbage in [&[0x07][..], &[0xff, 0xff], &AGAIN] {
        let payload = [&FINAL, garbage].concat();
        let (_, code, _) = fails(|| client(Config::default()), &unmasked(0xc1, &payload));
        assert_eq!(code, CloseCode::INVALID_PAYLOAD);
    }
}

// R7692-7.2.2-e, RT-26, D-14
#[test]
fn rt_26_nothing_refers_back_across_bfinal() {
    for payload in [&FINAL[..], b"\x03\x00"] {
        let wire =
            [unmasked(0xc1, &HELLO), unmasked(0xc1, payload), unmasked(0xc1, &AGAIN)].concat();
        let bare = payload.len() == 2;
        let (before, code, _) = fails(|| client(Config::default()), &wire);
        assert_eq!(before.len(), 2);
        assert_eq!(before[1], text(if bare { "" } else { "Hello" }));
        assert_eq!(code, CloseCode::INVALID_PAYLOAD);
    }
}

// R7692-7.2.2-j, R7692-7.2.2-g
#[test]
fn truncated_and_mutilated_messages_end_somehow() {
    let mut writer = client_for(&plain(), "");
    let data = [support::repetitive(4_000, 500), noise(300, 2)].concat();
    let payload = encoded(&mut *writer, &data);
    for cut in 0..payload.len() {
        let mut ext = client_for(&plain(), "");
        if decoded(&mut *ext, &payload[..cut]).is_ok() {
            assert_eq!(decoded(&mut *ext, &HELLO).unwrap(), b"Hello");
        }
    }
    for seed in 0..2_000_u64 {
        let mut bad = payload.clone();
        let at = (seed as usize * 7919) % bad.len();
        bad[at] ^= 1 << (seed % 8);
        let mut ext = client_for(&plain(), "");
        let whole = decoded(&mut *ext, &bad);
        let mut ext = client_for(&plain(), "");
        let pieces: Vec<&[u8]> = bad.chunks(1 + at % 50).collect();
        let cut = decoded_in(&mut *ext, &pieces, 1 + at % 300);
        assert!(whole == cut, "seed {seed}");
    }
}
