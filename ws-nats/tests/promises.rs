//! The promises of the crate, one by one, against real NATS servers, with what goes wrong there.

mod support;

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use futures_util::StreamExt;
use support::{Cluster, Direction, LONG, Proxy, Server as NatsServer, Setup, until};
use tokio::time::{Instant, sleep, timeout};
use ws_nats::{Config, Gap, JoinError, Nats, Position, PublishError, Since};
use ws_server::{
    Clients, Publication, Published, Refused, Server, Service, Subscription, WebSocket,
};

/// One process: its server, without a socket, and its backplane.
struct Node {
    clients: Clients,
    nats: Arc<Nats>,
    service: Service,
}

/// A client of a node, and what came before it was told that it joined.
struct Client(WebSocket, VecDeque<String>);

impl Node {
    async fn new(config: Config) -> Self {
        let joined = Arc::new(OnceLock::<(Arc<Nats>, Clients)>::new());
        let shared = Arc::clone(&joined);
        let server = Server::new().route("/", move |ws: WebSocket| serve(ws, Arc::clone(&shared)));
        let clients = server.clients();
        let nats = Nats::connect(config, clients.clone()).await.unwrap();
        joined.set((Arc::clone(&nats), clients.clone())).ok();
        let service = server.backplane(Arc::clone(&nats) as _).service().unwrap();
        Self { clients, nats, service }
    }

    fn listen(&self, topic: &str) -> Subscription {
        self.clients.listen(topic).unwrap()
    }

    /// A client joins. Returns it, with its position and what it recovered.
    async fn join(&self, topic: &str, since: &str) -> (Client, String, String) {
        let mut ws = self.service.test_client("/").await.unwrap();
        ws.send(format!("{topic} {since}")).await.unwrap();
        let mut client = Client(ws, VecDeque::new());
        let mut early = VecDeque::new();
        loop {
            let text = client.next().await;
            if let Some(rest) = text.strip_prefix("joined ") {
                let (position, recovered) = rest.split_once(' ').unwrap();
                client.1 = early;
                return (client, position.to_owned(), recovered.to_owned());
            }
            early.push_back(text);
        }
    }

    async fn shutdown(&self) {
        self.nats.shutdown(Duration::from_secs(5)).await;
    }
}

/// Joins as the first message says.
async fn serve(
    mut ws: WebSocket,
    joined: Arc<OnceLock<(Arc<Nats>, Clients)>>,
) -> Result<(), ws_server::HandlerError> {
    let (nats, clients) = joined.get().unwrap();
    let Some(message) = ws.recv().await else { return Ok(()) };
    let (topic, since) = message.as_text().unwrap().split_once(' ').unwrap();
    let since = match since {
        "-" => None,
        "latest" => Some(Since::Latest),
        position => Some(Since::Position(position.parse()?)),
    };
    let client = clients.get(ws.id()).unwrap();
    let joined = nats.join(&client, topic, since).await;
    match joined {
        Ok(joined) => {
            let position = joined.position.map_or(String::new(), |position| position.to_string());
            ws.send(format!("joined {position} {:?}", joined.recovered)).await?;
        }
        Err(error) => ws.send(format!("joined - {error:?}")).await?,
    }
    while ws.recv().await.is_some() {}
    Ok(())
}

impl Client {
    async fn next(&mut self) -> String {
        if let Some(text) = self.1.pop_front() {
            return text;
        }
        let message = timeout(LONG, self.0.recv()).await.unwrap().unwrap();
        message.as_text().unwrap().to_owned()
    }

    /// As many stamped messages; without their positions.
    async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            texts.push(self.next().await.split_once(' ').unwrap().1.to_owned());
        }
        texts
    }

    async fn is_quiet(&mut self) -> bool {
        self.1.is_empty() && timeout(Duration::from_millis(300), self.0.recv()).await.is_err()
    }
}

fn config(url: String) -> Config {
    let stamp = |_: &str, position: Position, message: ws_server::Message| {
        format!("{position} {}", message.as_text().unwrap_or("?")).into()
    };
    let gap = |_: &str, gap: Gap| Some(format!("{} gap", gap.to).into());
    Config::default().servers([url]).stamp(stamp).gap(gap).audit(Duration::from_millis(500))
}

