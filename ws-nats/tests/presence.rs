//! Members, orders and metrics, as an application sees them.

mod support;

use std::{sync::Arc, time::Duration};

use support::{Cluster, LONG, Server as NatsServer, until};
use tokio::time::timeout;
use ws_nats::{Config, Nats, PresenceEvent};
use ws_server::{Client, Clients, CloseCode, Server, Service, WebSocket};

/// A server without a socket, joined with others.
struct Node {
    service: Service,
    clients: Clients,
    nats: Arc<Nats>,
}

fn config(url: &str, name: &str) -> Config {
    let config = Config::default().servers([url]).node(name).heartbeat(Duration::from_millis(500));
    config.presence_event(|topic, event| match event {
        PresenceEvent::Joined(member) => Some(format!("{topic}: +{}", member.info).into()),
        PresenceEvent::Left(member) => Some(format!("{topic}: -{}", member.info).into()),
        _ => None,
    })
}

async fn node(config: Config) -> Node {
    let handler = |mut ws: WebSocket| async move {
        ws.subscribe("room")?;
        while ws.recv().await.is_some() {}
        Ok(())
    };
    let server = Server::new().any(handler);
    let clients = server.clients();
    let nats = Nats::connect(config, clients.clone()).await.unwrap();
    let service = server.backplane(Arc::clone(&nats) as _).service().unwrap();
    Node { service, clients, nats }
}

impl Node {
    /// The client's end and the server's.
    async fn connect(&self) -> (WebSocket, Client) {
        let end = self.service.test_client("/").await.unwrap();
        let client = self.clients.list().pop().unwrap();
        until("it subscribes", async || !client.topics().is_empty()).await;
        (end, client)
    }
}

async fn told(end: &mut WebSocket) -> String {
    let message = timeout(LONG, end.recv()).await.unwrap().unwrap();
    message.as_text().unwrap().to_owned()
}

#[tokio::test]
async fn members_of_a_cluster_are_seen_counted_and_kicked() {
    let Some(servers) = Cluster::start().await else { return };
    let mut nodes = Vec::new();
    for (name, url) in ["a", "b", "c"].into_iter().zip(servers.urls()) {
        nodes.push(node(config(&url, name).replicas(3)).await);
    }
    until("they know each other", async || nodes.iter().all(|node| node.nats.metrics().nodes == 2))
        .await;
    let (mut watcher, _) = nodes[0].connect().await;
    assert_eq!(nodes[0].nats.count("room").await, 0);
    let mut ends = Vec::new();
    for (node, name) in nodes[1..].iter().zip(["bob", "cid"]) {
        let (end, client) = node.connect().await;
        client.subscribe("user").unwrap();
        node.nats.appear(&client, "room", name).unwrap();
        assert_eq!(told(&mut watcher).await, format!("room: +{name}"));
        ends.push(end);
    }
    let presence = nodes[0].nats.presence("room").await;
    assert_eq!((presence.members.len(), presence.silent_nodes.len()), (2, 0));
    assert_eq!(nodes[0].nats.count("room").await, 2);
    assert_ne!(presence.members[0].incarnation, presence.members[1].incarnation);

    let obeyed = nodes[0].nats.kick("user", CloseCode::new(4000), "out").await.unwrap();
    assert_eq!((obeyed.connections, obeyed.nodes), (2, 3));
    let mut left = [told(&mut watcher).await, told(&mut watcher).await];
    left.sort();
    assert_eq!(left, ["room: -bob", "room: -cid"]);
    let obeyed = nodes[2].nats.unsubscribe_all("room").await;
    assert_eq!(obeyed.nodes, 3);
    assert_eq!(nodes[0].clients.subscribers("room"), 0);

    let metrics = nodes[0].nats.metrics();
    assert!(metrics.is_up && !metrics.is_cut_off);
    assert_eq!((metrics.nodes, metrics.members_here, metrics.members_elsewhere), (2, 0, 0));
    assert_eq!((metrics.counted.orders_sent, metrics.counted.orders_obeyed), (1, 1));
    #[cfg(feature = "prometheus")]
    assert!(nodes[0].nats.prometheus().contains("\nws_nats_orders_total{given=\"here\"} 1\n"));
}

#[tokio::test]
async fn node_that_shuts_down_leaves_at_once() {
    let Some(server) = NatsServer::start().await else { return };
    let slow = |name| config(&server.url(), name).heartbeat(Duration::from_secs(60));
    let (stays, leaves) = (node(slow("a")).await, node(slow("b")).await);
    let (mut watcher, _) = stays.connect().await;
    stays.nats.count("room").await;
    let (_end, client) = leaves.connect().await;
    leaves.nats.appear(&client, "room", "bob").unwrap();
    assert_eq!(told(&mut watcher).await, "room: +bob");
    leaves.nats.shutdown(LONG).await;
    assert_eq!(told(&mut watcher).await, "room: -bob");
    until("it is forgotten", async || stays.nats.metrics().nodes == 0).await;
}

/// Whoever is in more topics than one leaves all of them.
#[tokio::test]
async fn connection_that_ends_leaves_all_its_topics() {
    let Some(server) = NatsServer::start().await else { return };
    let (a, b) = (node(config(&server.url(), "a")).await, node(config(&server.url(), "b")).await);
    let (end, client) = a.connect().await;
    let topics = ["", "*", "a..b", ">", "Zürich"];
    for topic in topics {
        a.nats.appear(&client, topic, "ann").unwrap();
    }
    for topic in topics {
        until("it is seen", async || b.nats.count(topic).await == 1).await;
    }
    drop(end);
    for topic in topics {
        until("it is gone", async || b.nats.count(topic).await == 0).await;
    }
    assert_eq!(a.nats.metrics().members_here, 0);
}
