//! What the engine promises about extensions (RFC 6455 §5.8, §6 and §9.1).
#![allow(clippy::unwrap_used)]

mod support;

use bytes::BytesMut;
use support::{
    KEY, binary, config,
    extensions::{
        Begin, Log, RSV1, RSV2, RSV3_EVERY, Reverse, Scoped, Spy, Stub, Stutter, add_one,
        client_of_with, marker, named, server_of, server_of_with, unless_never, xor_55,
    },
    fails, feed, frames, masked, receive, text, unmasked, written,
};
use ws_core::{
    CloseCode, Config, Connection, Event, Extensions, MessageKind,
    extension::{Compression, ExtensionError, Mark, MessageInfo, Rsv, RsvClaim, Scope, StackError},
};

type Stack = Vec<Scoped>;

fn spy(claim: RsvClaim, scope: Scope) -> (Scoped, Log) {
    let log = Log::default();
    (Spy::boxed(claim, scope, &log), log)
}

fn noted(log: &Log) -> Vec<String> {
    std::mem::take(&mut log.lock().unwrap())
}

/// Sends on a server, `limit` bytes a frame, and lets a client of the same stack read it.
fn there_and_back(stack: fn() -> Stack, limit: usize, kind: MessageKind, data: &[u8]) -> Vec<u8> {
    let mut ws = server_of_with(config(|config| config.max_sent_frame = limit), stack());
    if kind == MessageKind::Text {
        ws.send(std::str::from_utf8(data).unwrap()).unwrap();
    } else {
        ws.send(data.to_vec()).unwrap();
    }
    let wire = written(&mut ws);
    let roomy = || config(|config| config.max_fragments = usize::MAX);
    let seen = receive(|| client_of_with(roomy(), stack()), &wire);
    let expected = if kind == MessageKind::Text {
        text(std::str::from_utf8(data).unwrap())
    } else {
        binary(data)
    };
    assert!(seen.events == [expected]);
    wire
}

// R6455-5.8-a
#[test]
fn stack_in_which_two_claim_one_bit_cannot_be_built() {
    let claims = [
        (RSV1, RSV1),
        (RSV1, RsvClaim::EveryFrame(Rsv::RSV1)),
        (RSV2, RsvClaim::FirstFrame(Rsv::RSV2 | Rsv::RSV3)),
        (RSV3_EVERY, RsvClaim::FirstFrame(Rsv::ALL)),
    ];
    for (first, second) in claims {
        let mut stack = Extensions::none();
        stack
            .push(&named("x-first", Scope::Message), marker(first, Scope::Message).boxed().1)
            .unwrap();
        let error = stack
            .push(&named("x-second", Scope::Message), marker(second, Scope::Message).boxed().1)
            .unwrap_err();
        assert_eq!(
            error,
            StackError::Clash {
                bits: first.bits(),
                first: "x-first".into(),
                second: "x-second".into(),
            }
        );
        let said = error.to_string();
        assert!(said.contains("x-first") && said.contains("x-second"));
        assert_eq!((stack.len(), stack.claimed()), (1, first.bits()));
    }
}

// R6455-5.8-a
#[test]
fn frame_scope_before_message_scope_is_refused() {
    for scope in [Scope::Message, Scope::WholeMessage] {
        let mut stack = Extensions::none();
        stack.push(&named("x-frame", Scope::Frame), marker(RSV1, Scope::Frame).boxed().1).unwrap();
        let error =
            stack.push(&named("x-message", scope), marker(RSV2, scope).boxed().1).unwrap_err();
        assert_eq!(
            error,
            StackError::FrameScope { frame: "x-frame".into(), message: "x-message".into() }
        );
        assert_eq!(stack.names().collect::<Vec<_>>(), ["x-frame"]);
        stack.push(&named("x-other", Scope::Frame), marker(RSV2, Scope::Frame).boxed().1).unwrap();
        assert_eq!(stack.claimed(), Rsv::RSV1 | Rsv::RSV2);
    }
}

// R6455-9.1-i, R6455-6.1-e
#[test]
fn sending_applies_extensions_left_to_right_and_receiving_right_to_left() {
    let a_b = || -> Stack {
        vec![add_one(RSV1, Scope::Message).boxed(), xor_55(RSV2, Scope::Message).boxed()]
    };
    let b_a = || -> Stack {
        vec![xor_55(RSV2, Scope::Message).boxed(), add_one(RSV1, Scope::Message).boxed()]
    };
    let mut ws = server_of(a_b());
    ws.send("Hello").unwrap();
    assert_eq!(written(&mut ws), b"\xe1\x05\x1c\x33\x38\x38\x25");
    let mut ws = server_of(b_a());
    ws.send("Hello").unwrap();
    assert_eq!(written(&mut ws), b"\xe1\x05\x1e\x31\x3a\x3a\x3b");

    let wire = masked(0xe1, KEY, b"\x1c\x33\x38\x38\x25");
    assert_eq!(receive(|| server_of(a_b()), &wire).events, [text("Hello")]);
    let wire = masked(0xe1, KEY, b"\x1e\x31\x3a\x3a\x3b");
    assert_eq!(receive(|| server_of(b_a()), &wire).events, [text("Hello")]);
}

