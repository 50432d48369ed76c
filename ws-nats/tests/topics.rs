//! Topics over several nodes.

mod support;

use std::{sync::Arc, time::Duration};

use support::{LONG, Server as NatsServer};
use tokio::time::timeout;
use ws_nats::{Config, Nats};
use ws_server::{Clients, Published, Server, Subscription};

/// One node: a server without a socket, and its backplane.
struct Node {
    clients: Clients,
    nats: Arc<Nats>,
}

async fn node(config: Config) -> Node {
    let server = Server::new();
    let clients = server.clients();
    let nats = Nats::connect(config, clients.clone()).await.unwrap();
    let server = server.backplane(Arc::clone(&nats) as _);
    drop(server);
    Node { clients, nats }
}

fn config(nats: &NatsServer) -> Config {
    Config::default().servers([nats.url()]).stamp(|_, position, message| {
        format!("{position} {}", message.as_text().unwrap_or("?")).into()
    })
}

async fn next(subscription: &mut Subscription) -> String {
    let message = timeout(LONG, subscription.recv()).await.unwrap().unwrap();
    message.as_text().unwrap().to_owned()
}

#[tokio::test]
async fn a_publication_reaches_all_nodes_in_one_order() {
    let Some(server) = NatsServer::start().await else { return };
    let nodes = [node(config(&server)).await, node(config(&server)).await];
    let mut readers = nodes.each_ref().map(|node| node.clients.listen("room").unwrap());
    for number in 0..200 {
        for node in &nodes {
            let published = node.clients.publish("room", format!("{number}"));
            assert_eq!(published, Published::Handed, "{number}");
        }
    }
    let mut seen = [Vec::new(), Vec::new()];
    for (reader, seen) in readers.iter_mut().zip(&mut seen) {
        for _ in 0..400 {
            seen.push(next(reader).await);
        }
    }
    assert_eq!(seen[0], seen[1]);
    for node in nodes {
        let left = node.nats.shutdown(Duration::from_secs(5)).await;
        assert_eq!(left.unknown, 0);
    }
}
