//! Extensions that fail, or break their contract: the connection fails with the right code, and
//! nothing panics (RFC 6455 §7.1.7 and §9.1).
#![allow(clippy::unwrap_used)]

mod support;

use bytes::BytesMut;
use support::{
    KEY, closed, config,
    extensions::{Begin, Call, RSV1, RSV2, Stub, marker, pass, server_of, server_of_with},
    fails, feed, frames, masked, stays_closed, written,
};
use ws_core::{
    CloseCode, ClosedBy, Config, Connection, Event, Fault, MessageKind, Receive, SendError,
    extension::{Chunk, ExtensionError, Mark, Progress, Scope, Sink},
};

/// Where, and how, an extension misbehaves. Otherwise it changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    FailsToBegin(u16),
    /// When it meets the byte `!`.
    Fails(u16),
    /// Says Full, and neither reads nor writes.
    Stuck,
    /// Says Done, and leaves the input.
    LeavesInput,
    /// Writes for ever.
    Endless,
    /// Claims to have written more than it was lent.
    Boasts,
}

/// An extension that misbehaves in these two calls, and otherwise changes nothing.
fn flawed(flaw: Flaw, begins: Begin, transforms: Call) -> Stub {
    let transform = move |call, input: &mut Chunk<'_>, out: &mut Sink<'_>| match flaw {
        _ if call != transforms => pass(input, out),
        Flaw::Fails(code) if input.data().contains(&b'!') => {
            Err(ExtensionError::new(CloseCode::new(code), "met a !"))
        }
        Flaw::Stuck => Ok(Progress::Full),
        Flaw::LeavesInput => Ok(Progress::Done),
        Flaw::Endless => {
            while out.write(b"more") > 0 {}
            Ok(Progress::Full)
        }
        Flaw::Boasts => {
            out.fill(input.len(), |room| {
                room.fill(b'b');
                usize::MAX
            });
            input.consume(input.len());
            Ok(Progress::Done)
        }
        Flaw::Fails(_) | Flaw::FailsToBegin(_) => pass(input, out),
    };
    Stub::new(RSV1, transform).begins(move |begin, _| match flaw {
        Flaw::FailsToBegin(code) if begin == begins => {
            Err(ExtensionError::new(CloseCode::new(code), "cannot begin"))
        }
        _ => Ok(Mark::Marked),
    })
}

const SCOPES: [Scope; 3] = [Scope::Message, Scope::WholeMessage, Scope::Frame];

fn receiving(flaw: Flaw, scope: Scope, config: Config) -> Connection {
    let flawed = flawed(flaw, Begin::Decode, Call::Decode);
    server_of_with(config, vec![flawed.boxed(scope)])
}

fn sending(flaw: Flaw, scope: Scope) -> Connection {
    server_of(vec![flawed(flaw, Begin::Encode, Call::Encode).boxed(scope)])
}

fn streaming() -> Config {
    config(|config| config.receive = Receive::Streaming)
}

/// The fault of the extension, by its code and reason.
fn of_extension(code: u16, reason: &str) -> Fault {
    Fault::Extension {
        name: "x-0".into(),
        code: CloseCode::new(code),
        reason: reason.to_owned().into(),
    }
}