// R6455-9.1-i, R6455-6.1-e
#[test]
fn order_holds_in_every_scope_that_can_stand_together() {
    // Reversing the message and reversing frames of two bytes do not commute.
    let stack = || -> Stack {
        vec![Reverse::boxed(RSV1, Scope::WholeMessage), Reverse::boxed(RSV3_EVERY, Scope::Frame)]
    };
    let wire = there_and_back(stack, 2, MessageKind::Text, b"Hello");
    assert_eq!(wire, b"\x51\x02lo\x10\x02el\x90\x01H");
    let stack = || -> Stack {
        vec![
            add_one(RSV1, Scope::Message).boxed(),
            xor_55(RSV2, Scope::WholeMessage).boxed(),
            Reverse::boxed(RSV3_EVERY, Scope::Frame),
        ]
    };
    let wire = there_and_back(stack, 3, MessageKind::Text, b"Hello");
    assert_eq!(wire, b"\x71\x03\x38\x33\x1c\x90\x02\x25\x38");
}

// R6455-6.2-a
#[test]
fn extension_sees_unmasked_data() {
    let (spy, log) = spy(RsvClaim::None, Scope::Message);
    let mut ws = server_of(vec![spy]);
    let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let events = feed(&mut ws, &mut BytesMut::new(), hello);
    assert_eq!(events, [text("Hello")]);
    assert_eq!(noted(&log), ["receive Text Some(5)", r#"decode "Hello" end"#]);
}

// R6455-6.2-c
#[test]
fn extension_changes_the_data_and_one_message_stays_one() {
    let stack = || -> Stack { vec![Stutter::boxed(RSV1, 3)] };
    let wire = there_and_back(stack, usize::MAX, MessageKind::Text, b"Hi");
    assert_eq!(wire, b"\xc1\x07HHHiii.");
    // Fragments, empty ones at both ends: the same message.
    for size in 1..=7 {
        let mut input = masked(0x41, KEY, b"");
        for piece in b"HHHiii.".chunks(size) {
            input.extend(masked(0x00, KEY, piece));
        }
        input.extend(masked(0x80, KEY, b""));
        let seen = receive(|| server_of(stack()), &input);
        assert_eq!(seen.events, [text("Hi")]);
    }
    // Empty messages too.
    assert_eq!(there_and_back(stack, 1, MessageKind::Text, b""), b"\xc1\x01.");
}

// R6455-5.2-b
#[test]
fn bits_stand_on_the_frames_that_their_claims_say() {
    let stack = || -> Stack {
        vec![marker(RSV2, Scope::Message).boxed(), add_one(RSV3_EVERY, Scope::Frame).boxed()]
    };
    let wire = there_and_back(stack, 2, MessageKind::Text, b"abcde");
    assert_eq!(wire, b"\x31\x02bc\x10\x02de\x90\x01f");
    let stack = || -> Stack { vec![marker(RSV3_EVERY, Scope::Message).boxed()] };
    let wire = there_and_back(stack, 2, MessageKind::Text, b"abc");
    assert_eq!(wire, b"\x11\x02ab\x90\x01c");
    let stack = || -> Stack { vec![add_one(RSV1, Scope::Frame).boxed()] };
    let wire = there_and_back(stack, 2, MessageKind::Text, b"abc");
    assert_eq!(wire, b"\x41\x02bc\x80\x01d");
}

// R6455-5.2-b
#[test]
fn each_frame_speaks_for_itself_in_frame_scope() {
    // Marks frames of two bytes, and leaves shorter ones alone.
    let stack = || -> Stack {
        let mut extension = add_one(RSV3_EVERY, Scope::Frame);
        extension.mark = |unit| match unit.len {
            Some(2) => Mark::Marked,
            _ => Mark::Unmarked,
        };
        vec![extension.boxed()]
    };
    let wire = there_and_back(stack, 2, MessageKind::Text, b"abcde");
    assert_eq!(wire, b"\x11\x02bc\x10\x02de\x80\x01e");
}

// R6455-5.2-b
#[test]
fn control_frames_carry_no_bits_and_are_not_shown() {
    let (spy, log) = spy(RSV3_EVERY, Scope::Frame);
    let mut ws = server_of(vec![spy]);
    let mut input = BytesMut::new();
    feed(&mut ws, &mut input, &masked(0x89, KEY, b"ping"));
    feed(&mut ws, &mut input, &masked(0x8a, KEY, b"pong"));
    ws.ping(b"?").unwrap();
    feed(&mut ws, &mut input, &masked(0x88, KEY, b"\x03\xe8"));
    assert_eq!(written(&mut ws), b"\x8a\x04ping\x89\x01?\x88\x02\x03\xe8");
    assert_eq!(noted(&log), [""; 0]);
}

// R6455-5.2-b, R6455-6.1-e
#[test]
fn unmarked_message_is_not_shown_to_an_extension_with_a_claim() {
    let (marks, log) = spy(RSV1, Scope::Message);
    let (watches, all) = spy(RsvClaim::None, Scope::Message);
    let mut ws = server_of(vec![watches, marks]);
    ws.send_with("plain", Compression::Never).unwrap();
    assert_eq!(written(&mut ws), b"\x81\x05plain");
    assert_eq!(noted(&log), ["send Text None Never"]);
    assert_eq!(noted(&all), ["send Text Some(5) Never", r#"encode "plain" end"#]);
    let mut input = BytesMut::new();
    feed(&mut ws, &mut input, &masked(0x81, KEY, b"plain"));
    assert_eq!(noted(&log), [""; 0]);
    assert_eq!(noted(&all), ["receive Text Some(5)", r#"decode "plain" end"#]);
    feed(&mut ws, &mut input, &masked(0xc1, KEY, b"marked"));
    assert_eq!(noted(&log), ["receive Text Some(6)", r#"decode "marked" end"#]);
    assert_eq!(noted(&all), ["receive Text None", r#"decode "marked" end"#]);
}

/// Refuses what does not carry its mark.
fn strict(claim: RsvClaim, scope: Scope) -> Connection {
    let strict = Stub::passing(claim).begins(|begin, _| match begin {
        Begin::Unmarked => {
            Err(ExtensionError::new(CloseCode::POLICY_VIOLATION, "without its mark"))
        }
        Begin::Encode | Begin::Decode => Ok(Mark::Marked),
    });
    server_of(vec![strict.boxed(scope)])
}

// R6455-5.2-b, R6455-6.2-c
#[test]
fn extension_that_marks_everything_may_refuse_what_is_unmarked() {
    let refused = |claim, scope, wire: &[u8], octets: usize| {
        let failed = fails(|| strict(claim, scope), wire);
        assert_eq!((failed.code, failed.octets), (1008, octets), "{claim:?} {scope:?}");
    };
    let taken = |claim, scope, wire: &[u8]| {
        let seen = receive(|| strict(claim, scope), wire);
        assert_eq!(seen.events, [text("ab")], "{claim:?} {scope:?}");
    };
    for scope in [Scope::Message, Scope::WholeMessage, Scope::Frame] {
        for (claim, first) in [(RSV1, 0x41), (RSV3_EVERY, 0x11)] {
            refused(claim, scope, &masked(0x81, KEY, b"ab"), 6);
            refused(claim, scope, &masked(0x01, KEY, b""), 6);
            taken(claim, scope, &masked(first | 0x80, KEY, b"ab"));
        }
        // What the claim leaves clear on continuations is not missing there.
        let wire = [masked(0x41, KEY, b"a"), masked(0x80, KEY, b"b")].concat();
        taken(RSV1, scope, &wire);
    }
    let wire = [masked(0x11, KEY, b"a"), masked(0x90, KEY, b"b")].concat();
    taken(RSV3_EVERY, Scope::Frame, &wire);
    let wire = [masked(0x11, KEY, b"a"), masked(0x80, KEY, b"b")].concat();
    refused(RSV3_EVERY, Scope::Frame, &wire, 7 + 6);
}

// R6455-6.1-e
#[test]
fn extensions_are_told_the_kind_the_length_and_the_hint() {
    let (first, log) = spy(RSV1, Scope::Message);
    let mut ws = server_of(vec![first]);
    ws.send_with(vec![b'a'; 3], Compression::Always).unwrap();
    ws.start_message(MessageKind::Text).unwrap();
    ws.send_chunk(b"b").unwrap();
    ws.finish_message(b"").unwrap();
    assert_eq!(
        noted(&log),
        [
            "send Binary Some(3) Always",
            r#"encode "aaa" end"#,
            "send Text None Auto",
            r#"encode "b""#,
            r#"encode "" end"#,
        ]
    );
    ws.park();
    assert_eq!(noted(&log), ["park"]);
    feed(&mut ws, &mut BytesMut::new(), &masked(0x41, KEY, b"in"));
    noted(&log);
    ws.park();
    assert_eq!(noted(&log), [""; 0], "not inside of a message");
}

/// Notes the marks that it is told of.
fn witness(scope: Scope, log: &Log) -> Scoped {
    let log = Log::clone(log);
    let begin = move |begin, unit: &MessageInfo| {
        let what = match begin {
            Begin::Encode => "send",
            Begin::Decode => "receive",
            Begin::Unmarked => "pass",
        };
        log.lock().unwrap().push(format!("{what} {}", unit.marks));
        Ok(unless_never(unit))
    };
    Stub::passing(RSV2).begins(begin).boxed(scope)
}

// R6455-5.2-b, R6455-6.1-e
#[test]
fn extension_is_told_of_the_marks_nearer_to_the_application_and_of_no_others() {
    // Of the same scope as its neighbours, or of frame scope behind one of message scope.
    for (scope, inner, outer) in [
        (Scope::Message, Scope::Message, Scope::Frame),
        (Scope::WholeMessage, Scope::WholeMessage, Scope::Message),
        (Scope::Frame, Scope::Message, Scope::Frame),
        (Scope::Frame, Scope::Frame, Scope::Frame),
    ] {
        let log = Log::default();
        let mut small = marker(RSV1, inner);
        small.mark = |unit| if unit.len == Some(1) { Mark::Unmarked } else { Mark::Marked };
        let mut ws =
            server_of(vec![small.boxed(), witness(scope, &log), marker(RSV3_EVERY, outer).boxed()]);
        ws.send("two").unwrap();
        ws.send("1").unwrap();
        let firsts: Vec<u8> = frames(&written(&mut ws)).iter().map(|f| f.first).collect();
        assert_eq!(firsts, [0xf1, 0xb1]);
        assert_eq!(noted(&log), ["send RSV1", "send none"]);
        let mut input = BytesMut::new();
        for first in [0xf1, 0xb1, 0xd1, 0x81] {
            feed(&mut ws, &mut input, &masked(first, KEY, b"a"));
        }
        assert_eq!(noted(&log), ["receive RSV1", "receive none", "pass RSV1", "pass none"]);
    }
}

// R6455-9.1-i, R6455-6.2-c
#[test]
fn whole_message_is_shown_in_one_chunk_however_it_came() {
    let new = || server_of(vec![Reverse::boxed(RSV1, Scope::WholeMessage)]);
    for input in [
        masked(0xc1, KEY, b"olleH"),
        [masked(0x41, KEY, b""), masked(0x80, KEY, b"olleH")].concat(),
        [masked(0x41, KEY, b"ol"), masked(0x00, KEY, b"leH"), masked(0x80, KEY, b"")].concat(),
    ] {
        assert_eq!(receive(new, &input).events, [text("Hello")]);
    }
    assert_eq!(receive(new, &masked(0xc1, KEY, b"")).events, [text("")]);
    // Sent in pieces, it is gathered as well.
    let mut ws = new();
    ws.start_message(MessageKind::Text).unwrap();
    ws.send_chunk(b"Hel").unwrap();
    assert_eq!(written(&mut ws), b"");
    ws.finish_message(b"lo").unwrap();
    assert_eq!(written(&mut ws), b"\xc1\x05olleH");
}

// R6455-6.2-c
#[test]
fn full_sinks_suspend_the_work_and_lose_nothing() {
    let stack = || -> Stack {
        let mut slow = add_one(RSV2, Scope::Message);
        slow.step = 1;
        let mut frames = xor_55(RSV3_EVERY, Scope::Frame);
        frames.step = 7;
        vec![Stutter::boxed(RSV1, 40), slow.boxed(), frames.boxed()]
    };
    let data: Vec<u8> = (0..5000).map(|i| i as u8 | 0x80).collect();
    for limit in [999, 70_000, usize::MAX] {
        let mut ws = server_of_with(config(|config| config.max_sent_frame = limit), stack());
        ws.send(data.clone()).unwrap();
        assert!(ws.has_more_to_encode());
        let wire = written(&mut ws);
        let sent = frames(&wire);
        let len: usize = sent.iter().map(|frame| frame.payload.len()).sum();
        assert_eq!(len, 40 * data.len() + 1);
        assert!(sent.iter().all(|frame| frame.payload.len() <= limit));
        let mut client = client_of_with(Config::default(), stack());
        let events = feed(&mut client, &mut BytesMut::new(), &wire);
        assert!(events == [binary(&data)]);
    }
    let small: Vec<u8> = data[..50].to_vec();
    there_and_back(stack, 11, MessageKind::Binary, &small);
}

// R6455-6.2-c
#[test]
fn extension_that_takes_a_few_bytes_a_call_sees_every_one_unmasked() {
    let stack = || -> Stack {
        let mut slow = marker(RsvClaim::None, Scope::Message);
        slow.step = 3;
        vec![slow.boxed()]
    };
    // Below and above the size up to which a payload is unmasked on the way.
    for len in [4, 20, 32, 33, 100] {
        let data: Vec<u8> = (0..len).collect();
        // Another frame behind it, because more than the payload may lie in the input.
        let mut input = masked(0x82, KEY, &data);
        input.extend(masked(0x82, KEY, b"next"));
        let seen = receive(|| server_of(stack()), &input);
        assert_eq!(seen.events, [binary(&data), binary(b"next")]);
        there_and_back(stack, usize::MAX, MessageKind::Binary, &data);
    }
}

// R6455-6.2-c
#[test]
fn one_call_does_a_bounded_amount_of_work() {
    let mut ws = server_of(vec![Stutter::boxed(RSV1, 1)]);
    let wire = [vec![b'a'; 500_000], b".".to_vec()].concat();
    let mut input = BytesMut::from(&masked(0xc2, KEY, &wire)[..]);
    let mut yields = 0;
    while let Some(Event::Yield) = ws.poll_event(&mut input) {
        yields += 1;
    }
    assert!(yields >= 500_000 / (64 * 1024), "{yields} yields");
}

// R6455-9.1-i
#[test]
fn both_directions_may_be_inside_of_a_message_at_once() {
    let mut ws = server_of(vec![Stutter::boxed(RSV1, 2), add_one(RSV2, Scope::Message).boxed()]);
    let mut input = BytesMut::new();
    ws.start_message(MessageKind::Text).unwrap();
    feed(&mut ws, &mut input, &masked(0x61, KEY, b"I"));
    ws.send_chunk(b"a").unwrap();
    feed(&mut ws, &mut input, &masked(0x00, KEY, b"Ij"));
    ws.finish_message(b"b").unwrap();
    let events = feed(&mut ws, &mut input, &masked(0x80, KEY, b"j/"));
    assert_eq!(events, [text("Hi")]);
    assert_eq!(written(&mut ws), b"\x61\x02bb\x80\x03cc/");
}

// R6455-9.1-i, R6455C-5.1-a
#[test]
fn client_masks_behind_the_extensions() {
    let mut ws = client_of_with(Config::default(), vec![add_one(RSV1, Scope::Message).boxed()]);
    ws.send("Hello").unwrap();
    assert_eq!(written(&mut ws), b"\xc1\x85\0\0\0\x01Ifmlp");
    let events = feed(&mut ws, &mut BytesMut::new(), &unmasked(0xc1, b"Ifmmp"));
    assert_eq!(events, [text("Hello")]);
}

// R6455-5.2-b
#[test]
fn marks_of_a_message_are_asked_for_once_and_before_its_data() {
    let (spy, log) = spy(RSV1, Scope::Message);
    let mut ws: Connection = server_of_with(config(|config| config.max_sent_frame = 1), vec![spy]);
    ws.send("abc").unwrap();
    let firsts: Vec<u8> = frames(&written(&mut ws)).iter().map(|f| f.first).collect();
    assert_eq!(firsts, [0x41, 0x00, 0x80]);
    let log = noted(&log);
    assert_eq!(log[0], "send Text Some(3) Auto");
    assert!(log[1..].iter().all(|line| line.starts_with("encode")));
}

// R6455-6.2-b, R6455-6.2-c
#[test]
fn frame_larger_than_the_work_of_one_call_is_read_without_further_input() {
    for scope in [Scope::Message, Scope::WholeMessage, Scope::Frame] {
        let data: Vec<u8> = (0..300_000).map(|i| i as u8).collect();
        let reversed: Vec<u8> = data.iter().rev().copied().collect();
        let (mut ws, wire) = if scope == Scope::Message {
            (server_of(vec![marker(RSV1, scope).boxed()]), &data)
        } else {
            (server_of(vec![Reverse::boxed(RSV1, scope)]), &reversed)
        };
        let mut input = BytesMut::from(&masked(0xc2, KEY, wire)[..]);
        let events = feed(&mut ws, &mut input, b"");
        assert!(events == [binary(&data)]);
        assert!(input.is_empty());
    }
}
