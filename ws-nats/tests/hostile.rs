//! What breaks, and who means harm: each of these once made a node lose messages, say them twice, or
//! hold without bound.

mod support;

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use async_nats::HeaderMap;
use support::{Direction, LONG, Proxy, Server as NatsServer, until};
use tokio::time::{Instant, sleep, timeout};
use ws_nats::{Config, Gap, Nats, Position, Recovered, Since};
use ws_server::{Client, Clients, Message, Published, Server, Service, Subscription, WebSocket};

/// One process: its server, without a socket, and its backplane.
struct Node {
    clients: Clients,
    nats: Arc<Nats>,
    service: Service,
}

impl Node {
    async fn new(config: Config) -> Self {
        let server = Server::new().route("/", |mut ws: WebSocket| async move {
            while ws.recv().await.is_some() {}
            Ok(())
        });
        let clients = server.clients();
        let nats = Nats::connect(config, clients.clone()).await.unwrap();
        let service = server.backplane(Arc::clone(&nats) as _).service().unwrap();
        Self { clients, nats, service }
    }

    /// The only connection, from both ends.
    async fn client(&self) -> (WebSocket, Client) {
        let ws = self.service.test_client("/").await.unwrap();
        until("a client", async || !self.clients.list().is_empty()).await;
        (ws, self.clients.list().remove(0))
    }

    async fn is_up(&self) {
        until("NATS is there", async || self.nats.is_up()).await;
    }

