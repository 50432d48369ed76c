//! Closing and failing (RFC 6455 §5.5.1 and §7.1).

mod support;

use bytes::BytesMut;
use support::{
    KEY, binary, client, closed, config, fails, feed, frames, masked, receive, server, server_with,
    stays_closed, text, unmasked, written,
};
use ws_core::{
    CloseCode, Closed, ClosedBy, Connection, Event, Fault, MessageKind, Payload, SendError,
    fitting_reason,
};

/// A Close of a client, with KEY.
fn close(body: &[u8]) -> Vec<u8> {
    masked(0x88, KEY, body)
}

fn closed_by_peer(events: &[Event]) -> &Closed {
    let closed = closed(events);
    assert_eq!(closed.by, ClosedBy::Peer);
    closed
}

// R6455-5.5.1-a
#[test]
fn close_body_of_one_byte_fails() {
    let failed = fails(server, b"\x88\x81\0\0\0\0\x03");
    assert_eq!((failed.fault, failed.code), (Fault::CloseBodyTooShort, 1002));
}

// R6455-5.5.1-a
#[test]
fn close_body_of_0_2_and_125_bytes_is_read_and_of_126_refused() {
    let seen = receive(server, &close(b""));
    assert_eq!(closed_by_peer(&seen.events).code, CloseCode::NO_STATUS);
    let seen = receive(server, &close(b"\x03\xe8"));
    assert_eq!(closed_by_peer(&seen.events).code, CloseCode::NORMAL);
    let longest = [&b"\x03\xe8"[..], &[b'r'; 123]].concat();
    let seen = receive(server, &close(&longest));
    assert_eq!(closed_by_peer(&seen.events).reason, *"r".repeat(123));
    let failed = fails(server, &close(&[&longest[..], b"r"].concat()));
    assert_eq!((failed.fault, failed.octets), (Fault::ControlTooLong, 2));
}

// R6455-5.5.1-b, D-6
#[test]
fn close_reason_that_is_not_utf8_fails_with_1007() {
    for reason in [&b"\xff"[..], b"ok \xed\xa0\x80", b"cut \xe2\x82"] {
        let failed = fails(server, &close(&[b"\x03\xe8", reason].concat()));
        assert_eq!((failed.fault, failed.code), (Fault::InvalidCloseReason, 1007));
    }
    let seen = receive(server, &close("\u{3}èé€".as_bytes()));
    assert_eq!(closed(&seen.events).code, CloseCode::PROTOCOL_ERROR);
    let seen = receive(server, &close(b"\x03\xe8\xe2\x82\xac"));
    assert_eq!(closed_by_peer(&seen.events).reason, "€");
}

// R6455-5.5.1-c
#[test]
fn close_reason_over_123_bytes_is_cut_between_characters() {
    let mut long = "r".repeat(122);
    long.push_str(&"é".repeat(200));
    for end in [Connection::close, Connection::fail] {
        for (reason, len) in [(&*"r".repeat(123), 123), (&*"r".repeat(124), 123), (&long, 122)] {
            let mut ws = server();
            end(&mut ws, CloseCode::new(4001), reason).unwrap();
            let body = [b"\x0f\xa1", &reason.as_bytes()[..len]].concat();
            assert_eq!(written(&mut ws), unmasked(0x88, &body));
            assert_eq!(fitting_reason(reason).len(), len);
        }
    }
}

// R6455-7.1.5-a, R6455-7.1.6-a: what we said, where the peer only answers.
#[test]
fn closed_has_the_reason_that_we_gave() {
    let unanswered = || {
        let mut ws = server();
        ws.close(CloseCode::new(4001), "kicked").unwrap();
        ws.input_ended();
        let events = feed(&mut ws, &mut BytesMut::new(), b"");
        let closed = closed(&events).clone();
        (closed.by, closed.code.get(), closed.reason.to_string())
    };
    let answered = |body: &[u8]| {
        let mut ws = server();
        ws.close(CloseCode::new(4001), "kicked").unwrap();
        let events = feed(&mut ws, &mut BytesMut::new(), &masked(0x88, KEY, body));
        let closed = closed(&events).clone();
        assert!(closed.clean);
        (closed.by, closed.code.get(), closed.reason.to_string())
    };
    let said = |code, reason: &str| (ClosedBy::Local, code, reason.to_string());
    assert_eq!(answered(b"\x0f\xa1"), said(4001, "kicked"));
    assert_eq!(answered(b""), said(1005, "kicked"));
    // Its own words, or its own Close, which crossed ours.
    assert_eq!(answered(b"\x0f\xa1why"), said(4001, "why"));
    assert_eq!(answered(b"\x03\xe9"), said(1001, ""));
    // No answer at all.
    assert_eq!(unanswered(), said(1006, "kicked"));
}

