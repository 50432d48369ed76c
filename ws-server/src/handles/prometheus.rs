//! What a server counts, for Prometheus.

use std::{borrow::Cow, collections::BTreeMap, fmt, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, prometheus_text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use ws_core::{CloseCode, ClosedBy};

use crate::{Clients, Histogram, Metrics};

/// The `Content-Type` of [`Clients::prometheus`], and of what `prometheus_text::encode` makes of a
/// registry: Prometheus' text format, version 0.0.4. `text::encode` makes another, OpenMetrics.
pub const PROMETHEUS_TEXT: &str = prometheus_text::CONTENT_TYPE;

/// In the feature `prometheus`.
impl Clients {
    /// The [`Metrics`] in Prometheus' text format: the answer of a page `/metrics`, whose
    /// `Content-Type` is [`PROMETHEUS_TEXT`].
    ///
    /// | metric | is |
    /// |---|---|
    /// | `websocket_connections` | [`Metrics::connections`] |
    /// | `websocket_connections_opened_total` | [`Metrics::opened`] |
    /// | `websocket_connection_duration_seconds` | [`Metrics::durations`], a histogram |
    /// | `websocket_round_trip_seconds` | [`Metrics::round_trips`], a histogram |
    /// | `websocket_messages_total{direction,type}` | [`Traffic::messages`](crate::Traffic::messages): `received` or `sent`, `text` or `binary` |
    /// | `websocket_bytes_total{direction,stage}` | [`Traffic`](crate::Traffic): `payload` or `wire` |
    /// | `websocket_handshakes_rejected_total{cause}` | [`Metrics::rejected`], by [`Rejected::label`](crate::Rejected::label) |
    /// | `websocket_transports_failed_total` | [`Metrics::failed_transports`] |
    /// | `websocket_closes_total{code,by}` | [`Metrics::closed`] by `server` or `client`; codes from 3000 as `3xxx` and `4xxx` |
    /// | `websocket_handlers_dropped_total` | [`Metrics::handlers_dropped`] |
    /// | `websocket_broadcasts_total` | [`Metrics::broadcasts`] |
    /// | `websocket_deliveries_total` | [`Metrics::delivered`] |
    /// | `websocket_dropped_total` | [`Metrics::dropped`] |
    /// | `websocket_queue_bytes` | [`Metrics::queue_bytes`] |
    /// | `websocket_memory_bytes` | [`Metrics::memory`] |
    /// | `websocket_held_bytes{kind}` | [`Metrics::held`], by its fields |
    /// | `websocket_held_limit_bytes` | [`Metrics::max_memory`] |
    /// | `websocket_evicted_total` | [`Metrics::evicted`] |
    /// | `websocket_topics` | [`Metrics::topics`] |
    /// | `websocket_subscriptions` | [`Metrics::subscriptions`] |
    ///
    /// The value of every label is from a fixed set: nothing that a client sends becomes one.
    pub fn prometheus(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.collector()));
        let mut text = String::new();
        // A string takes all.
        prometheus_text::encode(&mut text, &registry).ok();
        text
    }

    /// The same for a [`Registry`] of the application, in whatever format that is asked for:
    /// `ws_server::prometheus_client` is the crate of the right version. It keeps the counters, not the
    /// server, alive.
    ///
    /// Two servers in one registry need a prefix each that tells them apart:
    /// [`sub_registry_with_prefix`](Registry::sub_registry_with_prefix). With labels in its place the
    /// `TYPE` of each metric would come twice, which the format forbids.
    pub fn collector(&self) -> impl Collector {
        Counted(self.clone())
    }
}

struct Counted(Clients);

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Collector for Counted {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode(&self.0.metrics(), &mut Families(encoder))
    }
}

