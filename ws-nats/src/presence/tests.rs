//! Presence over real NATS servers.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use ws_server::{Client, Clients, CloseCode, Server, Service, WebSocket};

use super::{AppearError, Identity, Presence, Roster};
use crate::{
    Config, PresenceEvent,
    metrics::Counters,
    orders::{Order, Orders},
    subject::Subjects,
    support::{LONG, Proxy, Server as NatsServer, until},
};

const HEARTBEAT: Duration = Duration::from_millis(500);

/// One node, and connections to it.
struct Node {
    service: Service,
    clients: Clients,
    roster: Arc<Roster>,
    orders: Orders,
    counters: Arc<Counters>,
    incarnation: u64,
    /// The clients' ends.
    ends: Vec<WebSocket>,
}

fn config() -> Config {
    Config::default().heartbeat(HEARTBEAT).audit(Duration::from_secs(2)).presence_event(
        |_, event| {
            let (sign, member) = match event {
                PresenceEvent::Joined(member) => ('+', member),
                PresenceEvent::Updated(member) => ('=', member),
                PresenceEvent::Left(member) => ('-', member),
            };
            Some(format!("{sign}{}", member.info).into())
        },
    )
}

impl Node {
    async fn start(url: &str, incarnation: u64) -> Self {
        Self::with(url, incarnation, config()).await
    }

    async fn with(url: &str, incarnation: u64, config: Config) -> Self {
        let handler = |mut ws: WebSocket| async move {
            while ws.recv().await.is_some() {}
            Ok(())
        };
        let service = Server::new().any(handler).service().unwrap();
        let (clients, counters) = (service.clients(), Arc::new(Counters::default()));
        let nats = async_nats::ConnectOptions::new()
            .retry_on_initial_connect()
            .connect(url)
            .await
            .unwrap();
        let identity = Identity { incarnation, label: format!("node-{incarnation}").into() };
        let roster =
            Roster::start(&config, identity, nats.clone(), clients.clone(), Arc::clone(&counters));
        let orders = Orders::start(
            nats,
            &Subjects::new(&config.prefix),
            Arc::clone(&roster),
            clients.clone(),
            Arc::clone(&counters),
        );
        Self { service, clients, roster, orders, counters, incarnation, ends: Vec::new() }
    }

    /// Somebody connects.
    async fn connect(&mut self) -> Client {
        let end = self.service.test_client("/").await.unwrap();
        self.ends.push(end);
        self.clients.list().pop().unwrap()
    }

    /// Somebody connects and subscribes.
    async fn watch(&mut self, topic: &str) -> Client {
        let client = self.connect().await;
        client.subscribe(topic).unwrap();
        self.roster.interest(topic);
        client
    }

    async fn who(&self, topic: &str) -> BTreeSet<String> {
        infos(&self.roster.presence(topic).await)
    }

    async fn until(&self, topic: &str, expected: &[&str]) {
        let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
        let what = format!("node {} sees {expected:?}", self.incarnation);
        until(&what, async || self.who(topic).await == expected).await;
    }

    /// It ends without a word.
    fn die(self) {
        self.roster.abort();
    }
}

fn infos(presence: &Presence) -> BTreeSet<String> {
    presence.members.iter().map(|member| member.info.to_string()).collect()
}

async fn told(end: &mut WebSocket) -> String {
    let message = tokio::time::timeout(LONG, end.recv()).await.unwrap().unwrap();
    message.as_text().unwrap().to_owned()
}

#[tokio::test]
async fn three_nodes_know_who_is_here() {
    let Some(server) = NatsServer::start().await else { return };
    let mut a = Node::start(&server.url(), 1).await;
    let mut b = Node::start(&server.url(), 2).await;
    let mut watcher = Node::start(&server.url(), 3).await;
    watcher.watch("room").await;
    assert_eq!(watcher.who("room").await, BTreeSet::new());
    let (ann, bob) = (a.connect().await, b.connect().await);
    a.roster.appear(&ann, "room", "ann".into()).unwrap();
    assert_eq!(told(&mut watcher.ends[0]).await, "+ann");
    b.roster.appear(&bob, "room", "bob".into()).unwrap();
    assert_eq!(told(&mut watcher.ends[0]).await, "+bob");
    for node in [&a, &b, &watcher] {
        node.until("room", &["ann", "bob"]).await;
        assert_eq!(node.roster.count("room").await, 2);
    }
    let presence = watcher.roster.presence("room").await;
    assert!(presence.silent_nodes.is_empty() && !presence.is_cut_off && presence.left_out == 0);
    a.roster.appear(&ann, "room", "Ann".into()).unwrap();
    assert_eq!(told(&mut watcher.ends[0]).await, "=Ann");
    assert!(a.roster.disappear(ann.id(), "room"));
    assert!(!a.roster.disappear(ann.id(), "room"));
    assert_eq!(told(&mut watcher.ends[0]).await, "-Ann");
    // Who closes is gone, and so is who is cut off without a Close.
    b.ends[0].close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(told(&mut watcher.ends[0]).await, "-bob");
    a.roster.appear(&ann, "room", "ann".into()).unwrap();
    assert_eq!(told(&mut watcher.ends[0]).await, "+ann");
    a.ends.clear();
    assert_eq!(told(&mut watcher.ends[0]).await, "-ann");
    assert_eq!(a.roster.sizes(), (2, 0, 0, 1));
}