    /// Publishes, once NATS is there, and returns where.
    async fn publish(&self, topic: &str, text: impl ToString) -> Position {
        let started = Instant::now();
        loop {
            match self.nats.publish_acked(topic, text.to_string(), None).await {
                Ok(position) => return position,
                Err(error) => assert!(started.elapsed() < LONG, "{error}"),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Messages begin with their position. A gap is told.
fn config(url: String) -> Config {
    let gap = |_: &str, gap: Gap| Some(format!("{} gap", gap.to).into());
    let stamp = |_: &str, position: Position, message: Message| {
        format!("{position} {}", message.as_text().expect("text")).into()
    };
    Config::default().servers([url]).stamp(stamp).gap(gap).audit(Duration::from_millis(300))
}

/// The next message: its position, and what it says.
async fn next(subscription: &mut Subscription) -> (Position, String) {
    let message = timeout(LONG, subscription.recv()).await.unwrap().unwrap();
    let (position, text) = message.as_text().unwrap().split_once(' ').unwrap();
    (position.parse().unwrap(), text.to_owned())
}

/// What comes until `last`, gaps left out.
async fn texts_to(subscription: &mut Subscription, last: &str) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.last().is_none_or(|text| text != last) {
        texts.push(next(subscription).await.1);
    }
    texts.retain(|text| text != "gap");
    texts
}

async fn is_quiet(subscription: &mut Subscription) -> bool {
    timeout(Duration::from_millis(500), subscription.recv()).await.is_err()
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

// Promises 4 and 5: after a power failure a stream goes on with sequences that it gave before.
#[tokio::test]
async fn stream_that_lost_its_last_messages_is_noticed() {
    let Some(server) = NatsServer::start().await else { return };
    stream_loses_its_last_messages(server, false).await;
}

// The same where the stream had confirmed that the node has all.
#[tokio::test]
async fn stream_that_lost_confirmed_messages_is_noticed() {
    let Some(server) = NatsServer::start().await else { return };
    stream_loses_its_last_messages(server, true).await;
}

async fn stream_loses_its_last_messages(mut server: NatsServer, confirmed: bool) {
    let node = Node::new(config(server.url())).await;
    let mut room = node.clients.listen("room").unwrap();
    for number in 0..3 {
        node.publish("room", number).await;
    }
    assert_eq!(texts_to(&mut room, "2").await, ["0", "1", "2"]);
    server.kill();
    let backup = server.dir().join("backup");
    copy(&server.dir().join("jetstream"), &backup);
    server.restart().await;
    node.is_up().await;
    for number in 3..8 {
        node.publish("room", number).await;
    }
    for number in 3..7 {
        assert_eq!(next(&mut room).await.1, number.to_string());
    }
    let (lost, _) = next(&mut room).await;
    if confirmed {
        let audits = node.nats.metrics().counted.audits;
        until("audits", async || node.nats.metrics().counted.audits > audits + 1).await;
    }
    server.kill();
    copy(&backup, &server.dir().join("jetstream"));
    server.restart().await;
    node.is_up().await;
    // As many as were lost, so that the sequences are the same.
    for number in 10..15 {
        node.publish("room", number).await;
    }
    assert_eq!(texts_to(&mut room, "14").await, ["10", "11", "12", "13", "14"]);
    let (_ws, client) = node.client().await;
    let joined = node.nats.join(&client, "room", Some(Since::Position(lost))).await.unwrap();
    assert_eq!(joined.recovered, Recovered::Lost);
}

// Promise 2: what came from a stream before it was found to be a new one comes once.
#[tokio::test]
async fn message_of_a_new_stream_comes_once() {
    let Some(server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url()).audit(Duration::from_secs(2))).await;
    let mut room = node.clients.listen("room").unwrap();
    node.publish("room", 0).await;
    assert_eq!(texts_to(&mut room, "0").await, ["0"]);
    let audits = node.nats.metrics().counted.audits;
    until("an audit", async || node.nats.metrics().counted.audits > audits + 1).await;
    let jetstream = server.jetstream().await;
    let config = jetstream.get_stream("WS").await.unwrap().cached_info().config.clone();
    jetstream.delete_stream("WS").await.unwrap();
    jetstream.create_stream(config).await.unwrap();
    for _ in 0..5 {
        jetstream.publish("ws.h.other", "x".into()).await.unwrap().await.unwrap();
    }
    for text in ["new", "last"] {
        jetstream.publish("ws.h.room", text.into()).await.unwrap().await.unwrap();
    }
    until("the gap", async || node.nats.metrics().counted.gaps > 0).await;
    node.publish("room", "end").await;
    assert_eq!(texts_to(&mut room, "end").await, ["new", "last", "end"]);
}

// Promise 4: a batch that lost a message on its way is not taken for whole.
#[tokio::test]
async fn hole_in_a_batch_is_noticed() {
    let Some(server) = NatsServer::start().await else { return };
    let proxy = Proxy::to(server.address()).await;
    let node = Node::new(config(proxy.url()).audit(Duration::from_secs(60))).await;
    let mut room = node.clients.listen("room").unwrap();
    node.publish("room", 0).await;
    assert_eq!(texts_to(&mut room, "0").await, ["0"]);
    let dropped = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&dropped);
    proxy.filter(move |direction, subject, rest| {
        let text = String::from_utf8_lossy(rest);
        let is = |sequence: u64| text.contains(&format!("Nats-Sequence: {sequence}\r\n"));
        let is_live = subject == "ws.live.room" && (2..=6).any(is);
        // Of the first batch.
        let is_read = || subject.starts_with("_INBOX") && is(4) && !shared.swap(true, Relaxed);
        direction == Direction::ToServer || !is_live && !is_read()
    });
    for number in 1..=6 {
        node.publish("room", number).await;
    }
    assert_eq!(texts_to(&mut room, "6").await, ["1", "2", "3", "4", "5", "6"]);
    assert!(dropped.load(Relaxed));
}

// Somebody may publish to `ws.live.>`, against the README.
#[tokio::test]
async fn forged_message_is_not_in_the_history() {
    let Some(server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url())).await;
    let mut room = node.clients.listen("room").unwrap();
    let first = node.publish("room", 0).await.to_string();
    assert_eq!(texts_to(&mut room, "0").await, ["0"]);
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("Nats-Stream", "WS"),
        ("Nats-Subject", "ws.h.room"),
        ("Nats-Sequence", "50"),
        ("Nats-Last-Sequence", "1"),
        ("Nats-Time-Stamp", "2026-11-30T13:57:41.650800864Z"),
    ] {
        headers.insert(name, value);
    }
    let foreign = server.client().await;
    foreign.publish_with_headers("ws.live.room", headers, "forged".into()).await.unwrap();
    foreign.flush().await.unwrap();
    assert_eq!(next(&mut room).await.1, "forged");
    for number in 1..6 {
        node.publish("room", number).await;
    }
    assert_eq!(texts_to(&mut room, "5").await, ["1", "2", "3", "4", "5"]);
    for since in 1..5 {
        let (mut ws, client) = node.client().await;
        let (epoch, _) = first.split_once('.').unwrap();
        let since_then = Since::Position(format!("{epoch}.{since}.0").parse().unwrap());
        let joined = node.nats.join(&client, "room", Some(since_then)).await.unwrap();
        assert_eq!(joined.recovered, Recovered::All(6 - since));
        for number in since..6 {
            let message = timeout(LONG, ws.recv()).await.unwrap().unwrap();
            assert!(message.as_text().unwrap().ends_with(&format!(" {number}")), "{message:?}");
        }
        ws.close(ws_server::CloseCode::NORMAL, "").ok();
        until("it is gone", async || node.clients.list().is_empty()).await;
    }
}

