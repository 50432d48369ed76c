//! The server's counters, sent to every page once a second.

use std::time::Duration;

use serde_json::{Value, json};
use ws_server::{Clients, Metrics, Publication, SlowConsumer, Traffic};

/// The topic to which pages subscribe.
pub(crate) const TOPIC: &str = "metrics";

/// Publishes the counters while it runs, if any page is open.
pub(crate) async fn tell(clients: Clients) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        if clients.subscribers(TOPIC) == 0 {
            continue;
        }
        let text = json!({ "metrics": describe(&clients.metrics()) }).to_string();
        // A page that is busy with its frames needs only the newest, and may miss some.
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
