//! A node needs the permissions that the README lists, and no others.

mod support;

use std::{sync::Arc, time::Duration};

use support::{Direction, LONG, Proxy, Server as NatsServer, Setup, until};
use tokio::time::timeout;
use ws_nats::{Config, Credentials, Nats, Since};
use ws_server::{Clients, Published, Server, Subscription};

/// The block of the README, with a password that is known.
fn of_the_readme() -> String {
    let readme = include_str!("../README.md");
    let from = readme.find("authorization {").expect("the README has permissions");
    let block = &readme[from..];
    block[..block.find("```").expect("an end")].replace("$PASSWORD", "secret")
}

async fn node(config: &Config) -> (Clients, Arc<Nats>) {
    let server = Server::new();
    let clients = server.clients();
    let nats = Nats::connect(config.clone(), clients.clone()).await.unwrap();
    drop(server.backplane(Arc::clone(&nats) as _));
    (clients, nats)
}

async fn next(subscription: &mut Subscription) -> String {
    let message = timeout(LONG, subscription.recv()).await.unwrap().unwrap();
    message.as_text().unwrap().to_owned()
}

#[tokio::test]
async fn permissions_of_the_readme_are_enough_for_all_that_nodes_do() {
    let Some(server) = NatsServer::with(Setup::default().text(of_the_readme())).await else {
        return;
    };
    let proxy = Proxy::to(server.address()).await;
    let config = Config::default()
        .credentials(Credentials::user("node", "secret"))
        .ephemeral("cursor")
        .audit(Duration::from_millis(300))
        .heartbeat(Duration::from_millis(200));
    let (here, here_nats) = node(&config.clone().servers([server.url()])).await;
    let (there, there_nats) = node(&config.servers([proxy.url()])).await;

    // Stored, and refilled: the last message of three is dropped on its way, and the one in the middle.
    let mut room = there.listen("room").unwrap();
    here_nats.publish_acked("room", "with an id", Some("id")).await.unwrap();
    until("the topic is followed", async || {
        here_nats.publish_acked("room", "0", None).await.unwrap();
        timeout(Duration::from_millis(100), room.recv()).await.is_ok()
    })
    .await;
    // Some more of these may have been on their way.
    while timeout(Duration::from_secs(1), room.recv()).await.is_ok() {}
    for (first, second) in [("1", "2"), ("3", "4")] {
        proxy.drop_next(Direction::ToClient, "ws.live.room", 1);
        here_nats.publish_acked("room", first, None).await.unwrap();
        here_nats.publish_acked("room", second, None).await.unwrap();
        assert_eq!(next(&mut room).await, first);
        assert_eq!(next(&mut room).await, second);
    }
    proxy.drop_next(Direction::ToClient, "ws.live.room", 1);
    assert_eq!(here.publish("room", "5"), Published::Handed);
    assert_eq!(next(&mut room).await, "5");

    // Ephemeral.
    let mut cursor = there.listen("cursor").unwrap();
    until("the cursor comes", async || {
        here.publish("cursor", "1,1");
        timeout(Duration::from_millis(100), cursor.recv()).await.is_ok()
    })
    .await;

    // A client that joins, is there, and is kicked.
    let service = Server::new();
    let clients = service.clients();
    let config = Config::default().credentials(Credentials::user("node", "secret"));
    let nats = Nats::connect(config.servers([server.url()]), clients.clone()).await.unwrap();
    let service = service
        .backplane(Arc::clone(&nats) as _)
        .any(|mut ws: ws_server::WebSocket| async move {
            while ws.recv().await.is_some() {}
            Ok(())
        })
        .service()
        .unwrap();
    let mut guest = service.test_client("/").await.unwrap();
    let client = clients.list().remove(0);
    let joined = nats.join(&client, "room", Some(Since::Latest)).await.unwrap();
    assert_eq!(timeout(LONG, guest.recv()).await.unwrap().unwrap(), "5".into());
    client.unsubscribe("room");
    nats.join(&client, "room", Some(Since::Position(joined.position.unwrap()))).await.unwrap();
    nats.appear(&client, "room", "ann").unwrap();
    for other in [&here_nats, &there_nats] {
        until("everybody sees who is there", async || {
            let members = other.presence("room").await.members;
            members.len() == 1 && &*members[0].info == "ann"
        })
        .await;
    }
    here_nats.unsubscribe_all("room").await;

    // Heartbeats, audits, goodbyes.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for nats in [nats, here_nats, there_nats] {
        nats.shutdown(Duration::from_secs(5)).await;
    }
    let log = server.log();
    assert!(!log.to_lowercase().contains("violation"), "{log}");
}
