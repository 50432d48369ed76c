//! Payloads whose meaning is known (RFC 7692 §7.2.3), and what our encoder makes.
#![allow(clippy::unwrap_used)]

mod support;

use support::{
    client, client_for, decoded, decoded_in, encoded, encoded_in, plain, server_for, text, unmasked,
};
use ws_core::{CloseCode, Config, Extension};

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];

fn inflating() -> Box<dyn Extension> {
    client_for(&plain(), "")
}

/// Decodes messages one after the other: whole, and with every cut and small rooms.
fn decodes(messages: &[(&[u8], &[u8])]) {
    for room in [1, 2, 3, 7, usize::MAX] {
        let mut ext = inflating();
        for (payload, plain) in messages {
            assert_eq!(decoded_in(&mut *ext, &[payload], room).unwrap(), *plain);
        }
        let longest = messages.iter().map(|(payload, _)| payload.len()).max();
        for cut in 0..=longest.unwrap() {
            let mut ext = inflating();
            for (payload, plain) in messages {
                let (a, b) = payload.split_at(cut.min(payload.len()));
                assert_eq!(decoded_in(&mut *ext, &[a, b], room).unwrap(), *plain);
            }
        }
        let mut ext = inflating();
        for (payload, plain) in messages {
            let mut octets: Vec<&[u8]> = payload.chunks(1).collect();
            octets.insert(0, &[]);
            octets.push(&[]);
            assert_eq!(decoded_in(&mut *ext, &octets, room).unwrap(), *plain);
        }
    }
}

// R7692-7.2.2-a, R7692-6-a, R7692-6-i
#[test]
fn hello_in_one_frame_and_in_fragments_cut_anywhere() {
    decodes(&[(&HELLO, b"Hello")]);
    let new = || client(Config::default());
    assert_eq!(support::receive(new, b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"), [text("Hello")]);
    assert_eq!(
        support::receive(new, b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00"),
        [text("Hello")]
    );
    for cut in 0..=HELLO.len() {
        let (a, b) = HELLO.split_at(cut);
        let wire = [unmasked(0x41, a), unmasked(0x00, b""), unmasked(0x80, b)].concat();
        assert_eq!(support::receive(new, &wire), [text("Hello")]);
    }
}

// R7692-7.1.1.2-c, R7692-6-i
#[test]
fn second_hello_refers_back_to_the_first() {
    decodes(&[(&HELLO, b"Hello"), (&AGAIN, b"Hello"), (&AGAIN, b"Hello")]);
}

// R7692-7.1.1.2-d, R7692-7.2.2-g, R7692-x-pool
#[test]
fn reference_to_nothing_is_an_error_and_no_zeros() {
    let error = decoded(&mut *inflating(), &AGAIN).unwrap_err();
    assert_eq!(error.code(), CloseCode::INVALID_PAYLOAD);
    let mut ext = client_for(&plain(), "server_no_context_takeover");
    assert_eq!(decoded(&mut *ext, &HELLO).unwrap(), b"Hello");
    let error = decoded(&mut *ext, &AGAIN).unwrap_err();
    assert_eq!(error.code(), CloseCode::INVALID_PAYLOAD);
    // The server's inflater, when the client starts every message afresh.
    let agreed = plain().client_no_context_takeover(true);
    let mut ext = server_for(&agreed, "");
    assert_eq!(decoded(&mut *ext, &HELLO).unwrap(), b"Hello");
    assert!(decoded(&mut *ext, &AGAIN).is_err());
}

// R7692-7.2.2-b, R7692-7.2.1-d
#[test]
fn stored_block() {
    decodes(&[(b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", b"Hello")]);
}

// R7692-7.2.2-c, R7692-7.2.1-d, R7692-7.2.1-e
#[test]
fn block_with_bfinal_padded_and_not() {
    let padded: (&[u8], &[u8]) = (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"Hello");
    let bare: (&[u8], &[u8]) = (b"\xf3\x48\xcd\xc9\xc9\x07\x00", b"Hello");
    decodes(&[padded]);
    decodes(&[bare]);
    decodes(&[padded, bare, (&HELLO, b"Hello"), bare, padded]);
}

// R7692-7.2.2-d
#[test]
fn two_blocks() {
    decodes(&[(b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", b"Hello")]);
}

// R7692-7.2.2-e
#[test]
fn blocks_go_on_behind_bfinal() {
    let twice =
        [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00].into_iter().chain(HELLO).collect::<Vec<u8>>();
    decodes(&[(&twice, b"HelloHello"), (&HELLO, b"Hello"), (&AGAIN, b"Hello")]);
}

// R7692-7.2.2-f
#[test]
fn four_ways_to_say_nothing() {
    let nothing: [&[u8]; 4] = [b"\x00", b"", b"\x02\x00", b"\x03\x00"];
    for payload in nothing {
        decodes(&[(payload, b"")]);
        decodes(&[
            (payload, b""),
            (&HELLO, b"Hello"),
            (payload, b""),
            (payload, b""),
            (&HELLO, b"Hello"),
        ]);
        let wire = [unmasked(0xc1, payload), unmasked(0xc1, &HELLO)].concat();
        let new = || client(Config::default());
        assert_eq!(support::receive(new, &wire), [text(""), text("Hello")]);
    }
    // All but the one with BFINAL leave the history as it was.
    for payload in &nothing[..3] {
        decodes(&[(&HELLO, b"Hello"), (payload, b""), (&AGAIN, b"Hello")]);
    }
}

// R7692-7.2.2-g
#[test]
fn corrupt_data_is_1007() {
    let corrupt: [&[u8]; 5] = [
        b"\x07",
        b"\x06",
        b"\xff\xff",
        b"\xff\xff\xff\xff",
        b"\x00\x05\x00\xff\xff\x48\x65\x6c\x6c\x6f\x00",
    ];
    for payload in corrupt {
        for size in [1, usize::MAX] {
            let pieces: Vec<&[u8]> = payload.chunks(size.min(payload.len())).collect();
            let error = decoded_in(&mut *inflating(), &pieces, usize::MAX).unwrap_err();
            assert_eq!(error.code(), CloseCode::INVALID_PAYLOAD);
        }
        let wire = [unmasked(0xc1, &HELLO), unmasked(0xc1, payload)].concat();
        let (before, code, _) = support::fails(|| client(Config::default()), &wire);
        assert_eq!(before, [text("Hello")]);
        assert_eq!(code, CloseCode::INVALID_PAYLOAD);
    }
}

// R7692-7.2.2-j
#[test]
fn truncated_block_is_no_error_and_leaves_the_history_whole() {
    decodes(&[(b"\xf2\x48\xcd", b"Heh"), (&HELLO, b"Hello"), (&AGAIN, b"Hello")]);
}

// R7692-7.2.1-a, R7692-7.2.1-b
#[test]
fn hello_as_we_write_it() {
    for room in [1, 2, 3, 4, 5, 6, 7, 8, 11, 100, 127, 128, 129, usize::MAX] {
        let mut ext = inflating();
        assert_eq!(encoded_in(&mut *ext, &[b"Hello"], room), HELLO);
        assert_eq!(encoded_in(&mut *ext, &[b"Hel", b"", b"lo", b""], room), AGAIN);
        assert_eq!(encoded_in(&mut *ext, &[b""], room), [0x00]);
        assert_eq!(encoded_in(&mut *ext, &[b"", b"", b""], room), [0x00]);
        assert_eq!(encoded(&mut *ext, b"Hello"), [0x02, 0x13, 0x00, 0x00]);
    }
}
