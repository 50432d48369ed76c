//! Nothing is left of a connection, whichever way it ended.
#![allow(clippy::unwrap_used)]

mod support;

use std::{net::SocketAddr, time::Duration};

use support::{BINARY, CLOSE, PING, Raw, TEXT, masked};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use ws_server::{Limits, Peer, Server, ServerLimits, WebSocket};
use ws_tests_support::handshake::request;

/// A handler that ends as it is told.
async fn obedient(mut ws: WebSocket) -> support::Handled {
    while let Some(message) = ws.recv().await {
        match message.as_bytes() {
            b"panic" => panic!("as asked for"),
            b"fail" => return Err("as asked for".into()),
            b"return" => return Ok(()),
            b"drop" => {
                drop(ws);
                sleep(Duration::from_secs(1)).await;
                return Ok(());
            }
            b"spawn" => return tokio::spawn(support::echo(ws)).await?,
            b"flood" => loop {
                ws.send(vec![7; 10_000]).await?;
            },
            _ => ws.send(message).await?,
        }
    }
    Ok(())
}

/// One client at a time, or it is turned away.
fn alone(server: Server) -> Server {
    server
        .limits(Limits::default().max_message(1000))
        .server_limits(ServerLimits::default().max_per_ip(1).max_connections(1))
}

/// Every way of ending, of which each has its number. What the server does then is waited for.
const WAYS: usize = 20;

/// Lets a connection end in one of the ways.
async fn end(io: tokio::io::DuplexStream, way: usize, round: usize) {
    let mut raw = Raw::new(io);
    let answered = |status: &'static str| {
        move |head: String| assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}")
    };
    match way {
        // Never open.
        0 => {}
        1 => raw.io.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap(),
        2 => {
            raw.io.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
            answered("426")(raw.head().await);
        }
        3 => {
            raw.io.write_all(b"nonsense\r\n\r\n").await.unwrap();
            answered("400")(raw.head().await);
        }
        4 => answered("408")(raw.head().await),
        5 => {
            // As the others, but gone before the answer.
            raw.io.write_all(request("/", "").as_bytes()).await.unwrap();
        }
        _ => {
            raw.handshake("/", "").await;
            match way {
                6 => {}
                7 => {
                    raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
                    raw.expect_close(1000).await;
                }
                8 => {
                    raw.send(BINARY, &[7; 2000]).await;
                    raw.expect_close(1009).await;
                }
                // Gone in the middle of anything.
                9 => {
                    let octets =
                        [masked(TEXT, b"whole"), masked(PING, b"x"), masked(BINARY, &[7; 500])];
                    let octets = octets.concat();
                    let cut = round * 7 % octets.len();
                    raw.io.write_all(&octets[..cut]).await.unwrap();
                }
                // Silent: pinged, and given up.
                10 => while raw.frame().await.is_some() {},
                // A Close that is not answered.
                11 => {
                    raw.send(TEXT, b"return").await;
                    while raw.frame().await.is_some() {}
                }
                // Never reads.
                12 => {
                    raw.send(TEXT, b"flood").await;
                    sleep(Duration::from_secs(30)).await;
                }
                13 => {
                    raw.io.shutdown().await.unwrap();
                    assert_eq!(raw.frame().await, None);
                }
                // Gone before the answer.
                14 => raw.send(CLOSE, &1000_u16.to_be_bytes()).await,
                15 => raw.send(BINARY, &[7; 2000]).await,
                _ => {
                    let order = ["panic", "fail", "drop", "spawn"][way - 16];
                    raw.send(TEXT, order.as_bytes()).await;
                    if order != "spawn" {
                        let (first, code) = raw.frame().await.unwrap();
                        assert_eq!(first, CLOSE);
                        if round.is_multiple_of(2) {
                            raw.send(CLOSE, &code[..2]).await;
                            assert_eq!(raw.frame().await, None);
                        }
                    }
                }
            }
        }
    }
}

