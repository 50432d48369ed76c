//! A relay between a client and an upstream: what it holds of large messages, who slows whom, and what it
//! leaves as it is.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    alloc::System,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{BINARY, CLOSE, Handled, PING, PONG, TEXT, masked, service};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    time::{sleep, timeout},
};
use ws_handshake::accept_key;
use ws_server::{Connect, Interrupted, Limits, Peer, Sender, WebSocket};
use ws_tests_support::{
    frame::{header, unmasked},
    handshake::request,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MIB: usize = 1 << 20;
const WIRE: usize = 64 * 1024;
const LONG: Duration = Duration::from_secs(3600);
/// FIN, RSV1 and binary.
const RSV1: u8 = 0xc2;
const MASK: u8 = 0x80;

/// Runs alone, because the allocator counts for all, in a thread whose end gives back what it keeps.
fn run(test: impl Future<Output = ()> + Send) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true);
    std::thread::scope(|scope| {
        scope.spawn(|| builder.build().unwrap().block_on(test)).join().unwrap();
    });
}

/// As the example `relay` does.
async fn pass(from: &mut WebSocket, to: &Sender) -> Handled {
    while let Some(mut message) = from.recv_streaming().await {
        let mut passed = to.send_streaming(message.kind());
        loop {
            match message.chunk().await {
                Ok(Some(piece)) => passed.write(piece).await?,
                Ok(None) => break passed.finish().await?,
                Err(Interrupted { .. }) => return Ok(to.close(from.closed().await.code, "")?),
            }
        }
    }
    Ok(to.close(from.closed().await.code, "")?)
}

