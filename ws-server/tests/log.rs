//! What the log says of clients, and what it does not.
#![allow(clippy::unwrap_used)]

mod gate;

use std::time::Duration;

use gate::{Log, connect, exchange, frame, masked, read_all, read_head, upgrade, with_echo};
use tokio::io::AsyncWriteExt;
use tracing::Level;
use ws_server::{CloseCode, Peer, Server, WebSocket};

// RT-55, R6455-7.1.7-b
#[tokio::test]
async fn rt_55_rejection_is_logged_with_client_status_and_cause() {
    let (log, _guard) = Log::capture();
    let service = with_echo(Server::new()).service().unwrap();
    let peer = Peer::Tcp("192.0.2.7:4321".parse().unwrap());
    let (mut client, _) = connect(&service, peer);
    exchange(&mut client, &upgrade("/echo?key=1", "Expect: magic\r\n")).await;
    let lines = log.lines("rejected");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in [" INFO ", "192.0.2.7:4321", "path=/echo}", "417", "Expect is not supported"] {
        assert!(lines[0].contains(part), "{part}: {lines:?}");
    }
}

// R6455-10.2-b, RT-55: what was compared is in the log, not in the answer.
#[tokio::test(start_paused = true)]
async fn refused_origin_is_logged_with_the_host_that_it_was_compared_with() {
    let (log, _guard) = Log::capture();
    let service = with_echo(Server::new()).service().unwrap();
    let long = "x".repeat(8000);
    for (more, parts) in [
        ("Origin: http://evil.example\r\n", ["origin=http://evil.example host=server.example"]),
        (&format!("Origin: http://{long}\r\n"), ["host=server.example"]),
        ("Origin: null\r\n", ["origin=null host=server.example"]),
    ] {
        let (mut client, _) = connect(&service, Peer::Other);
        let answer = exchange(&mut client, &upgrade("/echo", more)).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        assert!(!answer.contains(".example"), "{answer}");
        let lines = log.lines("rejected with 403");
        let last = lines.last().unwrap();
        assert!(last.contains(" INFO ") && last.len() < 600, "{last}");
        for part in parts {
            assert!(last.contains(part), "{part}: {last}");
        }
        assert_eq!(last.contains("a proxy changes Host"), !more.contains("null"), "{last}");
    }
}

#[tokio::test]
async fn refused_host_is_in_the_log() {
    let (log, _guard) = Log::capture();
    let service = with_echo(Server::new()).hosts(["other.example"]).service().unwrap();
    let (mut client, _) = connect(&service, Peer::Other);
    let answer = exchange(&mut client, &upgrade("/echo", "")).await;
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    let lines = log.lines("rejected with 421");
    assert!(lines[0].contains("host=server.example"), "{lines:?}");
    assert!(lines[0].contains("add the host to .hosts([..])"), "{lines:?}");
}

// An allow list refuses a request without an Origin: there is none to show.
#[tokio::test]
async fn missing_origin_is_logged_without_one() {
    let (log, _guard) = Log::capture();
    let policy = ws_server::OriginPolicy::allow(["https://app.example"]).unwrap();
    let service = with_echo(Server::new()).origin(policy).service().unwrap();
    let (mut client, _) = connect(&service, Peer::Other);
    exchange(&mut client, &upgrade("/echo", "")).await;
    let lines = log.lines("rejected with 403");
    assert!(lines[0].contains("host=server.example"), "{lines:?}");
    assert!(!lines[0].contains("origin="), "{lines:?}");
}

// "Why does every browser fail, though the server says 101?"
#[tokio::test(start_paused = true)]
async fn offered_subprotocols_that_nobody_speaks_are_logged_once_a_minute() {
    let (log, _guard) = Log::capture_at(Level::INFO);
    let service = with_echo(Server::new()).subprotocols(["chat.v2"]).service().unwrap();
    let open = async |offered: &str| {
        let (mut client, _) = connect(&service, Peer::Other);
        client.write_all(upgrade("/echo", offered).as_bytes()).await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    };
    open("").await;
    open("Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n").await;
    assert!(log.lines("subprotocol").is_empty(), "{}", log.text());
    for _ in 0..100 {
        open("Sec-WebSocket-Protocol: graphql-ws, chat.v1\r\n").await;
    }
    let lines = log.lines("no subprotocol");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in [" INFO ", "offered=graphql-ws, chat.v1", "path=/echo"] {
        assert!(lines[0].contains(part), "{part}: {lines:?}");
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    open("Sec-WebSocket-Protocol: chat.v1\r\n").await;
    let lines = log.lines("no subprotocol");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].contains("left_out=99"), "{lines:?}");
}