async fn next(subscription: &mut Subscription) -> (Position, String) {
    let message = timeout(LONG, subscription.recv()).await.unwrap().unwrap();
    let (position, text) = message.as_text().unwrap().split_once(' ').unwrap();
    (position.parse().unwrap(), text.to_owned())
}

async fn texts(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        texts.push(next(subscription).await.1);
    }
    texts
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn is_quiet(subscription: &mut Subscription) -> bool {
    timeout(Duration::from_millis(300), subscription.recv()).await.is_err()
}

/// Until a node has a track for the topic, and its subscription is in place.
async fn follows(node: &Node, topic: &str) {
    let (client, ..) = node.join(topic, "-").await;
    drop(client);
}

async fn publish(node: &Node, topic: &str, range: std::ops::Range<usize>) -> Vec<Position> {
    let mut positions = Vec::new();
    for number in range {
        let acked = node.nats.publish_acked(topic, number.to_string(), None).await;
        positions.push(acked.unwrap());
    }
    positions
}

// Promise 1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_see_a_topic_in_one_order() {
    let Some(server) = NatsServer::start().await else { return };
    let nodes = [Node::new(config(server.url())).await, Node::new(config(server.url())).await];
    let mut readers = nodes.each_ref().map(|node| node.listen("room"));
    for node in &nodes {
        follows(node, "room").await;
    }
    for number in 0..500 {
        for (index, node) in nodes.iter().enumerate() {
            let published = node.clients.publish("room", format!("{index}.{number}"));
            assert_eq!(published, Published::Handed, "{number}");
        }
    }
    let mut seen = [Vec::new(), Vec::new()];
    for (reader, seen) in readers.iter_mut().zip(&mut seen) {
        *seen = texts(reader, 1000).await;
        for index in 0..2 {
            let one: Vec<_> =
                seen.iter().filter(|text| text.starts_with(&format!("{index}."))).collect();
            let sent: Vec<_> = (0..500).map(|number| format!("{index}.{number}")).collect();
            assert_eq!(one, sent.iter().collect::<Vec<_>>(), "what one publishes stays in order");
        }
        assert!(is_quiet(reader).await);
    }
    assert_eq!(seen[0], seen[1]);
}

// Promise 6, of the server's own `subscribe`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_after_subscribing_comes() {
    let Some(server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url())).await;
    for round in 0..100 {
        let topic = format!("t{round}");
        node.clients.publish(&topic, "before");
        let mut reader = node.listen(&topic);
        node.clients.publish(&topic, "after");
        let mut text = next(&mut reader).await.1;
        if text == "before" {
            // The stream took both after it was asked.
            text = next(&mut reader).await.1;
        }
        assert_eq!(text, "after", "{round}");
    }
}

// Promise 2.
#[tokio::test]
async fn a_retry_with_an_id_is_stored_once() {
    let Some(server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url())).await;
    let mut reader = node.listen("room");
    let first = node.nats.publish_acked("room", "once", Some("id-1")).await.unwrap();
    let again = node.nats.publish_acked("room", "once", Some("id-1")).await.unwrap();
    assert_eq!(first, again);
    node.nats.publish_acked("room", "end", None).await.unwrap();
    assert_eq!(texts(&mut reader, 2).await, ["once", "end"]);
    let bad = node.nats.publish_acked("room", "x", Some("a b")).await;
    assert_eq!(bad, Err(PublishError::Id));
}

// Promise 4: a gap is seen by the message after it.
#[tokio::test]
async fn a_dropped_message_is_read_from_the_stream() {
    let Some(server) = NatsServer::start().await else { return };
    let proxy = Proxy::to(server.address()).await;
    let (far, near) =
        (Node::new(config(proxy.url()).audit(LONG)).await, Node::new(config(server.url())).await);
    let mut reader = far.listen("room");
    follows(&far, "room").await;
    publish(&near, "room", 0..3).await;
    assert_eq!(texts(&mut reader, 3).await, numbers(0..3));
    proxy.drop_next(Direction::ToClient, "ws.live.room", 3);
    publish(&near, "room", 3..7).await;
    assert_eq!(texts(&mut reader, 4).await, numbers(3..7));
    assert_eq!(proxy.dropped().len(), 3);
    assert!(is_quiet(&mut reader).await);
}