/// A client and an upstream with a relay between them.
async fn related() -> (DuplexStream, DuplexStream) {
    let limits = Limits::default().streaming(true);
    let (io, mut upstream) = tokio::io::duplex(WIRE);
    let connect = Connect::new("ws://upstream.example/").limits(limits.clone());
    let connecting = tokio::spawn(connect.over(io));
    let head = read_head(&mut upstream).await;
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let key = key.or_else(|| head.lines().find_map(|l| l.strip_prefix("Sec-WebSocket-Key: ")));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(key.unwrap().as_bytes())
    );
    upstream.write_all(answer.as_bytes()).await.unwrap();
    let connected = Arc::new(Mutex::new(Some(connecting.await.unwrap().unwrap())));

    let relay = move |mut client: WebSocket| {
        let upstream = connected.lock().unwrap().take();
        async move {
            let mut upstream = upstream.ok_or("one client")?;
            let (to_client, to_upstream) = (client.sender(), upstream.sender());
            let (one, two) =
                tokio::join!(pass(&mut client, &to_upstream), pass(&mut upstream, &to_client));
            one.and(two)
        }
    };
    let service = service(limits, relay);
    let (mut client, io) = tokio::io::duplex(WIRE);
    tokio::spawn(async move { service.serve_connection(io, Peer::Other).await });
    client.write_all(request("/", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    (client, upstream)
}

async fn read_head(io: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(LONG, io.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Sends one frame of so many octets; a key of zeros leaves them as they are.
async fn send_large(io: &mut (impl AsyncWrite + Unpin), mask: u8, len: usize, sent: &AtomicUsize) {
    let mut head = header(BINARY, mask, len as u64);
    if mask != 0 {
        head.extend([0; 4]);
    }
    io.write_all(&head).await.unwrap();
    let piece = [7; 16 * 1024];
    for at in (0..len).step_by(piece.len()) {
        let n = piece.len().min(len - at);
        io.write_all(&piece[..n]).await.unwrap();
        sent.fetch_add(n, Ordering::Relaxed);
    }
}

/// Reads the header of a frame: its first octet, masking key, and length.
async fn read_header(io: &mut (impl AsyncRead + Unpin)) -> (u8, [u8; 4], usize) {
    let first = timeout(LONG, io.read_u8()).await.expect("a frame").unwrap();
    let second = io.read_u8().await.unwrap();
    let len = match second & 0x7f {
        126 => usize::from(io.read_u16().await.unwrap()),
        127 => io.read_u64().await.unwrap() as usize,
        len => usize::from(len),
    };
    let mut key = [0; 4];
    if second & MASK != 0 {
        io.read_exact(&mut key).await.unwrap();
    }
    (first, key, len)
}

/// Reads a message whatever its frames, and looks at what is held now and then. Returns its length.
async fn read_large(io: &mut (impl AsyncRead + Unpin), held: impl Fn()) -> usize {
    let (mut octets, mut buffer) = (0, vec![0; 16 * 1024]);
    loop {
        let (first, key, len) = read_header(io).await;
        if first == PING {
            continue;
        }
        assert!([0x02, 0x00, 0x80].contains(&first), "{first:#x}");
        let mut left = len;
        while left > 0 {
            let n = buffer.len().min(left);
            io.read_exact(&mut buffer[..n]).await.unwrap();
            let at = len - left;
            for (i, octet) in buffer[..n].iter().enumerate() {
                assert_eq!(octet ^ key[(at + i) % 4], 7);
            }
            left -= n;
            held();
        }
        octets += len;
        if first == 0x80 {
            return octets;
        }
    }
}

async fn read_frame(io: &mut (impl AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    let (first, key, len) = read_header(io).await;
    let mut payload = vec![0; len];
    io.read_exact(&mut payload).await.unwrap();
    for (i, octet) in payload.iter_mut().enumerate() {
        *octet ^= key[i % 4];
    }
    (first, payload)
}

#[test]
fn relay_of_large_messages_holds_less_than_a_mib() {
    const LEN: usize = if cfg!(debug_assertions) { 16 * MIB } else { 64 * MIB };
    run(async {
        let (client, upstream) = related().await;
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_upstream, mut to_upstream) = tokio::io::split(upstream);
        let region = Region::new(ALLOCATOR);
        let most = AtomicUsize::new(0);
        let held = || {
            let change = region.change();
            let held = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
            most.fetch_max(held, Ordering::Relaxed);
        };
        let sent = AtomicUsize::new(0);
        // Both ways at the same time.
        let (_, up, _, down) = tokio::join!(
            send_large(&mut to_client, MASK, LEN, &sent),
            read_large(&mut from_upstream, held),
            send_large(&mut to_upstream, 0, LEN, &sent),
            read_large(&mut from_client, held),
        );
        assert_eq!((up, down), (LEN, LEN));
        let most = most.load(Ordering::Relaxed);
        println!("{most} bytes of {LEN} each way");
        assert!(most < MIB, "{most} bytes");
    });
}

#[test]
fn slow_reader_slows_the_sender_through_the_relay() {
    const LEN: usize = 4 * MIB;
    run(async {
        for upwards in [true, false] {
            let (client, upstream) = related().await;
            let (mut sender, mut reader, mask) =
                if upwards { (client, upstream, MASK) } else { (upstream, client, 0) };
            let sent = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&sent);
            let region = Region::new(ALLOCATOR);
            let sending = tokio::spawn(async move {
                send_large(&mut sender, mask, LEN, &counted).await;
                sender
            });
            // Nothing is read; longer than most deadlines, and shorter than that for a write.
            sleep(Duration::from_secs(15)).await;
            let taken = sent.load(Ordering::Relaxed);
            let held = region.change();
            let held = held.bytes_allocated - held.bytes_deallocated;
            println!("{taken} octets taken, {held} bytes held");
            assert!((128 * 1024..MIB).contains(&taken) && held < MIB, "{taken}, {held}");
            assert_eq!(read_large(&mut reader, || ()).await, LEN);
            sending.await.unwrap();
        }
    });
}

// R6455-5.4-k
#[test]
fn relay_keeps_control_frames_and_what_it_does_not_know_to_itself() {
    run(async {
        let (mut client, mut upstream) = related().await;
        // A Ping in the middle of a message is answered here, and not passed on or cut.
        client.write_all(&masked(0x01, b"one")).await.unwrap();
        assert_eq!(read_frame(&mut upstream).await, (0x01, b"one".to_vec()));
        client.write_all(&masked(PING, &[7; 125])).await.unwrap();
        assert_eq!(read_frame(&mut client).await, (PONG, vec![7; 125]));
        client.write_all(&masked(0x80, b"two")).await.unwrap();
        assert_eq!(read_frame(&mut upstream).await, (0x00, b"two".to_vec()));
        assert_eq!(read_frame(&mut upstream).await, (0x80, vec![]));
        // A bit of an extension that it has not agreed on ends the connection before any fragment of the
        // message is passed on.
        upstream.write_all(&unmasked(TEXT, b"known")).await.unwrap();
        upstream.write_all(&unmasked(RSV1, b"unknown")).await.unwrap();
        assert_eq!(read_frame(&mut client).await, (0x01, b"known".to_vec()));
        assert_eq!(read_frame(&mut client).await, (0x80, vec![]));
        let (first, body) = read_frame(&mut upstream).await;
        assert_eq!((first, &body[..2]), (CLOSE, &1002_u16.to_be_bytes()[..]));
        upstream.shutdown().await.unwrap();
        let (first, body) = read_frame(&mut client).await;
        assert_eq!((first, &body[..2]), (CLOSE, &1002_u16.to_be_bytes()[..]));
    });
}
