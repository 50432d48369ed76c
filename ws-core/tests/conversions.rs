//! What becomes a message, a payload or a text, and what they become.
#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use ws_core::{Message, NotText, Payload, Text};

#[test]
fn every_kind_of_bytes_is_a_payload_and_a_binary_message() {
    for bytes in [b"abc".to_vec(), vec![7; 1000]] {
        let payload = Payload::from(&bytes);
        let messages: [Message; 8] = [
            payload.clone().into(),
            Bytes::from(bytes.clone()).into(),
            BytesMut::from(&bytes[..]).into(),
            bytes.clone().into(),
            bytes.clone().into_boxed_slice().into(),
            Cow::Borrowed(&bytes[..]).into(),
            bytes.as_slice().into(),
            (&bytes).into(),
        ];
        for message in messages {
            assert_eq!(message, Message::Binary(payload.clone()));
            assert_eq!(message.as_ref(), bytes);
            assert_eq!(message.as_text(), None);
            assert_eq!(String::try_from(message.clone()), Err(NotText(payload.clone())));
            assert_eq!(Payload::from(message.clone()), payload);
            assert_eq!(Bytes::from(message.clone()), bytes);
            assert_eq!(Vec::from(message), bytes);
        }
    }
    assert_eq!(Message::from(b"abc"), Message::from([b'a', b'b', b'c']));
    assert_eq!(Payload::from(String::from("abc")), Payload::from([b'a', b'b', b'c']));
}

#[test]
fn every_kind_of_text_is_a_text_message() {
    let text = "gr\u{fc}\u{df}e".to_string();
    let messages: [Message; 6] = [
        Text::from("gr\u{fc}\u{df}e").into(),
        text.clone().into(),
        text.clone().into_boxed_str().into(),
        Cow::Borrowed(text.as_str()).into(),
        text.as_str().into(),
        (&text).into(),
    ];
    for message in messages {
        assert_eq!(message.as_text(), Some(text.as_str()));
        assert_eq!(String::try_from(message.clone()).unwrap(), text);
        assert_eq!(Vec::from(message.clone()), text.as_bytes());
        assert_eq!(Vec::from(Text::try_from(message).unwrap()), text.as_bytes());
    }
    assert_eq!(Text::try_from(text.clone().into_bytes()).unwrap(), *text);
    assert!(Text::try_from(vec![0xff]).is_err());
}

// R6455-6.1-c
#[test]
fn text_is_utf8_by_construction() {
    assert_eq!(Text::try_from(Bytes::from_static(b"\xe2\x82")).unwrap_err().0.len(), 2);
    let long: String = "grüße ".repeat(100);
    let text = Text::try_from(Bytes::from(long.clone())).unwrap();
    assert_eq!((text.as_str(), text.len()), (long.as_str(), long.len()));
    assert_eq!((text.to_string(), String::from(text)), (long.clone(), long));
    assert!(Text::default().is_empty());
}
