//! How much memory connections hold.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    alloc::System,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
#[cfg(feature = "deflate")]
use support::Raw;
use support::{BINARY, PING, TEXT, echo, limits, masked, open, open_with, service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::sleep,
};
#[cfg(feature = "deflate")]
use ws_server::Deflate;
use ws_server::{Limits, Peer, Publication, Server, Service, SlowConsumer, UNLIMITED, WebSocket};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test at a time: the allocator counts for all of them.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // One that fails tells so while the next one counts, and a backtrace takes megabytes.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that are held now and were not when `region` began.
fn held(region: &Region<'_, System>) -> isize {
    let change = region.change();
    change.bytes_allocated as isize - change.bytes_deallocated as isize
}

/// Runs in a thread of its own, whose end gives back what it keeps for its connections.
fn run<T: Send>(test: impl Future<Output = T> + Send) -> T {
    let _alone = alone();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true);
    std::thread::scope(|scope| {
        scope.spawn(|| builder.build().unwrap().block_on(test)).join().unwrap()
    })
}

const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: test.example\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nOrigin: http://test.example\r\nUser-Agent: a test\r\n\r\n";

/// Passes octets through the wire and back, so that it has grown to what it needs: it grows once
/// more when something is written while it is not empty.
async fn worn_in() -> (DuplexStream, DuplexStream) {
    let (mut one, mut two) = tokio::io::duplex(4096);
    wear_in(&mut one, &mut two).await;
    wear_in(&mut two, &mut one).await;
    (one, two)
}

async fn wear_in(from: &mut DuplexStream, to: &mut DuplexStream) {
    let mut buffer = [0; 4096];
    from.write_all(&buffer).await.unwrap();
    to.read_exact(&mut buffer[..1]).await.unwrap();
    from.write_all(&buffer[..1]).await.unwrap();
    to.read_exact(&mut buffer).await.unwrap();
}

/// Messages of `len` bytes, as many as `count` says, sent without waiting for replies.
#[derive(Clone, Copy, Debug)]
struct Burst {
    count: usize,
    len: usize,
}

/// Opens a connection over the wire and has a burst echoed, without keeping anything.
async fn exchange(io: &mut DuplexStream, server: DuplexStream, service: &Service, burst: Burst) {
    tokio::spawn(service.serve_connection(server, Peer::Other));
    io.write_all(REQUEST).await.unwrap();
    let mut buffer = [0; 1024];
    let mut read = 0;
    while !buffer[..read].ends_with(b"\r\n\r\n") {
        read += io.read(&mut buffer[read..]).await.unwrap();
    }
    assert!(buffer.starts_with(b"HTTP/1.1 101 "));
    let message = masked(TEXT, &vec![b'x'; burst.len]);
    let (mut reader, mut writer) = tokio::io::split(&mut *io);
    let echoed = (message.len() - 4) * burst.count;
    let sent = message.repeat(burst.count);
    let sending = async { writer.write_all(&sent).await.unwrap() };
    let receiving = async {
        let mut left = echoed;
        while left > 0 {
            left -= reader.read(&mut buffer).await.unwrap();
        }
    };
    tokio::join!(sending, receiving);
}

/// Bytes that the server holds for each of so many connections, which are idle after a burst.
async fn per_connection<F>(handler: fn(WebSocket) -> F, connections: usize, burst: Burst) -> isize
where
    F: Future<Output = support::Handled> + Send + 'static,
{
    let service = service(Limits::default(), handler);
    // What a thread and a service hold once.
    let (mut first, server) = worn_in().await;
    exchange(&mut first, server, &service, burst).await;
    let mut wires = Vec::new();
    for _ in 0..connections {
        wires.push(worn_in().await);
    }
    let mut clients = Vec::with_capacity(connections);
    let region = Region::new(ALLOCATOR);
    for (mut io, server) in wires {
        exchange(&mut io, server, &service, burst).await;
        clients.push(io);
    }
    sleep(Duration::from_secs(5)).await;
    assert_eq!(service.clients().count(), connections + 1);
    held(&region) / connections as isize
}

async fn echo_in_another_task(ws: WebSocket) -> support::Handled {
    tokio::spawn(echo(ws)).await?
}

