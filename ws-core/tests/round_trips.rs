//! Two connections that talk, and one that is treated badly.
#![allow(clippy::unwrap_used)]

use bytes::{Buf, BytesMut};
use proptest::prelude::*;
use ws_core::{
    CloseCode, ClosedBy, Connection, Event, Extensions, Message, MessageKind, Outgoing, Payload,
    Receive, SendError,
    extension::{Chunk, Compression, ExtensionError, RsvClaim, Scope, Sink},
};
use ws_tests_support::{
    engine::{config, written},
    extension::{self, Stub, named, pass},
    frame::{CLOSE, Frame, frames},
    peer::{Item, bytes, payload, side, stack, stream},
    side::Side,
};

fn hint() -> impl Strategy<Value = Compression> {
    prop_oneof![Just(Compression::Auto), Just(Compression::Never), Just(Compression::Always)]
}

/// Text wherever the bytes are text.
fn to_message(text: bool, data: &[u8]) -> Message {
    match String::from_utf8(data.to_vec()) {
        Ok(data) if text => Message::text(data),
        _ => Message::binary(data),
    }
}

// Two that talk.

#[derive(Clone, Debug)]
enum Talk {
    Send(bool, Vec<u8>, Compression),
    /// A message in pieces of these sizes, with a Ping and a write behind each.
    Streamed(bool, Vec<u8>, Vec<usize>, Compression),
    Ping(Vec<u8>),
    /// So many bytes reach the other end.
    Carry(usize),
}

fn talk() -> impl Strategy<Value = Talk> {
    let sizes = prop::collection::vec(0..300_usize, 0..6);
    prop_oneof![
        3 => (any::<bool>(), payload(), hint()).prop_map(|(t, d, h)| Talk::Send(t, d, h)),
        2 => (any::<bool>(), payload(), sizes, hint())
            .prop_map(|(t, d, s, h)| Talk::Streamed(t, d, s, h)),
        2 => prop::collection::vec(any::<u8>(), 0..126).prop_map(Talk::Ping),
        3 => (0..3000_usize).prop_map(Talk::Carry),
        1 => (0..200_000_usize).prop_map(Talk::Carry),
    ]
}

/// One of the two, with what it said and heard.
struct End {
    ws: Connection,
    input: BytesMut,
    said: Vec<Message>,
    heard: Vec<Message>,
    pings: Vec<Payload>,
    pinged: Vec<Payload>,
    ponged: Vec<Payload>,
    closed: Option<(CloseCode, ClosedBy, bool)>,
    /// A message that comes in pieces.
    pieces: Option<(MessageKind, Vec<u8>)>,
}

impl End {
    fn new(side: Side, which: usize, max: usize, receive: Receive) -> Self {
        let config = config(|config| {
            config.max_sent_frame = max;
            config.max_fragments = 100_000;
            config.receive = receive;
        });
        Self {
            ws: side.connection_with(config, stack(which)),
            input: BytesMut::new(),
            said: Vec::new(),
            heard: Vec::new(),
            pings: Vec::new(),
            pinged: Vec::new(),
            ponged: Vec::new(),
            closed: None,
            pieces: None,
        }
    }

    fn ping(&mut self, data: &[u8]) {
        self.ws.ping(data).unwrap();
        self.pings.push(data.into());
    }

    /// Carries at most `n` bytes to the other end. Whether there were any.
    fn carry(&mut self, mut n: usize, to: &mut Self) -> bool {
        let mut any = false;
        while n > 0 {
            let Some(output) = self.ws.poll_output() else {
                if self.ws.has_more_to_encode() {
                    continue;
                }
                break;
            };
            let step = n.min(output.chunk().len());
            to.input.extend_from_slice(&output.chunk()[..step]);
            output.advance(step);
            n -= step;
            any = true;
        }
        to.listen();
        any
    }