// Promise 4, at the tail.
#[tokio::test]
async fn a_dropped_last_message_is_found_by_the_audit() {
    let Some(server) = NatsServer::start().await else { return };
    let proxy = Proxy::to(server.address()).await;
    let (far, near) = (Node::new(config(proxy.url())).await, Node::new(config(server.url())).await);
    let mut reader = far.listen("room");
    follows(&far, "room").await;
    publish(&near, "room", 0..2).await;
    assert_eq!(texts(&mut reader, 2).await, numbers(0..2));
    proxy.drop_next(Direction::ToClient, "ws.live.room", 1);
    publish(&near, "room", 2..3).await;
    let begun = Instant::now();
    assert_eq!(texts(&mut reader, 1).await, numbers(2..3));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(proxy.dropped().len(), 1);
    // It comes once.
    publish(&near, "room", 3..4).await;
    assert_eq!(texts(&mut reader, 1).await, numbers(3..4));
}

// Promise 4: what cannot be refilled is told.
#[tokio::test]
async fn what_the_stream_lost_meanwhile_is_told() {
    let Some(server) = NatsServer::start().await else { return };
    let proxy = Proxy::to(server.address()).await;
    let few = |url| config(url).messages_per_topic(2);
    let (far, near) = (Node::new(few(proxy.url())).await, Node::new(few(server.url())).await);
    let mut reader = far.listen("room");
    follows(&far, "room").await;
    publish(&near, "room", 0..1).await;
    assert_eq!(texts(&mut reader, 1).await, numbers(0..1));
    proxy.drop_next(Direction::ToClient, "ws.live.room", 4);
    publish(&near, "room", 1..6).await;
    assert_eq!(texts(&mut reader, 3).await, ["gap", "4", "5"]);
}

// Promise 5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reconnects_elsewhere_gets_exactly_what_it_missed() {
    let Some(server) = NatsServer::start().await else { return };
    let nodes = [Node::new(config(server.url())).await, Node::new(config(server.url())).await];
    let (mut client, position, recovered) = nodes[0].join("room", "-").await;
    assert_eq!(recovered, "Fresh");
    let mut reader = nodes[0].listen("room");
    publish(&nodes[1], "room", 0..5).await;
    assert_eq!(client.texts(5).await, numbers(0..5));
    drop(client);
    publish(&nodes[0], "other", 0..5).await;
    for number in 5..1000 {
        nodes[0].clients.publish("room", number.to_string());
    }
    let last = publish(&nodes[0], "room", 1000..1001).await[0];
    // What a node has not delivered yet would come live.
    assert_eq!(texts(&mut reader, 1001).await, numbers(0..1001));
    for (node, name) in nodes.iter().zip(["the same", "another"]) {
        let begun = Instant::now();
        let (mut client, at, recovered) = node.join("room", &position).await;
        assert_eq!(recovered, "All(1001)", "{name}");
        assert_eq!(client.texts(1001).await, numbers(0..1001), "{name}");
        eprintln!("1001 messages on {name} node in {:?}", begun.elapsed());
        assert!(client.is_quiet().await);
        // And nothing is missed between that and what comes live.
        let missed: usize = recovered.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        let (mut again, _, recovered) = node.join("room", &at).await;
        assert_eq!(recovered, format!("All({})", 1001 - missed));
        assert_eq!(again.texts(1001 - missed).await, numbers(missed..1001), "{name}");
        assert!(again.is_quiet().await);
        let (_, _, recovered) = node.join("room", &last.to_string()).await;
        assert_eq!(recovered, "All(0)");
    }
}