// A foreign program publishes what the application does not expect.
#[tokio::test]
async fn stamp_that_panics_costs_its_message_alone() {
    let Some(server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url())).await;
    let mut room = node.clients.listen("room").unwrap();
    node.publish("room", 0).await;
    let jetstream = server.jetstream().await;
    jetstream.publish("ws.h.room", (&b"\xff"[..]).into()).await.unwrap().await.unwrap();
    node.publish("room", 1).await;
    assert_eq!(texts_to(&mut room, "1").await, ["0", "1"]);
    assert_eq!(node.nats.metrics().counted.damaged, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriber_may_be_outside_of_a_runtime_or_in_one_that_ends() {
    let Some(server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url()).ephemeral("e")).await;
    let clients = node.clients.clone();
    let outside = thread::spawn(move || ["a", "e"].map(|topic| clients.listen(topic).unwrap()));
    let clients = node.clients.clone();
    let ended = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { clients.listen("b").unwrap() })
    });
    let ([mut a, mut e], mut b) = (outside.join().unwrap(), ended.join().unwrap());
    for (topic, subscription) in [("a", &mut a), ("b", &mut b)] {
        node.publish(topic, "x").await;
        assert_eq!(next(subscription).await.1, "x");
    }
    let heard = async || {
        node.clients.publish("e", "x");
        timeout(Duration::from_millis(100), e.recv()).await.is_ok()
    };
    until("it hears", heard).await;
}

// Memory: names that clients subscribe to and leave.
#[tokio::test]
async fn topics_without_subscribers_are_forgotten_while_nats_is_away() {
    let Some(mut server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url())).await;
    server.kill();
    until("NATS is away", async || !node.nats.is_up()).await;
    // More than the client of NATS takes while it is away.
    for number in 0..3000 {
        drop(node.clients.listen(&format!("topic {number}")).unwrap());
    }
    until("they are forgotten", async || node.nats.metrics().topics == 0).await;
    let _subscriptions: Vec<_> =
        (0..3000).map(|number| node.clients.listen(&format!("topic {number}")).unwrap()).collect();
    assert_eq!(node.nats.metrics().topics, 3000);
    node.nats.shutdown(Duration::ZERO).await;
    until("they end", async || node.nats.metrics().topics == 0).await;
}

// Memory: a publisher that is faster than NATS.
#[tokio::test]
async fn queue_bounds_ephemeral_publications_too() {
    let Some(server) = NatsServer::start().await else { return };
    let proxy = Proxy::to(server.address()).await;
    let node = Node::new(config(proxy.url()).ephemeral("e").queue_bytes(1 << 20)).await;
    proxy.hang();
    let text = "x".repeat(64 << 10);
    let mut taken = 0;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1500) {
        if node.clients.publish("e", text.clone()) == Published::Handed {
            taken += 1;
        }
        tokio::task::yield_now().await;
    }
    // 16 of them in the queue; what the client and the sockets hold has a bound too.
    assert!(taken < 500, "{taken} of 64 KiB");
}

// Promise 4: in batches, also where topics have no message in the stream.
#[tokio::test]
async fn audit_of_quiet_topics_goes_in_batches() {
    let Some(server) = NatsServer::start().await else { return };
    let proxy = Proxy::to(server.address()).await;
    let node = Node::new(config(proxy.url()).audit(Duration::from_secs(2))).await;
    let topics = || (0..500).map(|number| format!("topic {number}"));
    let _readers: Vec<_> = topics().map(|topic| node.clients.listen(&topic).unwrap()).collect();
    let mut other = node.clients.listen("other").unwrap();
    node.publish("other", "x").await;
    next(&mut other).await;
    let audits = async |count| {
        let audits = node.nats.metrics().counted.audits + count;
        until("audits", async || {
            node.publish("other", "x").await;
            node.nats.metrics().counted.audits >= audits
        })
        .await;
    };
    audits(2).await;
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let shared = Arc::clone(&asked);
    proxy.filter(move |direction, subject, _| {
        if direction == Direction::ToServer && subject.starts_with("$JS.") {
            shared.fetch_add(1, Relaxed);
        }
        true
    });
    audits(3).await;
    let asked = asked.load(Relaxed);
    assert!((3..60).contains(&asked), "{asked} questions");
    // And they are still compared.
    assert!(is_quiet(&mut node.clients.listen("topic 0").unwrap()).await);
}