/// Lets messages wait to be received, so that they are decoded ahead.
async fn echo_late(ws: WebSocket) -> support::Handled {
    sleep(Duration::from_secs(1)).await;
    echo(ws).await
}

/// Receives in its turn and sends through what other tasks use.
async fn echo_by_sender(mut ws: WebSocket) -> support::Handled {
    let sender = ws.sender();
    while let Some(message) = ws.recv().await {
        sender.send(message).await?;
    }
    Ok(())
}

#[test]
fn idle_connection_holds_little() {
    for len in [20, 1000, 100_000] {
        let bytes = run(per_connection(echo, 1000, Burst { count: 1, len }));
        println!("an idle connection after an echo of {len} bytes: {bytes} bytes");
        // The wire is not counted.
        assert!(bytes <= 1280, "{bytes} bytes after an echo of {len}");
    }
}

/// The frames of a client that compresses so many messages of 1 KiB of JSON.
#[cfg(feature = "deflate")]
fn compressed(client: &Deflate, agreed: &str, messages: usize) -> Vec<Vec<u8>> {
    use ws_core::{ExtensionFactory, extension::Params};
    let mut params = Params::new();
    for param in agreed.split("; ").filter(|param| !param.is_empty()) {
        match param.split_once('=') {
            Some((name, value)) => params.push(name, Some(value)),
            None => params.push(param, None),
        }
    }
    let mut extensions = ws_core::Extensions::none();
    extensions.push(client, client.confirm(&params, &[]).unwrap()).unwrap();
    let config = ws_core::Config::default();
    let mut ws = ws_core::Connection::new(ws_core::Role::client(|| [7; 4]), config, extensions);
    let frame = |i: usize| {
        let mut json = String::new();
        for n in i * 20.. {
            json += &format!(r#"{{"id":{},"user":"alice","price":{}.5}},"#, n * 7919, n * n);
            if json.len() >= 1024 {
                break;
            }
        }
        ws.send(&json[..1024]).unwrap();
        let mut frame = Vec::new();
        ws.write_to(&mut frame).unwrap();
        frame
    };
    (0..messages).map(frame).collect()
}

/// Bytes that the server holds for each of 1000 connections with compression, which rest after so
/// many messages of 1 KiB of JSON in both directions, with takeover.
#[cfg(feature = "deflate")]
async fn per_compressed_connection(bits: u8, messages: usize) -> isize {
    const CONNECTIONS: usize = 1000;
    let options = Deflate::default().client_max_window_bits(bits);
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let agreed = match bits {
        15 => String::new(),
        bits => format!("client_max_window_bits={bits}"),
    };
    let frames = compressed(&options, &agreed, messages);
    let server = Server::new().limits(Limits::default()).extension(options).any(echo);
    let service = server.service().unwrap();
    let mut wires = Vec::new();
    for _ in 0..=CONNECTIONS {
        wires.push(worn_in().await);
    }
    let mut clients = Vec::with_capacity(CONNECTIONS + 1);
    let mut region = Region::new(ALLOCATOR);
    for (i, (io, server)) in wires.into_iter().enumerate() {
        tokio::spawn(service.serve_connection(server, Peer::Other));
        let mut raw = Raw::new(io);
        let answer = raw.handshake("/", offer).await;
        assert!(answer.contains("permessage-deflate"), "{answer}");
        assert!(answer.contains(&agreed), "{answer}");
        for frame in &frames {
            raw.io.write_all(frame).await.unwrap();
            let (first, payload) = raw.frame().await.unwrap();
            assert!(first == 0xc1 && payload.len() < 512, "{} bytes", payload.len());
        }
        clients.push(raw.io);
        if i == 0 {
            // The states that compress and inflate are there for all.
            region.reset();
        }
    }
    sleep(Duration::from_secs(15)).await;
    held(&region) / CONNECTIONS as isize
}

// R7692-x-mem
#[cfg(feature = "deflate")]
#[test]
fn resting_connection_with_compression_holds_little() {
    for (bits, messages, most) in [(12, 1, 6), (12, 20, 8), (15, 1, 6), (15, 40, 40)] {
        let bytes = run(per_compressed_connection(bits, messages));
        println!("a resting connection with {bits} bits, after {messages} messages: {bytes} bytes");
        assert!(bytes <= most * 1024, "{bytes} bytes, {bits} bits, after {messages} messages");
    }
}

#[test]
fn idle_connection_with_its_receiver_in_another_task_holds_little() {
    let bytes = run(per_connection(echo_in_another_task, 1000, Burst { count: 1, len: 1000 }));
    println!("with its receiver in another task: {bytes} bytes");
    assert!(bytes <= 3 * 1024, "{bytes} bytes");
}

#[test]
fn connection_holds_no_more_after_a_burst() {
    fn check<F>(name: &str, handler: fn(WebSocket) -> F)
    where
        F: Future<Output = support::Handled> + Send + 'static,
    {
        let after = |count, len| run(per_connection(handler, 20, Burst { count, len }));
        let one = after(1, 20);
        for (count, len) in [(10_000, 20), (100, 10_000)] {
            let bytes = after(count, len);
            println!("{name}: {bytes} bytes after {count} of {len} bytes, {one} after one of 20");
            // A queue keeps room for four, and what the tests' harness does is counted too.
            assert!(bytes <= one + 1024, "{name}: {bytes} bytes, {one} after one message");
        }
    }
    check("echo", echo);
    check("echo in another task", echo_in_another_task);
    check("late echo", echo_late);
    check("echo by a sender", echo_by_sender);
}

#[test]
fn subscription_holds_little() {
    async fn subscriber(ws: WebSocket) -> support::Handled {
        ws.subscribe("a topic of all")?;
        echo(ws).await
    }
    let burst = Burst { count: 1, len: 20 };
    let plain = run(per_connection(echo, 1000, burst));
    let bytes = run(per_connection(subscriber, 1000, burst)) - plain;
    println!("a connection with one subscription: {bytes} bytes more");
    assert!(bytes <= 512, "{bytes} bytes more");
}

// RT-52: a hundred thousand topics of one connection, a hundred of each of a thousand, names in
// many levels, and a topic of all.
#[test]
fn rt_52_a_hundred_thousand_subscriptions_leave_nothing_behind() {
    const TOPICS: usize = 100_000;
    let limits = limits(|limits| limits.max_subscriptions = UNLIMITED);
    run(async {
        let service = service(limits, echo);
        let clients = service.clients();
        let mut raws = Vec::new();
        for _ in 0..1000 {
            raws.push(open_with(&service, "/", "", 256).await);
        }
        let list = clients.list();
        let one = &list[0];
        let deep = |i: usize| format!("{}{i}", "level/".repeat(i % 40));
        // So that what its connection notes does not vanish whole.
        one.subscribe("kept").unwrap();
        let region = Region::new(ALLOCATOR);
        for round in 0..3 {
            for i in 0..TOPICS {
                one.subscribe(deep(i)).unwrap();
            }
            assert_eq!((clients.topic_count(), one.topics().len()), (TOPICS + 1, TOPICS + 1));
            let held = held(&region) / TOPICS as isize;
            println!("a topic with one subscription: {held} bytes");
            assert!(held < 600, "{held} bytes for each");

            // A publish looks at its own subscribers alone.
            let before = region.change().bytes_allocated;
            assert_eq!(clients.publish(&deep(77_777), "x").here(), 1);
            let allocated = region.change().bytes_allocated - before;
            assert!(allocated < 2000, "{allocated} bytes for one of a hundred thousand");

            for i in 0..TOPICS {
                assert!(one.unsubscribe(&deep(i)));
            }
            assert_eq!((clients.topic_count(), one.topics().len()), (1, 1));
            sleep(Duration::from_secs(1)).await;
            left(&region, &format!("round {round} of one connection"));

            for (i, client) in list.iter().enumerate() {
                for topic in 0..100 {
                    client.subscribe(format!("topic {}", (i + topic) % 1000)).unwrap();
                }
                client.subscribe("all").unwrap();
            }
            assert_eq!(clients.metrics().subscriptions, TOPICS + 1001);
            assert_eq!((clients.subscribers("all"), clients.subscribers("topic 7")), (1000, 100));
            for client in &list {
                let topics = client.topics();
                for topic in topics.iter().filter(|topic| topic.starts_with("topic ")) {
                    assert!(client.unsubscribe(topic));
                }
            }
            // The last one of a topic that was large.
            for client in &list[1..] {
                assert!(client.unsubscribe("all"));
            }
            assert_eq!((clients.topic_count(), clients.subscribers("all")), (2, 1));
            left(&region, &format!("round {round} of a thousand"));
            assert!(one.unsubscribe("all"));
        }
        // And all at once, by the end of a connection.
        for i in 0..TOPICS {
            one.subscribe(deep(i)).unwrap();
        }
        drop(list);
        drop(raws.remove(0));
        sleep(Duration::from_secs(5)).await;
        assert_eq!((clients.count(), clients.topic_count()), (999, 0));
        left(&region, "the end of the connection");
    });
}

/// That next to nothing is held.
fn left(region: &Region<'_, System>, after: &str) {
    let held = held(region);
    assert!(held < 16 * 1024, "{held} bytes are left after {after}");
}

// RT-32, T-B17
#[test]
fn rt_32_slow_consumers_hold_no_more_than_their_bounds() {
    async fn subscriber(ws: WebSocket) -> support::Handled {
        ws.subscribe("all")?;
        echo(ws).await
    }
    for policy in [SlowConsumer::DropOldest, SlowConsumer::DropNewest] {
        run(async move {
            let server = Server::new().slow_consumer(policy).any(subscriber);
            let service = server.service().unwrap();
            let clients = service.clients();
            let (_raw, _) = open_with(&service, "/", "", 4096).await;
            sleep(Duration::from_secs(1)).await;
            let region = Region::new(ALLOCATOR);
            for i in 0..1_000_000 {
                // Small ones, whose bookkeeping outweighs them.
                clients.publish("all", "tick");
                if i % 1000 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            assert!(clients.dropped() > 900_000);
            let held = held(&region);
            println!("a slow consumer under {policy:?}: {held} bytes");
            assert!(held < 1200 * 1024, "{held} bytes");
        });
    }
}

// Client::subscribe_after: 8 bytes for each missed message, and what goes out.
#[test]
fn missed_messages_are_shared_by_all_who_are_sent_them() {
    const CLIENTS: isize = 50;
    run(async {
        let service = service(Limits::default(), echo);
        let missed: Vec<Publication> = (0..10_000_u32)
            .map(|number| {
                let mut payload = vec![7; 1024];
                payload[..4].copy_from_slice(&number.to_be_bytes());
                Publication::new(payload)
            })
            .collect();
        // Makes what they share.
        drop(missed.clone());
        let mut raws = Vec::new();
        for _ in 0..CLIENTS {
            raws.push(open_with(&service, "/", "", 4096).await);
        }
        let region = Region::new(ALLOCATOR);
        for client in service.clients().list() {
            client.subscribe_after("room", missed.iter().cloned()).unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        let held = held(&region) / CLIENTS;
        println!("a client that is sent 10 MB: {held} bytes");
        assert!(held < 80_000 + 160 * 1024, "{held} bytes");
    });
}

// RT-31, T-B5
#[test]
fn rt_31_connection_that_cannot_write_holds_no_more_than_its_bounds() {
    let handler = |mut ws: WebSocket| async move {
        // Each a buffer of its own.
        while ws.send(vec![7; 10_000]).await.is_ok() {}
        Ok(())
    };
    run(async {
        let region = Region::new(ALLOCATOR);
        let (_raw, _) = open_with(&service(Limits::default(), handler), "/", "", 4096).await;
        sleep(Duration::from_secs(10)).await;
        let held = held(&region);
        assert!((256 * 1024..600 * 1024).contains(&held), "{held} bytes");
    });
}

// RT-29, T-B3
#[test]
fn rt_29_ping_flood_without_reading_holds_one_pong() {
    let limits = limits(|limits| {
        (limits.control_rate, limits.control_burst) = (UNLIMITED, UNLIMITED);
    });
    run(async {
        let (mut raw, _) = open_with(&service(limits, echo), "/", "", 4096).await;
        let ping = masked(PING, &[7; 125]);
        for _ in 0..1000 {
            raw.io.write_all(&ping).await.unwrap();
        }
        let region = Region::new(ALLOCATOR);
        for _ in 0..100_000 {
            raw.io.write_all(&ping).await.unwrap();
        }
        let held = held(&region);
        assert!(held < 32 * 1024, "{held} bytes more");
    });
}

// T-B4, RT-19
#[test]
fn tiny_fragments_hold_little_more_than_their_payload() {
    let limits = limits(|limits| limits.max_fragments = UNLIMITED);
    run(async {
        let (mut raw, _) = open(&service(limits, echo)).await;
        let region = Region::new(ALLOCATOR);
        raw.io.write_all(&masked(0x02, b"7")).await.unwrap();
        for _ in 0..100_000 {
            raw.io.write_all(&masked(0x00, b"7")).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        let held = held(&region);
        // Twice the payload, what is read into, and the wire.
        assert!(held < 200_000 + 200 * 1024, "{held} bytes");
    });
}

// T-B7, RT-13
#[test]
fn announced_length_holds_nothing() {
    let limits = limits(|limits| {
        limits.max_message = UNLIMITED;
    });
    run(async {
        let service = service(limits, echo);
        let (mut first, _) = open(&service).await;
        first.send(TEXT, b"warm").await;
        first.frame().await.unwrap();
        let (mut raw, _) = open(&service).await;
        let region = Region::new(ALLOCATOR);
        let announced = [&[BINARY, 0xff][..], &(1_u64 << 62).to_be_bytes(), &[1; 4], &[7; 100]];
        raw.io.write_all(&announced.concat()).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let change = region.change();
        assert!(change.bytes_allocated < 160 * 1024, "{} bytes", change.bytes_allocated);
        assert!(held(&region) < 8 * 1024, "{} bytes", held(&region));
    });
}

// T-B7, RT-20
#[test]
fn unfinished_large_messages_hold_little_more_than_what_came_of_them() {
    const COUNT: usize = 40;
    const LEN: usize = 1 << 20;
    const CAME: usize = 200_000;
    run(async {
        let service = service(Limits::default(), echo);
        // A thread keeps buffers for large messages, up to 8 MiB.
        for _ in 0..10 {
            let (mut io, server) = worn_in().await;
            exchange(&mut io, server, &service, Burst { count: 2, len: LEN }).await;
        }
        let mut wires = Vec::new();
        for _ in 0..COUNT {
            wires.push(open(&service).await.0);
        }
        let region = Region::new(ALLOCATOR);
        for raw in &mut wires {
            let announced = [&[BINARY, 0xff][..], &(LEN as u64).to_be_bytes(), &[1; 4]].concat();
            raw.io.write_all(&announced).await.unwrap();
            for piece in [7; CAME].chunks(10_000) {
                raw.io.write_all(piece).await.unwrap();
                sleep(Duration::from_millis(1)).await;
            }
        }
        let held = held(&region);
        println!("{held} bytes of {COUNT} messages of which {CAME} bytes came");
        assert!(held <= (COUNT * (2 * CAME + 8 * 1024)) as isize, "{held} bytes");
        // And they are given back when nobody needs them any more.
        drop(wires);
        sleep(Duration::from_secs(5)).await;
        let (mut first, _) = open(&service).await;
        first.send(TEXT, b"a turn").await;
        first.frame().await.unwrap();
        let kept = region.change();
        let kept = kept.bytes_allocated as isize - kept.bytes_deallocated as isize;
        assert!(kept < -1024 * 1024, "{kept} bytes");
    });
}

#[test]
fn slow_handler_holds_no_more_than_its_bounds() {
    let handler = |ws: WebSocket| async move {
        sleep(Duration::from_secs(60)).await;
        echo(ws).await
    };
    for payload in [&[7; 20][..], &[7; 1000], &[7; 30_000]] {
        run(async {
            let (raw, _) = open_with(&service(Limits::default(), handler), "/", "", 4096).await;
            let (reader, mut writer) = tokio::io::split(raw.io);
            let frame = masked(BINARY, payload);
            let region = Region::new(ALLOCATOR);
            let flood =
                tokio::spawn(async move { while writer.write_all(&frame).await.is_ok() {} });
            sleep(Duration::from_secs(59)).await;
            let held = held(&region);
            println!("behind a slow handler: {held} bytes, of messages of {}", payload.len());
            assert!(held < 400 * 1024, "{held} bytes");
            flood.abort();
            drop(reader);
        });
    }
}