// RT-37, T-B15
#[tokio::test(start_paused = true)]
async fn rt_37_nothing_is_left_of_thousands_of_connections_that_ended_in_every_way() {
    const ROUNDS: usize = 150;
    let server = alone(Server::new()).any(obedient);
    let service = server.service().unwrap();
    let clients = service.clients();
    let peer = |n: u8| Peer::Tcp(SocketAddr::from(([192, 0, 2, n], 40_000)));
    for round in 0..ROUNDS {
        for way in 0..WAYS {
            let (io, theirs) = tokio::io::duplex(4096);
            let task = tokio::spawn(service.serve_connection(theirs, peer(round as u8)));
            end(io, way, round).await;
            let closed = task.await.unwrap();
            assert_eq!(closed.is_some(), way > 4, "{way}");
            assert_eq!(clients.count(), 0, "{way}");
        }
        // One whose task is dropped, before and after it was open.
        for open in [false, true] {
            let (io, theirs) = tokio::io::duplex(4096);
            let task = tokio::spawn(service.serve_connection(theirs, peer(round as u8)));
            let mut raw = Raw::new(io);
            if open {
                raw.handshake("/", "").await;
                assert_eq!(clients.count(), 1);
            }
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(clients.count(), 0);
        }
    }
    // Each of them let the next one in. And this is how it would be if one had not:
    let (io, theirs) = tokio::io::duplex(4096);
    let _held = tokio::spawn(service.serve_connection(theirs, peer(1)));
    let mut held = Raw::new(io);
    held.handshake("/", "").await;
    let (io, theirs) = tokio::io::duplex(4096);
    assert!(service.serve_connection(theirs, peer(1)).await.is_none());
    assert!(Raw::new(io).head().await.starts_with("HTTP/1.1 503 "));
}

/// The open file descriptors of this process, where that can be told.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// A new connection is let in, as soon as the server has seen the end of the last one.
async fn let_in(address: SocketAddr) -> Raw<TcpStream> {
    let trying = async {
        loop {
            let mut raw = Raw::new(TcpStream::connect(address).await.unwrap());
            let mut answer = [0; 12];
            if raw.io.write_all(request("/", "").as_bytes()).await.is_ok()
                && raw.io.read_exact(&mut answer).await.is_ok()
                && answer == *b"HTTP/1.1 101"
            {
                raw.head().await;
                return raw;
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), trying).await.expect("a place becomes free")
}

// RT-37, T-B13
#[tokio::test]
async fn rt_37_nothing_is_left_of_connections_that_were_reset() {
    let limits = ServerLimits::default().max_per_ip(1).max_connections(8);
    let server =
        alone(Server::new()).server_limits(limits).any(obedient).bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let clients = server.clients();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve_until(async {
        stopped.await.ok();
    }));
    drop(let_in(address).await);
    let before = descriptors();
    let octets = [
        masked(TEXT, b"whole"),
        masked(PING, b"x"),
        masked(BINARY, &[7; 300]),
        masked(0x01, b"part"),
        masked(0x80, b"rest"),
        masked(CLOSE, &1000_u16.to_be_bytes()),
    ]
    .concat();
    for i in 0..100 {
        let mut raw = let_in(address).await;
        raw.io.write_all(&octets[..i * octets.len() / 99]).await.unwrap();
        if i % 3 == 0 {
            // Reset while the server writes.
            raw.send(TEXT, b"flood").await;
        }
        raw.io.set_zero_linger().unwrap();
        drop(raw);
    }
    // And in the middle of the opening handshake.
    for i in 0..20 {
        let mut io = TcpStream::connect(address).await.unwrap();
        io.write_all(&b"GET / HTTP/1.1\r\nHost"[..i]).await.ok();
        io.set_zero_linger().unwrap();
    }
    let mut last = let_in(address).await;
    last.send(TEXT, b"served").await;
    assert_eq!(last.frame().await.unwrap(), (TEXT, b"served".to_vec()));
    assert_eq!(clients.count(), 1);
    drop(last);
    let settled = async {
        while clients.count() > 0 || descriptors() > before {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), settled).await.expect("everything is given back");
    stop.send(()).unwrap();
    let report = serving.await.unwrap();
    assert_eq!((report.closed, report.aborted), (0, 0));
}