// RT-55, T-B20, R6455-7.1.7-b
#[tokio::test]
async fn rt_55_nothing_a_client_sends_breaks_or_fills_a_line() {
    // Made before: its own lines are of no connection.
    let service = with_echo(Server::new()).service().unwrap();
    let (log, _guard) = Log::capture();
    let long = "x".repeat(8000);
    for request in [
        upgrade("/echo", "X: \u{1b}[2Jgone\r\n"),
        upgrade("/a\u{1b}[2J", ""),
        upgrade("/a\nINFO forged", ""),
        upgrade("/\u{e9}", ""),
        upgrade(&format!("/{long}"), ""),
        upgrade("/echo", &format!("X: {}\r\n", "y".repeat(16 * 1024))),
        upgrade("/echo", &format!("Sec-WebSocket-Extensions: {long}\r\nKey: \u{7f}\r\n")),
        upgrade("/echo", &format!("Sec-WebSocket-Extensions: {long}; a=\"b\"\r\n")),
    ] {
        let (mut client, _) = connect(&service, Peer::Other);
        client.write_all(request.as_bytes()).await.unwrap();
        read_head(&mut client).await;
    }
    let text = log.text();
    assert!(text.is_ascii(), "{text}");
    for line in text.lines() {
        assert!(line.len() < 600, "{line}");
        assert!(line.contains("connection{id="), "{line}");
        assert!(line.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{line}");
    }
}

// RT-55, T-B20
#[tokio::test(start_paused = true)]
async fn rt_55_flood_of_bad_clients_is_a_few_lines_and_a_count() {
    let (log, _guard) = Log::capture();
    let service = with_echo(Server::new()).service().unwrap();
    for _ in 0..1000 {
        let (mut client, _) = connect(&service, Peer::Other);
        exchange(&mut client, "nonsense\r\n\r\n").await;
    }
    assert_eq!(log.lines("rejected").len(), 10);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut client, _) = connect(&service, Peer::Other);
    exchange(&mut client, "nonsense\r\n\r\n").await;
    let lines = log.lines("rejected");
    assert_eq!(lines.len(), 11);
    assert!(lines[10].contains("left_out=990"), "{}", lines[10]);
}

