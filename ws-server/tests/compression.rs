//! Compression under load, and with messages that are dropped.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::Ordering;

use support::{TEXT, counting, echo, engine::open_deflate, limits, masked, open, open_with};
use tokio::io::AsyncWriteExt;
use ws_server::{
    ClosedBy, Deflate, Limits, Message, Publication, Server, Service, SlowConsumer, WebSocket,
};
use ws_tests_support::frame::frames;

/// A service with compression, and one handler for every path.
fn service(handler: impl ws_server::Handler) -> Service {
    let server = Server::new().limits(Limits::default()).extension(Deflate::default());
    server.route("/plain", echo).any(handler).service().unwrap()
}

/// Text that is different for every `i`, compresses a little by itself and much by what came before.
fn text(i: usize) -> String {
    let mut state = (i as u64 / 3) * 7919 + 1;
    let mut text = format!("message {i}: ");
    while text.len() < 2000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:x} "));
    }
    text
}

// RT-21, T-B6
#[tokio::test(start_paused = true)]
async fn rt_21_compression_bomb_ends_with_1009() {
    let (told, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let told = told.clone();
        async move {
            while ws.recv().await.is_some() {}
            told.send(ws.closed().await)?;
            Ok(())
        }
    };
    let service = service(handler);
    let (mut encoder, _) = open_deflate(&service, 1 << 20).await;
    encoder.ws.send(vec![0; 16 << 20]).unwrap();
    let frames = encoder.encoded();
    assert!(frames.len() < 64 * 1024, "{} octets", frames.len());
    for split in [usize::MAX, 1, 100] {
        let (mut bomb, _) = open_deflate(&service, 1 << 20).await;
        let (mut other, _) = open_with(&service, "/plain", "", 4096).await;
        bomb.io.write_all(&refragmented(&frames, split)).await.unwrap();
        other.send(TEXT, b"meanwhile").await;
        assert_eq!(other.frame().await.unwrap(), (TEXT, b"meanwhile".to_vec()));
        let (messages, closed) = bomb.rest().await;
        assert_eq!((messages.len(), closed.by, closed.code.get()), (0, ClosedBy::Peer, 1009));
        let told = ends.recv().await.unwrap();
        assert_eq!((told.by, told.code.get()), (ClosedBy::Local, 1009));
    }
}

/// A compressed message in frames, cut into pieces of so many octets.
fn refragmented(wire: &[u8], split: usize) -> Vec<u8> {
    let payload: Vec<u8> = frames(wire).into_iter().flat_map(|frame| frame.payload).collect();
    let count = payload.chunks(split).len();
    let fragment = |(i, piece): (usize, &[u8])| {
        let first = if i == 0 { 0x42 } else { 0x00 };
        let fin = if i + 1 == count { 0x80 } else { 0x00 };
        masked(first | fin, piece)
    };
    payload.chunks(split).enumerate().flat_map(fragment).collect()
}

// T-B6, RT-58
#[tokio::test]
async fn messages_that_grow_much_leave_others_their_turns() {
    // A test's own future has fewer turns than a task.
    tokio::spawn(grow_much()).await.unwrap();
}

async fn grow_much() {
    let (handler, seen) = counting();
    let service = service(handler);
    for (len, count) in [(1 << 20, 20), (60_000, 300)] {
        seen.store(0, Ordering::Relaxed);
        let (mut bomb, _) = open_deflate(&service, 1 << 20).await;
        let (mut other, _) = open_with(&service, "/plain", "", 4096).await;
        // The same frame again is as good as another, since it looks back at nothing but zeros.
        bomb.ws.send(vec![0; len]).unwrap();
        let frames = bomb.encoded().repeat(count);
        assert!(frames.len() < 100_000, "{} octets", frames.len());
        // One thread: nothing of it is read before both have written.
        bomb.io.write_all(&frames).await.unwrap();
        let (mut before, mut most) = (0, 0);
        for _ in 0..5 {
            other.send(TEXT, b"my turn").await;
            assert_eq!(other.frame().await.unwrap(), (TEXT, b"my turn".to_vec()));
            let now = seen.load(Ordering::Relaxed);
            most = most.max(now - before);
            before = now;
        }
        // Two turns, and what is decoded beyond the mark.
        assert!(most <= 4 << 20, "{most} bytes were inflated before one echo");
        while seen.load(Ordering::Relaxed) < len * count {
            tokio::task::yield_now().await;
        }
    }
}