/// Each flaw with the code and the reason of the failure that it leads to.
fn flaws() -> [(Flaw, u16, &'static str); 6] {
    [
        (Flaw::FailsToBegin(1008), 1008, "cannot begin"),
        (Flaw::Fails(1007), 1007, "met a !"),
        (Flaw::Fails(4321), 4321, "met a !"),
        // A code that may not be sent.
        (Flaw::Fails(1005), 1011, "met a !"),
        (Flaw::Stuck, 1011, "said Full without any progress"),
        (Flaw::LeavesInput, 1011, "said Done with input left"),
    ]
}

// R6455-7.1.7-a, R6455-7.4.1-e
#[test]
fn extension_that_cannot_decode_fails_the_connection_with_its_code() {
    for scope in SCOPES {
        for (flaw, code, reason) in flaws() {
            let new = || receiving(flaw, scope, Config::default());
            for input in [
                masked(0xc2, KEY, b"a!"),
                [masked(0x42, KEY, b"a!"), masked(0x80, KEY, b"b!")].concat(),
                [masked(0x42, KEY, b"!a"), masked(0x00, KEY, b""), masked(0x80, KEY, b"b")]
                    .concat(),
            ] {
                let behind = [input, masked(0x81, KEY, b"behind")].concat();
                let failed = fails(new, &behind);
                assert_eq!(failed.fault, of_extension(code, reason), "{flaw:?} {scope:?}");
                assert_eq!((failed.code, failed.before), (code, vec![]));
            }
        }
    }
}

// R6455-7.1.7-a, R6455-7.4.1-e
#[test]
fn extension_that_cannot_decode_fails_a_streamed_message_too() {
    for scope in SCOPES {
        for (flaw, code, reason) in flaws() {
            let mut ws = receiving(flaw, scope, streaming());
            let mut input = BytesMut::new();
            let mut events = Vec::new();
            for octet in [masked(0x42, KEY, b"a!"), masked(0x80, KEY, b"b")].concat() {
                events.extend(feed(&mut ws, &mut input, &[octet]));
            }
            let fault = of_extension(code, reason);
            assert_eq!(closed(&events).fault.as_deref(), Some(&fault));
            assert!(!events.contains(&Event::End));
            let sent = frames(&written(&mut ws));
            assert_eq!((sent.len(), sent[0].first), (1, 0x88));
            assert_eq!(sent[0].payload[..2], code.to_be_bytes());
            stays_closed(&mut ws, &mut input);
        }
    }
}

/// The connection failed for a flaw of sending: no end of the message is on the wire.
fn failed_to_send(mut ws: Connection, told: Option<&SendError>, code: u16, reason: &str) {
    let expected = SendError::Extension { name: "x-0".into(), reason: reason.to_owned().into() };
    assert!(told.is_none_or(|told| *told == expected), "{told:?}");
    let mut sent = frames(&written(&mut ws));
    let close = sent.pop().unwrap();
    assert_eq!((close.first, &close.payload[..2]), (0x88, &code.to_be_bytes()[..]));
    assert!(sent.iter().all(|frame| frame.first & 0x80 == 0), "{sent:?}");
    let mut input = BytesMut::new();
    let events = feed(&mut ws, &mut input, &masked(0x81, KEY, b"late"));
    let closed = closed(&events);
    assert_eq!((events.len(), closed.by), (1, ClosedBy::Local));
    assert_eq!((closed.code.get(), closed.clean), (code, false));
    assert_eq!(closed.fault.as_deref(), Some(&of_extension(code, reason)));
    stays_closed(&mut ws, &mut input);
}

// R6455-7.1.7-a, R6455-7.4.1-e
#[test]
fn extension_that_cannot_encode_fails_the_connection_with_its_code() {
    for scope in SCOPES {
        for (flaw, code, reason) in flaws() {
            let mut ws = sending(flaw, scope);
            let error = ws.send("a!").unwrap_err();
            failed_to_send(ws, Some(&error), code, reason);
        }
    }
}

// R6455-7.1.7-a, R6455-6.1-d
#[test]
fn extension_that_cannot_encode_fails_a_streamed_message_too() {
    for scope in SCOPES {
        for (flaw, code, reason) in flaws() {
            let mut ws = sending(flaw, scope);
            let results = [
                ws.start_message(MessageKind::Text),
                ws.send_chunk(b"a"),
                ws.send_chunk(b"b!"),
                ws.finish_message(b"c"),
            ];
            let at = results.iter().position(Result::is_err).unwrap();
            assert!(results[at + 1..].iter().all(|r| *r == Err(SendError::Closed)));
            failed_to_send(ws, results[at].as_ref().err(), code, reason);
        }
    }
}

// R6455-7.1.7-a, R6455-6.1-d
#[test]
fn extension_that_fails_while_output_is_polled_fails_the_connection() {
    for scope in [Scope::Message, Scope::Frame] {
        let mut ws = sending(Flaw::Fails(1007), scope);
        ws.send(vec![b'a'; 60_000]).unwrap();
        ws.send(vec![b'b'; 60_000]).unwrap();
        ws.send("c!").unwrap();
        assert!(ws.is_open() && ws.has_more_to_encode());
        let sent = frames(&written(&mut ws));
        assert_eq!(sent.last().unwrap().first, 0x88);
        assert_eq!(sent.last().unwrap().payload[..2], 1007_u16.to_be_bytes());
        assert!(!ws.is_open());
        let mut input = BytesMut::new();
        let events = feed(&mut ws, &mut input, b"");
        let fault = of_extension(1007, "met a !");
        assert_eq!(closed(&events).fault.as_deref(), Some(&fault));
        stays_closed(&mut ws, &mut input);
    }
}

// R6455-7.1.7-e
#[test]
fn extension_that_fails_after_the_end_was_told_does_not_end_it_again() {
    let mut ws = sending(Flaw::Fails(1007), Scope::Message);
    for _ in 0..3 {
        ws.send(vec![b'a'; 60_000]).unwrap();
    }
    ws.send("!").unwrap();
    let mut input = BytesMut::new();
    let events = feed(&mut ws, &mut input, &masked(0x88, KEY, b"\x03\xe8"));
    assert_eq!(closed(&events).code, CloseCode::NORMAL);
    let sent = frames(&written(&mut ws));
    assert_eq!(sent.last().unwrap().payload[..2], 1007_u16.to_be_bytes());
    assert_eq!(sent.iter().filter(|frame| frame.first == 0x88).count(), 1);
    stays_closed(&mut ws, &mut input);
}

// R6455-7.4.1-d
#[test]
fn server_does_not_send_1010_for_an_extension_either() {
    let new = || receiving(Flaw::Fails(1010), Scope::Message, Config::default());
    let mut ws = new();
    let events = feed(&mut ws, &mut BytesMut::new(), &masked(0xc2, KEY, b"!"));
    assert_eq!(closed(&events).code, CloseCode::INTERNAL_ERROR);
    assert_eq!(written(&mut ws)[2..4], 1011_u16.to_be_bytes());
    let mut ws = sending(Flaw::Fails(1010), Scope::Message);
    ws.send("!").unwrap_err();
    assert_eq!(written(&mut ws)[2..4], 1011_u16.to_be_bytes());
}

// R6455-10.4-a
#[test]
fn endless_output_is_stopped_by_the_message_limit() {
    for scope in SCOPES {
        let new = || receiving(Flaw::Endless, scope, Config::default());
        let failed = fails(new, &masked(0xc2, KEY, b"a"));
        assert_eq!(failed.fault, Fault::MessageTooBig { limit: 1 << 20 });
        assert_eq!(failed.code, 1009);
        // Where messages are streamed, by the budget of each call.
        let mut ws = receiving(Flaw::Endless, scope, streaming());
        let mut input = BytesMut::from(&masked(0xc2, KEY, b"a")[..]);
        assert_eq!(ws.poll_event(&mut input), Some(Event::Start(MessageKind::Binary)));
        for _ in 0..100 {
            match ws.poll_event(&mut input) {
                Some(Event::Chunk(chunk)) => assert!(chunk.len() <= 64 * 1024),
                Some(Event::Yield) => {}
                event => panic!("{event:?}"),
            }
            assert!(ws.memory_usage() <= 256 * 1024);
        }
        // What is sent, by how far encoding runs ahead of the writer.
        let mut ws = sending(Flaw::Endless, scope);
        ws.send("a").unwrap();
        assert!(ws.unwritten() <= 128 * 1024);
    }
}

// R6455-6.2-c
#[test]
fn sink_does_not_believe_what_an_extension_boasts() {
    let mut ws = receiving(Flaw::Boasts, Scope::Message, Config::default());
    let events = feed(&mut ws, &mut BytesMut::new(), &masked(0xc2, KEY, b"aaa"));
    assert_eq!(events, [support::binary(b"bbb")]);
    let mut ws = sending(Flaw::Boasts, Scope::Message);
    ws.send("aaa").unwrap();
    assert_eq!(written(&mut ws), b"\xc1\x03bbb");
}

// R6455-7.1.7-c
#[test]
fn fault_names_the_extension_that_failed() {
    let new = || {
        server_of(vec![
            marker(RSV2, Scope::Message).boxed(),
            flawed(Flaw::Fails(1007), Begin::Decode, Call::Decode).boxed(Scope::Frame),
        ])
    };
    match fails(new, &masked(0xe1, KEY, b"!")).fault {
        Fault::Extension { name, .. } => assert_eq!(&*name, "x-1"),
        fault => panic!("{fault}"),
    }
    // It fails where it is flawed only: sending works.
    let mut ws = new();
    ws.send("!").unwrap();
    assert_eq!(written(&mut ws), b"\xe1\x01!");
}
