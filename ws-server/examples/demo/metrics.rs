//! The server's counters: sent to every page once a second, and read by Prometheus at `/metrics`.

use std::{collections::BTreeMap, time::Duration};

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};
use ws_server::{Bytes, Clients, ClosedBy, Histogram, Metrics, Publication, SlowConsumer, Traffic};

/// The topic to which pages subscribe.
pub(crate) const TOPIC: &str = "metrics";

/// Publishes the counters while it runs, if any page is open.
pub(crate) async fn tell(clients: Clients) {
    let started = Instant::now();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        second.tick().await;
        if clients.subscribers(TOPIC) == 0 {
            continue;
        }
        let metrics = describe(&clients.metrics(), started.elapsed());
        let text = json!({ "metrics": metrics }).to_string();
        // A page that is busy with its frames needs only the newest, and may miss some.
        let newest = Publication::new(text).key("all").slow_consumer(SlowConsumer::DropNewest);
        clients.publish(TOPIC, newest);
    }
}

/// The answer at `/metrics`: its status, `Content-Type` and body.
#[cfg(feature = "prometheus")]
pub(crate) fn page(clients: &Clients) -> (StatusCode, &'static str, Bytes) {
    (StatusCode::OK, ws_server::PROMETHEUS_TEXT, clients.prometheus().into())
}

/// The answer at `/metrics`: how to get them there.
#[cfg(not(feature = "prometheus"))]
pub(crate) fn page(_: &Clients) -> (StatusCode, &'static str, Bytes) {
    let mend = "not in this build: cargo run --release --example demo --features prometheus\n";
    (StatusCode::NOT_IMPLEMENTED, "text/plain; charset=utf-8", mend.into())
}

/// The counters at a time on the server's clock: a page that is busy gets several at once, and
/// cannot tell their rates by its own.
fn describe(metrics: &Metrics, at: Duration) -> Value {
    json!({
        "at": at.as_secs_f64(),
        "connections": metrics.connections,
        "opened": metrics.opened,
        "received": traffic(&metrics.received),
        "sent": traffic(&metrics.sent),
        "broadcasts": metrics.broadcasts,
        "delivered": metrics.delivered,
        "dropped": metrics.dropped,
        "queue": metrics.queue_bytes,
        "memory": metrics.memory,
        "round_trips": histogram(&metrics.round_trips),
        "closed": closed(metrics),
        "rejected": rejected(metrics),
    })
}

fn traffic(traffic: &Traffic) -> Value {
    json!({
        "messages": traffic.messages,
        "texts": traffic.texts,
        "payload": traffic.payload,
        "wire": traffic.wire,
    })
}

/// The buckets with their bounds in milliseconds; the last has none.
fn histogram(times: &Histogram) -> Value {
    times
        .buckets()
        .map(|(bound, count)| match bound {
            Duration::MAX => json!({ "count": count }),
            bound => json!({ "ms": bound.as_millis() as u64, "count": count }),
        })
        .collect()
}

fn closed(metrics: &Metrics) -> Value {
    let by_clients =
        [("3xxx", metrics.closed_by_clients_3xxx), ("4xxx", metrics.closed_by_clients_4xxx)];
    let by_clients = by_clients.into_iter().filter(|(_, count)| *count > 0);
    let exact = metrics.closed.iter().map(|((code, by), count)| {
        json!({ "code": code.get().to_string(), "by_server": *by == ClosedBy::Local, "count": count })
    });
    exact
        .chain(
            by_clients
                .map(|(code, count)| json!({ "code": code, "by_server": false, "count": count })),
        )
        .collect()
}

fn rejected(metrics: &Metrics) -> Value {
    let mut causes = BTreeMap::<_, u64>::new();
    for rejected in &metrics.rejected {
        *causes.entry(rejected.label()).or_default() += rejected.count;
    }
    json!(causes)
}