#[tokio::test]
async fn each_joiner_gets_its_own_past_though_one_read_serves_all() {
    const LAST: usize = 40;
    let Some(server) = NatsServer::start().await else { return };
    let publisher = Node::new(config(server.url())).await;
    let positions = publish(&publisher, "room", 0..LAST).await;
    // A node that does not follow the topic yet: they all wait for the same read.
    let node = Node::new(config(server.url())).await;
    let joins = positions.iter().enumerate().rev().map(|(seen, position)| {
        let (node, position) = (&node, position.to_string());
        async move {
            let (mut client, _, recovered) = node.join("room", &position).await;
            assert_eq!(recovered, format!("All({})", LAST - 1 - seen));
            assert_eq!(client.texts(LAST - 1 - seen).await, numbers(seen + 1..LAST));
            assert!(client.is_quiet().await);
        }
    });
    futures_util::future::join_all(joins).await;
}

#[tokio::test]
async fn joiners_get_the_latest_message_or_none() {
    let Some(server) = NatsServer::start().await else { return };
    let nodes = [Node::new(config(server.url())).await, Node::new(config(server.url())).await];
    let (mut client, _, recovered) = nodes[0].join("room", "latest").await;
    assert_eq!(recovered, "All(0)");
    publish(&nodes[1], "room", 0..3).await;
    assert_eq!(client.texts(3).await, numbers(0..3));
    for node in &nodes {
        let (mut client, _, recovered) = node.join("room", "latest").await;
        assert_eq!(recovered, "All(1)");
        assert_eq!(client.texts(1).await, numbers(2..3));
        assert!(client.is_quiet().await);
    }
}

#[tokio::test]
async fn a_client_that_subscribes_gets_its_past_once() {
    let Some(server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url())).await;
    let position = publish(&node, "room", 0..3).await[0];
    let (_client, _, recovered) = node.join("room", &position.to_string()).await;
    assert_eq!(recovered, "All(2)");
    let client = node.clients.subscribed("room").pop().unwrap();
    let again = node.nats.join(&client, "room", Some(Since::Position(position))).await;
    assert_eq!(again.unwrap_err(), JoinError::Subscribed);
}

// Promise 7: the stream is away, and NATS is there.
#[tokio::test]
async fn a_stream_that_does_not_answer_is_tried_by_one_at_a_time() {
    let Some(server) = NatsServer::start().await else { return };
    let proxy = Proxy::to(server.address()).await;
    let short = config(proxy.url()).publish_timeout(Duration::from_secs(3));
    let node = Node::new(short).await;
    publish(&node, "room", 0..1).await;
    // Every publication is lost; everything else passes.
    proxy
        .filter(|direction, subject, _| direction == Direction::ToClient || subject != "ws.h.room");
    let begun = Instant::now();
    let mut taken = Vec::new();
    while begun.elapsed() < Duration::from_secs(10) {
        if node.clients.publish("room", "x") == Published::Handed {
            taken.push(begun.elapsed());
        }
        sleep(Duration::from_millis(20)).await;
    }
    let late = taken.iter().filter(|time| **time > Duration::from_secs(3)).count();
    assert!((1..10).contains(&late), "{late} of {}", taken.len());
    proxy.heal();
    proxy.filter(|_, _, _| true);
    until("it is taken again", async || node.nats.publish_acked("room", "x", None).await.is_ok())
        .await;
}

// Promise 5: never silently.
#[tokio::test]
async fn a_position_whose_history_was_trimmed_is_lost() {
    let Some(server) = NatsServer::start().await else { return };
    let few = || config(server.url()).messages_per_topic(5);
    let nodes = [Node::new(few()).await, Node::new(few()).await];
    let positions = publish(&nodes[0], "room", 0..20).await;
    for (index, recovered) in [(0, "Lost"), (12, "Lost"), (15, "All(4)"), (19, "All(0)")] {
        let (mut client, _, got) = nodes[1].join("room", &positions[index].to_string()).await;
        assert_eq!(got, recovered, "{index}");
        let count = if recovered == "Lost" { 0 } else { 19 - index };
        assert_eq!(client.texts(count).await, numbers(20 - count..20));
        assert!(client.is_quiet().await);
    }
    let unknown = format!(
        "abc{}",
        &positions[19].to_string()[positions[19].to_string().find('.').unwrap()..]
    );
    let (_, _, got) = nodes[1].join("room", &unknown).await;
    assert_eq!(got, "Lost", "of another epoch");
}