#[tokio::test]
async fn node_that_shuts_down_says_goodbye() {
    let Some(server) = NatsServer::start().await else { return };
    let slow = config().heartbeat(Duration::from_secs(20));
    let mut a = Node::with(&server.url(), 1, slow.clone()).await;
    let b = Node::with(&server.url(), 2, slow).await;
    let ann = a.connect().await;
    a.roster.appear(&ann, "room", "ann".into()).unwrap();
    b.until("room", &["ann"]).await;
    a.roster.stop(LONG).await;
    let begun = Instant::now();
    b.until("room", &[]).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "that was no goodbye");
    assert_eq!(a.roster.appear(&ann, "room", "ann".into()), Err(AppearError::Closed));
    // It does not wait for what will not come.
    assert_eq!(a.roster.count("elsewhere").await, 0);
}

#[tokio::test]
async fn dead_node_is_gone_and_its_members_with_it() {
    let Some(server) = NatsServer::start().await else { return };
    let mut a = Node::start(&server.url(), 1).await;
    let mut b = Node::start(&server.url(), 2).await;
    b.watch("room").await;
    b.who("room").await;
    let ann = a.connect().await;
    a.roster.appear(&ann, "room", "ann".into()).unwrap();
    assert_eq!(told(&mut b.ends[0]).await, "+ann");
    let begun = Instant::now();
    a.die();
    assert_eq!(told(&mut b.ends[0]).await, "-ann");
    let took = begun.elapsed();
    println!("gone after {took:?}, with a heartbeat of {HEARTBEAT:?}");
    assert!(took > HEARTBEAT && took < HEARTBEAT * 3 + LONG / 4, "{took:?}");
}