#[test]
fn ending_reads_as_a_sentence_and_escapes_what_the_peer_wrote() {
    let mut ws = server();
    let events = feed(&mut ws, &mut BytesMut::new(), &masked(0x88, KEY, b"\x03\xe9bye\n"));
    assert_eq!(closed(&events).to_string(), "closed by the peer with 1001: \"bye\\n\"");
    let mut ws = server();
    ws.fail(CloseCode::GOING_AWAY, "").unwrap();
    let events = feed(&mut ws, &mut BytesMut::new(), b"");
    let told = "closed by this end with 1001, without a closing handshake";
    assert_eq!(closed(&events).to_string(), told);
}

// R6455-5.5.1-d
#[test]
fn nothing_but_one_close_is_last() {
    // Every order of three commands, with input in between.
    let commands: [fn(&mut Connection); 8] = [
        |ws| drop(ws.send("text")),
        |ws| drop(ws.ping(b"ping")),
        |ws| drop(ws.close(CloseCode::NORMAL, "")),
        |ws| drop(ws.fail(CloseCode::POLICY_VIOLATION, "")),
        |ws| drop(feed(ws, &mut BytesMut::new(), &masked(0x89, KEY, b""))),
        |ws| drop(feed(ws, &mut BytesMut::new(), &close(b"\x03\xe9"))),
        |ws| drop(feed(ws, &mut BytesMut::new(), &masked(0x80, KEY, b""))),
        |ws| {
            drop(ws.start_message(MessageKind::Binary));
            drop(ws.send_chunk(b"part"));
        },
    ];
    for i in 0..8_usize.pow(4) {
        let mut ws = server();
        let mut sent = Vec::new();
        for n in 0..4 {
            commands[i / 8_usize.pow(n) % 8](&mut ws);
            if i % 3 == 0 {
                sent.extend(written(&mut ws));
            }
        }
        sent.extend(written(&mut ws));
        let frames = frames(&sent);
        let closes = frames.iter().filter(|frame| frame.first == 0x88).count();
        let last = frames.last().is_some_and(|frame| frame.first == 0x88);
        assert!(closes == usize::from(last), "{i}: {frames:?}");
    }
}

// R6455-5.5.1-e
#[test]
fn close_is_answered_by_a_close() {
    let seen = receive(server, b"\x88\x82\x37\xfa\x21\x3d\x34\x12");
    assert_eq!(seen.sent, b"\x88\x02\x03\xe8");
    assert!(closed_by_peer(&seen.events).clean);
    let seen = receive(client, b"\x88\x02\x03\xe8");
    assert_eq!(seen.sent, b"\x88\x82\0\0\0\x01\x03\xe8");
}

// R6455-5.5.1-e
#[test]
fn second_close_is_not_answered() {
    let twice = [close(b"\x03\xe8"), close(b"\x03\xe9")].concat();
    let seen = receive(server, &twice);
    assert_eq!(seen.sent, b"\x88\x02\x03\xe8");
    assert_eq!(closed_by_peer(&seen.events).code, CloseCode::NORMAL);
    let mut ws = server();
    ws.close(CloseCode::GOING_AWAY, "").unwrap();
    feed(&mut ws, &mut BytesMut::new(), &twice);
    assert_eq!(written(&mut ws), b"\x88\x02\x03\xe9");
}

