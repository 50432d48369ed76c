//! Many connections, topics and publishers at a time.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{Raw, TEXT, echo, limits, open_with};
use tokio::{
    io::DuplexStream,
    task::JoinHandle,
    time::{interval, sleep},
};
use ws_server::{Server, SlowConsumer, WebSocket};

const TOPICS: usize = 10;
/// Of each topic; one of them reads nothing.
const SUBSCRIBERS: usize = 100;
/// For each topic.
const MESSAGES: usize = 50;
const LEN: usize = 4000;

async fn subscriber(ws: WebSocket) -> support::Handled {
    let topic = ws.request().query().unwrap_or_default().to_owned();
    ws.subscribe(&topic)?;
    echo(ws).await
}

/// What is published to a topic, in its turn.
fn message(topic: usize, i: usize) -> String {
    format!("{topic} {i} {}", "x".repeat(LEN))
}

async fn reads_all(mut raw: Raw<DuplexStream>, topic: usize) -> Raw<DuplexStream> {
    for i in 0..MESSAGES {
        let (first, payload) = raw.frame().await.unwrap();
        assert!(first == TEXT && payload == message(topic, i).into_bytes());
    }
    raw
}

/// Publishes to every topic, a hundred messages a second.
async fn publish(clients: ws_server::Clients) {
    let mut pace = interval(Duration::from_millis(10));
    for i in 0..MESSAGES {
        for topic in 0..TOPICS {
            pace.tick().await;
            assert!(
                clients.publish(&topic.to_string(), message(topic, i)).here() >= SUBSCRIBERS - 1
            );
        }
    }
}

// T-B17, RT-32, RT-52
#[tokio::test(start_paused = true)]
async fn one_that_stalls_in_each_of_many_topics_harms_nobody() {
    // Less than is published, so that it does stall.
    let limits = limits(|limits| limits.send_buffer = 32 * 1024);
    let server = Server::new().limits(limits).slow_consumer(SlowConsumer::DropOldest);
    let service = server.any(subscriber).service().unwrap();
    let clients = service.clients();
    let (mut readers, mut stalled) = (Vec::<JoinHandle<Raw>>::new(), Vec::new());
    for topic in 0..TOPICS {
        for subscriber in 0..SUBSCRIBERS {
            let (raw, _) = open_with(&service, &format!("/?{topic}"), "", 1024).await;
            match subscriber {
                0 => stalled.push(raw),
                _ => readers.push(tokio::spawn(reads_all(raw, topic))),
            }
        }
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!((clients.count(), clients.topic_count()), (TOPICS * SUBSCRIBERS, TOPICS));
    publish(clients.clone()).await;
    for reader in &mut readers {
        drop(reader.await.unwrap());
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(clients.count(), TOPICS, "those who stall are still there");
    let list = clients.list();
    assert!(list.iter().all(|client| client.dropped() > 10));
    assert_eq!(clients.dropped(), list.iter().map(ws_server::Client::dropped).sum::<u64>());
    let metrics = clients.metrics();
    let published = (TOPICS * MESSAGES) as u64;
    assert_eq!((metrics.broadcasts, metrics.delivered), (published, published * 100));
    // They have the newest, when they read again.
    for (topic, mut raw) in stalled.into_iter().enumerate() {
        let newest = message(topic, MESSAGES - 1).into_bytes();
        while raw.frame().await.unwrap().1 != newest {}
    }
}
