//! A message is encoded once for all clients of a node, also for those who come back to it.

mod support;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use support::{LONG, Server as NatsServer};
use tokio::time::timeout;
use ws_nats::{Config, Nats, Since};
use ws_server::{Connect, HandlerError, Peer, Server, Service, WebSocket};
use ws_tests_support::extension::Counting;

struct Node {
    counting: Counting,
    service: Service,
    nats: Arc<Nats>,
}

impl Node {
    async fn start(url: &str) -> Self {
        let counting = Counting::default();
        let shared = Arc::new(OnceLock::<Arc<Nats>>::new());
        let nats = Arc::clone(&shared);
        let handler = move |ws: WebSocket| join(ws, Arc::clone(&nats));
        let server = Server::new().extension(counting.factory("x-counts")).any(handler);
        let config = Config::default().servers([url]).stamp(|_, position, message| {
            format!("{position} {}", message.as_text().unwrap()).into()
        });
        let nats = Nats::connect(config, server.clients()).await.unwrap();
        shared.set(Arc::clone(&nats)).ok();
        let service = server.backplane(Arc::clone(&nats) as _).service().unwrap();
        Self { counting, service, nats }
    }

    async fn client(&self, since: &str) -> WebSocket {
        let connect = Connect::new("ws://test/").extension(Counting::default().factory("x-counts"));
        let mut client = self.service.test_client_with(connect, Peer::Other).await.unwrap();
        client.send(since).await.unwrap();
        client
    }
}

/// Joins where the first message says, and tells when it has.
async fn join(mut ws: WebSocket, nats: Arc<OnceLock<Arc<Nats>>>) -> Result<(), HandlerError> {
    let Some(since) = ws.recv().await else { return Ok(()) };
    let since = since.as_text().unwrap().parse().ok().map(Since::Position);
    nats.get().unwrap().join(&ws.client().unwrap(), "room", since).await?;
    ws.send("joined").await?;
    while ws.recv().await.is_some() {}
    Ok(())
}

async fn next(client: &mut WebSocket) -> String {
    let message = timeout(LONG, client.recv()).await.unwrap().unwrap();
    message.as_text().unwrap().to_owned()
}

#[tokio::test]
async fn message_is_encoded_once_on_each_node() {
    let Some(server) = NatsServer::start().await else { return };
    let nodes = [Node::start(&server.url()).await, Node::start(&server.url()).await];
    let mut clients = Vec::new();
    for node in nodes.iter().cycle().take(40) {
        let mut client = node.client("").await;
        assert_eq!(next(&mut client).await, "joined");
        clients.push(client);
    }
    for number in 0..10 {
        nodes[0].nats.publish_acked("room", number.to_string(), None).await.unwrap();
    }
    let mut first = String::new();
    for client in &mut clients {
        for number in 0..10 {
            let text = next(client).await;
            let (position, rest) = text.split_once(' ').unwrap();
            assert_eq!(rest, number.to_string());
            if number == 0 {
                position.clone_into(&mut first);
            }
        }
    }
    assert_eq!(
        nodes.each_ref().map(|node| node.counting.encoded()),
        [10, 10],
        "for 20 clients each"
    );
    // Whoever comes back gets what the others got.
    for node in nodes.iter().cycle().take(10) {
        let mut client = node.client(&first).await;
        for number in 1..10 {
            assert!(next(&mut client).await.ends_with(&format!(" {number}")));
        }
    }
    assert_eq!(nodes.each_ref().map(|node| node.counting.encoded()), [10, 10], "from the ring");
    for node in nodes {
        node.nats.shutdown(Duration::from_secs(5)).await;
    }
}
