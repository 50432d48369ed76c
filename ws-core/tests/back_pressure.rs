//! `Connection::unwritten` counts all that is queued: a loop that sends until it is enough ends.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Buf;
use support::{
    client, client_with, config,
    extensions::{RSV1, RSV3_EVERY, Reverse, Scoped, Stutter, add_one, client_of_with, server_of},
    server, written,
};
use ws_core::{
    Broadcast, Config, Connection, Message, MessageKind, Outgoing, SendError, extension::Scope,
};

const LIMIT: usize = 256 << 10;

/// Connections of either role: without extensions, with one that works on a stream, with one that sees
/// whole messages, with one that sees frames, and with two.
fn connections() -> Vec<Connection> {
    let stacks: [fn() -> Vec<Scoped>; 5] = [
        || vec![Stutter::boxed(RSV1, 3)],
        || vec![add_one(RSV1, Scope::Message).boxed()],
        || vec![Reverse::boxed(RSV1, Scope::WholeMessage)],
        || vec![Reverse::boxed(RSV3_EVERY, Scope::Frame)],
        || {
            vec![
                Reverse::boxed(RSV1, Scope::WholeMessage),
                Reverse::boxed(RSV3_EVERY, Scope::Frame),
            ]
        },
    ];
    let mut all =
        vec![server(), client(), client_with(config(|config| config.max_sent_frame = 100))];
    for stack in stacks {
        all.push(server_of(stack()));
        all.push(client_of_with(Config::default(), stack()));
    }
    all
}

/// How often `send` is called until enough is queued; `most` bounds it, and what it holds.
fn fill(
    ws: &mut Connection,
    most: usize,
    mut send: impl FnMut(&mut Connection) -> Result<(), SendError>,
) {
    let mut sent = 0;
    while ws.unwritten() < LIMIT {
        send(ws).unwrap();
        sent += 1;
        assert!(sent <= most, "{:?}: it does not end", ws.extensions());
    }
    let held = ws.memory_usage();
    assert!(held < 4 * LIMIT, "{:?}: {held} bytes", ws.extensions());
}

/// Everything goes out, and is counted no more.
fn drain(ws: &mut Connection) {
    let mut before = ws.unwritten();
    while let Some(output) = ws.poll_output() {
        let step = output.len().min(10_000);
        output.advance(step);
        let now = ws.unwritten();
        assert!(now < before + 64 * 1024 * 3, "{before} and then {now}");
        before = now;
    }
    assert_eq!((ws.unwritten(), ws.encoded()), (0, 0));
}

#[test]
fn sending_until_enough_is_queued_ends() {
    for len in [0, 1, 100, 4096, 100_000] {
        for mut ws in connections() {
            let most = LIMIT / len.max(2) + 1;
            fill(&mut ws, most, |ws| ws.send(vec![7; len]));
            drain(&mut ws);
        }
    }
}

#[test]
fn sending_broadcasts_until_enough_is_queued_ends() {
    for len in [0, 100, 4096] {
        for mut ws in connections() {
            let news = Broadcast::new(Message::binary(vec![7; len]));
            fill(&mut ws, LIMIT / len.max(2) + 1, |ws| ws.send_broadcast(&news));
            drain(&mut ws);
        }
    }
}

#[test]
fn broadcasts_that_wait_for_the_end_of_a_message_count() {
    for len in [0, 100, 4096] {
        for mut ws in connections() {
            ws.start_message(MessageKind::Binary).unwrap();
            ws.send_chunk(b"part").unwrap();
            let news = Broadcast::new(Message::binary(vec![7; len]));
            fill(&mut ws, LIMIT / len.max(64) + 1, |ws| ws.send_broadcast(&news));
            ws.finish_message(b"").unwrap();
            drain(&mut ws);
        }
    }
}

#[test]
fn pieces_of_a_message_count_while_it_is_not_complete() {
    for mut ws in connections() {
        ws.start_message(MessageKind::Binary).unwrap();
        fill(&mut ws, LIMIT / 1000 + 1, |ws| ws.send_chunk(vec![7; 1000]));
        ws.finish_message(b"").unwrap();
        drain(&mut ws);
    }
}

#[test]
fn control_frames_behind_what_waits_count() {
    for mut ws in connections() {
        ws.send(vec![7; 200_000]).unwrap();
        ws.send(vec![7; 10_000]).unwrap();
        fill(&mut ws, LIMIT / 2, |ws| ws.ping(b""));
        drain(&mut ws);
    }
}

#[test]
fn what_is_counted_is_what_was_given_until_it_is_encoded() {
    let mut ws = server_of(vec![add_one(RSV1, Scope::Message).boxed()]);
    ws.send(vec![7; 1 << 20]).unwrap();
    let before = (ws.encoded(), ws.unwritten());
    assert_eq!(before.0, 0, "64 KiB are not a frame");
    assert!(before.1.abs_diff(1 << 20) < 100, "{before:?}");
    let mut octets = 0;
    while let Outgoing::Write(output) = ws.poll_output_bounded() {
        octets += output.len();
        output.advance(output.len());
        assert!((octets + ws.unwritten()).abs_diff(1 << 20) < 300);
    }
    assert!(octets > 1 << 20 && written(&mut ws).is_empty());
}