// R6455-5.5.1-f
#[test]
fn messages_before_a_close_are_delivered_and_their_replies_go_out_first() {
    let mut input = BytesMut::from(&[masked(0x81, KEY, b"text"), close(b"\x03\xe8")].concat()[..]);
    let mut ws = server();
    while let Some(event) = ws.poll_event(&mut input) {
        if let Event::Message(message) = event {
            ws.send(message).unwrap();
        }
    }
    assert_eq!(written(&mut ws), b"\x81\x04text\x88\x02\x03\xe8");
}

// R6455-5.5.1-f
#[test]
fn reply_made_between_closing_and_closed_still_goes_out() {
    let mut input = BytesMut::from(&close(b"\x03\xe8")[..]);
    let mut ws = server();
    assert_eq!(ws.poll_event(&mut input), Some(Event::Closing));
    assert!(!ws.is_open());
    assert_eq!(written(&mut ws), b"");
    ws.send("reply").unwrap();
    assert!(matches!(ws.poll_event(&mut input), Some(Event::Closed(_))));
    assert_eq!(ws.send("late"), Err(SendError::Closed));
    assert_eq!(written(&mut ws), b"\x81\x05reply\x88\x02\x03\xe8");
}

// R6455-5.5.1-g
#[test]
fn answer_waits_for_the_message_that_is_being_sent_or_cuts_it_between_frames() {
    let streaming = || {
        let mut ws = server();
        ws.start_message(MessageKind::Text).unwrap();
        ws.send_chunk(b"to").unwrap();
        let mut input = BytesMut::from(&close(b"\x03\xe8")[..]);
        assert_eq!(ws.poll_event(&mut input), Some(Event::Closing));
        ws
    };
    let mut ws = streaming();
    ws.finish_message(b"gether").unwrap();
    feed(&mut ws, &mut BytesMut::new(), b"");
    assert_eq!(written(&mut ws), b"\x01\x02to\x80\x06gether\x88\x02\x03\xe8");
    let mut ws = streaming();
    feed(&mut ws, &mut BytesMut::new(), b"");
    assert_eq!(ws.finish_message(b"gether"), Err(SendError::Closed));
    assert_eq!(written(&mut ws), b"\x01\x02to\x88\x02\x03\xe8");
}

// R6455-5.5.1-h, D-8
#[test]
fn answer_repeats_the_code_without_the_reason() {
    let seen = receive(server, &close(b"\x0b\xb8because"));
    assert_eq!(seen.sent, b"\x88\x02\x0b\xb8");
    assert_eq!(closed_by_peer(&seen.events).reason, "because");
    assert_eq!(receive(server, &close(b"")).sent, b"\x88\x00");
}

// R6455-5.5.1-j, R6455-7.1.5-a
#[test]
fn simultaneous_closes_complete_the_handshake() {
    let mut ws = server();
    ws.close(CloseCode::GOING_AWAY, "bye").unwrap();
    assert!(ws.is_close_awaited());
    assert_eq!(written(&mut ws), b"\x88\x05\x03\xe9bye");
    let mut input = BytesMut::new();
    let events = feed(&mut ws, &mut input, &close(b"\x0f\xa0mine"));
    let closed = closed(&events);
    assert_eq!(events.len(), 1);
    assert_eq!((closed.code.get(), closed.reason.as_str()), (4000, "mine"));
    assert!(closed.clean);
    assert_eq!(closed.by, ClosedBy::Local);
    stays_closed(&mut ws, &mut input);
}

// R6455-5.5.1-k
#[test]
fn frames_behind_a_close_are_not_processed() {
    for behind in
        [masked(0x89, KEY, b"ping"), masked(0x81, KEY, b"text"), unmasked(0xff, b"garbage")]
    {
        let seen = receive(server, &[close(b"\x03\xe8"), behind].concat());
        assert_eq!(seen.events.len(), 2);
        assert!(closed_by_peer(&seen.events).clean);
        assert_eq!(seen.sent, b"\x88\x02\x03\xe8");
    }
}