fn encode(metrics: &Metrics, to: &mut Families<'_>) -> fmt::Result {
    let bytes = Some(&Unit::Bytes);
    to.gauge("websocket_connections", "Open connections", None, metrics.connections)?;
    to.counter("websocket_connections_opened", "Connections that were opened", metrics.opened)?;
    to.histogram(
        "websocket_connection_duration",
        "How long connections lasted that have ended",
        &metrics.durations,
    )?;
    to.histogram(
        "websocket_round_trip",
        "From a keep-alive Ping to its Pong",
        &metrics.round_trips,
    )?;
    let ways = [("received", &metrics.received), ("sent", &metrics.sent)];
    let by_type = ways.iter().flat_map(|(way, traffic)| {
        [([*way, "text"], traffic.texts), ([*way, "binary"], traffic.binaries())]
    });
    to.family("websocket_messages", "Whole messages", ["direction", "type"], by_type)?;
    let by_stage = ways.iter().flat_map(|(way, traffic)| {
        [([*way, "payload"], traffic.payload), ([*way, "wire"], traffic.wire)]
    });
    to.family(
        "websocket_bytes",
        "Bytes of messages as handlers see them (payload), and of frames (wire)",
        ["direction", "stage"],
        by_stage,
    )?;
    let mut by_cause = BTreeMap::<_, u64>::new();
    for rejected in &metrics.rejected {
        *by_cause.entry([rejected.label()]).or_default() += rejected.count;
    }
    to.family(
        "websocket_handshakes_rejected",
        "Requests that asked for a WebSocket and did not get one",
        ["cause"],
        by_cause,
    )?;
    to.counter(
        "websocket_transports_failed",
        "Connections that ended in the handshake of TLS or of the PROXY protocol",
        metrics.failed_transports,
    )?;
    let closes = closes(metrics);
    let by_code = closes.iter().map(|((code, by), count)| ([code.as_ref(), *by], *count));
    to.family("websocket_closes", "Connections that ended", ["code", "by"], by_code)?;
    to.counter(
        "websocket_handlers_dropped",
        "Handlers that did not return in time after their connection ended",
        metrics.handlers_dropped,
    )?;
    to.counter("websocket_broadcasts", "Messages to many", metrics.broadcasts)?;
    to.counter("websocket_deliveries", "Their copies, one for each recipient", metrics.delivered)?;
    to.counter(
        "websocket_dropped",
        "Messages that were dropped because a client does not keep up",
        metrics.dropped,
    )?;
    to.gauge("websocket_queue", "Messages that wait to be sent", bytes, metrics.queue_bytes)?;
    to.gauge("websocket_memory", "What protocol engines hold", bytes, metrics.memory)?;
    to.gauges(
        "websocket_held",
        "What clients make the server hold",
        "kind",
        metrics.held.by_kind(),
    )?;
    to.gauge("websocket_held_limit", "The bound for that", bytes, metrics.max_memory)?;
    to.counter("websocket_evicted", "Connections closed at that bound", metrics.evicted)?;
    to.gauge("websocket_topics", "Topics that have subscribers", None, metrics.topics)?;
    to.gauge("websocket_subscriptions", "Subscriptions", None, metrics.subscriptions)
}

/// The ends, by the labels of their code and of who closed.
fn closes(metrics: &Metrics) -> BTreeMap<(Cow<'static, str>, &'static str), u64> {
    let by_clients = [
        ((CloseCode::new(3000), ClosedBy::Peer), metrics.closed_by_clients_3xxx),
        ((CloseCode::new(4000), ClosedBy::Peer), metrics.closed_by_clients_4xxx),
    ];
    let all = metrics.closed.iter().map(|(end, count)| (*end, *count)).chain(by_clients);
    let mut closes = BTreeMap::new();
    for ((code, by), count) in all.filter(|(_, count)| *count > 0) {
        let code = match code.get() {
            ..3000 => code.to_string().into(),
            3000..4000 => "3xxx".into(),
            4000.. => "4xxx".into(),
        };
        let by = if by == ClosedBy::Local { "server" } else { "client" };
        *closes.entry((code, by)).or_default() += count;
    }
    closes
}

/// Writes families of metrics.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: usize) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        ConstGauge::new(value as u64).encode(encoder)
    }

    /// A gauge of bytes for each value of a label.
    fn gauges<'v>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'v str, usize)>,
    ) -> fmt::Result {
        let unit = Some(&Unit::Bytes);
        let mut encoder = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (value, bytes) in values {
            ConstGauge::new(bytes as u64).encode(encoder.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    /// The encoder appends `_total` to the name.
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    /// A counter for each set of values of its labels.
    fn family<'v, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        values: impl IntoIterator<Item = ([&'v str; N], u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (values, count) in values {
            let set: [(&str, &str); N] = std::array::from_fn(|n| (labels[n], values[n]));
            ConstCounter::new(count).encode(encoder.encode_family(&set)?)?;
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut encoder = self.0.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        let buckets: Vec<(f64, u64)> = histogram
            .buckets()
            .map(|(bound, count)| match bound {
                Duration::MAX => (f64::INFINITY, count),
                bound => (bound.as_secs_f64(), count),
            })
            .collect();
        let (sum, count) = (histogram.sum().as_secs_f64(), histogram.count());
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}
