//! Processes that are killed and stopped, connections that are reset, and no descriptor left, over real
//! sockets: afterwards the server holds what it held.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use ws_tests_support::frame::{BINARY, CLOSE, PING, PONG, TEXT, pattern};

use crate::{
    child::{DEADLINE, PATIENCE, Process, Running, occupy},
    support::{Raw, masked},
};

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// Answers Pings, until a text comes or `at_most` has passed.
async fn text(raw: &mut Raw<TcpStream>) -> Vec<u8> {
    let reading = async {
        loop {
            match raw.frame().await.expect("it goes on") {
                (PING, payload) => raw.send(PONG, &payload).await,
                (TEXT, payload) => return payload,
                (PONG, _) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("a text in time")
}

// T-B12, T-B13, RT-37: clients that the system ends in the middle of everything.
#[tokio::test]
async fn killed_clients_leave_nothing() {
    let server = Running::start("server", 1024);
    // So that what is made once is there.
    drop(Process::client(server.address));
    sleep(Duration::from_millis(100)).await;
    let mut other = server.open("/echo", "").await;
    other.send(CLOSE, &1000_u16.to_be_bytes()).await;
    drop(other);
    let before = server.ledger().await;
    for _ in 0..3 {
        let clients: Vec<_> = (0..2).map(|_| Process::client(server.address)).collect();
        for client in &clients {
            client.signal("-KILL");
        }
        drop(clients);
        server.settled(&before).await;
    }
}

// T-B12: clients whose process is stopped are given up by their deadlines, and see it when they go on.
#[tokio::test]
async fn stopped_clients_end_by_their_deadlines_and_leave_nothing() {
    let server = Running::start("server", 1024);
    let before = server.ledger().await;
    let client = Process::client(server.address);
    client.signal("-STOP");
    let begun = Instant::now();
    server.settled(&before).await;
    assert!(begun.elapsed() >= DEADLINE, "{:?}", begun.elapsed());
    client.signal("-CONT");
    drop(client);
    server.settled(&before).await;
}

// T-B16: a server whose process is stopped for longer than every deadline. Who was not heard meanwhile is asked,
// and what came meanwhile is read first.
#[tokio::test]
async fn stopped_server_keeps_its_clients() {
    let server = Running::start("server", 1024);
    let before = server.ledger().await;
    let mut idle = server.open("/echo", "").await;
    let mut sends = server.open("/echo", OFFER).await;
    let mut cut = server.open("/echo", "").await;
    let mut member = server.open("/chat", "").await;
    assert!(text(&mut member).await.ends_with(b"came"));
    // Its Ping is on its way, or will be.
    let mut pinged = server.open("/echo", "").await;
    let message = masked(TEXT, b"cut in two");
    let pings = async {
        while let Some((PING, payload)) = pinged.frame().await {
            pinged.send(PONG, &payload).await;
        }
    };
    timeout(DEADLINE * 4 / 3, pings).await.ok();
    // The others were pinged too.
    for raw in [&mut idle, &mut sends, &mut cut, &mut member] {
        raw.send(TEXT, b"here").await;
        while !text(raw).await.ends_with(b"here") {}
    }
    cut.io.write_all(&message[..9]).await.unwrap();
    sleep(DEADLINE / 10).await;
    server.process.signal("-STOP");
    sends.send(TEXT, b"sent meanwhile").await;
    cut.io.write_all(&message[9..]).await.unwrap();
    sleep(DEADLINE * 3).await;
    server.process.signal("-CONT");
    assert_eq!(text(&mut sends).await, b"sent meanwhile");
    assert_eq!(text(&mut cut).await, b"cut in two");
    for raw in [&mut idle, &mut sends, &mut cut, &mut pinged, &mut member] {
        raw.send(TEXT, b"after it").await;
        while !text(raw).await.ends_with(b"after it") {}
    }
    drop((idle, sends, cut, pinged, member));
    server.settled(&before).await;
}

/// Numbers that look random, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        ((self.0 >> 33) % bound as u64) as usize
    }
}

/// A client whose socket holds as little as it may.
async fn dial_small(server: &Running) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.set_send_buffer_size(1).unwrap();
    socket.connect(server.address).await
}