// R6455-5.5.1-k, R6455-7.1.5-a
#[test]
fn close_called_after_the_peers_is_the_answer_and_nothing_is_read_behind() {
    let finish: [fn(&mut Connection); 2] = [
        |ws| ws.close(CloseCode::new(4001), "ours").unwrap(),
        |ws| ws.fail(CloseCode::new(4001), "ours").unwrap(),
    ];
    for finish in finish {
        let mut ws = server();
        let mut input = BytesMut::from(&close(b"\x03\xe8theirs")[..]);
        assert_eq!(ws.poll_event(&mut input), Some(Event::Closing));
        finish(&mut ws);
        assert!(!ws.is_close_awaited(), "the peer's has come");
        let events = feed(&mut ws, &mut input, &masked(0x81, KEY, b"behind"));
        assert_eq!(events.len(), 1);
        let closed = closed_by_peer(&events);
        assert_eq!((closed.code.get(), closed.reason.as_str()), (1000, "theirs"));
        assert!(closed.clean);
        assert_eq!(written(&mut ws), b"\x88\x06\x0f\xa1ours");
        stays_closed(&mut ws, &mut input);
    }
}

// R6455-5.5.1-l
#[test]
fn close_inside_of_a_message_is_honoured_and_the_part_dropped() {
    let input = [masked(0x01, KEY, b"part"), close(b"\x03\xe8")].concat();
    let seen = receive(server, &input);
    assert_eq!(seen.events.len(), 2);
    assert!(closed_by_peer(&seen.events).clean);
    assert_eq!(seen.sent, b"\x88\x02\x03\xe8");
}

// R6455-7.1.2-a
#[test]
fn close_sends_its_code_and_reason() {
    let mut ws = server();
    ws.send("last").unwrap();
    ws.close(CloseCode::GOING_AWAY, "bye").unwrap();
    assert_eq!(written(&mut ws), b"\x81\x04last\x88\x05\x03\xe9bye");
}

// R6455-7.1.3-a
#[test]
fn close_sent_or_received_leaves_the_open_state() {
    let mut ws = server();
    assert!(ws.is_open() && !ws.is_close_awaited() && !ws.is_closed());
    ws.close(CloseCode::NORMAL, "").unwrap();
    assert!(!ws.is_open() && ws.is_close_awaited() && !ws.is_closed());
    let mut input = BytesMut::new();
    let late = [masked(0x81, KEY, b"on its way"), masked(0x8a, KEY, b"")].concat();
    let events = feed(&mut ws, &mut input, &late);
    assert_eq!(events, [text("on its way"), Event::Pong(Payload::new())]);
    feed(&mut ws, &mut input, &close(b"\x03\xe8"));
    assert!(!ws.is_open() && !ws.is_close_awaited() && ws.is_closed());

    let mut ws = server();
    let mut input = BytesMut::from(&close(b"\x03\xe8")[..]);
    let _ = ws.poll_event(&mut input);
    assert!(!ws.is_open() && !ws.is_close_awaited() && !ws.is_closed());
    let _ = ws.poll_event(&mut input);
    assert!(!ws.is_open() && !ws.is_close_awaited() && ws.is_closed());
}

// R6455-7.1.4-a
#[test]
fn end_of_input_without_a_close_is_not_clean() {
    for before in [&b""[..], b"\x81", b"\x81\x85\0\0\0\0He", b"\x01\x81\0\0\0\0a"] {
        let mut ws = server();
        let mut input = BytesMut::new();
        assert_eq!(feed(&mut ws, &mut input, before), []);
        ws.input_ended();
        let events = feed(&mut ws, &mut input, b"");
        assert_eq!(events.len(), 1);
        assert!(!closed_by_peer(&events).clean);
        assert_eq!(closed(&events).code, CloseCode::ABNORMAL);
        assert_eq!(closed(&events).fault, None);
        stays_closed(&mut ws, &mut input);
    }
    let mut ws = server();
    ws.close(CloseCode::NORMAL, "ours").unwrap();
    ws.input_ended();
    let events = feed(&mut ws, &mut BytesMut::new(), b"");
    let closed = closed(&events);
    assert_eq!((closed.by, closed.code), (ClosedBy::Local, CloseCode::ABNORMAL));
    assert_eq!((closed.clean, closed.reason.as_str()), (false, "ours"));
}

