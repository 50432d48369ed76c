//! Many connections over TCP, from their opening to the shutdown of the server.
#![allow(clippy::unwrap_used)]

mod gate;

use std::net::SocketAddr;

use gate::{frame, masked, read_all, read_exactly, read_head, run, upgrade, with_echo};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use ws_server::{Limits, Server, ServerLimits};

const CONNECTIONS: usize = 1000;

/// The Close that a server shuts down with.
fn going_away() -> Vec<u8> {
    frame(0x88, b"\x03\xe9server shuts down")
}

/// Both ends of every connection are in this process, which needs some more for itself.
#[cfg(unix)]
fn need_file_descriptors() {
    const NEEDED: u64 = 2 * CONNECTIONS as u64 + 100;
    let limit = rlimit::increase_nofile_limit(NEEDED).unwrap();
    assert!(
        limit >= NEEDED,
        "this test needs {NEEDED} file descriptors and may have {limit}: raise the hard limit, `ulimit -Hn`"
    );
}

/// A connection that has echoed `payload`.
async fn echoed(address: SocketAddr, payload: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    client.write_all(&masked(0x82, payload)).await.unwrap();
    let echo = frame(0x82, payload);
    assert_eq!(read_exactly(&mut client, echo.len()).await, echo);
    client
}

// R6455-7.3-a, D-16; DESIGN: each sees 1001, and the counts are right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r6455_7_3_a_thousand_connections_that_echoed_are_drained_with_1001() {
    #[cfg(unix)]
    need_file_descriptors();
    let limits = ServerLimits::default().max_per_ip(2 * CONNECTIONS);
    let server = with_echo(Server::new()).server_limits(limits);
    let clients = server.clients();
    let running = run(server);
    let mut open = Vec::new();
    for number in 0..CONNECTIONS {
        open.push(echoed(running.address, &number.to_be_bytes()).await);
    }
    assert_eq!(clients.count(), CONNECTIONS);
    // All of them still echo, in another order than they came.
    for (number, client) in open.iter_mut().enumerate().rev() {
        let payload = (CONNECTIONS + number).to_be_bytes();
        client.write_all(&masked(0x82, &payload)).await.unwrap();
    }
    for (number, client) in open.iter_mut().enumerate() {
        let echo = frame(0x82, &(CONNECTIONS + number).to_be_bytes());
        assert_eq!(read_exactly(client, echo.len()).await, echo);
    }
    let mut pending = TcpStream::connect(running.address).await.unwrap();
    running.shutdown.send(()).unwrap();
    for client in &mut open {
        assert_eq!(read_exactly(client, going_away().len()).await, going_away());
        client.write_all(&masked(0x88, b"\x03\xe9")).await.unwrap();
        assert_eq!(read_all(client).await, "", "the server closes TCP");
    }
    // Those in their handshake get nothing, and nobody else gets in.
    assert_eq!(read_all(&mut pending).await, "");
    assert!(TcpStream::connect(running.address).await.is_err());
    drop(open);
    let report = running.report.await.unwrap();
    assert_eq!((report.closed, report.aborted), (CONNECTIONS, 0));
    assert_eq!(clients.count(), 0);
}

// DESIGN §7: "wait for a deadline, abort the rest, report the counts"
#[tokio::test(start_paused = true)]
async fn clients_that_do_not_answer_the_close_are_aborted_and_counted() {
    // Before each connection would give up by itself.
    let time = Limits::default().close_timeout / 2;
    let limits = ServerLimits::default().shutdown_timeout(time);
    let server = with_echo(Server::new()).server_limits(limits);
    let clients = server.clients();
    let running = run(server);
    let mut open = Vec::new();
    for number in 0..10_u8 {
        open.push(echoed(running.address, &[number]).await);
    }
    let begun = tokio::time::Instant::now();
    running.shutdown.send(()).unwrap();
    for client in &mut open {
        assert_eq!(read_exactly(client, going_away().len()).await, going_away());
    }
    let mut silent = open.split_off(7);
    for client in &mut open {
        client.write_all(&masked(0x88, b"\x03\xe9")).await.unwrap();
        assert_eq!(read_all(client).await, "");
    }
    drop(open);
    for client in &mut silent {
        assert_eq!(read_all(client).await, "");
    }
    let report = running.report.await.unwrap();
    assert_eq!((report.closed, report.aborted), (7, 3));
    assert_eq!(begun.elapsed().as_secs(), time.as_secs());
    assert_eq!(clients.count(), 0);
}
