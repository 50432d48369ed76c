//! What a server counts is what happened.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "deflate")]

mod support;

use std::time::Duration;

use support::{
    BINARY, CLOSE, PING, PONG, TEXT, echo, engine::open_deflate, masked, open, open_with,
};
use tokio::{io::AsyncWriteExt, time::sleep};
use ws_core::Message;
use ws_server::{
    AdmissionLimit, Cause, Clients, CloseCode, ClosedBy, Deflate, Metrics, Peer, Publication,
    Rejected, Server, ServerLimits, Service, Traffic, WebSocket,
};
use ws_tests_support::handshake::request;

fn service(limits: ServerLimits) -> Service {
    let server = Server::new().server_limits(limits).extension(Deflate::default());
    server.route("/", echo).route("/deaf", deaf).service().unwrap()
}

/// Receives only after an hour.
async fn deaf(ws: WebSocket) -> support::Handled {
    sleep(Duration::from_secs(3600)).await;
    echo(ws).await
}

/// What was counted when everybody rests.
async fn rested(clients: &Clients) -> Metrics {
    sleep(Duration::from_secs(1)).await;
    clients.metrics()
}

fn is(traffic: Traffic, messages: u64, payload: u64, wire: u64) {
    assert_eq!((traffic.messages, traffic.payload, traffic.wire), (messages, payload, wire));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_counted_before_anything_happens() {
    let service = service(ServerLimits::default());
    let metrics = service.clients().metrics();
    let mut nothing = Metrics::default();
    // The bounds of their buckets are known before.
    nothing.durations.clone_from(&metrics.durations);
    nothing.round_trips.clone_from(&metrics.round_trips);
    nothing.max_memory = metrics.max_memory;
    assert_eq!(metrics, nothing);
    for times in [metrics.durations, metrics.round_trips] {
        assert_eq!((times.count(), times.sum(), times.buckets().count()), (0, Duration::ZERO, 13));
    }
}

#[tokio::test(start_paused = true)]
async fn messages_and_bytes_are_those_on_the_wire_and_those_of_the_handler() {
    let service = service(ServerLimits::default());
    let clients = service.clients();
    let (mut raw, _) = open(&service).await;
    let before = rested(&clients).await;
    assert_eq!((before.connections, before.opened), (1, 1));
    is(before.received, 0, 0, 0);
    is(before.sent, 0, 0, 0);
    for _ in 0..100 {
        raw.send(TEXT, b"hello").await;
        raw.frame().await.unwrap();
    }
    // A burst that is one read, of lengths in all three forms.
    let burst = [masked(TEXT, b""), masked(TEXT, &[b'x'; 1000]), masked(TEXT, &[b'x'; 20_000])];
    raw.io.write_all(&burst.concat()).await.unwrap();
    for len in [0, 1000, 20_000] {
        assert_eq!(raw.frame().await.unwrap().1.len(), len);
    }
    // A control frame is no message.
    raw.send(PING, b"1234").await;
    assert_eq!(raw.frame().await.unwrap().0, PONG);
    let after = rested(&clients).await;
    let wire = 100 * (6 + 5) + 6 + (8 + 1000) + (8 + 20_000) + 6 + 4;
    is(after.received, 103, 500 + 21_000, wire);
    is(after.sent, 103, 500 + 21_000, wire - 4 * 104);
    // In pieces, and behind a handler that does not look.
    let (mut deaf, _) = open_with(&service, "/deaf", "", 64 * 1024).await;
    for octet in masked(TEXT, b"slow") {
        deaf.io.write_all(&[octet]).await.unwrap();
        tokio::task::yield_now().await;
    }
    is(rested(&clients).await.received, 104, 21_504, wire + 10);
}

#[tokio::test(start_paused = true)]
async fn compressed_bytes_are_fewer_on_the_wire_and_their_contexts_are_memory() {
    let service = service(ServerLimits::default());
    let clients = service.clients();
    let text = "a sentence that is said again and again. ".repeat(100);
    let (mut one, task) = open_deflate(&service, 1 << 16).await;
    let (mut plain, _) = open(&service).await;
    let before = rested(&clients).await.memory;
    assert!(before < 1000, "{before} bytes are held before the first message");
    for round in 0..3 {
        one.send(text.as_str()).await;
        assert_eq!(one.message().await, Message::from(text.as_str()));
        plain.send(TEXT, b"short").await;
        plain.frame().await.unwrap();
        let metrics = rested(&clients).await;
        let messages = 2 * (round + 1);
        let payload = (text.len() as u64 + 5) * (round + 1);
        assert_eq!((metrics.received.messages, metrics.received.payload), (messages, payload));
        assert_eq!((metrics.sent.messages, metrics.sent.payload), (messages, payload));
        assert!((1..payload / 4).contains(&metrics.received.wire), "{:?}", metrics.received);
        assert!((1..payload / 4).contains(&metrics.sent.wire), "{:?}", metrics.sent);
        let list = clients.list();
        let each: Vec<usize> = list.iter().map(ws_server::Client::memory_usage).collect();
        assert!(each[0] > 4000 && each[1] == 0, "{each:?}");
        assert_eq!(metrics.memory, each[0], "it adds up");
    }
    drop(one);
    task.await.unwrap();
    assert_eq!(clients.metrics().memory, 0, "it is given back");
}

#[tokio::test(start_paused = true)]
async fn message_that_is_inflated_in_many_steps_counts_its_bytes_once() {
    let service = service(ServerLimits::default());
    let clients = service.clients();
    let (mut one, _) = open_deflate(&service, 4096).await;
    for round in 1..3 {
        one.send(vec![0; 1_000_000]).await;
        assert_eq!(one.message().await.len(), 1_000_000);
        let metrics = rested(&clients).await;
        assert_eq!(
            (metrics.received.messages, metrics.received.payload),
            (round, round * 1_000_000)
        );
        assert_eq!((metrics.sent.messages, metrics.sent.payload), (round, round * 1_000_000));
        // Either side compresses quickly, not well, for one that has it inflate so much.
        assert!(metrics.received.wire < 50_000 && metrics.sent.wire < 50_000, "{metrics:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn memory_of_unfinished_messages_is_counted_while_it_is_held() {
    let service = service(ServerLimits::default());
    let clients = service.clients();
    let (mut raw, task) = open(&service).await;
    raw.io.write_all(&masked(TEXT & 0x7f, &[b'x'; 50_000])).await.unwrap();
    let held = rested(&clients).await.memory;
    assert!((50_000..150_000).contains(&held), "{held} bytes");
    raw.send(0x80, b"").await;
    assert_eq!(raw.frame().await.unwrap().1.len(), 50_000);
    assert_eq!(rested(&clients).await.memory, 0);
    // A task that is dropped gives it back too.
    raw.io.write_all(&masked(TEXT & 0x7f, &[b'x'; 50_000])).await.unwrap();
    assert!(rested(&clients).await.memory >= 50_000);
    task.abort();
    assert!(task.await.is_err());
    assert_eq!(clients.metrics().memory, 0);
}

#[tokio::test(start_paused = true)]
async fn ends_are_counted_by_their_code() {
    let service = service(ServerLimits::default());
    let clients = service.clients();
    // As the client says, one of them for others to count.
    for code in [1000_u16, 1000, 1001, 3000, 3999, 4000, 4999, 4321] {
        let (mut raw, task) = open(&service).await;
        raw.send(CLOSE, &code.to_be_bytes()).await;
        raw.expect_close(code).await;
        drop(raw);
        task.await.unwrap();
    }
    // By its fault, by its silence, and by a task that is dropped.
    let (mut raw, task) = open(&service).await;
    raw.send(0x83, b"").await;
    raw.expect_close(1002).await;
    drop(raw);
    task.await.unwrap();
    let (raw, task) = open(&service).await;
    drop(raw);
    task.await.unwrap();
    let (_raw, task) = open(&service).await;
    task.abort();
    assert!(task.await.is_err());
    // By us, with a code of our own.
    let (mut raw, task) = open(&service).await;
    clients.close_all(CloseCode::new(4005), "");
    raw.expect_close(4005).await;
    raw.send(CLOSE, &4005_u16.to_be_bytes()).await;
    assert_eq!(raw.frame().await, None);
    let closed = task.await.unwrap().unwrap();
    let metrics = clients.metrics();
    let ends = metrics.closed.iter().map(|((code, by), n)| (code.get(), *by, *n));
    let ends: Vec<(u16, ClosedBy, u64)> = ends.collect();
    assert_eq!(closed.code.get(), 4005);
    let (ours, theirs) = (ClosedBy::Local, ClosedBy::Peer);
    let expected = [
        (1000, theirs, 2),
        (1001, theirs, 1),
        (1002, ours, 1),
        (1006, ours, 1),
        (1006, theirs, 1),
        (4005, ours, 1),
    ];
    assert_eq!(ends, expected);
    assert_eq!((metrics.closed_by_clients_3xxx, metrics.closed_by_clients_4xxx), (2, 3));
    assert_eq!((metrics.connections, metrics.opened), (0, 12));
}

#[tokio::test(start_paused = true)]
async fn rejections_are_counted_by_their_cause() {
    let service = service(ServerLimits::default().max_connections(2));
    let clients = service.clients();
    for request in [
        &*request("/nowhere", ""),
        "GET / HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let (mut io, theirs) = tokio::io::duplex(4096);
        let task = tokio::spawn(service.serve_connection(theirs, Peer::Other));
        io.write_all(request.as_bytes()).await.unwrap();
        assert!(task.await.unwrap().is_none());
    }
    let (_one, _) = open(&service).await;
    let (_two, _) = open(&service).await;
    let (_io, theirs) = tokio::io::duplex(4096);
    assert!(service.serve_connection(theirs, Peer::Other).await.is_none());
    let metrics = clients.metrics();
    let mut rejected: Vec<_> =
        metrics.rejected.iter().map(|it| (it.count, it.status, it.cause)).collect();
    assert_eq!(rejected[0], (2, 426, Cause::Upgrade), "the most frequent first");
    rejected.remove(0);
    let statuses: Vec<_> = rejected.iter().map(|(count, status, _)| (*count, *status)).collect();
    assert_eq!(statuses, [(1, 400), (1, 404), (1, 503)]);
    assert!(matches!(rejected[0].2, Cause::Head(_)));
    assert_eq!((rejected[1].2, rejected[2].2), (Cause::NoRoute, Cause::NoRoom));
    let full = metrics.rejected.iter().find(|it| it.status == 503).unwrap();
    assert_eq!(full.limit, Some(AdmissionLimit::MaxConnections));
    assert!(metrics.rejected.iter().all(|it| it.status == 503 || it.limit.is_none()));
    let mut labels: Vec<_> = metrics.rejected.iter().map(Rejected::label).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["malformed_head", "max_connections", "no_route", "upgrade"]);
    assert_eq!((metrics.opened, metrics.connections), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn rejections_at_each_limit_are_counted_apart() {
    let limits = ServerLimits::default().max_connections(5).max_per_ip(3).max_pending(2);
    let service = service(limits);
    let mut held = Vec::new();
    // The third is refused, and the second gives way to the fourth.
    for address in [1, 1, 1, 2] {
        let peer = Peer::Tcp(([10, 0, 0, address], 1).into());
        let (io, theirs) = tokio::io::duplex(4096);
        tokio::spawn(service.serve_connection(theirs, peer));
        sleep(Duration::from_millis(1)).await;
        held.push(io);
    }
    for address in [1, 1, 1, 2, 3] {
        let peer = Peer::Tcp(([10, 0, 0, address], 1).into());
        let (mut io, theirs) = tokio::io::duplex(4096);
        tokio::spawn(service.serve_connection(theirs, peer));
        io.write_all(request("/", "").as_bytes()).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        held.push(io);
    }
    let metrics = service.clients().metrics();
    let of = |limit| -> u64 {
        metrics.rejected.iter().filter(|it| it.limit == Some(limit)).map(|it| it.count).sum()
    };
    assert_eq!(of(AdmissionLimit::MaxPending), 2);
    assert_eq!(of(AdmissionLimit::MaxPerIp), 1);
    assert_eq!(of(AdmissionLimit::MaxConnections), 1);
}

#[tokio::test(start_paused = true)]
async fn messages_to_many_are_counted_once_and_their_copies_each() {
    let service = service(ServerLimits::default());
    let clients = service.clients();
    let mut raws = Vec::new();
    for _ in 0..3 {
        raws.push(open(&service).await.0);
    }
    for client in &clients.list()[..2] {
        client.subscribe("two").unwrap();
    }
    assert_eq!(clients.publish("two", "1").here(), 2);
    assert_eq!(clients.publish("nobody", "2").here(), 0);
    assert_eq!(clients.send_all("3").here(), 3);
    assert_eq!(clients.send_path("/", Publication::new("4").key("k")).here(), 3);
    assert_eq!(clients.send_path("/", Publication::new("5").key("k")).here(), 3);
    let metrics = rested(&clients).await;
    assert_eq!((metrics.broadcasts, metrics.delivered, metrics.dropped), (5, 11, 3));
    is(metrics.sent, 8, 8, 24);
}

#[tokio::test(start_paused = true)]
async fn texts_are_counted_apart_in_both_directions() {
    let service = service(ServerLimits::default());
    let clients = service.clients();
    let (mut raw, _) = open(&service).await;
    // One by one, in a burst, in fragments, and compressed elsewhere.
    for kind in [TEXT, BINARY, TEXT] {
        raw.send(kind, b"one").await;
        raw.frame().await.unwrap();
    }
    let burst = [masked(BINARY, b"1"), masked(TEXT, b"2"), masked(BINARY, b"3")];
    raw.io.write_all(&burst.concat()).await.unwrap();
    raw.io.write_all(&[masked(0x01, b"4"), masked(0x80, b"5")].concat()).await.unwrap();
    for kind in [BINARY, TEXT, BINARY, TEXT] {
        assert_eq!(raw.frame().await.unwrap().0, kind);
    }
    let (mut compressed, _) = open_deflate(&service, 4096).await;
    for message in [Message::from("x".repeat(200)), Message::from(vec![0; 200])] {
        compressed.send(message.clone()).await;
        assert_eq!(compressed.message().await, message);
    }
    let metrics = rested(&clients).await;
    for way in [metrics.received, metrics.sent] {
        assert_eq!((way.messages, way.texts, way.binaries()), (9, 5, 4));
    }
    // From elsewhere: to one, and to many.
    let sender = clients.list()[0].sender();
    sender.send("text").await.unwrap();
    sender.send(vec![0]).await.unwrap();
    clients.send_all(vec![0]);
    clients.send_all("text");
    let sent = rested(&clients).await.sent;
    assert_eq!((sent.messages, sent.texts, sent.binaries()), (15, 8, 7));
}

#[tokio::test(start_paused = true)]
async fn connections_are_counted_by_how_long_they_lasted() {
    let service = service(ServerLimits::default());
    let clients = service.clients();
    let of = |millis| Duration::from_millis(millis);
    for millis in [0, 100, 101, 70_000, 100_000_000] {
        let (mut raw, task) = open(&service).await;
        // A client answers Pings as long as it is there.
        let until = tokio::time::Instant::now() + of(millis);
        while let Ok(Some(frame)) = tokio::time::timeout_at(until, raw.frame()).await {
            assert_eq!(frame.0, PING);
            raw.send(PONG, &frame.1).await;
        }
        raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
        raw.expect_close(1000).await;
        drop(raw);
        task.await.unwrap();
    }
    let durations = clients.metrics().durations;
    let some: Vec<_> = durations.buckets().filter(|(_, count)| *count > 0).collect();
    let (minutes, end) = (of(5 * 60_000), Duration::MAX);
    assert_eq!(some, [(of(100), 2), (of(1000), 1), (minutes, 1), (end, 1)]);
    assert_eq!((durations.count(), durations.sum()), (5, of(100_070_201)));
}

#[tokio::test(start_paused = true)]
async fn round_trip_is_the_time_from_our_ping_to_its_pong() {
    let service = service(ServerLimits::default());
    let clients = service.clients();
    let (mut raw, _) = open(&service).await;
    let client = clients.list().remove(0);
    let ms = Duration::from_millis;
    // Unasked, and for a Ping of the application: neither is measured.
    raw.send(PONG, b"").await;
    client.sender().ping("1").unwrap();
    assert_eq!(raw.frame().await.unwrap(), (PING, b"1".to_vec()));
    sleep(ms(10)).await;
    raw.send(PONG, b"1").await;
    assert_eq!((rested(&clients).await.round_trips.count(), client.round_trip()), (0, None));
    for (time, bound) in [(ms(30), ms(50)), (ms(700), ms(1000)), (Duration::ZERO, ms(1))] {
        assert_eq!(raw.frame().await.unwrap(), (PING, vec![]));
        sleep(time).await;
        let before = clients.metrics().round_trips;
        raw.send(PONG, b"").await;
        let after = rested(&clients).await.round_trips;
        // As soon as it can be told from none.
        assert_eq!(client.round_trip(), Some(time.max(Duration::from_micros(1))));
        assert_eq!((after.count(), after.sum()), (before.count() + 1, before.sum() + time));
        let grown = after.buckets().zip(before.buckets()).find(|(now, then)| now.1 > then.1);
        assert_eq!(grown.unwrap().0.0, bound);
    }
    // A Pong that is not empty answers another Ping than ours.
    assert_eq!(raw.frame().await.unwrap(), (PING, vec![]));
    sleep(ms(10)).await;
    raw.send(PONG, b"1").await;
    assert_eq!(rested(&clients).await.round_trips.count(), 3);
    // A second Pong answers nothing, and that of two Pings either of them.
    raw.send(PONG, b"").await;
    assert_eq!(raw.frame().await.unwrap().0, PING);
    sleep(ms(10)).await;
    raw.send(TEXT, b"not yet").await;
    assert_eq!(raw.frame().await.unwrap().0, TEXT);
    assert_eq!(raw.frame().await.unwrap().0, PING);
    sleep(ms(10)).await;
    raw.send(PONG, b"").await;
    raw.send(PONG, b"").await;
    let last = rested(&clients).await.round_trips;
    assert_eq!((last.count(), client.round_trip()), (3, Some(Duration::from_micros(1))));
    assert_eq!(last.sum(), ms(730));
}

#[tokio::test(start_paused = true)]
async fn round_trip_during_which_reading_was_paused_is_not_measured() {
    let limits = support::limits(|limits| limits.receive_ahead = 1);
    let service = Server::new().limits(limits).route("/", deaf).service().unwrap();
    let clients = service.clients();
    let (mut raw, _) = open(&service).await;
    raw.send(TEXT, b"unread").await;
    for _ in 0..10 {
        // The Pong is read once the server looks ahead for it, pong_timeout later.
        let (first, payload) = raw.frame().await.unwrap();
        assert_eq!(first, PING);
        raw.send(PONG, &payload).await;
    }
    assert_eq!(rested(&clients).await.round_trips.count(), 0);
    assert_eq!(clients.list()[0].round_trip(), None);
}

#[tokio::test(start_paused = true)]
async fn queued_bytes_are_counted_while_they_wait() {
    let service = service(ServerLimits::default());
    let clients = service.clients();
    let mut raws = Vec::new();
    for _ in 0..40 {
        raws.push(open_with(&service, "/", "", 4096).await.0);
    }
    assert_eq!(rested(&clients).await.queue_bytes, 0);
    // What the wire and the driver take is 64 KiB and a little.
    for client in clients.list().into_iter().skip(20) {
        for _ in 0..20 {
            client.sender().try_send(vec![0; 10_000]).unwrap();
        }
    }
    let each = rested(&clients).await.queue_bytes / 20;
    assert!((100_000..140_000).contains(&each), "{each} of 200,000 bytes wait");
    clients.send_all(vec![0; 1000]);
    let more = rested(&clients).await.queue_bytes / 20;
    assert!((each + 1000..each + 1100).contains(&more), "{more} after {each}");
    for raw in raws.iter_mut().skip(20) {
        for _ in 0..20 {
            assert_eq!(raw.frame().await.unwrap().1.len(), 10_000);
        }
    }
    assert_eq!(rested(&clients).await.queue_bytes, 0);
    // What a lost client leaves counts no more.
    let client = clients.list().remove(0);
    for _ in 0..20 {
        client.sender().try_send(vec![0; 10_000]).unwrap();
    }
    assert!(rested(&clients).await.queue_bytes > 100_000);
    raws.remove(0);
    assert_eq!(rested(&clients).await.queue_bytes, 0);
}

/// Connections at work on several threads while somebody looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counts_add_up_on_several_threads() {
    let service = service(ServerLimits::default());
    let clients = service.clients();
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let service = service.clone();
        tasks.push(tokio::spawn(async move {
            let (mut raw, task) = open(&service).await;
            for _ in 0..200 {
                raw.send(TEXT, b"hello").await;
                raw.frame().await.unwrap();
            }
            raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
            raw.expect_close(1000).await;
            drop(raw);
            task.await.unwrap();
        }));
    }
    let mut before = clients.metrics();
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        let now = clients.metrics();
        assert!(now.received.messages >= before.received.messages);
        assert!(now.sent.wire >= before.sent.wire);
        before = now;
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    let metrics = clients.metrics();
    is(metrics.received, 1600, 8000, 8 * (200 * 11 + 8));
    is(metrics.sent, 1600, 8000, 8 * (200 * 7 + 4));
    assert_eq!(metrics.closed[&(CloseCode::NORMAL, ClosedBy::Peer)], 8);
    assert_eq!((metrics.received.texts, metrics.sent.texts), (1600, 1600));
    assert_eq!(metrics.durations.count(), 8);
}
