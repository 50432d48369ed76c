//! The servers and the proxy that the other tests use.

mod support;

use std::time::Duration;

use futures_util::StreamExt;
use support::{Cluster, Direction, LONG, Proxy, Server, Setup, round_trip};
use tokio::time::timeout;

async fn next(subscriber: &mut async_nats::Subscriber) -> async_nats::Message {
    timeout(LONG, subscriber.next()).await.unwrap().unwrap()
}

async fn is_quiet(subscriber: &mut async_nats::Subscriber) -> bool {
    timeout(Duration::from_millis(300), subscriber.next()).await.is_err()
}

#[tokio::test]
async fn server_keeps_files_over_a_kill() {
    let Some(mut server) = Server::start().await else { return };
    let context = server.jetstream().await;
    let config = async_nats::jetstream::stream::Config {
        name: "S".to_owned(),
        subjects: vec!["s".to_owned()],
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    context.publish("s", "x".into()).await.unwrap().await.unwrap();
    let port = server.port();
    server.restart().await;
    assert_eq!(server.port(), port);
    let stream = server.jetstream().await.get_stream("S").await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 1);
}

#[cfg(unix)]
#[tokio::test]
async fn server_that_is_paused_answers_nothing() {
    let Some(server) = Server::start().await else { return };
    let client = server.client().await;
    let mut inbox = client.subscribe("a").await.unwrap();
    client.publish("a", "1".into()).await.unwrap();
    next(&mut inbox).await;
    server.pause();
    client.publish("a", "2".into()).await.unwrap();
    assert!(is_quiet(&mut inbox).await);
    server.resume();
    assert_eq!(next(&mut inbox).await.payload, "2");
}

#[tokio::test]
async fn cluster_replicates() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let context = cluster.servers[0].jetstream().await;
    let config = async_nats::jetstream::stream::Config {
        name: "S".to_owned(),
        subjects: vec!["s".to_owned()],
        num_replicas: 3,
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    context.publish("s", "x".into()).await.unwrap().await.unwrap();
    let leader = cluster.leader("S").await;
    cluster.servers[leader].kill();
    let next = cluster.leader("S").await;
    assert_ne!(next, leader);
    let context = cluster.servers[next].jetstream().await;
    assert_eq!(context.get_stream("S").await.unwrap().cached_info().state.messages, 1);
}

#[tokio::test]
async fn proxy_drops_single_messages() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::to(server.address()).await;
    let (far, near) = (async_nats::connect(proxy.url()).await.unwrap(), server.client().await);
    let mut inbox = far.subscribe("t.*").await.unwrap();
    round_trip(&far).await;
    proxy.drop_next(Direction::ToClient, "t.b", 1);
    for (subject, payload) in [("t.a", "1"), ("t.b", "2"), ("t.b", "3")] {
        near.publish(subject, payload.into()).await.unwrap();
    }
    assert_eq!(next(&mut inbox).await.payload, "1");
    assert_eq!(next(&mut inbox).await.payload, "3");
    assert_eq!(proxy.dropped(), ["t.b"]);

    let mut inbox = near.subscribe("t.*").await.unwrap();
    round_trip(&near).await;
    proxy.drop_next(Direction::ToServer, "t.c", 1);
    for (subject, payload) in [("t.c", "\r\nPUB t.d 1\r\n"), ("t.c", "5")] {
        far.publish(subject, payload.into()).await.unwrap();
    }
    assert_eq!(next(&mut inbox).await.payload, "5");
}

#[tokio::test]
async fn proxy_hangs_slows_and_cuts() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::to(server.address()).await;
    let (far, near) = (async_nats::connect(proxy.url()).await.unwrap(), server.client().await);
    let mut inbox = far.subscribe("a").await.unwrap();
    round_trip(&far).await;
    near.publish("a", "0".into()).await.unwrap();
    next(&mut inbox).await;

    proxy.hang_one(Direction::ToClient);
    near.publish("a", "1".into()).await.unwrap();
    assert!(is_quiet(&mut inbox).await);
    let mut other = near.subscribe("b").await.unwrap();
    round_trip(&near).await;
    far.publish("b", "2".into()).await.unwrap();
    next(&mut other).await;
    proxy.heal();
    assert_eq!(next(&mut inbox).await.payload, "1");

    proxy.slow(100_000);
    let started = std::time::Instant::now();
    near.publish("a", vec![b'x'; 50_000].into()).await.unwrap();
    next(&mut inbox).await;
    assert!(started.elapsed() > Duration::from_millis(300), "{:?}", started.elapsed());
    proxy.heal();

    proxy.cut();
    support::until("the client notices", async || {
        far.connection_state() != async_nats::connection::State::Connected
    })
    .await;
    proxy.heal();
    support::until("the client is back", async || {
        near.publish("a", "3".into()).await.unwrap();
        !is_quiet(&mut inbox).await
    })
    .await;
}

#[tokio::test]
async fn setup_is_what_the_server_reads() {
    let setup = Setup::default().without_jetstream().text("max_payload: 2KB");
    let Some(server) = Server::with(setup).await else { return };
    let client = server.client().await;
    assert_eq!(client.server_info().max_payload, 2048);
    assert!(!client.server_info().jetstream);
}
