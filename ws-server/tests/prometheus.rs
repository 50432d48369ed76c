//! What Prometheus reads is what happened, under names and labels that nobody else chooses.
#![allow(clippy::unwrap_used)]
#![cfg(all(feature = "prometheus", feature = "deflate"))]

mod support;

use std::{collections::BTreeSet, time::Duration};

use prometheus_client::{
    encoding::{prometheus_text, text},
    metrics::counter::Counter,
    registry::Registry,
};
use support::{BINARY, CLOSE, PING, PONG, Raw, TEXT, echo, engine::open_deflate, open, open_with};
use tokio::{io::AsyncWriteExt, time::sleep};
use ws_server::{
    Clients, CloseCode, Deflate, Limits, PROMETHEUS_TEXT, Peer, Publication, Server, ServerLimits,
    Service, SlowConsumer, WebSocket,
};
use ws_tests_support::handshake::request;

fn service() -> Service {
    let limits = ServerLimits::default().max_connections(3).max_memory(1_000_000_000);
    let server = Server::new().server_limits(limits).extension(Deflate::default());
    server.slow_consumer(SlowConsumer::DropNewest).any(echo).service().unwrap()
}

/// The samples that are scraped when everybody rests, without comments.
async fn samples(clients: &Clients) -> Vec<String> {
    sleep(Duration::from_secs(1)).await;
    let text = clients.prometheus();
    text.lines().filter(|line| !line.starts_with('#')).map(String::from).collect()
}

/// These samples, in any order, are all of those whose name begins with `prefix`.
fn are(samples: &[String], prefix: &str, expected: &[&str]) {
    let found = samples.iter().filter_map(|sample| sample.strip_prefix(prefix));
    let found: BTreeSet<&str> = found.collect();
    assert_eq!(found, expected.iter().copied().collect(), "{prefix}");
}

async fn close(mut raw: Raw, code: u16) {
    raw.send(CLOSE, &code.to_be_bytes()).await;
    raw.expect_close(code).await;
}

#[tokio::test(start_paused = true)]
async fn page_of_a_new_server_is_this() {
    let page = service().clients().prometheus();
    let expected = include_str!("prometheus/new.txt");
    assert_eq!(page, expected);
    assert_eq!(PROMETHEUS_TEXT, "text/plain; version=0.0.4; charset=utf-8");
}

