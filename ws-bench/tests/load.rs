//! Every kind of load, once and short, on a server of this workspace.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use ws_bench::load::{Kind, Load, run};
use ws_server::{Clients, Deflate, Handler, HandlerError, Limits, Server, WebSocket};

async fn echo(mut ws: WebSocket) -> Result<(), HandlerError> {
    while let Some(message) = ws.recv().await {
        ws.send(message).await?;
    }
    Ok(())
}

async fn shout(mut ws: WebSocket) -> Result<(), HandlerError> {
    while let Some(message) = ws.recv().await {
        ws.send(format!("{} bytes", message.len())).await?;
    }
    Ok(())
}

fn broadcast(clients: Clients) -> impl Handler {
    move |mut ws: WebSocket| {
        let clients = clients.clone();
        async move {
            while let Some(message) = ws.recv().await {
                clients.send_path("/broadcast", message);
            }
            Ok(())
        }
    }
}

/// A server that lasts as long as the test.
fn server(deflate: bool) -> SocketAddr {
    let (sender, address) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let server = Server::new();
            let clients = server.clients();
            let mut server = server
                .route("/echo", echo)
                .route("/shout", shout)
                .route("/broadcast", broadcast(clients))
                .limits(Limits::default());
            if deflate {
                server = server.extension(Deflate::default());
            }
            let server = server.bind("127.0.0.1:0").await.expect("a port");
            sender.send(server.local_addr().expect("an address")).expect("the test waits");
            server.serve().await
        });
    });
    let address = address.recv().expect("an address");
    address.to_string().parse().expect("an address of TCP")
}

fn load(kind: Kind, address: SocketAddr) -> Load {
    Load {
        kind,
        address,
        path: "/echo".to_owned(),
        raw: false,
        text: false,
        deflate: false,
        no_takeover: false,
        size: 1024,
        connections: 20,
        depth: 2,
        warm_up: Duration::from_millis(20),
        rest: Duration::from_millis(20),
        measure: Duration::from_secs(20),
        messages: 500,
        server: Some(std::process::id()),
    }
}

fn messages(load: &Load) -> (u64, f64) {
    let outcome = run(load).expect("an outcome");
    let of = |name: &str| outcome.json()[name].as_u64().expect("a number");
    (of("messages"), of("reply_bytes") as f64 / of("messages") as f64)
}

#[test]
fn messages_come_back_binary_and_text() {
    let binary = load(Kind::Echo, server(false));
    let text = Load { text: true, size: 20_000, ..binary.clone() };
    assert_eq!(messages(&binary).1, 1028.0);
    assert_eq!(messages(&text).1, 20_004.0);
}

#[test]
fn compressed_documents_come_back_with_takeover_and_without() {
    let with = load(Kind::Deflate, server(true));
    let without = Load { no_takeover: true, ..with.clone() };
    let (with, without) = (messages(&with), messages(&without));
    assert!(with.0 >= 500 && without.0 >= 500);
    assert!(with.1 < without.1 && without.1 < 600.0, "{with:?} {without:?}");
}

#[test]
fn server_that_does_not_compress_fails_a_load_that_needs_it() {
    let failure = run(&load(Kind::Deflate, server(false))).expect_err("a failure").to_string();
    assert!(failure.contains("no permessage-deflate"), "{failure}");
}

#[test]
fn another_text_fails_a_load() {
    let other = Load { path: "/shout".to_owned(), ..load(Kind::Echo, server(true)) };
    let failure = run(&other).expect_err("a failure").to_string();
    assert!(failure.contains("of a reply came"), "{failure}");
    let other = Load { kind: Kind::Deflate, ..other };
    let failure = run(&other).expect_err("a failure").to_string();
    assert!(failure.contains("the reply is not the text that was sent"), "{failure}");
}

#[test]
fn message_of_one_client_comes_to_all() {
    let fan_out =
        Load { path: "/broadcast".to_owned(), depth: 1, ..load(Kind::FanOut, server(false)) };
    let (deliveries, bytes) = messages(&fan_out);
    assert!(deliveries >= 500);
    assert_eq!(bytes, 1028.0);
}

#[test]
fn connections_open_and_close() {
    let handshakes = Load { messages: 200, ..load(Kind::Handshake, server(false)) };
    assert!(messages(&handshakes).0 >= 200);
    let nowhere = Load { path: "/nowhere".to_owned(), ..handshakes };
    let failure = run(&nowhere).expect_err("a failure").to_string();
    assert!(failure.contains("404"), "{failure}");
}

#[test]
#[cfg(target_os = "linux")]
fn memory_of_idle_connections_is_looked_at_three_times() {
    for deflate in [false, true] {
        let idle = Load { deflate, depth: 1, ..load(Kind::Idle, server(deflate)) };
        let outcome = run(&idle).expect("an outcome");
        let looks = |name: &str| outcome.json()[name].as_array().map(Vec::len);
        assert_eq!((looks("bytes_per_connection"), looks("resident")), (Some(3), Some(3)));
        let each = &outcome.json()["bytes_per_connection"];
        assert!(each.as_array().expect("numbers").iter().all(Value::is_number), "{each}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn everything_at_once_tells_memory_over_time() {
    let outcome = run(&Load {
        warm_up: Duration::from_millis(500),
        measure: Duration::from_millis(1500),
        ..load(Kind::Mixed, server(true))
    });
    let json = outcome.expect("an outcome").json().clone();
    assert!(json["messages"].as_u64() > Some(0), "{json}");
    let looks = json["private"].as_array().expect("a list");
    assert!(looks.len() >= 3 && looks.iter().all(|look| look.as_u64() > Some(0)), "{json}");
}