#[tokio::test]
async fn more_than_may_be_recovered_is_lost() {
    let Some(server) = NatsServer::start().await else { return };
    let few = || config(server.url()).recovery_messages(10).recent_messages(4);
    let node = Node::new(few()).await;
    let positions = publish(&node, "room", 0..20).await;
    for (index, recovered) in [(3, "Lost"), (10, "All(9)")] {
        let (_, _, got) = node.join("room", &positions[index].to_string()).await;
        assert_eq!(got, recovered, "{index}");
    }
}

// Promise 5: interest keeps a quiet topic.
#[tokio::test]
async fn a_quiet_topic_is_not_lost_where_somebody_listened() {
    let Some(server) = NatsServer::start().await else { return };
    let short = || config(server.url()).max_age(Duration::from_secs(1));
    let nodes = [Node::new(short()).await, Node::new(short()).await];
    let mut reader = nodes[0].listen("room");
    follows(&nodes[0], "room").await;
    let position = publish(&nodes[0], "room", 0..1).await[0];
    assert_eq!(texts(&mut reader, 1).await, numbers(0..1));
    let end = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < end {
        publish(&nodes[1], "other", 0..1).await;
        sleep(Duration::from_millis(100)).await;
    }
    let (mut client, _, recovered) = nodes[0].join("room", &position.to_string()).await;
    assert_eq!(recovered, "All(0)");
    publish(&nodes[1], "room", 1..2).await;
    assert_eq!(client.texts(1).await, numbers(1..2));
    assert_eq!(texts(&mut reader, 1).await, numbers(1..2), "and no gap");
    // Nobody knows on a node where nobody listened.
    let (_, _, recovered) = nodes[1].join("room", &position.to_string()).await;
    assert_eq!(recovered, "Lost");
}

// Promise 7.
#[tokio::test]
async fn nats_killed_refuses_at_once_and_comes_back() {
    let Some(mut server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url())).await;
    let mut reader = node.listen("room");
    follows(&node, "room").await;
    publish(&node, "room", 0..3).await;
    assert_eq!(texts(&mut reader, 3).await, numbers(0..3));
    server.kill();
    until("it is refused", async || {
        node.clients.publish("room", "refused") == Published::Refused(Refused::Away)
    })
    .await;
    let before = refused_from(&node);
    assert_eq!(node.nats.publish_acked("room", "refused", None).await, Err(PublishError::Away));
    assert!(is_quiet(&mut reader).await, "nothing is delivered locally");
    server.restart().await;
    until("it is up again", async || node.nats.is_up()).await;
    publish(&node, "room", 3..5).await;
    let mut came = texts(&mut reader, 2).await;
    // Handed over before it was noticed: unknown.
    came.retain(|text| text != "refused");
    while came.len() < 2 {
        came.push(next(&mut reader).await.1);
    }
    assert_eq!(came, numbers(3..5));
    assert!(before > 0);
}

fn refused_from(node: &Node) -> usize {
    usize::from(node.clients.publish("room", "refused") == Published::Refused(Refused::Away))
}

// Promise 7: a hung connection.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_server_is_noticed_in_time_and_nothing_refused_is_sent_later() {
    let Some(server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url())).await;
    publish(&node, "room", 0..1).await;
    server.pause();
    let begun = Instant::now();
    let mut handed = HashSet::new();
    let mut number = 0;
    let noticed = loop {
        let text = format!("m{number}");
        match node.clients.publish("room", text.clone()) {
            Published::Handed => handed.insert(text),
            Published::Refused(Refused::Away) => break begun.elapsed(),
            other => panic!("{other:?}"),
        };
        number += 1;
        sleep(Duration::from_millis(10)).await;
    };
    eprintln!("noticed after {noticed:?}");
    // Three seconds, and what a busy machine adds.
    assert!(noticed < Duration::from_secs(15), "{noticed:?}");
    for number in 0..100 {
        let refused = node.clients.publish("room", format!("refused{number}"));
        assert_eq!(refused, Published::Refused(Refused::Away));
    }
    server.resume();
    until("it is up again", async || node.nats.is_up()).await;
    let last = publish(&node, "room", 1..2).await;
    // All that the stream has.
    let stream = server.jetstream().await.get_stream("WS").await.unwrap();
    let info = stream.get_info().await.unwrap();
    for sequence in info.state.first_sequence..=info.state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        let text = String::from_utf8(message.payload.to_vec()).unwrap();
        assert!(!text.starts_with("refused"), "{text}");
    }
    assert!(!last.is_empty());
}