// RT-32, T-B17
#[tokio::test(start_paused = true)]
async fn rt_32_messages_that_are_dropped_do_not_tear_the_compression() {
    let (told, mut ready) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |ws: WebSocket| {
        told.send(()).unwrap();
        echo(ws)
    };
    let service = service(handler);
    let clients = service.clients();
    let (mut stalled, task) = open_deflate(&service, 4096).await;
    let (mut reading, _) = open_deflate(&service, 4096).await;
    for _ in 0..2 {
        ready.recv().await.unwrap();
    }
    let mut sent = 0;
    while clients.dropped() == 0 {
        clients.send_all(text(sent).as_str());
        // The one gets everything.
        assert_eq!(reading.message().await, Message::from(text(sent).as_str()));
        // The other some of it, at first.
        if sent < 20 {
            assert_eq!(stalled.message().await, Message::from(text(sent).as_str()));
        }
        sent += 1;
        assert!(sent < 10_000);
    }
    let (messages, closed) = stalled.rest().await;
    assert!(messages.len() > 2, "{} messages lay on the way", messages.len());
    for (i, message) in messages.iter().enumerate() {
        assert_eq!(*message, Message::from(text(20 + i).as_str()));
    }
    assert_eq!((closed.by, closed.code.get(), closed.fault), (ClosedBy::Peer, 1013, None));
    assert_eq!(messages.len() + 20 + clients.dropped() as usize, sent);
    let answer = stalled.encoded();
    stalled.io.write_all(&answer).await.unwrap();
    assert_eq!(task.await.unwrap().unwrap().code.get(), 1013);
    // And it goes on for the other.
    clients.send_all(text(sent).as_str());
    assert_eq!(reading.message().await, Message::from(text(sent).as_str()));
}

// T-B17
#[tokio::test(start_paused = true)]
async fn own_messages_and_those_to_many_are_decoded_in_order() {
    let service = service(echo);
    let clients = service.clients();
    let (mut one, _) = open_deflate(&service, 4096).await;
    let (mut two, _) = open_deflate(&service, 4096).await;
    let (mut plain, _) = open(&service).await;
    let two_is = clients.list()[1].id();
    for i in 0..300 {
        let (own, to_one, to_all) = (text(1000 + i), text(2000 + i), text(i));
        // The echo, a message to one, one to all and one to some: each in its place.
        if i % 3 != 0 {
            one.send(own.as_str()).await;
            assert_eq!(one.message().await, Message::from(own.as_str()));
        }
        if i % 5 == 0 {
            clients.try_send(two_is, to_one.as_str()).unwrap();
        }
        clients.send_all(to_all.as_str());
        clients.send_where(own.as_str(), |client| client.id() == two_is);
        assert_eq!(one.message().await, Message::from(to_all.as_str()));
        if i % 5 == 0 {
            assert_eq!(two.message().await, Message::from(to_one.as_str()));
        }
        assert_eq!(two.message().await, Message::from(to_all.as_str()));
        assert_eq!(two.message().await, Message::from(own.as_str()));
        assert_eq!(plain.frame().await.unwrap(), (TEXT, to_all.into_bytes()));
    }
}

/// A policy drops some of what waits for a client that reads late, and what it gets is whole.
async fn what_a_policy_leaves_is_decoded(policy: SlowConsumer, keyed: bool) {
    let (told, mut ready) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |ws: WebSocket| {
        ws.subscribe("all").unwrap();
        told.send(()).unwrap();
        echo(ws)
    };
    let limits = limits(|limits| limits.send_buffer = 16 * 1024);
    let server = Server::new().limits(limits).slow_consumer(policy);
    let service = server.extension(Deflate::default()).any(handler).service().unwrap();
    let clients = service.clients();
    let (mut late, _task) = open_deflate(&service, 4096).await;
    ready.recv().await.unwrap();
    let sender = clients.list()[0].sender();
    let (mut sent, mut own) = (0, 0);
    for round in 1..6 {
        // In between some own ones, which nobody drops.
        while clients.dropped() < round * 50 {
            let publication = Publication::new(text(sent).as_str());
            let key = format!("{}", sent % 5);
            clients.publish("all", if keyed { publication.key(key) } else { publication });
            if sent % 50 == 0 && sender.try_send(format!("own {own}")).is_ok() {
                own += 1;
            }
            sent += 1;
            tokio::task::yield_now().await;
        }
        assert!(sent < 10_000);
        let (mut numbers, mut owns) = (vec![], 0);
        // The first own one that has room again.
        while sender.try_send("end of round").is_err() {
            match late.message().await {
                message if is_own(&message) => owns += 1,
                message => numbers.push(number_of(&message)),
            }
        }
        loop {
            match late.message().await {
                message if message.as_bytes() == b"end of round" => break,
                message if is_own(&message) => owns += 1,
                message => numbers.push(number_of(&message)),
            }
        }
        assert!(numbers.len() > 5, "{numbers:?}");
        assert!(keyed || numbers.is_sorted(), "{numbers:?}");
        assert_eq!(owns, std::mem::take(&mut own), "own ones are there, in {policy:?}");
    }
}

fn is_own(message: &Message) -> bool {
    message.as_bytes().starts_with(b"own ")
}

/// Which text it is, to the last octet.
fn number_of(message: &Message) -> usize {
    let Message::Text(came) = message else { panic!("{message:?}") };
    let number = came.as_str().strip_prefix("message ").unwrap().split_once(':').unwrap().0;
    let number = number.parse().unwrap();
    assert_eq!(came.as_str(), text(number));
    number
}

// RT-32, T-B17
#[tokio::test(start_paused = true)]
async fn rt_32_policies_that_drop_some_do_not_tear_the_compression() {
    what_a_policy_leaves_is_decoded(SlowConsumer::DropOldest, false).await;
    what_a_policy_leaves_is_decoded(SlowConsumer::DropNewest, false).await;
    what_a_policy_leaves_is_decoded(SlowConsumer::DropOldest, true).await;
    what_a_policy_leaves_is_decoded(SlowConsumer::Close, true).await;
}