// RT-55, T-B20, R6455-7.1.7-b
#[tokio::test(start_paused = true)]
async fn rt_55_flood_of_failing_connections_is_a_few_lines_and_a_count() {
    let (log, _guard) = Log::capture();
    let service = with_echo(Server::new()).service().unwrap();
    let fail = async || {
        let (mut client, end) = connect(&service, Peer::Other);
        client.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
        read_head(&mut client).await;
        // Not masked.
        client.write_all(&frame(0x81, b"")).await.unwrap();
        drop(client);
        assert_eq!(end.await.unwrap().unwrap().code, CloseCode::PROTOCOL_ERROR);
    };
    for _ in 0..1000 {
        fail().await;
    }
    let lines = log.lines("the connection failed");
    assert_eq!(lines.len(), 10);
    for part in [" INFO ", "connection{id=1 peer=other path=/echo", "code=1002", "fault="] {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    fail().await;
    let lines = log.lines("the connection failed");
    assert_eq!(lines.len(), 11);
    assert!(lines[10].contains("left_out=990"), "{}", lines[10]);
}

// RT-55, T-B20: what clients send may make handlers fail.
#[tokio::test(start_paused = true)]
async fn rt_55_flood_of_failing_handlers_is_a_few_lines_and_a_count() {
    let (log, _guard) = Log::capture();
    let fails = |_: WebSocket| async { Err("no such room".into()) };
    let service = Server::new().any(fails).service().unwrap();
    let connected = async || {
        let (mut client, end) = connect(&service, Peer::Other);
        client.write_all(upgrade("/", "").as_bytes()).await.unwrap();
        read_head(&mut client).await;
        drop(client);
        end.await.unwrap();
    };
    for _ in 0..1000 {
        connected().await;
    }
    let lines = log.lines("the handler failed");
    assert_eq!(lines.len(), 10);
    for part in [" WARN ", "connection{id=1 peer=other path=/", "reason=no such room"] {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
    // Bad clients do not take their place.
    for _ in 0..20 {
        let (mut client, _) = connect(&service, Peer::Other);
        exchange(&mut client, "nonsense\r\n\r\n").await;
    }
    assert_eq!(log.lines("rejected").len(), 10);
    tokio::time::sleep(Duration::from_secs(1)).await;
    connected().await;
    let lines = log.lines("the handler failed");
    assert_eq!(lines.len(), 11);
    assert!(lines[10].contains("left_out=990"), "{}", lines[10]);
}

// RT-55: a handler may quote the client.
#[tokio::test(start_paused = true)]
async fn rt_55_reason_of_a_handler_breaks_and_fills_no_line() {
    let (log, _guard) = Log::capture();
    let fails = |mut ws: WebSocket| async move {
        let command = ws.recv().await.map_or(Vec::new(), |message| message.as_bytes().to_vec());
        let command = String::from_utf8_lossy(&command).repeat(20);
        Err(format!("unknown command {command}").into())
    };
    let service = Server::new().any(fails).service().unwrap();
    let (mut client, end) = connect(&service, Peer::Other);
    client.write_all(upgrade("/", "").as_bytes()).await.unwrap();
    read_head(&mut client).await;
    client.write_all(&masked(0x81, b"\x1b[2J\nINFO forged")).await.unwrap();
    drop(client);
    end.await.unwrap();
    let text = log.text();
    assert!(!text.contains('\u{1b}') && !text.contains("\nINFO forged"), "{text}");
    let lines = log.lines("the handler failed");
    assert!(lines[0].contains(r"reason=unknown command \u{1b}[2J\nINFO forged"), "{}", lines[0]);
    assert!(lines[0].len() < 400, "{}", lines[0]);
}

// T-B20: refusals at the cap are clients' doing too.
#[tokio::test(start_paused = true)]
async fn refusals_at_the_cap_are_logged_sparsely() {
    let (log, _guard) = Log::capture();
    let limits = ws_server::ServerLimits::default().max_connections(1);
    let service = with_echo(Server::new()).server_limits(limits).service().unwrap();
    let (_held, _task) = connect(&service, Peer::Other);
    for _ in 0..1000 {
        read_all(&mut connect(&service, Peer::Other).0).await;
    }
    let lines = log.lines("max_connections");
    assert_eq!(lines.len(), 10, "{lines:?}");
}

// Behind a proxy all clients have one address, and whoever runs the server is to see what to set.
#[tokio::test(start_paused = true)]
async fn refusal_at_the_cap_of_an_address_names_the_limit_and_the_proxy() {
    let (log, _guard) = Log::capture();
    let service = with_echo(Server::new()).service().unwrap();
    let peer = Peer::Tcp(([10, 0, 0, 1], 1).into());
    let mut held = Vec::new();
    for _ in 0..256 {
        held.push(connect(&service, peer));
    }
    read_all(&mut connect(&service, peer).0).await;
    let lines = log.lines("max_per_ip is 256");
    assert_eq!(lines.len(), 1, "{}", log.text());
    assert!(lines[0].contains("INFO") && lines[0].contains("peer=10.0.0.1"), "{lines:?}");
    assert!(lines[0].contains("behind a proxy") && lines[0].contains("ServerLimits::max_per_ip"));
}

// "Why is my extension not in use?"
#[cfg(feature = "deflate")]
#[tokio::test]
async fn negotiation_is_in_the_debug_log_offer_by_offer() {
    let (log, _guard) = Log::capture();
    let service =
        with_echo(Server::new()).extension(ws_server::Deflate::default()).service().unwrap();
    let (mut client, _) = connect(&service, Peer::Other);
    let offers = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7, \
                  permessage-deflate, x-other\r\n";
    client.write_all(upgrade("/echo", offers).as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    for part in ["server_max_window_bits=7: declined", "x-other: unknown here", "taken as"] {
        let lines = log.lines(part);
        assert_eq!(lines.len(), 1, "{part}: {}", log.text());
        assert!(lines[0].contains("DEBUG"));
    }
    let open = log.lines(" open");
    assert!(open[0].contains("extensions=\"permessage-deflate"), "{open:?}");
}