// Promise 7, by a proxy in both directions and in one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_is_noticed_and_healed() {
    let Some(server) = NatsServer::start().await else { return };
    let proxy = Proxy::to(server.address()).await;
    let (far, near) = (Node::new(config(proxy.url())).await, Node::new(config(server.url())).await);
    let mut reader = far.listen("room");
    follows(&far, "room").await;
    let mut sent = 0;
    for cut in [None, Some(Direction::ToServer), Some(Direction::ToClient)] {
        publish(&near, "room", sent..sent + 1).await;
        assert_eq!(texts(&mut reader, 1).await, numbers(sent..sent + 1));
        match cut {
            None => proxy.hang(),
            Some(direction) => proxy.hang_one(direction),
        }
        let begun = Instant::now();
        until("it is refused", async || {
            far.clients.publish("elsewhere", "x") == Published::Refused(Refused::Away)
        })
        .await;
        assert!(begun.elapsed() < Duration::from_secs(15), "{cut:?} {:?}", begun.elapsed());
        publish(&near, "room", sent + 1..sent + 20).await;
        proxy.heal();
        assert_eq!(texts(&mut reader, 19).await, numbers(sent + 1..sent + 20), "{cut:?}");
        until("it is up again", async || far.nats.is_up()).await;
        sent += 20;
    }
}

// Promise 5: another life of the stream.
#[tokio::test]
async fn a_stream_made_anew_begins_an_epoch() {
    let Some(server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url())).await;
    let mut reader = node.listen("room");
    follows(&node, "room").await;
    let old = publish(&node, "room", 0..3).await[2];
    assert_eq!(texts(&mut reader, 3).await, numbers(0..3));
    server.jetstream().await.delete_stream("WS").await.unwrap();
    // The audit makes it anew.
    until("it is there again", async || node.nats.publish_acked("room", "3", None).await.is_ok())
        .await;
    let mut came = Vec::new();
    while came.last().is_none_or(|text| text != "3") {
        came.push(next(&mut reader).await.1);
    }
    assert_eq!(came, ["gap", "3"]);
    let (_, _, recovered) = node.join("room", &old.to_string()).await;
    assert_eq!(recovered, "Lost");
}

