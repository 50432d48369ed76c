//! What a node counts, for Prometheus.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, prometheus_text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};

use crate::Metrics;

/// The page, in Prometheus' text format.
pub(crate) fn page(collector: impl Collector) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(collector));
    let mut text = String::new();
    // A string takes all.
    prometheus_text::encode(&mut text, &registry).ok();
    text
}

/// Reads the metrics whenever it is asked.
pub(crate) struct Source<Read>(pub(crate) Read);

impl<Read> fmt::Debug for Source<Read> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

impl<Read: Fn() -> Metrics + Send + Sync + 'static> Collector for Source<Read> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode(&(self.0)(), &mut Families(encoder))
    }
}

/// The value of every label is from a fixed set: nothing that a client or another node sends becomes one.
fn encode(metrics: &Metrics, to: &mut Families<'_>) -> fmt::Result {
    let counted = &metrics.counted;
    to.gauge(
        "connected",
        "Whether NATS is there, to publish and to receive",
        metrics.is_up.into(),
    )?;
    to.counter("disconnects", "Times that a connection to NATS was lost", counted.disconnects)?;
    let by_kind = [(["stored"], counted.published), (["ephemeral"], counted.ephemeral_published)];
    to.family("published", "Publications that were taken to be sent", ["kind"], by_kind)?;
    to.counter("acknowledged", "Those that the stream has", counted.acknowledged)?;
    to.counter("unknown", "Those whose acknowledgement did not come", counted.unknown)?;
    to.counter("rejected", "Those that the stream refused", counted.rejected)?;
    let by_reason = [
        (["full"], counted.refused_full),
        (["away"], counted.refused_away),
        (["too_large"], counted.refused_too_large),
    ];
    to.family("refused", "Publications that were not taken", ["reason"], by_reason)?;
    to.bytes("queue", "Publications that wait to be sent or acknowledged", metrics.queue_bytes)?;
    let by_kind = [(["stored"], counted.delivered), (["ephemeral"], counted.ephemeral_received)];
    to.family("delivered", "Publications for subscribers here", ["kind"], by_kind)?;
    to.counter("duplicates", "Publications that came again", counted.duplicates)?;
    to.counter("doubted", "Messages that contradicted the stream", counted.doubted)?;
    to.counter("overrun", "Messages left out because they came too fast", counted.overrun)?;
    to.counter("damaged", "Messages that cannot be read", counted.damaged)?;
    to.counter("refills", "Requests for publications that were missed", counted.refills)?;
    to.counter("refilled", "Publications that they brought", counted.refilled)?;
    to.counter("gaps", "Gaps that could not be filled", counted.gaps)?;
    to.counter("audits", "Comparisons with the stream", counted.audits)?;
    to.counter("audits_failed", "Comparisons that failed", counted.audits_failed)?;
    to.counter("epochs", "Streams made anew, or with other limits", counted.epochs)?;
    let by_history = [
        (["all"], counted.joined_all),
        (["fresh"], counted.joined_fresh),
        (["lost"], counted.joined_lost),
    ];
    to.family("joins", "Clients that joined a topic", ["recovered"], by_history)?;
    to.gauge("topics", "Stored topics with subscribers here", metrics.topics)?;
    to.gauge("nodes", "Other nodes that are heard", metrics.nodes)?;
    to.gauge("cut_off", "Whether this node hears not even itself", metrics.is_cut_off.into())?;
    to.counter("shared_labels", "Times that two nodes had one label", counted.shared_labels)?;
    to.gauge("members_here", "Members of topics that are connected here", metrics.members_here)?;
    to.gauge("members_elsewhere", "Members on other nodes", metrics.members_elsewhere)?;
    to.gauge("presence_topics", "Topics whose members are followed", metrics.presence_topics)?;
    let by_direction =
        [(["received"], counted.presence_bytes_received), (["sent"], counted.presence_bytes_sent)];
    to.family("presence_bytes", "Octets about members", ["direction"], by_direction)?;
    to.counter("presence_asks", "Lists of members that were asked for", counted.presence_asks)?;
    let by_giver = [(["here"], counted.orders_sent), (["elsewhere"], counted.orders_obeyed)];
    to.family("orders", "Orders to all nodes", ["given"], by_giver)
}

/// Writes families of metrics.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: usize) -> fmt::Result {
        self.gauge_in(name, help, None, value)
    }

    /// The encoder appends `_bytes` to the name.
    fn bytes(&mut self, name: &str, help: &str, value: usize) -> fmt::Result {
        self.gauge_in(name, help, Some(&Unit::Bytes), value)
    }

    fn gauge_in(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: usize,
    ) -> fmt::Result {
        let name = format!("ws_nats_{name}");
        let encoder = self.0.encode_descriptor(&name, help, unit, MetricType::Gauge)?;
        ConstGauge::new(value as u64).encode(encoder)
    }

    /// The encoder appends `_total` to the name.
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let name = format!("ws_nats_{name}");
        let encoder = self.0.encode_descriptor(&name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    /// A counter for each value of its label.
    fn family<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; 1],
        values: [([&str; 1], u64); N],
    ) -> fmt::Result {
        let name = format!("ws_nats_{name}");
        let mut encoder = self.0.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for ([value], count) in values {
            let set = [(labels[0], value)];
            ConstCounter::new(count).encode(encoder.encode_family(&set)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Counters;

    #[test]
    fn page_is_as_documented() {
        let counters = Counters::default();
        let mut expected = include_str!("prometheus/page.txt").to_owned();
        // Each counter has a value of its own, so that none can be taken for another.
        for (value, (name, counter)) in (2000..).zip(counters.all()) {
            counter.add(value);
            let place = format!("<{name}>");
            assert!(expected.contains(&place), "{name} is not on the page");
            expected = expected.replace(&place, &value.to_string());
        }
        let metrics = Metrics {
            counted: counters.read(),
            is_up: true,
            queue_bytes: 1001,
            topics: 1002,
            nodes: 1003,
            is_cut_off: false,
            members_here: 1004,
            members_elsewhere: 1005,
            presence_topics: 1006,
        };
        assert_eq!(page(Source(move || metrics.clone())), expected);
    }
}
