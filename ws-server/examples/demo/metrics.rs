//! What the server counts, shown to every page once a second.

use std::time::Duration;

use serde_json::{Value, json};
use ws_server::{Clients, Metrics, Publication, SlowConsumer, Traffic};

/// What pages subscribe to.
pub(crate) const TOPIC: &str = "metrics";

/// Publishes them for as long as it runs, if anybody looks.
pub(crate) async fn tell(clients: Clients) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        if clients.subscribers(TOPIC) == 0 {
            continue;
        }
        let text = json!({ "metrics": describe(&clients.metrics()) }).to_string();
        // A page that is busy with its frames needs the newest alone, and may do without.
        let newest = Publication::new(text).key("all").slow_consumer(SlowConsumer::DropNewest);
        clients.publish(TOPIC, newest);
    }
}

fn describe(metrics: &Metrics) -> Value {
    let traffic = |traffic: &Traffic| json!({ "messages": traffic.messages, "payload": traffic.payload, "wire": traffic.wire });
    json!({
        "connections": metrics.connections,
        "opened": metrics.opened,
        "received": traffic(&metrics.received),
        "sent": traffic(&metrics.sent),
        "broadcasts": metrics.broadcasts,
        "delivered": metrics.delivered,
        "dropped": metrics.dropped,
        "memory": metrics.memory,
    })
}