#[tokio::test]
async fn two_nodes_of_one_name_work() {
    let Some(server) = NatsServer::start().await else { return };
    let named = || config(server.url()).node("twin");
    let nodes = [Node::new(named()).await, Node::new(named()).await];
    let mut readers = nodes.each_ref().map(|node| node.listen("room"));
    follows(&nodes[1], "room").await;
    let (mut client, ..) = nodes[0].join("room", "-").await;
    let id = nodes[0].clients.subscribed("room")[0].id();
    // The other node may have a connection of the same number.
    nodes[0].clients.publish("room", Publication::new("0").except(id));
    nodes[1].clients.publish("room", "1");
    for reader in &mut readers {
        let mut both = texts(reader, 2).await;
        both.sort();
        assert_eq!(both, ["0", "1"]);
    }
    assert_eq!(client.texts(1).await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_subscriptions_leaves_nothing_behind() {
    let Some(server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url())).await;
    for round in 0..300 {
        let topic = format!("t{}", round % 7);
        let mut reader = node.listen(&topic);
        node.clients.publish(&topic, format!("r{round}"));
        if round % 3 == 0 {
            while next(&mut reader).await.1 != format!("r{round}") {}
        }
    }
    let mut reader = node.listen("t1");
    node.nats.publish_acked("t1", "end", None).await.unwrap();
    while next(&mut reader).await.1 != "end" {}
}

#[tokio::test]
async fn forged_messages_lose_nothing() {
    let Some(server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url())).await;
    let mut reader = node.listen("room");
    follows(&node, "room").await;
    let last = publish(&node, "room", 0..3).await[2].to_string();
    assert_eq!(texts(&mut reader, 3).await, numbers(0..3));
    let sequence: u64 = last.split('.').nth(1).unwrap().parse().unwrap();
    let forger = server.client().await;
    let forge = async |stream: &str, subject: &str, sequence: u64, last: u64| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Stream", stream);
        headers.insert("Nats-Subject", subject);
        headers.insert("Nats-Sequence", sequence.to_string());
        headers.insert("Nats-Last-Sequence", last.to_string());
        headers.insert("Nats-Time-Stamp", "2026-11-30T13:57:41.650800864Z");
        forger.publish_with_headers("ws.live.room", headers, "forged".into()).await.unwrap();
        support::round_trip(&forger).await;
    };
    forger.publish("ws.live.room", "no headers".into()).await.unwrap();
    forge("OTHER", "ws.h.room", sequence + 1, sequence).await;
    forge("WS", "ws.h.other", sequence + 1, sequence).await;
    forge("WS", "ws.h.room", 1 << 40, sequence).await;
    forge("WS", "ws.h.room", u64::MAX, u64::MAX - 1).await;
    forge("WS", "ws.h.room", sequence - 1, 0).await;
    forge("WS", "ws.h.room", sequence + 30, sequence + 20).await;
    publish(&node, "room", 3..5).await;
    assert_eq!(texts(&mut reader, 2).await, numbers(3..5));
    // One that follows by its own account passes, and the stream is asked when it is contradicted.
    forge("WS", "ws.h.room", sequence + 50, sequence + 2).await;
    publish(&node, "room", 5..8).await;
    let mut came = Vec::new();
    while came.len() < 3 {
        let (_, text) = next(&mut reader).await;
        if text != "forged" {
            came.push(text);
        }
    }
    assert_eq!(came, numbers(5..8));
    publish(&node, "room", 8..10).await;
    assert_eq!(texts(&mut reader, 2).await, numbers(8..10));
}