#[tokio::test]
async fn node_that_is_cut_off_knows_it_and_comes_back() {
    let Some(server) = NatsServer::start().await else { return };
    let proxy = Proxy::to(server.address()).await;
    let mut a = Node::start(&server.url(), 1).await;
    let mut b = Node::start(&proxy.url(), 2).await;
    a.watch("room").await;
    let (ann, bob) = (a.connect().await, b.connect().await);
    a.roster.appear(&ann, "room", "ann".into()).unwrap();
    b.roster.appear(&bob, "room", "bob".into()).unwrap();
    for node in [&a, &b] {
        node.until("room", &["ann", "bob"]).await;
    }
    // A line that hangs shows nothing but that nothing comes.
    proxy.hang();
    a.until("room", &["ann"]).await;
    until("it knows", async || b.roster.is_cut_off()).await;
    let presence = b.roster.presence("room").await;
    assert!(presence.is_cut_off);
    assert_eq!(infos(&presence).len(), 2, "it keeps what it knew");
    until("it says so", async || {
        b.roster.presence("room").await.silent_nodes == [Arc::from("node-1")]
    })
    .await;
    b.roster.appear(&bob, "room", "Bob".into()).unwrap();
    let obeyed = b.orders.give(Order::unsubscribe("other")).await;
    assert!(obeyed.is_cut_off && obeyed.nodes == 1 && obeyed.silent_nodes.len() == 1);
    proxy.heal();
    proxy.reset();
    for node in [&a, &b] {
        node.until("room", &["ann", "Bob"]).await;
        until("all is well", async || {
            let presence = node.roster.presence("room").await;
            !presence.is_cut_off && presence.silent_nodes.is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn nats_that_ends_and_comes_back_makes_nobody_leave() {
    let Some(mut server) = NatsServer::start().await else { return };
    let mut a = Node::start(&server.url(), 1).await;
    let mut b = Node::start(&server.url(), 2).await;
    b.watch("room").await;
    b.who("room").await;
    let (ann, cid) = (a.connect().await, a.connect().await);
    a.roster.appear(&ann, "room", "ann".into()).unwrap();
    assert_eq!(told(&mut b.ends[0]).await, "+ann");
    server.kill();
    tokio::time::sleep(HEARTBEAT * 4).await;
    assert!(b.roster.is_cut_off());
    a.roster.appear(&cid, "room", "cid".into()).unwrap();
    server.restart().await;
    assert_eq!(told(&mut b.ends[0]).await, "+cid");
    b.until("room", &["ann", "cid"]).await;
}

#[tokio::test]
async fn ten_thousand_members_are_listed_in_pieces() {
    let Some(server) = NatsServer::start().await else { return };
    let config = config().heartbeat(Duration::from_secs(2));
    let mut nodes = Vec::new();
    for incarnation in 1..=3 {
        nodes.push(Node::with(&server.url(), incarnation, config.clone()).await);
    }
    nodes[0].watch("room").await;
    nodes[0].who("room").await;
    let info: Arc<str> = r#"{"user":"somebody"}"#.into();
    for client in 0..10_000 {
        let roster = &nodes[client as usize % 3].roster;
        roster
            .state()
            .appear("room", client, Arc::clone(&info), tokio::time::Instant::now())
            .unwrap();
        roster.wake.notify_one();
    }
    let begun = Instant::now();
    until("the first node knows all", async || nodes[0].roster.count("room").await == 10_000).await;
    println!("deltas: {:?}", begun.elapsed());
    for node in &nodes[1..] {
        let begun = Instant::now();
        assert_eq!(node.roster.count("room").await, 10_000);
        println!("lists: {:?}", begun.elapsed());
    }
    let received: u64 = nodes.iter().map(|node| node.counters.presence_bytes_received.get()).sum();
    let entry = super::protocol::entry_len(&info) - 16;
    let bound = 3 * 10_000 * entry * 3;
    println!("{received} octets came, {:.2} of the bound", received as f64 / bound as f64);
    assert!(received as usize <= bound);
}

#[tokio::test]
async fn orders_are_obeyed_on_all_nodes() {
    let Some(server) = NatsServer::start().await else { return };
    let mut nodes = Vec::new();
    for incarnation in 1..=3 {
        nodes.push(Node::start(&server.url(), incarnation).await);
    }
    for node in &mut nodes {
        node.watch("user/ann").await;
        node.watch("room").await;
        node.roster.presence("room").await;
    }
    until("all know each other", async || nodes.iter().all(|node| node.roster.others().len() == 2))
        .await;
    let order = Order::close("user/ann", CloseCode::new(4001), "signed out").unwrap();
    let obeyed = nodes[1].orders.give(order).await;
    assert_eq!((obeyed.connections, obeyed.nodes), (3, 3));
    assert!(obeyed.silent_nodes.is_empty() && !obeyed.is_cut_off);
    for node in &mut nodes {
        assert!(tokio::time::timeout(LONG, node.ends[0].recv()).await.unwrap().is_none());
        let closed = node.ends[0].closed().await;
        assert_eq!((closed.code.get(), closed.reason.as_str()), (4001, "signed out"));
        assert!(!node.ends[1].sender().is_closed());
    }
    let obeyed = nodes[0].orders.give(Order::unsubscribe("room")).await;
    assert_eq!((obeyed.connections, obeyed.nodes), (3, 3));
    assert!(nodes.iter().all(|node| node.clients.subscribers("room") == 0));
    // A node that is gone without a word is waited for, and named.
    let dead = nodes.pop().unwrap();
    dead.orders.stop();
    let obeyed = nodes[0].orders.give(Order::unsubscribe("room")).await;
    assert_eq!((obeyed.connections, obeyed.nodes), (0, 2));
    assert_eq!(obeyed.silent_nodes, [Arc::from("node-3")]);
}

#[tokio::test]
async fn bad_input_is_left_out_and_counted() {
    let Some(server) = NatsServer::start().await else { return };
    let mut a = Node::start(&server.url(), 1).await;
    a.watch("room").await;
    a.who("room").await;
    let nats = server.client().await;
    for (subject, payload) in [
        ("ws.n", "{"),
        ("ws.n", "heartbeat"),
        ("ws.p.room", r#"{"from":"2","body":{"delta":{"after":-1,"version":1,"changes":[]}}}"#),
        ("ws.pq.0000000000000001", r#"{"from":"2","body":{"lists":[{"topic":"room"}]}}"#),
        ("ws.c", "{}"),
        ("ws.c", r#"{"from":"2","order":{"close":{"topic":"room","code":1005,"reason":""}}}"#),
    ] {
        nats.publish(subject, payload.into()).await.unwrap();
    }
    until("all are counted", async || a.counters.damaged.get() == 6).await;
    assert_eq!(a.clients.subscribers("room"), 1);
    let ann = a.connect().await;
    let appear = |topic: &str, info: String| a.roster.appear(&ann, topic, info.into());
    assert_eq!(appear("room", "x".repeat(4097)), Err(AppearError::InfoTooLong { limit: 4096 }));
    assert_eq!(
        appear(&"x".repeat(1025), String::new()),
        Err(AppearError::TopicTooLong { limit: 1024 })
    );
    assert_eq!(a.roster.count(&"x".repeat(1025)).await, 0);
    assert!(Order::close("room", CloseCode::new(1005), "").is_err());
    assert!(Order::close("room", CloseCode::NORMAL, &"x".repeat(124)).is_err());
}