/// One conversation that a reset cuts, at a place in what is sent or in what is received.
async fn reset(mut io: TcpStream, mut numbers: Numbers) {
    let deflated = numbers.below(2) == 0;
    let path = ["/echo", "/echo", "/flood", "/swallow", "/chat"][numbers.below(5)];
    let request = ws_tests_support::handshake::request(path, if deflated { OFFER } else { "" });
    let mut sent = Vec::new();
    for _ in 0..1 + numbers.below(3) {
        let len = [10, 2_000, 60_000, 300_000][numbers.below(4)];
        sent.extend(match numbers.below(4) {
            0 => masked(TEXT, &vec![b't'; len]),
            1 => masked(BINARY, &pattern(len)),
            2 => [masked(0x02, &pattern(len)), masked(PING, b"p"), masked(0x80, b"end")].concat(),
            // As in RFC 7692 §7.2.3.1.
            _ if deflated => masked(0xc1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
            _ => masked(TEXT, b"short"),
        });
    }
    let cut = numbers.below(request.len() + sent.len() + 1);
    let most = numbers.below(sent.len() + 200);
    let talk = async {
        let (mut read, mut write) = io.split();
        let writing = async {
            let now = cut.min(request.len());
            write.write_all(&request.as_bytes()[..now]).await?;
            if cut > now {
                // After the answer, or its beginning.
                sleep(Duration::from_millis(5)).await;
                write.write_all(&sent[..cut - now]).await?;
            }
            Ok::<_, std::io::Error>(())
        };
        let reading = async {
            let (mut octets, mut read_so_far) = ([0; 4096], 0);
            while read_so_far < most {
                match read.read(&mut octets).await {
                    Ok(n) if n > 0 => read_so_far += n,
                    _ => return,
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = writing => {}
            () = reading => {}
        }
    };
    timeout(Duration::from_millis(200), talk).await.ok();
    io.set_zero_linger().unwrap();
}

/// A client that is served all the time, and never returns.
async fn honest(mut raw: Raw<TcpStream>) {
    loop {
        raw.send(TEXT, b"still there?").await;
        assert_eq!(text(&mut raw).await, b"still there?");
        sleep(Duration::from_millis(20)).await;
    }
}

/// What is large passes between small buffers all the same.
async fn large_echo(io: TcpStream) {
    let large = pattern(1_000_000);
    let mut raw = Raw::new(io);
    raw.handshake("/echo", "").await;
    let (read, mut write) = raw.io.into_split();
    let message = masked(BINARY, &large);
    let sending = async {
        write.write_all(&message).await.unwrap();
    };
    let mut reader = Raw::new(tokio::io::join(read, tokio::io::sink()));
    let reading = async {
        loop {
            match reader.frame().await.expect("it goes on") {
                (BINARY, payload) => return assert!(payload == large, "another echo"),
                (first, _) => assert_eq!(first, PING),
            }
        }
    };
    timeout(PATIENCE, async { tokio::join!(sending, reading) }).await.expect("an echo");
}

async fn resets(role: &str, connections: usize, small: bool) {
    let server = Running::start(role, 1024);
    let open = server.open("/echo", "").await;
    let before = server.ledger().await;
    let resident = server.process.resident();
    let conversations = async {
        let mut running = JoinSet::new();
        for n in 0..connections {
            let io = match small {
                true => dial_small(&server).await,
                false => TcpStream::connect(server.address).await,
            };
            running.spawn(reset(io.unwrap(), Numbers(n as u64)));
            if running.len() >= 20 {
                running.join_next().await.unwrap().unwrap();
            }
        }
        while let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
        if small {
            large_echo(dial_small(&server).await.unwrap()).await;
        }
        server.settled(&before).await;
    };
    tokio::select! {
        () = conversations => {}
        () = honest(open) => {}
    }
    let more = server.process.resident().saturating_sub(resident);
    assert!(more < 64 * 1024, "{more} KiB more are resident");
}

// T-B13, RT-37
#[tokio::test]
async fn rt_37_resets_at_random_octets_leave_nothing() {
    resets("server", 300, false).await;
}

// T-B13, RT-37: where sockets hold next to nothing, each message is written and read in many pieces.
#[tokio::test]
async fn rt_37_resets_between_the_smallest_sockets_leave_nothing() {
    resets("small server", 200, true).await;
}

// T-B14, RT-41: those who are connected do not notice, and those who come are served when there are descriptors.
#[tokio::test]
async fn rt_41_open_connections_go_on_while_no_descriptor_is_left() {
    let server = Running::start("poor server", 64);
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(server.open("/echo", "").await);
    }
    let before = server.ledger().await;
    for _ in 0..3 {
        let others: Vec<_> = (0..100).map(|_| occupy(server.address)).collect();
        for raw in &mut open {
            raw.send(TEXT, b"meanwhile").await;
            assert_eq!(text(raw).await, b"meanwhile");
        }
        drop(others);
        let mut next = timeout(PATIENCE, server.open("/echo", OFFER)).await.expect("it is let in");
        next.send(TEXT, b"me too").await;
        assert_eq!(text(&mut next).await, b"me too");
    }
    let pings = async {
        loop {
            for raw in &mut open {
                raw.send(TEXT, b"here").await;
                assert_eq!(text(raw).await, b"here");
            }
            sleep(DEADLINE / 10).await;
        }
    };
    tokio::select! {
        () = server.settled(&before) => {}
        () = pings => {}
    }
}
