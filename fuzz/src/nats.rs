//! What ws-nats reads from NATS: subjects, headers of publications, what nodes tell each other, positions
//! of clients. What is read is written again as it was.

use std::str;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use ws_nats::{Position, fuzzing};

use crate::{input::Input, is_shown};

const NAMES: [&str; 7] =
    ["Ws-Kind", "Ws-Compression", "Ws-Key", "Ws-Except", "Ws-Slow", "Ws-From", "Nats-Msg-Id"];
const VALUES: [&str; 14] = [
    "text",
    "binary",
    "always",
    "never",
    "close",
    "drop-oldest",
    "drop-newest",
    "0000000000000abc.7",
    "0000000000000abd.7",
    "abc.18446744073709551616",
    "0000000000000abc",
    "+1",
    "%41%20%c3%bc",
    "%ff",
];
/// This node.
const HERE: u64 = 0xabc;

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 5 {
        0 => subjects(input.0),
        1 | 2 => publication(&mut input),
        3 => envelope(input.0),
        _ => position(input.0),
    }
}

fn subjects(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let (subject, back) = fuzzing::stored_and_back("a.b", &text);
    assert_eq!(back.as_deref(), Some(&*text));
    let token = subject.strip_prefix("a.b.h.").expect("below its prefix");
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_=".contains(&octet);
    assert!(!token.is_empty() && token.bytes().all(plain), "{token:?}");
    assert!(token.len() <= 3 * text.len() + 1);
    for subject in [&*text, &*format!("a.b.p.{text}")] {
        if let Some((topic, again)) = fuzzing::presence_topic("a.b", subject) {
            assert_eq!(again, subject, "{topic:?} has two subjects");
        }
    }
}

fn publication(input: &mut Input<'_>) {
    let mut headers = HeaderMap::new();
    for _ in 0..input.byte() % 8 {
        let which = input.byte();
        let name = NAMES[usize::from(which) % NAMES.len()];
        let value = match which {
            0..=199 => input.pick(&VALUES).to_owned(),
            _ => String::from_utf8_lossy(input.short()).into_owned(),
        };
        let Ok(value) = value.parse::<HeaderValue>() else { continue };
        headers.append(HeaderName::from_static(name), value);
    }
    let payload = Bytes::copy_from_slice(input.0);
    let read = fuzzing::reread(&headers, payload.clone(), HERE);
    if is_shown() {
        eprintln!("{headers:?} {payload:?}: {read:?}");
    }
    let Some((again, same, size)) = read else { return };
    assert_eq!(same, payload);
    assert!(size >= payload.len());
    // Nothing is damaged by being passed on, and the second time it is the same.
    let twice = fuzzing::reread(&again, same, HERE).expect("our own message can be read");
    assert_eq!(twice, (again, payload, size));
}

fn envelope(octets: &[u8]) {
    let Some(again) = fuzzing::envelope(octets) else { return };
    assert_eq!(fuzzing::envelope(&again).as_ref(), Some(&again), "read back");
    assert!(again.len() <= 64 * octets.len() + 64, "{} of {}", again.len(), octets.len());
}

fn position(octets: &[u8]) {
    if let Ok(text) = str::from_utf8(octets)
        && let Ok(position) = text.parse::<Position>()
    {
        assert_eq!(position.to_string(), text, "a position has one text");
    }
}
