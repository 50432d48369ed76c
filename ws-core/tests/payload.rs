//! Payloads keep their bytes, and share them where they are many.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use ws_core::{Connection, Event, Extensions, Message, Payload, Role};
use ws_tests_support::{
    engine::{config, feed, written},
    frame::{BINARY, KEY, frames, masked},
};

/// The most bytes that a payload holds without an allocation.
const INLINE: usize = 32;

#[test]
fn payloads_of_all_sizes_around_the_inline_bound_keep_their_bytes() {
    for len in 0..3 * INLINE {
        let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
        assert_eq!(Payload::from(data.clone()).as_slice(), data);
        assert_eq!(Payload::from(data.as_slice()).as_slice(), data);
        assert_eq!(Bytes::from(Payload::from(Bytes::from(data.clone()))), data);
        assert_eq!(Vec::from(Payload::from(data.clone())), data);
    }
}

#[test]
fn large_payload_is_shared_not_copied() {
    let bytes = Bytes::from(vec![7; 1000]);
    let at = bytes.as_ptr();
    let back: Bytes = Payload::from(bytes).into();
    assert_eq!(back.as_ptr(), at);
}

#[test]
fn slices_share_the_buffer_of_a_large_payload() {
    for len in [0, 5, INLINE, INLINE + 1, 1000] {
        let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let payload = Payload::from(data.clone());
        for (start, end) in [(0, len), (len / 3, len), (0, len / 2), (len / 3, len / 2)] {
            assert_eq!(payload.slice(start..end).unwrap(), data[start..end]);
        }
        assert_eq!(payload.slice(..).unwrap(), payload);
        assert_eq!(payload.slice(..len + 1), None);
        assert_eq!(payload.slice(len + 1..), None);
        assert_eq!(payload.slice(..=usize::MAX), None);
    }
    let payload = Payload::from(vec![7; 1000]);
    let part = Bytes::from(payload.slice(100..900).unwrap());
    assert_eq!(part.as_ptr(), payload[100..].as_ptr());
}

// R6455-5.4-b
#[test]
fn payload_that_is_cut_into_frames_keeps_its_bytes() {
    for len in 2..3 * INLINE {
        let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let config = config(|config| config.max_sent_frame = len.div_ceil(2));
        let mut ws = Connection::new(Role::Server, config, Extensions::none());
        ws.send(data.clone()).unwrap();
        let sent = frames(&written(&mut ws));
        assert_eq!(sent.len(), 2);
        assert_eq!([&sent[0].payload[..], &sent[1].payload].concat(), data);
    }
}

/// A payload in the buffer that it was read into.
fn received(data: &[u8]) -> Payload {
    let mut ws = Connection::new(Role::Server, config(|_| {}), Extensions::none());
    match feed(&mut ws, &mut BytesMut::new(), &masked(BINARY, KEY, data)).pop() {
        Some(Event::Message(Message::Binary(payload))) => payload,
        other => panic!("{other:?}"),
    }
}

#[test]
fn equal_payloads_have_equal_hashes() {
    let set: HashSet<Payload> = [&b"abc"[..], &[7; 1000]].map(Payload::from).into();
    assert!(set.contains(&Payload::from(Bytes::from_static(b"abc"))));
    assert!(set.contains(&received(&[7; 1000])));
}