    fn listen(&mut self) {
        while let Some(event) = self.ws.poll_event(&mut self.input) {
            match event {
                Event::Message(message) => self.heard.push(message),
                Event::Start(kind) => self.pieces = Some((kind, Vec::new())),
                Event::Chunk(chunk) => self.pieces.as_mut().unwrap().1.extend_from_slice(&chunk),
                Event::End => {
                    let (kind, data) = self.pieces.take().unwrap();
                    self.heard.push(match kind {
                        MessageKind::Text => Message::text(String::from_utf8(data).unwrap()),
                        MessageKind::Binary => Message::binary(data),
                    });
                }
                Event::Ping(data) => self.pinged.push(data),
                Event::Pong(data) => self.ponged.push(data),
                Event::Closing | Event::Yield => {}
                Event::Closed(closed) => {
                    assert_eq!(closed.fault, None);
                    self.closed = Some((closed.code, closed.by, closed.clean));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn say(from: &mut End, to: &mut End, talk: Talk) {
    match talk {
        Talk::Send(text, data, hint) => {
            let message = to_message(text, &data);
            from.said.push(message.clone());
            from.ws.send_with(message, hint).unwrap();
        }
        Talk::Streamed(text, data, sizes, hint) => {
            let message = to_message(text, &data);
            from.ws.start_message_with(message.kind(), hint).unwrap();
            let mut rest = message.as_bytes();
            for size in sizes {
                let (piece, left) = rest.split_at(size.min(rest.len()));
                from.ws.send_chunk(piece).unwrap();
                assert_eq!(from.ws.send("between"), Err(SendError::MessageInProgress));
                from.ping(b"between");
                from.carry(7 * size, to);
                rest = left;
            }
            from.ws.finish_message(rest).unwrap();
            from.said.push(message);
        }
        Talk::Ping(data) => from.ping(&data),
        Talk::Carry(n) => {
            from.carry(n, to);
        }
    }
}

/// Each Pong answers a Ping, in order, and the newest Ping is answered.
fn check_pongs(pinging: &End, answering: &End) {
    assert_eq!(pinging.pings, answering.pinged);
    let mut pings = pinging.pings.iter();
    for pong in &pinging.ponged {
        assert!(pings.any(|ping| ping == pong), "{pong:?} out of order");
    }
    assert_eq!(pinging.pings.last(), pinging.ponged.last());
}

proptest! {
    // R6455-5.4-a, R6455-5.5.2-a
    #[test]
    fn what_one_end_says_the_other_hears(
        talks in prop::collection::vec((any::<bool>(), talk()), 0..20),
        which in 0..8_usize,
        max in prop_oneof![Just(1_usize), Just(100), Just(5000), Just(usize::MAX)],
        streaming in any::<bool>(),
        server_closes in any::<bool>(),
    ) {
        // Frames of one byte are for small messages.
        let small = |data: &Vec<u8>| max > 1 || data.len() < 1000;
        let receive = if streaming { Receive::Streaming } else { Receive::Messages };
        let mut server = End::new(Side::Server, which, max, receive);
        let mut client = End::new(Side::Client, which, usize::MAX, Receive::Messages);
        for (by_server, talk) in talks {
            if let Talk::Send(_, data, _) | Talk::Streamed(_, data, ..) = &talk
                && !small(data)
            {
                continue;
            }
            if by_server {
                say(&mut server, &mut client, talk);
            } else {
                say(&mut client, &mut server, talk);
            }
        }
        while server.carry(usize::MAX, &mut client) | client.carry(usize::MAX, &mut server) {}
        prop_assert_eq!(&server.said, &client.heard);
        prop_assert_eq!(&client.said, &server.heard);
        check_pongs(&server, &client);
        check_pongs(&client, &server);
        for end in [&server, &client] {
            prop_assert_eq!(end.ws.memory_usage(), 0);
            prop_assert_eq!(end.ws.unfinished(), None);
            prop_assert!(end.input.is_empty());
        }

        let (first, second) = if server_closes {
            (&mut server, &mut client)
        } else {
            (&mut client, &mut server)
        };
        first.ws.close(CloseCode::GOING_AWAY, "bye").unwrap();
        prop_assert!(first.ws.is_close_awaited());
        while first.carry(usize::MAX, second) | second.carry(usize::MAX, first) {}
        let code = CloseCode::GOING_AWAY;
        prop_assert_eq!(first.closed, Some((code, ClosedBy::Local, true)));
        prop_assert_eq!(second.closed, Some((code, ClosedBy::Peer, true)));
        prop_assert!(server.ws.is_closed());
        client.ws.input_ended();
        prop_assert!(client.ws.is_closed());
    }
}

// One that is treated badly.

#[derive(Clone, Debug)]
enum Call {
    Send(bool, Vec<u8>, Compression),
    Start(bool, Compression),
    Chunk(Vec<u8>),
    Finish(Vec<u8>),
    Ping(usize),
    Pong(usize),
    Close(u16, usize),
    Fail(u16, usize),
    Park,
    InputEnded,
    /// Bytes of the peer, and how many of the events they give are polled at once.
    Receive(Vec<Item>, usize),
    Write(usize),
}

fn call() -> impl Strategy<Value = Call> {
    let code = || prop_oneof![4 => Just(1000_u16), 1 => Just(1010), 1 => any::<u16>()];
    let reason = || prop_oneof![Just(0_usize), Just(123), Just(124)];
    let control = || prop_oneof![0..20_usize, Just(125), Just(126)];
    prop_oneof![
        4 => (any::<bool>(), payload(), hint()).prop_map(|(t, d, h)| Call::Send(t, d, h)),
        3 => (any::<bool>(), hint()).prop_map(|(text, hint)| Call::Start(text, hint)),
        4 => payload().prop_map(Call::Chunk),
        3 => payload().prop_map(Call::Finish),
        2 => control().prop_map(Call::Ping),
        1 => control().prop_map(Call::Pong),
        1 => (code(), reason()).prop_map(|(code, len)| Call::Close(code, len)),
        1 => (code(), reason()).prop_map(|(code, len)| Call::Fail(code, len)),
        1 => Just(Call::Park),
        1 => Just(Call::InputEnded),
        4 => (stream(), 0..10_usize).prop_map(|(items, polls)| Call::Receive(items, polls)),
        4 => (0..100_usize).prop_map(Call::Write),
        1 => (0..100_000_usize).prop_map(Call::Write),
    ]
}

/// Lets everything pass but the letter z, on its way out. Message scope, no bit.
fn no_z() -> Stub {
    let transform = |call, input: &mut Chunk<'_>, out: &mut Sink<'_>| {
        if call == extension::Call::Encode && input.data().contains(&b'z') {
            return Err(ExtensionError::new(CloseCode::INTERNAL_ERROR, "a z"));
        }
        pass(input, out)
    };
    Stub::new(RsvClaim::None, transform).unmarked()
}

fn kind(text: bool) -> MessageKind {
    if text { MessageKind::Text } else { MessageKind::Binary }
}

/// Does it, and checks the error against what the caller was told before.
fn act(ws: &mut Connection, side: Side, call: Call, input: &mut BytesMut, wire: &mut Vec<u8>) {
    let open = ws.is_open();
    let result = match call {
        Call::Send(text, data, hint) => ws.send_with(to_message(text, &data), hint),
        Call::Start(text, hint) => ws.start_message_with(kind(text), hint),
        Call::Chunk(data) => ws.send_chunk(data),
        Call::Finish(data) => ws.finish_message(data),
        Call::Ping(len) => control(ws.ping(vec![b'p'; len]), len),
        Call::Pong(len) => control(ws.unsolicited_pong(vec![b'p'; len]), len),
        Call::Close(code, len) => ws.close(code.into(), &"r".repeat(len)),
        Call::Fail(code, len) => ws.fail(code.into(), &"r".repeat(len)),
        Call::Park => {
            ws.park();
            Ok(())
        }
        Call::InputEnded => {
            ws.input_ended();
            Ok(())
        }
        Call::Receive(items, polls) => {
            input.extend_from_slice(&bytes(side, &items));
            for _ in 0..polls {
                let _ = ws.poll_event(input);
            }
            Ok(())
        }
        Call::Write(n) => {
            if let Outgoing::Write(output) = ws.poll_output_bounded() {
                let step = n.min(output.chunk().len());
                wire.extend_from_slice(&output.chunk()[..step]);
                output.advance(step);
            }
            Ok(())
        }
    };
    if open {
        assert_ne!(result, Err(SendError::Closed));
    }
    let _ = format!("{ws:?}");
}

fn control(result: Result<(), SendError>, len: usize) -> Result<(), SendError> {
    if len > 125 {
        assert!(matches!(result, Err(SendError::ControlTooLong { len: 126 } | SendError::Closed)));
    }
    result
}

/// Frames that any peer takes: fragments in order, small control frames, and nothing behind Close.
fn check_wire(frames: &[Frame], side: Side, bits: u8) {
    let mut in_message = false;
    for (i, frame) in frames.iter().enumerate() {
        assert_eq!(frame.is_masked(), side == Side::Client);
        let fin = frame.first & 0x80 != 0;
        match frame.opcode() {
            opcode @ 8..=10 => {
                assert_eq!(frame.first & 0xf0, 0x80);
                assert!(frame.payload.len() <= 125);
                assert!(opcode != 8 || i + 1 == frames.len(), "behind Close");
            }
            opcode => {
                assert_eq!(frame.first & 0x70 & !bits, 0);
                assert_eq!(opcode == 0, in_message);
                assert!(opcode <= 2);
                in_message = !fin;
            }
        }
        if let (CLOSE, [a, b, reason @ ..]) = (frame.first, frame.payload.as_slice()) {
            let code = CloseCode::new(u16::from_be_bytes([*a, *b]));
            assert!(code.is_sendable());
            assert!(code != CloseCode::MANDATORY_EXTENSION || side == Side::Client);
            assert!(std::str::from_utf8(reason).is_ok());
        }
    }
}

proptest! {
    // R6455-5.5.1-d, R6455-5.4-b
    #[test]
    fn no_sequence_of_calls_panics_or_writes_anything_behind_close(
        side in side(),
        which in 0..9_usize,
        max in prop_oneof![Just(50_usize), Just(usize::MAX)],
        streaming in any::<bool>(),
        calls in prop::collection::vec(call(), 0..40),
    ) {
        let config = config(|config| {
            config.max_sent_frame = max;
            config.receive = if streaming { Receive::Streaming } else { Receive::Messages };
        });
        let mut extensions = Extensions::none();
        if which == 8 {
            extensions.push(&named("no z", Scope::Message), Box::new(no_z())).unwrap();
        } else {
            extensions = stack(which);
        }
        let bits = if which == 8 { 0 } else { (0x40 * (which as u8 & 1)) | (0x10 * (which as u8 >> 2)) };
        let mut ws = side.connection_with(config, extensions);
        let (mut input, mut wire) = (BytesMut::new(), Vec::new());
        for call in calls {
            act(&mut ws, side, call, &mut input, &mut wire);
        }
        // To the end, whatever it is.
        ws.input_ended();
        let mut closed = ws.is_closed();
        while let Some(event) = ws.poll_event(&mut input) {
            assert!(!matches!(event, Event::Closed(_)) || !closed, "told twice");
            closed |= matches!(event, Event::Closed(_));
        }
        prop_assert!(ws.is_closed() && !ws.is_open());
        prop_assert_eq!(ws.send("late"), Err(SendError::Closed));
        prop_assert_eq!(ws.close(CloseCode::NORMAL, ""), Err(SendError::Closed));
        wire.extend(written(&mut ws));
        check_wire(&frames(&wire), side, bits);
        prop_assert!(!ws.has_more_to_encode() && ws.encoded() == 0);
    }
}
