//! The dialogue in MDN's "Writing WebSocket servers", section "Message fragmentation":
//!
//! ```text
//! Client: FIN=1, opcode=0x1, msg="hello"      Server: (process complete message immediately) Hi.
//! Client: FIN=0, opcode=0x1, msg="and a"      Server: (listening, new message containing text started)
//! Client: FIN=0, opcode=0x0, msg="happy new"  Server: (listening, payload concatenated to previous message)
//! Client: FIN=1, opcode=0x0, msg="year!"      Server: (process complete message) Happy new year to you too!
//! ```

mod support;

use bytes::BytesMut;
use support::{feed, receive, server, text, written};
use ws_core::Event;

/// The four frames, masked with 01 02 03 04.
const FRAMES: [&[u8]; 4] = [
    b"\x81\x85\x01\x02\x03\x04\x69\x67\x6f\x68\x6e",
    b"\x01\x85\x01\x02\x03\x04\x60\x6c\x67\x24\x60",
    b"\x00\x89\x01\x02\x03\x04\x69\x63\x73\x74\x78\x22\x6d\x61\x76",
    b"\x80\x85\x01\x02\x03\x04\x78\x67\x62\x76\x20",
];

// MDN-9, R6455-5.4-a, R6455-5.4-b, R6455-5.4-g
#[test]
fn server_answers_each_message_when_it_is_complete() {
    let mut ws = server();
    let mut input = BytesMut::new();
    let answers = FRAMES.map(|frame| {
        for event in feed(&mut ws, &mut input, frame) {
            match event {
                Event::Message(message) if message.as_bytes() == b"hello" => ws.send("Hi."),
                Event::Message(message) => {
                    assert_eq!(message.as_bytes(), b"and ahappy newyear!");
                    ws.send("Happy new year to you too!")
                }
                event => panic!("{event:?}"),
            }
            .unwrap();
        }
        written(&mut ws)
    });
    assert_eq!(answers[0], b"\x81\x03Hi.");
    assert_eq!(answers[1], b"");
    assert_eq!(answers[2], b"");
    assert_eq!(answers[3], b"\x81\x1aHappy new year to you too!");
}

// MDN-9, R6455-6.2-b
#[test]
fn dialogue_reads_the_same_however_it_is_cut() {
    let seen = receive(server, &FRAMES.concat());
    assert_eq!(seen.events, [text("hello"), text("and ahappy newyear!")]);
    assert_eq!(seen.sent, b"");
}