// R6455-7.1.4-a
#[test]
fn events_before_the_end_of_input_are_still_told() {
    let mut ws = server();
    let input = [masked(0x82, KEY, b"one"), masked(0x82, KEY, b"two")].concat();
    let mut input = BytesMut::from(&input[..]);
    ws.input_ended();
    let events = feed(&mut ws, &mut input, b"");
    assert_eq!(events[..2], [binary(b"one"), binary(b"two")]);
    assert_eq!(closed_by_peer(&events).code, CloseCode::ABNORMAL);
}

// R6455-7.1.5-a, R6455-7.1.6-a
#[test]
fn code_and_reason_are_those_of_the_peers_close_or_1005_or_1006() {
    let told = |input: &[u8]| {
        let mut ws = server();
        let mut input = BytesMut::from(input);
        ws.input_ended();
        let events = feed(&mut ws, &mut input, b"");
        let closed = closed_by_peer(&events);
        (closed.code.get(), closed.reason.to_string())
    };
    assert_eq!(told(&close(b"\x0f\xa0why")), (4000, "why".into()));
    assert_eq!(told(&close(b"")), (1005, "".into()));
    assert_eq!(told(b""), (1006, "".into()));
}

// R6455-7.1.5-a
#[test]
fn code_of_a_failure_of_ours_is_the_one_that_we_sent() {
    let mut ws = server();
    ws.fail(CloseCode::POLICY_VIOLATION, "too slow").unwrap();
    let mut input = BytesMut::new();
    let events = feed(&mut ws, &mut input, &close(b"\x03\xe8"));
    let closed = closed(&events);
    assert_eq!(events.len(), 1);
    assert_eq!((closed.by, closed.code.get()), (ClosedBy::Local, 1008));
    assert_eq!((closed.reason.as_str(), closed.clean), ("too slow", false));
    assert_eq!(closed.fault, None);
    assert_eq!(written(&mut ws), b"\x88\x0a\x03\xf0too slow");
    stays_closed(&mut ws, &mut input);
}

// R6455-7.1.7-a, R6455-7.1.7-c, R6455-7.1.7-e, R6455-10.7-b
#[test]
fn failing_sends_a_fitting_close_and_processes_nothing_more() {
    let limits = || server_with(config(|config| config.max_message = 3));
    for (input, code) in [
        (&b"\x83"[..], &b"\x03\xea"[..]),
        (b"\x81\x81\0\0\0\0\xff", b"\x03\xef"),
        (b"\x81\x84", b"\x03\xf1"),
    ] {
        let failed = fails(limits, input);
        assert_eq!(failed.code.to_be_bytes(), code);
        let behind = [input, &masked(0x81, KEY, b"a"), &close(b"\x03\xe8")].concat();
        let failed = fails(limits, &behind);
        assert_eq!((failed.before, failed.sent), (vec![], vec![]));
    }
    let mut ws = server();
    feed(&mut ws, &mut BytesMut::new(), b"\x83");
    assert_eq!(written(&mut ws), b"\x88\x15\x03\xeareserved opcode 0x3");
    assert!(ws.is_closed());
}

// R6455-7.1.7-c
#[test]
fn messages_before_a_fault_are_delivered_and_their_replies_go_out_first() {
    let mut input = BytesMut::from(&[masked(0x81, KEY, b"text"), vec![0x83]].concat()[..]);
    let mut ws = server();
    while let Some(event) = ws.poll_event(&mut input) {
        if let Event::Message(message) = event {
            ws.send(message).unwrap();
        }
    }
    let sent = frames(&written(&mut ws));
    assert_eq!((sent[0].first, &sent[0].payload[..]), (0x81, &b"text"[..]));
    assert_eq!((sent[1].first, &sent[1].payload[..2]), (0x88, &b"\x03\xea"[..]));
    assert_eq!(sent.len(), 2);
}

// R6455-7.1.7-d
#[test]
fn no_close_is_sent_to_a_peer_that_is_gone() {
    let mut ws = server();
    ws.input_ended();
    feed(&mut ws, &mut BytesMut::new(), b"\x81");
    assert_eq!(written(&mut ws), b"");
}
