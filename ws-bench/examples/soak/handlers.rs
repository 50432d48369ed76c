//! What the server does with its clients.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::{interval, sleep};
use ws_bench::json::{Random, document};
use ws_server::{
    Admit, Clients, HandlerError, Opening, Publication, Rejection, SlowConsumer, WebSocket,
};

use crate::{content::Hash, leak::Leak};

pub(crate) async fn echo(mut ws: WebSocket, leak: Option<Leak>) -> Result<(), HandlerError> {
    if let Some(leak) = leak {
        leak.of(&ws);
    }
    while let Some(message) = ws.recv().await {
        ws.send(message).await?;
    }
    Ok(())
}

/// Everybody in a room gets what anybody there sends.
pub(crate) async fn chat(mut ws: WebSocket) -> Result<(), HandlerError> {
    let room = format!("chat/{}", ws.request().param("room").unwrap_or_default());
    let room = ws.subscribe(room)?;
    while let Some(message) = ws.recv().await {
        room.publish(message);
    }
    Ok(())
}

/// Tells the length and the hash of each message, which may be larger than memory.
pub(crate) async fn upload(mut ws: WebSocket) -> Result<(), HandlerError> {
    while let Some(mut message) = ws.recv_streaming().await {
        let (mut octets, mut hash) = (0, Hash::default());
        while let Some(chunk) = message.chunk().await? {
            octets += chunk.len();
            hash.add(&chunk);
        }
        ws.send(format!("{octets} {hash}")).await?;
    }
    Ok(())
}

/// An echo in pieces, as they come.
pub(crate) async fn mirror(mut ws: WebSocket) -> Result<(), HandlerError> {
    let sender = ws.sender();
    while let Some(mut message) = ws.recv_streaming().await {
        let mut back = sender.send_streaming(message.kind());
        while let Some(chunk) = message.chunk().await? {
            back.write(chunk).await?;
        }
        back.finish().await?;
    }
    Ok(())
}

/// An echo that takes its time, so that reading pauses.
pub(crate) async fn lazy(mut ws: WebSocket) -> Result<(), HandlerError> {
    while let Some(message) = ws.recv().await {
        sleep(Duration::from_millis(20)).await;
        ws.send(message).await?;
    }
    Ok(())
}

/// Whoever comes hears the news of a topic.
pub(crate) async fn news_gate(opening: Opening) -> Result<Admit, Rejection> {
    let policy = opening.param("policy").unwrap_or_default();
    Ok(Admit::new().subscribe(format!("news/{policy}")))
}

pub(crate) async fn news(mut ws: WebSocket) -> Result<(), HandlerError> {
    while ws.recv().await.is_some() {}
    Ok(())
}

/// It looks for a while, and lets nobody in.
pub(crate) async fn refuse(_: Opening) -> Result<Admit, Rejection> {
    sleep(Duration::from_millis(20)).await;
    Err(Rejection::new(StatusCode::FORBIDDEN))
}

/// What happens to news that a client does not take.
pub(crate) const POLICIES: [(&str, Option<SlowConsumer>); 4] = [
    ("close", Some(SlowConsumer::Close)),
    ("oldest", Some(SlowConsumer::DropOldest)),
    ("newest", Some(SlowConsumer::DropNewest)),
    ("keyed", None),
];

/// Of how many things the keyed news tell.
const KEYS: u64 = 4;

/// Publishes `NUMBER JSON` on each topic, ten times a second.
pub(crate) async fn publish_news(clients: Clients) {
    let mut random = Random::new(1);
    let documents: Vec<String> = (0..8).map(|_| document(&mut random, 2048)).collect();
    let mut ticks = interval(Duration::from_millis(100));
    for number in 0_u64.. {
        ticks.tick().await;
        let document = &documents[number as usize % documents.len()];
        for (name, policy) in POLICIES {
            let news = Publication::new(format!("{number} {document}"));
            let news = match policy {
                Some(policy) => news.slow_consumer(policy),
                None => news.key((number % KEYS).to_string()),
            };
            clients.publish(&format!("news/{name}"), news);
        }
    }
}