#[tokio::test]
async fn other_programs_publish_and_damaged_messages_are_left_out() {
    let Some(server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url())).await;
    let mut reader = node.listen("room");
    follows(&node, "room").await;
    let other = server.client().await;
    other.publish("ws.h.room", "plain".into()).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Ws-Kind", "nonsense");
    other.publish_with_headers("ws.h.room", headers, "damaged".into()).await.unwrap();
    other.publish("ws.h.room", "end".into()).await.unwrap();
    assert_eq!(texts(&mut reader, 2).await, ["plain", "end"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ephemeral_topics_leave_nothing_in_the_stream() {
    let Some(server) = NatsServer::start().await else { return };
    let cursors = || config(server.url()).ephemeral("cursor.*");
    let nodes = [Node::new(cursors()).await, Node::new(cursors()).await];
    let mut readers = nodes.each_ref().map(|node| node.listen("cursor.1"));
    let greeting = async |reader: &mut Subscription| {
        timeout(Duration::from_millis(100), reader.recv()).await.is_ok()
    };
    for reader in &mut readers {
        until("it is followed", async || {
            nodes[0].clients.publish("cursor.1", "hello");
            greeting(reader).await
        })
        .await;
    }
    for number in 0..2000 {
        while nodes[0].clients.publish("cursor.1", format!("c{number}")) != Published::Handed {
            sleep(Duration::from_millis(1)).await;
        }
    }
    for reader in &mut readers {
        let mut came = Vec::new();
        while came.len() < 2000 {
            let message = timeout(LONG, reader.recv()).await.unwrap().unwrap();
            let text = message.as_text().unwrap().to_owned();
            came.extend(text.strip_prefix('c').map(str::to_owned));
        }
        assert_eq!(came, numbers(0..2000));
    }
    let stream = server.jetstream().await.get_stream("WS").await.unwrap();
    assert_eq!(stream.get_info().await.unwrap().state.messages, 0);
}

// Promise 4 with replicas that lag: Direct Get of three replicas answers with the past.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_lag_lose_nothing() {
    let Some(cluster) = Cluster::start().await else { return };
    let proxy = Proxy::to(cluster.servers[1].address()).await;
    let three = |url| config(url).replicas(3).audit(Duration::from_secs(1));
    let near = Node::new(three(cluster.servers[0].url())).await;
    let far = Node::new(three(proxy.url())).await;
    let mut reader = far.listen("room");
    follows(&far, "room").await;
    let dropped = Arc::new(Mutex::new(0));
    let count = Arc::clone(&dropped);
    // Every seventh is lost on the way.
    proxy.filter(move |direction, subject, _| {
        let mut count = count.lock().unwrap();
        let is_live = direction == Direction::ToClient && subject == "ws.live.room";
        *count += usize::from(is_live);
        !is_live || !count.is_multiple_of(7)
    });
    for number in 0..1500 {
        while near.clients.publish("room", number.to_string()) != Published::Handed {
            sleep(Duration::from_millis(5)).await;
        }
        if number % 50 == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(texts(&mut reader, 1500).await, numbers(0..1500));
    assert!(*dropped.lock().unwrap() > 200);
}

// Limits.
#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_queued() {
    let Some(server) = NatsServer::with(Setup::default().text("max_payload: 2048")).await else {
        return;
    };
    let node = Node::new(config(server.url())).await;
    let mut reader = node.listen("room");
    follows(&node, "room").await;
    let large = "x".repeat(2048);
    assert_eq!(node.clients.publish("room", large.clone()), Published::Refused(Refused::TooLarge));
    let refused = node.nats.publish_acked("room", large, None).await;
    assert!(matches!(refused, Err(PublishError::TooLarge { limit: 2048, .. })), "{refused:?}");
    let long = "t".repeat(2000);
    assert_eq!(node.clients.publish(&long, "x"), Published::Refused(Refused::TooLarge));
    publish(&node, "room", 0..1).await;
    assert_eq!(texts(&mut reader, 1).await, numbers(0..1));
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let Some(server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url()).queue_bytes(64 << 10)).await;
    let mut taken = 0;
    let full = loop {
        match node.clients.publish("room", "x".repeat(1000)) {
            Published::Handed => taken += 1,
            other => break other,
        }
    };
    assert_eq!(full, Published::Refused(Refused::Full));
    assert!(taken < 64, "{taken}");
    until("there is room again", async || node.clients.publish("room", "x") == Published::Handed)
        .await;
    node.shutdown().await;
    assert_eq!(node.clients.publish("room", "x"), Published::Refused(Refused::Away));
}

#[tokio::test]
async fn topics_of_any_name_work() {
    let Some(server) = NatsServer::start().await else { return };
    let nodes = [Node::new(config(server.url())).await, Node::new(config(server.url())).await];
    for topic in ["", "*", ">", "a..b", ".", "ä ö/ü", "\u{0}\r\n", "$JS.API", &"é".repeat(128)]
    {
        let mut reader = nodes[0].listen(topic);
        follows(&nodes[0], "room").await;
        sleep(Duration::from_millis(20)).await;
        nodes[0].clients.publish(topic, "own");
        assert_eq!(texts(&mut reader, 1).await, ["own"], "{topic:?}");
        nodes[1].nats.publish_acked(topic, "other", None).await.unwrap();
        assert_eq!(texts(&mut reader, 1).await, ["other"], "{topic:?}");
    }
}

#[tokio::test]
async fn shutdown_waits_for_acknowledgements() {
    let Some(server) = NatsServer::start().await else { return };
    let node = Node::new(config(server.url())).await;
    for number in 0..1000 {
        assert_eq!(node.clients.publish("room", number.to_string()), Published::Handed);
    }
    let left = node.nats.shutdown(LONG).await;
    assert_eq!(left.unknown, 0);
    let stream = server.jetstream().await.get_stream("WS").await.unwrap();
    assert_eq!(stream.get_info().await.unwrap().state.messages, 1000);
    let mut messages = server.client().await.subscribe("ws.>").await.unwrap();
    assert!(timeout(Duration::from_millis(200), messages.next()).await.is_err());
}
