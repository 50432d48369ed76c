//! Connections from the first octet to the last, with their handlers.
#![allow(clippy::unwrap_used)]

mod gate;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gate::{
    connect, eventually, frame, masked, read_all, read_exactly, read_head, run, upgrade, with_echo,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use ws_server::{CloseCode, Peer, Server, ServerLimits, WebSocket};

/// An open connection to `/echo`.
async fn open(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    client
}

// R6455-4.2.2-q
#[tokio::test]
async fn r6455_4_2_2_q_handler_may_speak_first() {
    let service = Server::new()
        .any(|mut ws: WebSocket| async move {
            ws.send("hello").await?;
            Ok(())
        })
        .service()
        .unwrap();
    let (mut client, end) = connect(&service, Peer::Other);
    client.write_all(upgrade("/", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    assert_eq!(read_exactly(&mut client, 7).await, frame(0x81, b"hello"));
    assert_eq!(read_exactly(&mut client, 4).await, frame(0x88, b"\x03\xe8"));
    client.write_all(&masked(0x88, b"\x03\xe8")).await.unwrap();
    drop(client);
    let closed = end.await.unwrap().unwrap();
    assert_eq!((closed.code, closed.clean), (CloseCode::NORMAL, true));
}

#[tokio::test]
async fn handler_sees_the_facts_of_the_request() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::new()
        .route("/a%20b", move |ws: WebSocket| {
            let request = ws.request();
            tell.send((
                request.path().to_owned(),
                request.query().map(str::to_owned),
                request.header("x-mine").map(str::to_owned),
                request.peer(),
                request.subprotocol().map(str::to_owned),
                request.extensions().map(str::to_owned),
            ))
            .unwrap();
            async { Ok(()) }
        })
        .subprotocols(["chat.v1", "chat.v2"]);
    #[cfg(feature = "deflate")]
    let (server, extensions) = (
        server.extension(ws_server::Deflate::default()),
        Some("permessage-deflate; server_max_window_bits=10".to_owned()),
    );
    #[cfg(not(feature = "deflate"))]
    let extensions = None;
    let service = server.service().unwrap();
    let peer = Peer::Tcp("192.0.2.1:7".parse().unwrap());
    let (mut client, _end) = connect(&service, peer);
    let more = "X-Mine: \u{e9}\r\nSec-WebSocket-Protocol: x, chat.v2\r\n\
                Sec-WebSocket-Protocol: chat.v1\r\n\
                Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n";
    client.write_all(upgrade("/a%20b?c=d", more).as_bytes()).await.unwrap();
    let head = read_head(&mut client).await;
    assert!(head.contains("\r\nSec-WebSocket-Protocol: chat.v2\r\n"), "{head}");
    assert_eq!(
        told.recv().await.unwrap(),
        (
            "/a%20b".to_owned(),
            Some("c=d".to_owned()),
            Some("\u{e9}".to_owned()),
            peer,
            Some("chat.v2".to_owned()),
            extensions,
        )
    );
}

#[tokio::test]
async fn headers_are_all_there_in_their_order_and_as_octets() {
    let service = with_echo(Server::new()).service().unwrap();
    let (mut client, _end) = connect(&service, Peer::Other);
    let more = "X-Mine: a: b \r\nx-mine:\r\nX-Other: \t1\r\nX-MINE: c\r\n";
    let request = upgrade("/echo?", more).replacen("\r\n\r\n", "\r\nX-Octets: ", 1);
    client.write_all(request.as_bytes()).await.unwrap();
    client.write_all(b"\xff\r\n\r\n").await.unwrap();
    read_head(&mut client).await;
    let [client] = &service.clients().list()[..] else { panic!("one client") };
    let request = client.request();
    assert_eq!((request.path(), request.query()), ("/echo", Some("")));
    assert_eq!(request.header("X-mINE"), Some("a: b"));
    let mine: Vec<_> = request.header_all("X-Mine").collect();
    assert_eq!(mine, [&b"a: b"[..], b"", b"c"]);
    assert_eq!(request.header("x-octets"), None, "is no text");
    assert_eq!(request.header_all("x-octets").next(), Some(&b"\xff"[..]));
    assert_eq!((request.header("x-min"), request.header("")), (None, None));
    let names: Vec<_> = request.headers().map(|(name, _)| name).collect();
    // Without those of every opening handshake.
    assert_eq!(names.len(), 6, "{names:?}");
    assert!(!names.contains(&"sec-websocket-key"), "{names:?}");
    assert!(request.headers().any(|header| header == ("host", b"server.example")));
    let shown = format!("{request:?}");
    assert!(shown.contains("/echo") && !shown.contains("server.example"), "{shown}");
}

#[tokio::test]
async fn connection_without_agreement_has_neither_subprotocol_nor_extension() {
    let service = with_echo(Server::new()).subprotocols(["chat"]).service().unwrap();
    let (mut client, _end) = connect(&service, Peer::Other);
    let more = "Sec-WebSocket-Protocol: other\r\nSec-WebSocket-Extensions: x-other\r\n";
    client.write_all(upgrade("/echo", more).as_bytes()).await.unwrap();
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 101 "));
    assert!(!head.contains("Protocol:") && !head.contains("Extensions:"), "{head}");
    let [client] = &service.clients().list()[..] else { panic!("one client") };
    assert_eq!((client.request().subprotocol(), client.request().extensions()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn clients_and_handlers_that_do_not_end_are_aborted_in_time() {
    let server = with_echo(Server::new()).route("/stubborn", |mut ws: WebSocket| async move {
        while ws.recv().await.is_some() {}
        std::future::pending().await
    });
    let clients = server.clients();
    let running = run(server);
    let good = open(running.address).await;
    let mut stubborn = TcpStream::connect(running.address).await.unwrap();
    stubborn.write_all(upgrade("/stubborn", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut stubborn).await.starts_with("HTTP/1.1 101 "));
    drop(good);
    assert!(eventually(|| clients.count() == 1).await);

    let begun = tokio::time::Instant::now();
    running.shutdown.send(()).unwrap();
    assert_eq!(read_exactly(&mut stubborn, 1).await, [0x88]);
    let report = running.report.await.unwrap();
    assert_eq!(report.aborted, 1);
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn dropping_the_server_ends_everything() {
    let dropped = Arc::new(AtomicUsize::new(0));
    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let counter = Arc::clone(&dropped);
    let server = Server::new().route("/echo", move |_ws: WebSocket| {
        let count = Count(Arc::clone(&counter));
        async move {
            std::future::pending::<()>().await;
            drop(count);
            Ok(())
        }
    });
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let clients = server.clients();
    let address = server.local_addr().unwrap();
    let task = tokio::spawn(server.serve());
    let mut first = open(address).await;
    let mut second = TcpStream::connect(address).await.unwrap();
    assert!(eventually(|| clients.count() == 1).await);
    task.abort();
    assert_eq!(read_all(&mut second).await, "");
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).await.ok();
    assert!(eventually(|| dropped.load(Ordering::SeqCst) == 1 && clients.count() == 0).await);
    assert!(TcpStream::connect(address).await.is_err());
}

// DESIGN §9: a handler whose connection is over counts, until another connection needs its place.
#[tokio::test(start_paused = true)]
async fn place_is_held_until_another_connection_needs_it() {
    let limits = ServerLimits::default().max_per_ip(2);
    let service = Server::new()
        .any(|mut ws: WebSocket| async move {
            while ws.recv().await.is_some() {}
            tokio::time::sleep(Duration::from_secs(20)).await;
            Ok(())
        })
        .server_limits(limits)
        .service()
        .unwrap();
    let peer = Peer::Tcp("192.0.2.1:7".parse().unwrap());
    let open = async || {
        let (mut client, end) = connect(&service, peer);
        // One that is refused may be gone by then.
        client.write_all(upgrade("/", "").as_bytes()).await.ok();
        (read_head(&mut client).await.starts_with("HTTP/1.1 101 "), client, end)
    };
    let (opened, client, first) = open().await;
    assert!(opened);
    drop(client);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(service.clients().count(), 0);
    // The limit has room for this one.
    let (opened, _second, _end) = open().await;
    assert!(opened && !first.is_finished());
    // And for this one in place of the first.
    let (opened, third, end) = open().await;
    assert!(opened);
    assert_eq!(first.await.unwrap().unwrap().code, CloseCode::ABNORMAL);
    assert_eq!(service.clients().metrics().handlers_dropped, 1);
    // Those that are open keep theirs.
    assert!(!open().await.0);
    // A place that nobody needed is free when the handler has returned.
    drop(third);
    end.await.unwrap().unwrap();
    assert_eq!(service.clients().metrics().handlers_dropped, 1);
    assert!(open().await.0);
}

// RT-37: 20,000 cycles over every end.
#[tokio::test]
async fn rt_37_nothing_is_left_of_twenty_thousand_connections() {
    let limits = ServerLimits::default().max_connections(1).max_per_ip(1);
    let service = with_echo(Server::new())
        .route("/panic", |_ws: WebSocket| async { panic!("as the test wants it") })
        .route("/fail", |_ws: WebSocket| async { Err("no".into()) })
        .server_limits(limits)
        .service()
        .unwrap();
    std::panic::set_hook(Box::new(|_| {}));
    let peer = Peer::Tcp("192.0.2.1:7".parse().unwrap());
    for round in 0..20_000 {
        let (mut client, task) = connect(&service, peer);
        let path = ["/echo", "/echo", "/echo", "/panic", "/fail", "/none"][round % 6];
        client.write_all(upgrade(path, "").as_bytes()).await.unwrap();
        let head = read_head(&mut client).await;
        match round % 6 {
            0 => {
                client.write_all(&masked(0x88, b"\x03\xe8")).await.unwrap();
                assert_eq!(read_exactly(&mut client, 4).await, frame(0x88, b"\x03\xe8"));
            }
            1 => client.write_all(b"\xff").await.unwrap(),
            5 => assert!(head.starts_with("HTTP/1.1 404 ")),
            _ => {}
        }
        drop(client);
        let end = timeout(gate::PATIENCE, task).await.expect("an end in time").unwrap();
        assert_eq!(end.is_some(), round % 6 != 5, "{round}");
        assert_eq!(service.clients().count(), 0);
    }
    drop(std::panic::take_hook());
}

// R6455-7.1.1-a, R6455-7.1.1-c
#[tokio::test]
async fn client_that_goes_on_after_its_fault_still_reads_the_close_and_the_end() {
    let running = run(with_echo(Server::new()));
    for _ in 0..20 {
        let mut client = open(running.address).await;
        client.write_all(&masked(0x81, b"\xff")).await.unwrap();
        client.write_all(&vec![b'x'; 1024 * 1024]).await.unwrap();
        // The server closes first: the client has not.
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer[..1], [0x88]);
        assert_eq!(answer[2..4], 1007_u16.to_be_bytes());
    }
}

// RT-37, T-B13: our Close cannot be written any more.
#[tokio::test(start_paused = true)]
async fn client_that_sends_a_close_and_vanishes_is_the_end_at_once() {
    let service = with_echo(Server::new()).service().unwrap();
    let (mut client, end) = connect(&service, Peer::Other);
    client.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
    read_head(&mut client).await;
    client.write_all(&masked(0x88, b"\x03\xe8")).await.unwrap();
    drop(client);
    let closed = timeout(Duration::from_secs(1), end).await.expect("an end in time").unwrap();
    assert_eq!(closed.unwrap().code, CloseCode::NORMAL);
    assert_eq!(service.clients().count(), 0);
}

// RT-37, T-B13, on real sockets: their file descriptors are given back.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn rt_37_file_descriptors_are_given_back() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let server = with_echo(Server::new());
    let clients = server.clients();
    let running = run(server);
    let mut before = None;
    for round in 0..600 {
        let mut client = open(running.address).await;
        let message = masked(0x81, b"Hello");
        match round % 3 {
            0 => client.write_all(&masked(0x88, b"")).await.unwrap(),
            // A reset, in the middle of a frame.
            1 => {
                client.write_all(&message[..1 + round % 10]).await.unwrap();
                client.set_zero_linger().unwrap();
            }
            _ => {}
        }
        drop(client);
        if round == 50 {
            assert!(eventually(|| clients.count() == 0).await);
            before = Some(count());
        }
    }
    assert!(eventually(|| clients.count() == 0).await);
    let before = before.unwrap();
    // Tests beside this one have some of their own.
    assert!(eventually(|| count() <= before + 40).await, "{} of {before}", count());
}

#[cfg(unix)]
#[tokio::test]
async fn unix_socket_echoes() {
    let path = std::env::temp_dir().join(format!("ws-server-whole-{}.sock", std::process::id()));
    tokio::spawn(with_echo(Server::new()).bind_unix(&path).unwrap().serve());
    let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    client.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    client.write_all(&masked(0x81, b"hi")).await.unwrap();
    assert_eq!(read_exactly(&mut client, 4).await, frame(0x81, b"hi"));
}

// Both kinds of runtime.
#[test]
fn current_thread_runtime_serves() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let running = run(with_echo(Server::new()));
        let mut client = open(running.address).await;
        client.write_all(&masked(0x82, b"hi")).await.unwrap();
        assert_eq!(read_exactly(&mut client, 4).await, frame(0x82, b"hi"));
    });
}