#[tokio::test(start_paused = true)]
async fn every_metric_has_its_exact_value() {
    let service = service();
    let clients = service.clients();
    let (mut one, _) = open(&service).await;
    let (two, _) = open(&service).await;
    let (mut deflated, _) = open_deflate(&service, 1 << 16).await;
    // One too many, and three that are refused.
    let (_io, theirs) = tokio::io::duplex(4096);
    assert!(service.serve_connection(theirs, Peer::Other).await.is_none());
    close(two, 1001).await;
    sleep(Duration::from_millis(1)).await;
    for head in ["nonsense\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "NO  HTTP/1.1\r\n\r\n"] {
        let (mut io, theirs) = tokio::io::duplex(4096);
        let task = tokio::spawn(service.serve_connection(theirs, Peer::Other));
        io.write_all(head.as_bytes()).await.unwrap();
        assert!(task.await.unwrap().is_none());
    }
    one.send(TEXT, b"hello").await;
    one.frame().await.unwrap();
    one.send(BINARY, &[0; 200]).await;
    one.frame().await.unwrap();
    deflated.send("x".repeat(1000)).await;
    deflated.message().await;
    let wire = clients.metrics();
    for client in clients.list() {
        client.subscribe("room").unwrap();
        client.subscribe(format!("user/{}", client.id())).unwrap();
    }
    clients.publish("room", "abc");
    clients.publish("nobody", "abc");
    let held = samples(&clients).await;
    are(&held, "websocket_connections", &[" 2", "_opened_total 3"]);
    are(&held, "websocket_topics", &[" 3"]);
    are(&held, "websocket_subscriptions", &[" 4"]);
    are(&held, "websocket_broadcasts_total", &[" 2"]);
    are(&held, "websocket_deliveries_total", &[" 2"]);
    are(&held, "websocket_dropped_total", &[" 0"]);
    are(&held, "websocket_queue_bytes", &[" 0"]);
    are(&held, "websocket_memory_bytes", &[&format!(" {}", clients.metrics().memory)]);
    assert!(clients.metrics().memory > 0);
    are(
        &held,
        "websocket_messages_total",
        &[
            "{direction=\"received\",type=\"text\"} 2",
            "{direction=\"received\",type=\"binary\"} 1",
            "{direction=\"sent\",type=\"text\"} 4",
            "{direction=\"sent\",type=\"binary\"} 1",
        ],
    );
    are(
        &held,
        "websocket_bytes_total",
        &[
            "{direction=\"received\",stage=\"payload\"} 1205",
            &format!("{{direction=\"received\",stage=\"wire\"}} {}", wire.received.wire),
            "{direction=\"sent\",stage=\"payload\"} 1211",
            &format!("{{direction=\"sent\",stage=\"wire\"}} {}", wire.sent.wire + 10),
        ],
    );
    are(
        &held,
        "websocket_handshakes_rejected_total",
        &[
            "{cause=\"max_connections\"} 1",
            "{cause=\"malformed_head\"} 2",
            "{cause=\"http_too_old\"} 1",
        ],
    );
    are(&held, "websocket_transports_failed_total", &[" 0"]);
    are(&held, "websocket_handlers_dropped_total", &[" 0"]);
    are(&held, "websocket_closes_total", &["{code=\"1001\",by=\"client\"} 1"]);
    are(&held, "websocket_connection_duration_seconds_count", &[" 1"]);

    clients.close_all(CloseCode::new(4004), "");
    assert_eq!(one.text().await, "abc");
    one.expect_close(4004).await;
    one.send(CLOSE, &4004_u16.to_be_bytes()).await;
    assert_eq!(one.frame().await, None);
    drop(deflated);
    let held = samples(&clients).await;
    are(&held, "websocket_connections", &[" 0", "_opened_total 3"]);
    are(&held, "websocket_memory_bytes", &[" 0"]);
    are(&held, "websocket_topics", &[" 0"]);
    are(
        &held,
        "websocket_closes_total",
        &[
            "{code=\"1001\",by=\"client\"} 1",
            "{code=\"4xxx\",by=\"server\"} 1",
            "{code=\"1006\",by=\"server\"} 1",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn times_are_histograms_in_seconds() {
    let service = service();
    let clients = service.clients();
    let (mut raw, task) = open(&service).await;
    assert_eq!(raw.frame().await.unwrap(), (PING, vec![]));
    sleep(Duration::from_millis(30)).await;
    raw.send(PONG, b"").await;
    sleep(Duration::from_millis(2_470)).await;
    close(raw, 1000).await;
    task.await.unwrap();
    let held = samples(&clients).await;
    let bucket = |bound: &str, count: u32| format!("_bucket{{le=\"{bound}\"}} {count}");
    let bounds = ["0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5"];
    let bounds = bounds.into_iter().chain(["5", "10", "+Inf"]).enumerate();
    let mut expected: Vec<_> = bounds.map(|(n, bound)| bucket(bound, u32::from(n >= 4))).collect();
    expected.extend(["_sum 0.03".into(), "_count 1".into()]);
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    are(&held, "websocket_round_trip_seconds", &expected);
    let bounds = ["0.1", "1", "5", "10", "30", "60", "300", "900", "3600"];
    let bounds = bounds.into_iter().chain(["14400", "43200", "86400", "+Inf"]).enumerate();
    let mut expected: Vec<_> = bounds.map(|(n, bound)| bucket(bound, u32::from(n >= 4))).collect();
    expected.extend(["_sum 22.5".into(), "_count 1".into()]);
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    are(&held, "websocket_connection_duration_seconds", &expected);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_slow_client_and_what_is_dropped_is_seen() {
    let limits = Limits::default().send_buffer(100_000).max_send_buffer(200_000);
    let server = Server::new().limits(limits).slow_consumer(SlowConsumer::DropNewest);
    let service = server.any(echo).service().unwrap();
    let clients = service.clients();
    let (mut raw, _) = open_with(&service, "/", "", 4096).await;
    for _ in 0..100 {
        clients.send_all(Publication::new(vec![0; 10_000]));
        tokio::task::yield_now().await;
    }
    let held = samples(&clients).await;
    let metrics = clients.metrics();
    assert!((100_000..120_000).contains(&metrics.queue_bytes) && metrics.dropped > 70);
    are(&held, "websocket_queue_bytes", &[&format!(" {}", metrics.queue_bytes)]);
    are(&held, "websocket_dropped_total", &[&format!(" {}", metrics.dropped)]);
    for _ in 0..metrics.delivered {
        raw.frame().await.unwrap();
    }
    are(&samples(&clients).await, "websocket_queue_bytes", &[" 0"]);
}

// T-B20: "no label from peer input"
#[tokio::test(start_paused = true)]
async fn clients_choose_no_label() {
    let service = Server::new().any(echo).service().unwrap();
    let clients = service.clients();
    let (raw, _) = open(&service).await;
    close(raw, 1000).await;
    let (raw, task) = open(&service).await;
    drop(raw);
    task.await.unwrap();
    let (raw, _) = open(&service).await;
    close(raw, 3000).await;
    let (raw, _) = open(&service).await;
    close(raw, 4000).await;
    let before = samples(&clients).await.len();
    for n in 0..1000 {
        let (raw, _) = open(&service).await;
        close(raw, 3000 + 2 * n).await;
    }
    let held = samples(&clients).await;
    are(
        &held,
        "websocket_closes_total",
        &[
            "{code=\"1000\",by=\"client\"} 1",
            "{code=\"1006\",by=\"client\"} 1",
            "{code=\"3xxx\",by=\"client\"} 501",
            "{code=\"4xxx\",by=\"client\"} 501",
        ],
    );
    assert_eq!(held.len(), before, "no more lines");
    // Nor by codes that do not exist, nor by what they ask for.
    for code in (0..1000).chain(1015..3000).chain(5000..6000).step_by(7) {
        let (mut raw, _) = open(&service).await;
        raw.send(CLOSE, &u16::to_be_bytes(code)).await;
        raw.expect_close(1002).await;
    }
    for n in 0..500 {
        let (mut io, theirs) = tokio::io::duplex(4096);
        let task = tokio::spawn(service.serve_connection(theirs, Peer::Other));
        let header = ["Origin: http://", "Sec-WebSocket-Protocol: a,", "X\u{1}: "][n % 3];
        let head = request(&format!("/{n}"), &format!("{header}{n}\"\\\u{7f}é{{}}\r\n"));
        io.write_all(head.as_bytes()).await.unwrap();
        assert!(task.await.unwrap().is_none());
    }
    let held = samples(&clients).await;
    let causes = held.iter().filter(|line| line.contains("cause=")).count();
    assert!((1..=4).contains(&causes), "{held:?}");
    assert_eq!(held.len(), before + 1 + causes, "1002 and the causes");
}

#[tokio::test(start_paused = true)]
async fn collector_joins_a_registry_of_the_application() {
    let (one, two) = (service(), service());
    let mut registry = Registry::with_prefix("app");
    let own = Counter::<u64>::default();
    registry.register("orders", "Orders", own.clone());
    for (name, service) in [("one", &one), ("two", &two)] {
        let collector = Box::new(service.clients().collector());
        registry.sub_registry_with_prefix(name).register_collector(collector);
    }
    own.inc();
    let (_raw, _) = open(&one).await;
    let mut page = String::new();
    prometheus_text::encode(&mut page, &registry).unwrap();
    for line in [
        "app_orders_total 1",
        "app_one_websocket_connections 1",
        "app_two_websocket_connections 0",
        "app_one_websocket_messages_total{direction=\"sent\",type=\"text\"} 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in {page}");
    }
    let mut types = BTreeSet::new();
    assert!(page.lines().filter(|line| line.starts_with("# TYPE ")).all(|line| types.insert(line)));
    // OpenMetrics from the same collector.
    let mut page = String::new();
    text::encode(&mut page, &registry).unwrap();
    assert!(
        page.contains("# UNIT app_two_websocket_queue_bytes bytes\n") && page.ends_with("# EOF\n")
    );
    // It outlives the server.
    let clients = one.clients();
    let collector = clients.collector();
    drop((one, clients));
    assert!(!format!("{collector:?}").is_empty());
}

#[tokio::test(start_paused = true)]
async fn handler_reads_the_metrics_of_its_server() {
    let own = |mut ws: WebSocket| async move {
        let clients = ws.clients().unwrap();
        while ws.recv().await.is_some() {
            ws.send(clients.prometheus()).await?;
        }
        Ok(())
    };
    let service = Server::new().any(own).service().unwrap();
    let (mut raw, _) = open(&service).await;
    raw.send(TEXT, b"").await;
    assert!(raw.text().await.contains("\nwebsocket_connections 1\n"));
}
